"""What admins see and do about bookings: all of them, exchanging seats, ending one, putting an ended one away.

Every change is a command to the schedule's owner, like a customer's, and goes into the audit log.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response
from pydantic import Field

from api.http.models import EXACT_QUERY, BookingId, BookingState, Exact, Text, UuidText
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer
from api.http.problems import Problem, responses
from api.office.dependencies import Admin, OfficeOf
from api.office.idempotency import TAKES_KEY, request_of
from api.office.office import Office
from api.office.tokens import Account
from api.office.under_way import finished
from api.routes.admin.searching import Searched
from api.routes.bookings.bookings import SeatIds
from api.routes.bookings.moves import OTHER_DATE
from api.selling import booking_commands as commands
from api.selling import doors
from api.selling.audit_trail import record, record_in
from api.selling.ending import end_booking
from api.views.admin import (
    WHOSE_EXAMPLE,
    AdminBookingView,
    AdminCancellationView,
    admin_booking_view,
    admin_cancellation_view,
)
from api.views.booking import CANCELLATION_EXAMPLE, CONFIRMED_EXAMPLE, Page, described, listed
from api.views.journal import STORY, FromVersion, entry, story_of
from engine.booking import LIVE
from engine.commands import Change
from engine.refusals import Refusal
from persistence.bookings import bookings as rows_of
from persistence.bookings import cancellations
from persistence.bookings.bookings import STATUSES, BookingRow

router = APIRouter(prefix="/v1/admin", tags=["admin"])

REFUSALS = responses("unauthenticated", "forbidden")
BOOKING_EXAMPLE = CONFIRMED_EXAMPLE | WHOSE_EXAMPLE | {"archived_at": None}
ENDING_EXAMPLE = CANCELLATION_EXAMPLE | WHOSE_EXAMPLE | {"by": "admin"}
PUT_AWAY = Query(description="Those of bookings that were put away, instead of the others.")
Archived = Annotated[bool, PUT_AWAY]


class NewSeats(Exact):
    """The seats the booking shall have from now on, on the date that it is of."""

    seats: SeatIds
    schedule_id: Annotated[UuidText | None, Field(description="That date.")] = None


class AdminEnding(Exact):
    """Why the booking is ended, and whether what was paid goes back."""

    refund: Annotated[bool, Field(strict=True, description="Give back all that was paid; false keeps it all.")] = True
    reason: Annotated[Text, Field(min_length=1, max_length=500)]


async def _booking(office: Office, booking_id: str) -> BookingRow:
    row = await rows_of.find_booking(office.reading, booking_id, None)
    if row is None:
        raise Problem("booking_not_found")
    return row


async def _view(office: Office, row: BookingRow) -> AdminBookingView:
    return admin_booking_view(await commands.view_of_row(office, row), row)


@router.get(
    "/bookings",
    summary="Everybody's bookings",
    responses=listed(AdminBookingView, BOOKING_EXAMPLE) | REFUSALS | responses("validation_failed"),
)
async def list_all_bookings(
    account: Admin,
    office: OfficeOf,
    found_by: Searched,
    status: BookingState | None = None,
    customer_id: Annotated[UuidText | None, Query()] = None,
    performance_id: Annotated[UuidText | None, Query()] = None,
    schedule_id: Annotated[UuidText | None, Query()] = None,
    archived: Archived = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """All bookings, newest first; those put away only with `archived=true`."""
    rows = await rows_of.list_bookings(
        office.reading,
        customer_id=customer_id,
        now_ms=office.clock.now_ms(),
        status=None if status is None else STATUSES[status],
        performance_id=performance_id,
        schedule_id=schedule_id,
        number=found_by.number,  # of one schedule also that of a hold
        found_by=msgspec.structs.replace(found_by, number=None),
        archived=archived,
        before_id=id_in(cursor),
        limit=limit + 1,
    )
    views = await commands.views_of_rows(office, rows[:limit])
    items = [admin_booking_view(view, row) for view, row in zip(views, rows, strict=False)]
    return json_answer(Page(items, encode_cursor(rows[limit - 1].id) if len(rows) > limit else None))


@router.get(
    "/bookings/{booking_id}",
    summary="Anybody's booking",
    responses=described(200, AdminBookingView, BOOKING_EXAMPLE, "The booking as it is now.")
    | REFUSALS
    | responses("booking_not_found"),
)
async def get_any_booking(booking_id: BookingId, account: Admin, office: OfficeOf) -> Response:
    return json_answer(await _view(office, await _booking(office, booking_id)))


@router.get(
    "/bookings/{booking_id}/history",
    summary="What happened to a booking",
    responses=STORY | REFUSALS | responses("booking_not_found", "validation_failed"),
)
async def get_any_history(
    booking_id: BookingId, account: Admin, office: OfficeOf, from_version: FromVersion = 1, limit: Limit = 100
) -> Response:
    """All that was ever journaled of a booking. Who ordered what as an admin stands in the audit log."""
    row = await _booking(office, booking_id)
    return json_answer(await story_of(office, row, entry, from_version, limit))


# --- changing ---------------------------------------------------------------------------------------------------------
@router.patch(
    "/bookings/{booking_id}",
    summary="Exchange anybody's seats",
    dependencies=[TAKES_KEY, EXACT_QUERY],
    responses=described(200, AdminBookingView, BOOKING_EXAMPLE, "The booking with its new seats.")
    | REFUSALS
    | responses(
        "booking_not_found",
        "seats_unavailable",
        "customer_limit_reached",
        "sale_closed",
        "schedule_cancelled",
        "booking_not_changeable",
        "booking_already_cancelled",
        "booking_expired",
        "payment_in_progress",
        "validation_failed",
        "unknown_seat",
        "duplicate_seat",
        "overloaded",
    ),
)
async def exchange_any_seats(
    booking_id: BookingId,
    wish: Annotated[NewSeats, Body(examples=[{"seats": ["1F-B-12", "1F-B-13"]}])],
    request: Request,
    account: Admin,
    office: OfficeOf,
) -> Response:
    """Exchanges a booking's seats by the same rules as its customer could; not for those of another date."""
    row = await _booking(office, booking_id)
    if wish.schedule_id not in (None, row.schedule_id):
        raise Problem("booking_not_changeable", reason=OTHER_DATE)
    return await finished(_exchange(office, request, account, row, tuple(wish.seats)))


