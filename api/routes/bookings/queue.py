"""The line before a schedule with a waiting room: join it, look where one stands, leave it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response, StreamingResponse

from api.http.models import ScheduleId
from api.http.paging import json_answer
from api.http.problems import Problem, document, language_of, responses
from api.office.dependencies import CurrentAccount, Customer, OfficeOf, authenticated
from api.office.idempotency import TAKES_KEY, key_of
from api.routes.bookings import waiting_room
from api.views.booking import described, server_time
from api.views.failures import problem_of_error
from api.views.queue import ADMITTED_EXAMPLE, QUEUE_EXAMPLE, QueuePlaceView

router = APIRouter(prefix="/v1", tags=["queue"])

Ticket = Annotated[str, Path(description="The `ticket` of `POST /v1/schedules/{id}/queue`.")]
NOTHING_TO_WAIT_FOR = ("schedule_not_found", "schedule_cancelled", "sale_closed")
RETRY_AFTER_SECONDS = 5  # of a stream that there is no room for: looking costs less
STRAGGLE = 0.2  # of a pause, at most: whoever waits for the opening does not look in one and the same moment
STREAM_EXAMPLE = """\
retry: 2000

event: place
data: {"ticket":"AZnz…","status":"waiting","position":1841,"ahead":1840,"estimated_wait_seconds":37,…}

event: interrupted
data: {"type":"/problems/overloaded","status":503,"code":"overloaded","retry_after":2,…}

event: admitted
data: {"ticket":"AZnz…","status":"admitted","pass":"AAAB…","pass_expires_at":"2026-12-01T05:10:37.204+00:00",…}
"""
EVENT_STREAM = {
    "description": "A `place` when it has changed. Ends with `admitted`, or with `over` and the problem that a look "
    "would be answered with: the turn or the sale is over. `interrupted`: nobody can be told where they stand at the "
    "moment; it goes on. Ends with the token it was asked for with, too: ask again with a new one.",
    "content": {"text/event-stream": {"schema": {"type": "string"}, "example": STREAM_EXAMPLE}},
}


@router.post(
    "/schedules/{schedule_id}/queue",
    status_code=201,
    summary="Join the line",
    dependencies=[TAKES_KEY],
    responses=described(201, QueuePlaceView, QUEUE_EXAMPLE, "The place: the one there is, or one at the end.")
    | responses("unauthenticated", "forbidden", *NOTHING_TO_WAIT_FOR, "rate_limited", "overloaded"),
)
async def join_queue(schedule_id: ScheduleId, request: Request, account: Customer, office: OfficeOf) -> Response:
    """One has one place, however often one asks: from another page, another device, or after a reload."""
    key_of(request)
    place = await waiting_room.join(office, schedule_id, account)
    headers = {"Location": f"/v1/queue/{place.ticket}"} | server_time(office.clock.now_ms())
    return json_answer(place, 201, headers)


@router.get(
    "/queue/{ticket}",
    summary="Where I stand",
    responses=described(200, QueuePlaceView, ADMITTED_EXAMPLE, "The place as it is now.")
    | responses(
        "unauthenticated", "ticket_not_found", *NOTHING_TO_WAIT_FOR, "queue_turn_over", "rate_limited", "overloaded"
    ),
)
async def get_queue_place(ticket: Ticket, account: CurrentAccount, office: OfficeOf) -> Response:
    """Look again in `look_again_seconds`. Whoever is admitted and does not look within a minute has lost the turn."""
    office.limits.command(account.id, account.role)  # it moves the line on
    place = await waiting_room.look(office, ticket, account)
    return json_answer(place, headers=server_time(office.clock.now_ms()))


class QueueStreams:
    """One worker's streams of places."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()
        self.open = 0

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ends every stream, and opens no further one."""
        self._stopping.set()

    async def stream(
        self,
        look: Callable[[], Awaitable[QueuePlaceView]],
        may_go_on: Callable[[], Awaitable[bool]],
        told: Callable[[Problem], bytes],
    ) -> AsyncGenerator[bytes]:
        """What `look` gives, as Server-Sent Events at the pace that it names; `told` writes problems."""
        self.open += 1
        try:
            yield b"retry: 2000\n\n"
            before: QueuePlaceView | None = None
            while not self.stopping and await may_go_on():
                try:
                    place = await look()
                except Exception as error:  # noqa: BLE001  # whatever it is has an answer
                    problem = error if isinstance(error, Problem) else problem_of_error(error)
                    retry_after = problem.facts.get("retry_after")
                    yield b"event: %s\ndata: %s\n\n" % (b"interrupted" if retry_after else b"over", told(problem))
                    if not isinstance(retry_after, int):
                        return
                    before, pause = None, retry_after
                else:
                    if place.status == "admitted":
                        yield b"event: admitted\ndata: %s\n\n" % msgspec.json.encode(place)
                        return
                    yield b"event: place\ndata: %s\n\n" % msgspec.json.encode(place) if place != before else b":\n\n"
                    before, pause = place, place.look_again_seconds
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause * random.uniform(1, 1 + STRAGGLE))
        finally:
            self.open -= 1


async def queue_streams(request: Request) -> QueueStreams:
    """This worker's."""
    state = request.app.state
    if not hasattr(state, "queue_streams"):
        state.queue_streams = QueueStreams()
    found: QueueStreams = state.queue_streams
    return found


@router.get(
    "/queue/{ticket}/stream",
    summary="Where I stand, as it changes",
    response_class=Response,
    responses={200: EVENT_STREAM, **responses("unauthenticated", "ticket_not_found", "rate_limited", "overloaded")},
)
async def get_queue_stream(
    ticket: Ticket,
    account: CurrentAccount,
    request: Request,
    office: OfficeOf,
    streams: Annotated[QueueStreams, Depends(queue_streams)],
) -> Response:
    """Server-Sent Events: the place whenever it has changed, looked at as often as is needed, for as long as the token
    is good. It costs what looking costs; where there is no room for one (503), look yourself."""
    office.limits.command(account.id, account.role)
    if office.queue_tickets.place_of(ticket, account.id) is None:
        raise Problem("ticket_not_found")
    if streams.stopping or streams.open >= office.settings.connections // 2:
        raise Problem("overloaded", retry_after=RETRY_AFTER_SECONDS)
    language = language_of(request.headers.get("accept-language", ""))

    async def may_go_on() -> bool:
        try:
            return (await authenticated(request)).id == account.id
        except Problem:
            return False

    frames = streams.stream(
        partial(waiting_room.look, office, ticket, account),
        may_go_on,
        partial(document, language=language, instance=request.url.path),
    )
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(frames, media_type="text/event-stream", headers=headers)


@router.delete(
    "/queue/{ticket}",
    status_code=204,
    summary="Leave the line",
    responses=responses("unauthenticated", "ticket_not_found", "rate_limited", "overloaded"),
)
async def leave_queue(ticket: Ticket, account: CurrentAccount, office: OfficeOf) -> None:
    """Gives the place up, or the turn if one has it. Joining again is joining at the end."""
    await waiting_room.leave(office, ticket, account)
