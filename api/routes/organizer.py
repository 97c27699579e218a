"""What organizers see beyond the catalogue: their performances, and who has booked.

A schedule that is not the caller's is not found; admins may look into all of them.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from api.http.dependencies import HouseOf, Organizer
from api.http.models import BookingState, ScheduleId, uuid_or_none
from api.http.paging import Cursor, Limit, decode_cursor, encode_cursor, json_answer, malformed_cursor, page_answer
from api.http.problems import responses
from api.routes.performances import views
from api.routes.schedules import own_schedule
from api.selling.booking_commands import views_of_rows
from api.views.booking import CONFIRMED_EXAMPLE, BookingView, Page, listed
from api.views.performance import PerformancePage
from persistence.bookings import bookings as rows_of
from persistence.catalogue import performances

router = APIRouter(prefix="/v1/organizer", tags=["organizer"])

REFUSALS = responses("unauthenticated", "forbidden")


@router.get("/performances", response_model=PerformancePage, summary="My performances", responses=REFUSALS)
async def list_my_performances(
    account: Organizer, house: HouseOf, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The caller's own performances, newest first; an empty list if there is none."""
    async with house.database.connect() as connection:
        rows = await performances.list_performances(
            connection, organizer_id=account.id, before_id=_last_id(cursor), limit=limit + 1
        )
    items = await views(house, rows[:limit])
    next_cursor = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return page_answer([*items], next_cursor, None)


@router.get(
    "/schedules/{schedule_id}/bookings",
    summary="Who has booked",
    responses=listed(BookingView, CONFIRMED_EXAMPLE) | REFUSALS | responses("schedule_not_found"),
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
    items = await views_of_rows(house, rows[:limit])
    return json_answer(Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None))


def _last_id(cursor: str | None) -> str | None:
    after = decode_cursor(cursor, 1)
    if after is None:
        return None
    if uuid_or_none(after[0]) is None:
        raise malformed_cursor()
    return after[0]
