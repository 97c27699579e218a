"""The HTTP application of one worker: routes, the layers around them, and what they share.

`create_app` builds it without touching anything outside; entering its lifespan opens the office, and a piece that does
not work ends the start with a message that names it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from actors.process.settings import Settings
from api.http.problems import Problem, answer, of_http_exception, of_validation, responses
from api.http.storable import check_parameters
from api.office.office import open_office
from api.routes.accounts import accounts, browser_sessions, email_confirmations, password_resets, sessions
from api.routes.admin import (
    admin,
    admin_accounts,
    admin_bookings,
    admin_payments,
    audit,
    notifications,
    overview,
    own_process,
    parked_events,
    reconciliation,
)
from api.routes.bookings import (
    batches,
    blocks,
    bookings,
    cancellations,
    exchanges,
    payments,
    queue,
    refunds,
    transfers,
    webhooks,
)
from api.routes.catalogue import (
    cancelled_performances,
    cancelled_schedules,
    performances,
    previews,
    schedules,
    seats,
    venue_grants,
    venues,
)
from api.routes.door import check_ins, door_staff, tickets
from api.routes.organizer import history, organizer, sales, settlement, shows
from api.routes.system import asyncapi, noop, system
from api.server.admission import Admission
from api.server.compressing import Compressing
from api.server.description import described
from api.server.directory import Directory
from api.server.door import Rescue
from api.server.express import Express
from api.server.proxies import Networks, behind
from api.server.watch import Watch
from api.web.served import Pages

DESCRIPTION = """
Sell seats: register a performance, open schedules for sale, hold seats, pay, cancel.

**By hand on this page**

1. `POST /v1/accounts`.
2. *Authorize* with that e-mail and password, or with the `access_token` of `POST /v1/sessions`.
3. `GET /v1/performances`, then its schedules.
4. `POST /v1/schedules/{id}/bookings`.
5. `POST /v1/bookings/{id}/payments` with the card token `tok_approve`.

Every refusal is an RFC 9457 problem with a stable `code`; `Accept-Language: ko` answers in Korean.
"""
ALLOWED_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Queue-Pass")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ROUTERS = (
    accounts,
    browser_sessions,
    sessions,
    password_resets,
    email_confirmations,
    performances,
    schedules,
    seats,
    queue,
    bookings,
    exchanges,
    transfers,
    batches,
    cancellations,
    payments,
    refunds,
    venues,
    venue_grants,
    previews,
    webhooks,
    admin,
    overview,
    reconciliation,
    parked_events,
    sales,
    admin_bookings,
    admin_payments,
    admin_accounts,
    own_process,
    audit,
    organizer,
    shows,
    blocks,
    settlement,
    history,
    tickets,
    check_ins,
    door_staff,
    notifications,
    cancelled_performances,
    cancelled_schedules,
    asyncapi,
    system,
)


class Application(FastAPI):
    """FastAPI, with four layers of ours around all of its own: most requests of a sale go no further in."""

    own_routes: Sequence[APIRoute] = ()
    directory = Directory(())
    proxies: Networks = ()
    https = False  # whether people reach it so
    pictures: Sequence[str] = ()  # hosts from which pages show them
    origins: Sequence[str] = ()  # of pages elsewhere that may use the API

    def build_middleware_stack(self) -> ASGIApp:
        """What every request passes, outermost first: proxies, watch, CORS, pages, compression, the short way in."""
        inner: ASGIApp = Pages(
            Compressing(Express(super().build_middleware_stack(), self.own_routes)), pictures=self.pictures
        )
        if self.origins:
            inner = CORSMiddleware(
                inner,
                allow_origins=self.origins,
                allow_methods=METHODS,
                allow_headers=ALLOWED_HEADERS,
                expose_headers=("Content-Location", "ETag", "Location", "Retry-After", "Server-Time", "X-Request-Id"),
                max_age=3600,
            )
        watch = Watch(inner, personal=self.directory.personal(), https=self.https)
        return behind(self.proxies, watch)


def create_app(settings: Settings) -> FastAPI:
    """The application; its `state.office` is there while it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_office(settings) as office:
            app.state.office = office
            yield

    app = Application(
        title="Boxoffice",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/openapi.json" if settings.docs else None,
        docs_url=None,  # served by routes/system.py from this machine
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked about on every request; see watch.py
        generate_unique_id_function=_operation_id,
        responses=responses("validation_failed"),
        dependencies=[Depends(check_parameters)],
    )
    nouns = (*ROUTERS, noop) if settings.bench else ROUTERS
    for noun in nouns:
        app.include_router(noun.router)
    app.mount("/docs/assets", system.assets)
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(RequestValidationError, _answer_problem)
    app.add_exception_handler(HTTPException, _answer_problem)
    app.own_routes = [each for noun in nouns for each in noun.router.routes if isinstance(each, APIRoute)]
    app.proxies = settings.proxies
    app.pictures = settings.pictures
    app.origins = settings.shops
    app.https = settings.public_url.startswith("https:")
    app.directory = Directory(app.own_routes)
    app.add_middleware(Admission, directory=app.directory)
    app.add_middleware(Rescue)  # the last one added is the outermost
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


async def _answer_problem(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return answer(error, request)
    if isinstance(error, RequestValidationError):
        return answer(of_validation(error), request)
    assert isinstance(error, HTTPException)
    response = answer(of_http_exception(error), request)
    if error.headers is not None and "Allow" in error.headers:  # the framework names those of one route only
        directory: Directory = request.app.directory
        response.headers["Allow"] = ", ".join(directory.methods(request.url.path))
    return response


def _operation_id(route: APIRoute) -> str:
    return route.name


def _openapi(app: Application) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = described(app, app.directory)
    return app.openapi_schema
