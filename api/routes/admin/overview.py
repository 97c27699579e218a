"""How the system does, at a glance and live, for admins. Wakes and asks no owner."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from api.http.paging import json_answer
from api.http.problems import Problem, responses
from api.office.dependencies import Admin, authenticated
from api.office.office import Office
from api.views.booking import described
from api.views.overview import OVERVIEW_EXAMPLE, Overviews, OverviewView

router = APIRouter(prefix="/v1/admin", tags=["admin"])

STREAMS_PER_WORKER = 50  # admins are few; each stream is a connection
RETRY_AFTER_SECONDS = 5
REFUSALS = responses("unauthenticated", "forbidden")
STREAM_EXAMPLE = """\
retry: 2000

event: overview
data: {"at":"2026-11-22T14:05:40.117+00:00","vitals":true,"rates":{"held":812.4,…},…}
"""
EVENT_STREAM = {
    "description": "An overview a second. Ends when the token it was asked for with does: ask again with a new one.",
    "content": {"text/event-stream": {"schema": {"type": "string"}, "example": STREAM_EXAMPLE}},
}


async def overviews(request: Request) -> Overviews:
    """This worker's."""
    state = request.app.state
    if not hasattr(state, "overviews"):
        office: Office = state.office
        state.overviews = Overviews(office.database, office.board, office.clock)
    found: Overviews = state.overviews
    return found


OverviewsOf = Annotated[Overviews, Depends(overviews)]


@router.get(
    "/overview",
    summary="How the system does",
    responses=described(200, OverviewView, OVERVIEW_EXAMPLE, "As of this second.") | REFUSALS,
)
async def get_overview(account: Admin, found: OverviewsOf) -> Response:
    """Rates, holds, queues, commit latency and what waits. Costs one small query a second, however many look."""
    return json_answer(await found.now())


@router.get(
    "/overview/stream",
    summary="How the system does, as it changes",
    response_class=Response,
    responses={200: EVENT_STREAM, **REFUSALS, **responses("overloaded")},
)
async def get_overview_stream(account: Admin, request: Request, found: OverviewsOf) -> Response:
    """Server-Sent Events: an `overview` a second, for as long as the token is good."""

    async def may_go_on() -> bool:
        try:
            return (await authenticated(request)).role == account.role
        except Problem:
            return False

    if found.stopping or found.watched >= STREAMS_PER_WORKER:
        raise Problem("overloaded", retry_after=RETRY_AFTER_SECONDS)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(found.stream(may_go_on), media_type="text/event-stream", headers=headers)
