"""The short way in for the routes that the first minutes of a sale consist of, past the framework's general machinery;
and for what a load balancer asks all the time.

A well-formed request to one of them is checked by the same code and handed to the same endpoint as by the framework, at
a fraction of the cost. Whatever is unusual about it (no valid token, a body that fails its model, an id written
differently) takes the long way, which knows how to say what is wrong. So the two ways differ in what an answer costs,
never in what it says.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.large_bodies import BODY_LIMIT
from api.http.models import UUID_FORM, Input
from api.http.problems import Problem, answer
from api.http.storable import SUSPECT
from api.office.dependencies import authenticated
from api.office.tokens import BUYERS, Account
from api.routes.bookings import bookings, payments
from api.routes.catalogue import performances, seats
from api.routes.system import noop, system
from api.server.admission import BodyCutOff, again, is_json, read_body
from api.views.failures import problem_of_error

PATH = re.compile(rf"/v1/(schedules|bookings)/({UUID_FORM.pattern})/([a-z]+)", re.ASCII)
CATALOGUE = performances.router.prefix

WishT = TypeVar("WishT", bound=Input)

# Takes the request, the schedule's or booking's id if the path has one, and where a body is taken, the customer and the
# body. Gives None where the long way has to be taken; nothing has happened yet then.
Shortcut = Callable[[Request, str, Account | None, bytes], Awaitable[Response | None]]


async def _book(request: Request, schedule_id: str, account: Account | None, body: bytes) -> Response | None:
    if account is None or (wish := _wish(body, bookings.BookingWish)) is None:
        return None
    return await bookings.book(schedule_id, wish, request, account, request.app.state.office)


async def _pay(request: Request, booking_id: str, account: Account | None, body: bytes) -> Response | None:
    if account is None or (wish := _wish(body, payments.PaymentWish)) is None:
        return None
    return await payments.pay(booking_id, request, account, request.app.state.office, wish)


async def _do_nothing(request: Request, schedule_id: str, account: Account | None, body: bytes) -> Response | None:
    if account is None or (wish := _wish(body, bookings.BookingWish)) is None:
        return None
    return await noop.do_nothing(schedule_id, wish, account)


def _wish(body: bytes, model: type[WishT]) -> WishT | None:
    """A wish, if it is well-formed and can be stored."""
    if SUSPECT.search(body) is not None:
        return None
    try:
        return model.model_validate_json(body)
    except ValidationError:
        return None


async def _customer(request: Request) -> Account | None:
    """The customer who asks; None for anybody else."""
    try:
        account = await authenticated(request)
    except Problem:
        return None
    return account if account.role in BUYERS else None


async def _get_availability(request: Request, schedule_id: str, *_: object) -> Response:
    return await seats.get_availability(request, schedule_id, await seats.seat_pages(request), _known(request))


async def _get_seats(request: Request, schedule_id: str, *_: object) -> Response:
    return await seats.get_seats(request, schedule_id, await seats.seat_pages(request), _known(request))


async def _get_states(request: Request, schedule_id: str, *_: object) -> Response:
    return await seats.get_states(request, schedule_id, await seats.seat_pages(request), _known(request))


async def _list_performances(request: Request, *_: object) -> Response:
    return await performances.list_performances(request.app.state.office)


async def _healthz(request: Request, *_: object) -> Response:
    return await system.healthz(request.app.state.office)


def _known(request: Request) -> list[str]:
    return request.headers.getlist("if-none-match")


SHORTCUTS: Mapping[tuple[str, str, str], tuple[Callable[..., object], Shortcut]] = {
    ("POST", "schedules", "bookings"): (bookings.book, _book),
    ("POST", "schedules", "noop"): (noop.do_nothing, _do_nothing),
    ("POST", "bookings", "payments"): (payments.pay, _pay),
    ("GET", "schedules", "availability"): (seats.get_availability, _get_availability),
    ("GET", "schedules", "seats"): (seats.get_seats, _get_seats),
    ("GET", "schedules", "states"): (seats.get_states, _get_states),
    ("GET", "", CATALOGUE): (performances.list_performances, _list_performances),
    ("GET", "", "/healthz"): (system.healthz, _healthz),
}


class _Read(Request):
    """A request whose body has been read already."""

    whole = b""

    async def body(self) -> bytes:
        return self.whole


class Express:
    """Takes the shortcut where there is one. `routes` are those of the application; others' shortcuts are closed."""

    def __init__(self, app: ASGIApp, routes: Iterable[APIRoute]) -> None:
        self._app = app
        by_endpoint = {route.endpoint: route for route in routes}
        self._shortcuts = {
            key: (by_endpoint[endpoint], shortcut)
            for key, (endpoint, shortcut) in SHORTCUTS.items()
            if endpoint in by_endpoint
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        matched = PATH.fullmatch(path)
        whose, its_id, noun = matched.groups() if matched is not None else ("", "", path)
        found = self._shortcuts.get((scope["method"], whose, noun))
        if found is None or not _plain(scope):
            await self._app(scope, receive, send)
            return
        route, shortcut = found
        request, account = _Read(scope, receive), None
        try:
            if scope["method"] == "POST" and (account := await _customer(request)) is not None:
                request.whole = await read_body(receive, BODY_LIMIT)
                receive = again(request.whole, receive)
            response = await shortcut(request, its_id, account, request.whole)
        except BodyCutOff:
            return
        except Problem as problem:
            response = answer(problem, request)
        except Exception as error:  # noqa: BLE001  # whatever it is has an answer
            response = answer(problem_of_error(error), request)
        if response is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route  # as the framework does, for whoever counts
        await response(scope, receive, send)


def _plain(scope: Scope) -> bool:
    """Whether the request has no body, or a small one that says it is JSON."""
    if scope["method"] == "GET":
        return True
    headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # the first of a name counts
    length, kind = headers.get(b"content-length", b""), headers.get(b"content-type", b"")
    if b"content-encoding" in headers:
        return False
    return length.isdigit() and 0 < int(length) <= BODY_LIMIT and (kind == b"application/json" or is_json(kind))
