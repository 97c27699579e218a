"""What organizers see of a schedule beyond the catalogue: who has booked; and the end of somebody's booking.

A schedule that is not the caller's is not found; admins may look into all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Body, Header, Query, Request
from fastapi.responses import Response
from msgspec import Struct
from pydantic import Field

from actors.mail.texts import seat_lines
from api.http.models import EXACT_QUERY, BookingId, BookingState, Exact, RawText, ScheduleId, Text
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer
from api.http.problems import Problem, language_of, responses
from api.http.spreadsheet import Cell, clock, csv_answer
from api.office.dependencies import OfficeOf, Organizer
from api.office.idempotency import TAKES_KEY
from api.office.office import Office
from api.office.tokens import Account
from api.office.under_way import finished
from api.routes.catalogue.schedules import own_schedule
from api.routes.organizer.sales import CSV
from api.selling.booking_commands import views_of_rows
from api.selling.ending import end_booking
from api.views.booking import (
    CANCELLATION_EXAMPLE,
    CONFIRMED_EXAMPLE,
    BookingView,
    CancellationView,
    Page,
    cancellation_view,
    described,
    listed,
)
from persistence.bookings import bookings as rows_of
from persistence.bookings import payments
from persistence.bookings.bookings import BookingRow
from persistence.providers.minor_units import to_major

router = APIRouter(prefix="/v1/organizer", tags=["organizer"])

REFUSALS = responses("unauthenticated", "forbidden")


class BuyerView(Struct, frozen=True, kw_only=True):
    """Who has booked; nothing is left to tell of an account that was deleted."""

    name: str | None
    email: str | None


class OrganizerBookingView(BookingView, frozen=True, kw_only=True):
    """A booking, and who made it."""

    customer: BuyerView


BOOKED_EXAMPLE = CONFIRMED_EXAMPLE | {"customer": {"name": "김민지", "email": "minji@example.com"}}
ENDED_EXAMPLE = CANCELLATION_EXAMPLE | {"by": "organizer"}
BOOKED = ("number", "status", "name", "email", "seats", "places", "amount", "currency", "booked_at", "seat_ids")
COLUMNS = (*BOOKED, "paid", "refunded", "fees")
CSV_PAGE = 500
Search = Annotated[
    RawText | None,
    Query(
        max_length=200, description="A booking's id or number, a seat's id, or a part of the customer's name or e-mail."
    ),
]


@router.get(
    "/schedules/{schedule_id}/bookings",
    summary="Who has booked",
    responses=listed(OrganizerBookingView, BOOKED_EXAMPLE) | REFUSALS | responses("schedule_not_found"),
)
async def list_schedule_bookings(
    schedule_id: ScheduleId,
    account: Organizer,
    office: OfficeOf,
    q: Search = None,
    status: BookingState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Every booking of a schedule of one's own, newest first, with the customer's name and e-mail; ended ones that an
    administrator has put away, too."""
    async with office.reading.connect() as connection:
        await own_schedule(connection, schedule_id, account)
    rows = await _rows(office, schedule_id, q, status, id_in(cursor), limit + 1)
    views = await views_of_rows(office, rows[:limit])
    known = await rows_of.buyers(office.reading, {row.customer_id for row in rows[:limit]})
    items = [
        OrganizerBookingView(**msgspec.structs.asdict(view), customer=_buyer(known, row))
        for view, row in zip(views, rows, strict=False)
    ]
    return json_answer(Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None))


