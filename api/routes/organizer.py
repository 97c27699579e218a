"""What organizers see and do beyond the catalogue: their performances, who has booked, seats kept out of the sale.

A schedule that is not the caller's is not found; admins may look into all of them.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response
from pydantic import Field

from api.http.dependencies import HouseOf, Organizer
from api.http.idempotency import TAKES_KEY, request_of
from api.http.models import BookingState, Input, Line, RawText, ScheduleId, uuid_or_none
from api.http.paging import Cursor, Limit, decode_cursor, encode_cursor, json_answer, malformed_cursor, page_answer
from api.http.problems import problem_of, responses
from api.routes.performances import views
from api.routes.schedules import own_schedule
from api.selling.audit_trail import record
from api.selling.booking_commands import view_of_row
from api.views.booking import CONFIRMED_EXAMPLE, Page, described
from engine.commands import AnyCommand, Block, Unblock
from engine.refusals import Refusal
from persistence.bookings import bookings as rows_of
from persistence.catalogue import performances

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


class UnblockedSeats(Input):
    """Seats to put back on sale."""

    seats: SeatIds


@router.get("/performances", summary="My performances", responses=REFUSALS)
async def list_my_performances(
    account: Organizer, house: HouseOf, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The caller's own performances, newest first; an empty list if there is none."""
    async with house.database.connect() as connection:
        rows = await performances.list_performances(
            connection, organizer_id=account.id, before_id=_last_id(cursor), limit=limit + 1
        )
        items = await views(connection, house, rows[:limit])
    next_cursor = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return page_answer([*items], next_cursor, None)


@router.get(
    "/schedules/{schedule_id}/bookings",
    summary="Who has booked",
    responses=described(200, Page, {"items": [CONFIRMED_EXAMPLE], "next_cursor": None}, "Newest first.")
    | REFUSALS
    | responses("schedule_not_found"),
)
async def list_schedule_bookings(
    schedule_id: ScheduleId,
    account: Organizer,
    house: HouseOf,
    status: BookingState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Every booking of a schedule of one's own, newest first."""
    async with house.database.connect() as connection:
        await own_schedule(connection, schedule_id, account)
    rows = await rows_of.list_bookings(
        house.database,
        customer_id=None,
        now_ms=house.clock.now_ms(),
        status=None if status is None else rows_of.STATUSES[status],
        schedule_id=schedule_id,
        before_id=_last_id(cursor),
        limit=limit + 1,
    )
    items = [await view_of_row(house, row) for row in rows[:limit]]
    return json_answer(Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None))


@router.post(
    "/schedules/{schedule_id}/blocks",
    status_code=201,
    summary="Take seats out of the sale",
    dependencies=[TAKES_KEY],
    responses=REFUSALS | responses("schedule_not_found", "seats_unavailable", "unknown_seat", "duplicate_seat"),
)
async def block_seats(
    schedule_id: ScheduleId,
    wish: Annotated[BlockedSeats, Body(examples=[{"seats": ["1F-A-12"], "reason": "camera"}])],
    request: Request,
    account: Organizer,
    house: HouseOf,
) -> Response:
    """Blocks the seats, all or none; a seat that is held or sold cannot be blocked."""
    command = Block(tuple(wish.seats), wish.reason, account.role)
    version = await _change(house, schedule_id, command, request, account, "seats.blocked", wish.model_dump())
    body = {"schedule_id": schedule_id, "seats": wish.seats, "reason": wish.reason, "version": version}
    return json_answer(body, 201)


@router.delete(
    "/schedules/{schedule_id}/blocks",
    status_code=204,
    summary="Put seats back on sale",
    responses=REFUSALS | responses("schedule_not_found", "unknown_seat"),
)
async def unblock_seats(
    schedule_id: ScheduleId,
    wish: Annotated[UnblockedSeats, Body(examples=[{"seats": ["1F-A-12"]}])],
    request: Request,
    account: Organizer,
    house: HouseOf,
) -> Response:
    """Unblocks those of the seats that are blocked and leaves the others as they are."""
    command = Unblock(tuple(wish.seats), account.role)
    await _change(house, schedule_id, command, request, account, "seats.unblocked", wish.model_dump())
    return Response(status_code=204)


async def _change(
    house: HouseOf,
    schedule_id: str,
    command: AnyCommand,
    request: Request,
    account: Organizer,
    action: str,
    what: dict[str, object],
) -> int:
    """Sends the command for a schedule of the caller's own and records who did it; the version it led to."""
    async with house.database.connect() as connection:
        await own_schedule(connection, schedule_id, account)
    request_id, fingerprint = await request_of(request, account)
    result = await house.gateway.send(schedule_id, command, request_id=request_id, fingerprint=fingerprint)
    if isinstance(result, Refusal):
        raise problem_of(result, await house.plans.of_schedule(schedule_id))
    await record(house, request, account, action, f"schedule:{schedule_id}", after=what)
    version: int = result.version
    return version


def _last_id(cursor: str | None) -> str | None:
    after = decode_cursor(cursor, 1)
    if after is None:
        return None
    if uuid_or_none(after[0]) is None:
        raise malformed_cursor()
    return after[0]
