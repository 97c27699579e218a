"""Commands about a booking, from a route to the schedule's owner and back: where the booking belongs, what was refused.

A refusal tells a customer the truth about the customer's own booking, also where the owner has forgotten it; somebody
else's booking is not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from cachetools import LRUCache
from starlette.requests import Request

from api.http.problems import Problem, problem_of
from api.office.idempotency import request_of
from api.office.office import Office
from api.office.tokens import Account
from api.views.booking import BookingView, booking_view
from engine.booking import Booking, Status
from engine.commands import AnyCommand
from engine.refusals import Code, Refusal, Why
from engine.state import Done
from persistence.bookings import refunds
from persistence.bookings.bookings import BookingRow, Whereabouts, find_booking, whereabouts
from persistence.bookings.cancellations import CancellationRow
from persistence.bookings.refunds import RefundRow
from persistence.database.asked_once import latest_within

KEPT = 50_000  # bookings whose schedule this process remembers: about 9 MB, and minutes of the hottest sale

# Module state, and safe as such: keyed by ids that are unique everywhere, and what it says of them never changes
# (`free` only chooses which question is asked first).
_known: LRUCache[str, Whereabouts] = latest_within(KEPT)
_at = lru_cache(Whereabouts)  # one for all bookings of a schedule

REFUSED_BY_END = {
    Status.CANCELLED: Code.BOOKING_ALREADY_CANCELLED,
    Status.REFUNDED: Code.BOOKING_ALREADY_CANCELLED,
    Status.EXPIRED: Code.BOOKING_EXPIRED,
    Status.TRANSFERRED: Code.BOOKING_TRANSFERRED,
}


def owner_of(account: Account) -> str | None:
    """Whose bookings and payments the account may ask for: its own, or as an admin (None) anybody's."""
    return None if account.role == "admin" else account.id


def remember(booking: Booking, schedule_id: str) -> None:
    """Saves the next question about the booking a query."""
    _known[booking.id] = _at(schedule_id, booking.amount == 0)


async def find(office: Office, booking_id: str) -> Whereabouts:
    """Where the booking belongs, whoever asks: its owner decides whose it is. Raises `Problem("booking_not_found")`."""
    known = _known.get(booking_id)
    if known is None:
        known = await whereabouts(office.reading, booking_id)
        if known is None:
            raise Problem("booking_not_found")
    return known


async def send(
    office: Office, schedule_id: str, command: AnyCommand, request: Request, account: Account
) -> Booking | Refusal:
    """The command's answer, once however often the request comes. Raises what the gateway raises, `rate_limited`."""
    return await send_named(office, schedule_id, command, account, await request_of(request, account))


async def send_named(
    office: Office, schedule_id: str, command: AnyCommand, account: Account, named: tuple[str, str]
) -> Booking | Refusal:
    """The same by a request id and a fingerprint."""
    if not office.gateway.is_open(schedule_id):
        office.openings.count(account.id, schedule_id)
    request_id, fingerprint = named
    result = await office.gateway.send(schedule_id, command, request_id=request_id, fingerprint=fingerprint)
    assert not isinstance(result, Done), "a command about a booking is answered with a booking"
    if isinstance(result, Booking):
        remember(result, schedule_id)
    return result


async def refused(office: Office, account: Account, booking_id: str, schedule_id: str, refusal: Refusal) -> Problem:
    """The refusal of a command about an existing booking, as a problem."""
    if refusal.code is Code.BOOKING_NOT_FOUND:
        row = await find_booking(office.reading, booking_id, owner_of(account))
        if row is not None:
            refusal = Refusal(REFUSED_BY_END.get(row.status, Code.BOOKING_NOT_FOUND))
    elif refusal.code is Code.BOOKING_PAID:
        row = await find_booking(office.reading, booking_id, owner_of(account))
        if row is not None and row.payment is not None:
            theirs = owner_of(account) in (None, row.payer_id)
            where = {"refund_url": f"/v1/payments/{row.payment.id}/refunds"} if theirs else {"reason": Why.HANDED_ON}
            return Problem("booking_paid", **where)
    return problem_of(refusal, await office.plans.of_schedule(schedule_id) if refusal.seats else None)


async def view_of(office: Office, schedule_id: str, booking: Booking) -> BookingView:
    """The booking as its customer sees it now."""
    place = await office.plans.place_of(schedule_id)
    plan = await office.plans.get(place.venue_id, booking.plan_number)
    schedule = await office.booked.known(schedule_id)
    return booking_view(booking, schedule_id, place.performance_id, plan, office.clock.now_ms(), schedule)


async def view_of_row(office: Office, row: BookingRow) -> BookingView:
    """The booking of a row, read just now."""
    (view,) = await views_of_rows(office, [row])
    return view


async def views_of_rows(office: Office, rows: Sequence[BookingRow]) -> list[BookingView]:
    """The bookings of these rows, read just now."""
    booked = await office.booked.read([row.schedule_id for row in rows]) if rows else {}
    now_ms = office.clock.now_ms()
    views: list[BookingView] = []
    for row in rows:
        plan = await office.plans.of_schedule(row.schedule_id, row.named)
        schedule = booked.get(row.schedule_id)
        booking = row.booking(plan)
        of = (row.schedule_id, row.performance_id, plan, now_ms, schedule, row.refunded, row.moved_to)
        views.append(booking_view(booking, *of))
    return views


async def refunds_of(
    office: Office, rows: Sequence[CancellationRow], account_id: str | None = None
) -> list[RefundRow | None]:
    """For each cancellation the refund that the booking ended with, if it was a paid one: they have the same id. With
    an account only those that went to it: of seats that were handed on, the money is who paid's."""
    if not rows:
        return []
    async with office.reading.connect() as connection:
        found = await refunds.of_bookings(connection, [row.booking_id for row in rows])
    by_id = {
        refund.id: refund
        for of_booking in found.values()
        for refund in of_booking
        if account_id in (None, refund.customer_id)
    }
    return [by_id.get(row.id) for row in rows]