@router.get(
    "/schedules/{schedule_id}/bookings.csv",
    summary="Who has booked, for a spreadsheet",
    response_class=Response,
    responses=CSV | REFUSALS | responses("schedule_not_found"),
)
async def get_bookings_csv(
    schedule_id: ScheduleId,
    account: Organizer,
    office: OfficeOf,
    q: Search = None,
    status: BookingState | None = None,
    accept_language: Annotated[str, Header(max_length=500)] = "",
) -> Response:
    """The same as CSV in UTF-8, all of it. No cell is a formula, whatever somebody is called. Money is in whole
    units of the currency, times are what clocks at the venue show, seats are called what stands on them. `paid`,
    `refunded` and `fees` add up to the settlement; what was paid for seats that were handed on stands with who paid."""
    language = language_of(accept_language)
    async with office.reading.connect() as connection:
        schedule = await own_schedule(connection, schedule_id, account)

    async def lines() -> AsyncIterator[Sequence[Cell]]:
        before: str | None = None
        while True:
            rows = await _rows(office, schedule_id, q, status, before, CSV_PAGE)
            known = await rows_of.buyers(office.reading, {row.customer_id for row in rows})
            taken = await payments.taken_for(office.reading, [row.id for row in rows])
            for row, view in zip(rows, await views_of_rows(office, rows), strict=True):
                buyer = _buyer(known, row)
                seats = "; ".join(seat_lines(view.seats, language))
                ids = "; ".join(seat.id for seat in view.seats)
                booked_at = clock(datetime.fromisoformat(view.created_at), schedule.time_zone)
                who = (view.number, view.status, buyer.name or "", buyer.email or "")
                price = (to_major(view.amount, view.currency), view.currency)
                money = (to_major(each, view.currency) for each in _money(row, taken))
                yield (*who, seats, len(view.seats), *price, booked_at, ids, *money)
            if len(rows) < CSV_PAGE:
                return
            before = rows[-1].id

    return csv_answer("bookings.csv", COLUMNS, lines())


def _money(row: BookingRow, taken: Mapping[str, int]) -> tuple[int, int, int]:
    """What was paid for the booking, what went back and what was kept: over all bookings, what a settlement says."""
    refunds = row.refunds
    return taken.get(row.id, 0), sum(each.amount for each in refunds), sum(each.fee for each in refunds)


class WhyEnded(Exact):
    """Why a booking is ended. Its customer is told."""

    reason: Annotated[Text, Field(min_length=1, max_length=500)]


@router.post(
    "/schedules/{schedule_id}/bookings/{booking_id}/cancellation",
    status_code=201,
    summary="End somebody's booking and give back what was paid",
    dependencies=[TAKES_KEY, EXACT_QUERY],
    responses=described(201, CancellationView, ENDED_EXAMPLE, "The seats are free again.")
    | REFUSALS
    | responses(
        "schedule_not_found",
        "booking_not_found",
        "booking_already_cancelled",
        "booking_expired",
        "payment_in_progress",
        "validation_failed",
        "idempotency_key_reused",
        "overloaded",
    ),
)
async def end_any_booking(
    schedule_id: ScheduleId,
    booking_id: BookingId,
    why: Annotated[WhyEnded, Body(examples=[{"reason": "row A was flooded"}])],
    request: Request,
    account: Organizer,
    office: OfficeOf,
) -> Response:
    """Cancels an unpaid booking of a schedule of one's own; gives a paid one back in full, whatever its policy says."""
    async with office.reading.connect() as connection:
        await own_schedule(connection, schedule_id, account)
    row = await rows_of.find_booking(office.reading, booking_id, None)
    if row is None or row.schedule_id != schedule_id:
        raise Problem("booking_not_found")
    return await finished(_end(office, request, account, row, why.reason))


async def _end(office: Office, request: Request, account: Account, row: BookingRow, reason: str) -> Response:
    cancellation, refund = await end_booking(office, request, account, row, reason, refund=True)
    return json_answer(cancellation_view(cancellation, refund), 201)


async def _rows(
    office: Office, schedule_id: str, q: str | None, status: BookingState | None, before_id: str | None, limit: int
) -> list[BookingRow]:
    return await rows_of.list_bookings(
        office.reading,
        customer_id=None,
        now_ms=office.clock.now_ms(),
        status=None if status is None else rows_of.STATUSES[status],
        schedule_id=schedule_id,
        search=q,
        before_id=before_id,
        limit=limit,
    )


def _buyer(known: Mapping[str, rows_of.Buyer], row: BookingRow) -> BuyerView:
    buyer = known.get(row.customer_id, rows_of.Buyer())
    return BuyerView(name=buyer.name, email=buyer.email)
