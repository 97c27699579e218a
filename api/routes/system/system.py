"""About the system itself: whether it works, what it counts, what it can do.

`/healthz` says that this worker runs, and nothing else: a worker is not to be restarted because Redis is away.
`/readyz` says whether it can do its job, and names what is down or worse than it should be.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from pathlib import Path
from typing import Any, Literal

import fastapi_offline
from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

from actors.process.tallies import tell_all
from actors.process.telemetry import metrics
from api.http.models import Output
from api.http.paging import json_answer
from api.http.problem_messages import PROBLEMS
from api.http.problems import Problem, responses
from api.office.dependencies import OfficeOf
from api.views.readiness import Prober

router = APIRouter(tags=["about"])

# Swagger UI from this machine: the page works without the Internet. Only the package's files are used.
assets = StaticFiles(directory=Path(fastapi_offline.__file__).parent / "static")


class Health(Output):
    """This worker runs."""

    status: str
    worker: str


class Readiness(Output):
    """What the service needs and wants, and how each part does: `up`, or what is the matter."""

    status: Literal["up", "degraded"]
    checks: dict[str, str]


@router.get("/healthz", summary="Is this worker alive?", response_model=Health)
async def healthz(office: OfficeOf) -> Response:
    return json_answer({"status": "up", "worker": office.worker})


@router.get(
    "/readyz", summary="Can the service do its job?", response_model=Readiness, responses=responses("not_ready")
)
async def readyz(request: Request, office: OfficeOf) -> Response:
    """503 names what is down. `degraded`: it can, but Redis is away or full, writes fail, the disk is full, owners
    back up or Kafka lags."""
    state = request.app.state
    if not hasattr(state, "prober"):
        state.prober = Prober(office)
    found = await state.prober.readiness()
    if found.is_down:
        raise Problem("not_ready", checks=found.checks, retry_after=1)
    return json_answer({"status": found.status, "checks": found.checks}, headers={"Cache-Control": "no-store"})


@router.get(
    "/metrics",
    summary="Counters, for Prometheus",
    response_class=PlainTextResponse,
    responses=responses("route_not_found"),
)
async def get_metrics(office: OfficeOf) -> Response:
    if not office.settings.metrics:
        raise Problem("route_not_found")
    tell_all()
    page, content_type = await asyncio.to_thread(metrics)
    return Response(page, media_type=content_type)


@router.get("/docs", include_in_schema=False)
async def docs(office: OfficeOf) -> HTMLResponse:
    if not office.settings.docs:
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
