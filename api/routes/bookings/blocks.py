"""Seats that an organizer keeps out of the sale: which, why, and back again."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Body, Request
from fastapi.responses import Response
from pydantic import Field

from api.http.models import Input, Line, RawText, ScheduleId
from api.http.paging import Cursor, Limit, encode_cursor, json_answer, version_in
from api.http.problems import problem_of, responses
from api.office.dependencies import OfficeOf, Organizer
from api.office.idempotency import TAKES_KEY, request_of
from api.routes.catalogue.schedules import own_schedule
from api.selling.audit_trail import record
from api.views.booking import described
from engine.commands import AnyCommand, Block, Unblock
from engine.refusals import Refusal
from persistence.database.moments import rfc3339
from persistence.journal.blocks import blocks_of, read_story

router = APIRouter(prefix="/v1/organizer", tags=["organizer"])

REFUSALS = responses("unauthenticated", "forbidden")
# A block can take a whole stand out of the sale at once.
MAX_BLOCKED_AT_ONCE = 5_000
SeatIds = Annotated[
    list[Annotated[RawText, Field(min_length=1, max_length=200)]],
    Field(min_length=1, max_length=MAX_BLOCKED_AT_ONCE, description="A standing area's id occurs once per place."),
]


class BlockedSeats(Input):
    """Seats to take out of the sale."""

    seats: SeatIds
    reason: Annotated[Line, Field(min_length=1, max_length=500)]


class BlockedView(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken out of the sale, and at which version."""

    schedule_id: str
    seats: list[str]
    reason: str
    version: int


BLOCKED_EXAMPLE = {
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "seats": ["1F-A-12"],
    "reason": "camera",
    "version": 58,
}


class UnblockedSeats(Input):
    """Seats to put back on sale."""

    seats: SeatIds


class BlockView(msgspec.Struct, frozen=True, kw_only=True):
    """Places that were blocked together and still are; a standing area's id once per place."""

    version: int
    seats: list[str]
    reason: str
    by: str
    blocked_at: str


class BlocksView(msgspec.Struct, frozen=True, kw_only=True):
    """One page of what is kept out of a schedule's sale."""

    schedule_id: str
    items: list[BlockView]
    next_cursor: str | None


EXAMPLE = {
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "items": [
        {
            "version": 12,
            "seats": ["1F-A-12", "1F-A-13"],
            "reason": "camera",
            "by": "organizer",
            "blocked_at": "2026-11-22T14:05:40.117+00:00",
        }
    ],
    "next_cursor": None,
}


@router.get(
    "/schedules/{schedule_id}/blocks",
    summary="What is kept out of the sale, and why",
    responses=described(200, BlocksView, EXAMPLE, "Oldest first.") | REFUSALS | responses("schedule_not_found"),
)
async def list_blocks(
    schedule_id: ScheduleId, account: Organizer, office: OfficeOf, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Read off the journal, so no owner is woken."""
    after = version_in(cursor)
    async with office.reading.connect() as connection:
        await own_schedule(connection, schedule_id, account)
        story = await read_story(connection, schedule_id)
    found, plan = blocks_of(story, await office.plans.opened_with(schedule_id))
    page = [each for each in found if each.version > after][: limit + 1]
    items = [
        BlockView(
            version=each.version,
            seats=[plan.ids[seat] for seat in each.seats],
            reason=each.reason,
            by=each.by,
            blocked_at=rfc3339(each.at_ms),
        )
        for each in page[:limit]
    ]
    following = encode_cursor(str(items[-1].version)) if len(page) > limit else None
    return json_answer(BlocksView(schedule_id=schedule_id, items=items, next_cursor=following))


@router.post(
    "/schedules/{schedule_id}/blocks",
    status_code=201,
    summary="Take seats out of the sale",
    dependencies=[TAKES_KEY],
    responses=described(201, BlockedView, BLOCKED_EXAMPLE, "The seats are out of the sale.")
    | REFUSALS
    | responses(
        "schedule_not_found", "schedule_cancelled", "sale_closed", "seats_unavailable", "unknown_seat", "duplicate_seat"
    ),
)
async def block_seats(
    schedule_id: ScheduleId,
    wish: Annotated[BlockedSeats, Body(examples=[{"seats": ["1F-A-12"], "reason": "camera"}])],
    request: Request,
    account: Organizer,
    office: OfficeOf,
) -> Response:
    """Blocks the seats, all or none; a seat that is held or sold cannot be blocked, nor any once there is no sale."""
    command = Block(tuple(wish.seats), wish.reason, account.role)
    version = await _change(office, schedule_id, command, request, account, "seats.blocked", wish.model_dump())
    body = {"schedule_id": schedule_id, "seats": wish.seats, "reason": wish.reason, "version": version}
    return json_answer(body, 201)


@router.delete(
    "/schedules/{schedule_id}/blocks",
    status_code=204,
    summary="Put seats back on sale",
    responses=REFUSALS | responses("schedule_not_found", "schedule_cancelled", "sale_closed", "unknown_seat"),
)
async def unblock_seats(
    schedule_id: ScheduleId,
    wish: Annotated[UnblockedSeats, Body(examples=[{"seats": ["1F-A-12"]}])],
    request: Request,
    account: Organizer,
    office: OfficeOf,
) -> Response:
    """Unblocks those of the seats that are blocked and leaves the others as they are."""
    command = Unblock(tuple(wish.seats), account.role)
    await _change(office, schedule_id, command, request, account, "seats.unblocked", wish.model_dump())
    return Response(status_code=204)


async def _change(
    office: OfficeOf,
    schedule_id: str,
    command: AnyCommand,
    request: Request,
    account: Organizer,
    action: str,
    what: dict[str, object],
) -> int:
    """Sends the command for a schedule of the caller's own and records who did it; the version it led to."""
    async with office.reading.connect() as connection:
        await own_schedule(connection, schedule_id, account)
    request_id, fingerprint = await request_of(request, account)
    result = await office.gateway.send(schedule_id, command, request_id=request_id, fingerprint=fingerprint)
    if isinstance(result, Refusal):
        raise problem_of(result, await office.plans.of_schedule(schedule_id))
    await record(office, request, account, action, f"schedule:{schedule_id}", after=what)
    version: int = result.version
    return version