async def _exchange(
    office: Office, request: Request, account: Account, row: BookingRow, seats: tuple[str, ...]
) -> Response:
    """The command and its record."""
    named = await request_of(request, account)
    result = await doors.send_if_bought(office, row.schedule_id, Change(row.id, "", seats), account, named)
    if isinstance(result, Refusal):
        raise await commands.refused(office, account, row.id, row.schedule_id, result)
    before, after = {"seats": row.seats, "amount": sum(row.prices)}, {"seats": seats, "amount": result.amount}
    await record(office, request, account, "booking.changed", f"booking:{row.id}", before=before, after=after)
    view = await commands.view_of(office, row.schedule_id, result)
    return json_answer(admin_booking_view(view, row))


@router.post(
    "/bookings/{booking_id}/cancellation",
    status_code=201,
    summary="End anybody's booking",
    dependencies=[TAKES_KEY, EXACT_QUERY],
    responses=described(201, AdminCancellationView, ENDING_EXAMPLE, "The seats are free again.")
    | REFUSALS
    | responses(
        "booking_not_found",
        "booking_already_cancelled",
        "booking_expired",
        "payment_in_progress",
        "validation_failed",
        "idempotency_key_reused",
        "overloaded",
    ),
)
async def cancel_any_booking(
    booking_id: BookingId,
    wish: Annotated[AdminEnding, Body(examples=[{"refund": True, "reason": "row A was flooded"}])],
    request: Request,
    account: Admin,
    office: OfficeOf,
) -> Response:
    """Cancels an unpaid booking; refunds a paid one in full, or with `refund: false` keeps the money."""
    row = await _booking(office, booking_id)
    return await finished(_end(office, request, account, row, wish))


async def _end(office: Office, request: Request, account: Account, row: BookingRow, wish: AdminEnding) -> Response:
    """Ended, paid out and recorded. If this process dies, `actors.money.refunding` goes on."""
    cancellation, refund = await end_booking(office, request, account, row, wish.reason, refund=wish.refund)
    return json_answer(admin_cancellation_view(cancellation, refund), 201)


@router.delete(
    "/bookings/{booking_id}",
    status_code=204,
    summary="Put an ended booking away",
    responses=REFUSALS | responses("booking_not_found", "booking_live"),
)
async def archive_booking(booking_id: BookingId, account: Admin, office: OfficeOf) -> Response:
    """Takes an ended booking out of its customer's list and out of the administrators', its payments and cancellation
    out of the administrators'; `archived=true` still finds them. Its organizer's lists and figures keep it."""
    now = office.now()
    async with office.database.begin() as connection:
        if await rows_of.archive(connection, booking_id, now):
            await record_in(
                connection,
                office,
                account.id,
                "booking.archived",
                f"booking:{booking_id}",
                before={"archived_at": None},
                after={"archived_at": now},
            )
            return Response(status_code=204)
    if (await _booking(office, booking_id)).status in LIVE:
        raise Problem("booking_live")
    return Response(status_code=204)  # it was put away before


# --- cancellations ----------------------------------------------------------------------------------------------------
@router.get(
    "/cancellations",
    summary="Everybody's cancellations",
    responses=listed(AdminCancellationView, ENDING_EXAMPLE) | REFUSALS | responses("validation_failed"),
)
async def list_all_cancellations(
    account: Admin,
    office: OfficeOf,
    customer_id: Annotated[UuidText | None, Query()] = None,
    archived: Archived = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Bookings cancelled or refunded to the last seat, newest first."""
    rows = await cancellations.list_cancellations(
        office.reading,
        customer_id=customer_id,
        archived=archived,
        before_id=id_in(cursor),
        limit=limit + 1,
    )
    refunds = await commands.refunds_of(office, rows[:limit])
    items = [admin_cancellation_view(row, refund) for row, refund in zip(rows[:limit], refunds, strict=True)]
    return json_answer(Page(items, encode_cursor(rows[limit - 1].id) if len(rows) > limit else None))
