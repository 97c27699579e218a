"""About the system itself: whether it works, what it counts, what it can do.

`/healthz` says that this worker runs, and nothing else: a worker is not to be restarted because Redis is away.
`/readyz` says whether it can do its job, and names what is down.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import fastapi_offline
import sqlalchemy as sa
from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from actors.process.telemetry import metrics
from api.http.dependencies import HouseOf
from api.http.models import Output, normal_email
from api.http.office import House
from api.http.paging import json_answer
from api.http.problem_messages import PROBLEMS
from api.http.problems import Problem, responses
from persistence.accounts import accounts
from persistence.embedded.outside import reach_tcp

router = APIRouter(tags=["about"])

# Swagger UI from this machine: the page works without the Internet. Only the package's files are used.
assets = StaticFiles(directory=Path(fastapi_offline.__file__).parent / "static")

CHECK_SECONDS = 2.0


class NoAdministrator(Exception):
    """Whom the environment names cannot administer."""


class Health(Output):
    """This worker runs."""

    status: str
    worker: str


class Readiness(Output):
    """What the service needs, and how each part does: `up`, or why not."""

    status: str
    checks: dict[str, str]


@router.get("/healthz", summary="Is this worker alive?")
async def healthz(house: HouseOf) -> Health:
    return Health(status="up", worker=house.worker)


@router.get(
    "/readyz", summary="Can the service do its job?", response_model=Readiness, responses=responses("not_ready")
)
async def readyz(house: HouseOf) -> Response:
    checks = await check(house)
    if any(state != "up" for state in checks.values()):
        raise Problem("not_ready", checks=checks, retry_after=1)
    return json_answer({"status": "up", "checks": checks}, headers={"Cache-Control": "no-store"})


async def check(house: House) -> dict[str, str]:
    """Each part's state. Kafka is not asked: while it is away events wait in the journal, nothing else."""
    parts: dict[str, Callable[[], Awaitable[object]]] = {
        "postgres": lambda: _ask_postgres(house),
        "redis": lambda: cast(Awaitable[object], house.redis.ping()),
        "administrator": lambda: _ask_for_administrator(house),
        "ray": lambda: reach_tcp(house.settings.ray_address or ""),
    }
    states = await asyncio.gather(*(_state(ask) for ask in parts.values()))
    return dict(zip(parts, states, strict=True))


async def _state(ask: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await ask()
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:.0f} s"
    except Exception as error:  # noqa: BLE001  # whatever a client library raises is the answer here
        return type(error).__name__
    return "up"


async def _ask_postgres(house: House) -> None:
    async with house.database.connect() as connection:
        await connection.execute(sa.select(1))


async def _ask_for_administrator(house: House) -> None:
    """The one that the environment names can administer."""
    if house.settings.admin_email is None:
        return
    async with house.database.connect() as connection:
        row = await accounts.by_email(connection, normal_email(house.settings.admin_email))
    if row is None or row.role != accounts.ADMIN or row.locked_at is not None:
        raise NoAdministrator


@router.get(
    "/metrics", summary="Counters, for Prometheus", response_class=Response, responses=responses("route_not_found")
)
async def get_metrics(house: HouseOf) -> Response:
    if not house.settings.metrics:
        raise Problem("route_not_found")
    page, content_type = await asyncio.to_thread(metrics)
    return Response(page, media_type=content_type)


@router.get("/docs", include_in_schema=False)
async def docs(house: HouseOf) -> HTMLResponse:
    if not house.settings.docs:
        raise Problem("route_not_found")
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Boxoffice",
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/docs/assets/favicon.png",
        swagger_ui_parameters={"persistAuthorization": True, "displayRequestDuration": True},
    )
    page.headers["Content-Security-Policy"] = _docs_policy(bytes(page.body))
    return page


def _docs_policy(page: bytes) -> str:
    """Only what comes from here, and the page's own scripts as they stand in it."""
    inline = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    scripts = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(each).digest()).decode()}'" for each in inline)
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


@router.get("/problems", summary="Every problem code there is")
async def list_problems() -> dict[str, Any]:
    return {"items": [_described(code) for code in PROBLEMS]}


@router.get("/problems/{code}", summary="What a problem's `type` points to", responses=responses("route_not_found"))
async def get_problem(code: str) -> dict[str, Any]:
    if code not in PROBLEMS:
        raise Problem("route_not_found")
    return _described(code)


def _described(code: str) -> dict[str, Any]:
    kind = PROBLEMS[code]
    return {"code": code, "status": kind.status, "en": kind.en._asdict(), "ko": kind.ko._asdict()}
