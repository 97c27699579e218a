"""At the door: whether a ticket's code is genuine, and whether its booking still stands.

For the schedule's organizer and admins; to anybody else there is no such schedule.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from fastapi.responses import Response
from msgspec import Struct

from actors.mail.tickets import CODE_CHARACTERS, BadTicket, Ticket, read_ticket, ticket_key
from api.http.dependencies import HouseOf, Organizer
from api.http.models import rfc3339
from api.http.paging import json_answer
from api.http.problems import Problem, invalid, responses
from api.routes.schedules import own_schedule
from api.selling.booking_commands import view_of_row
from api.views.booking import CONFIRMED_EXAMPLE, BookingView, described
from engine.booking import Status
from persistence.bookings.bookings import BookingRow, find_booking
from persistence.catalogue import performances, schedules

router = APIRouter(prefix="/v1/organizer/tickets", tags=["organizer"])

WhyNot = Literal["refunded", "cancelled", "schedule_cancelled", "replaced"]
SOLD = (Status.CONFIRMED, Status.PARTIALLY_REFUNDED)


class TicketView(Struct, frozen=True, kw_only=True):
    """What a ticket is worth now. Whether somebody came in with it already is not recorded."""

    valid: bool
    reason: WhyNot | None  # why it is not valid; replaced: some seats were given back, there is a newer ticket
    places: int  # on the ticket
    schedule_id: str
    performance_title: str
    starts_at: str
    booking: BookingView


EXAMPLE = {
    "valid": True,
    "reason": None,
    "places": 2,
    "schedule_id": CONFIRMED_EXAMPLE["schedule_id"],
    "performance_title": "Carmen",
    "starts_at": "2026-11-22T10:30:00.000+00:00",
    "booking": CONFIRMED_EXAMPLE,
}


@router.get(
    "/{code}",
    summary="Check a ticket at the door",
    responses=described(200, TicketView, EXAMPLE, "The ticket is genuine; `valid` says whether it admits.")
    | responses("unauthenticated", "forbidden", "schedule_not_found", "booking_not_found", "validation_failed"),
)
async def check_ticket(
    code: Annotated[str, Path(description=f"What the QR code says: {CODE_CHARACTERS} characters.")],
    account: Organizer,
    house: HouseOf,
) -> Response:
    """Reads the code of a ticket. A code that was not made here is a 422."""
    keys = [ticket_key(secret) for secret in (house.settings.secret, house.settings.previous_secret) if secret]
    try:
        ticket = read_ticket(keys, code)
    except BadTicket:
        raise invalid("code", "is not a ticket's code, or was changed", "티켓 코드가 아니거나 변조되었습니다") from None
    booking = await find_booking(house.database, ticket.booking_id, None)
    async with house.database.connect() as connection:
        schedule = await own_schedule(connection, ticket.schedule_id, account)
        performance = await performances.performance(connection, schedule.performance_id)
    assert performance is not None, "it has a schedule"
    if booking is None:
        raise Problem("booking_not_found")
    reason = why_not(ticket, booking, schedule)
    view = TicketView(
        valid=reason is None,
        reason=reason,
        places=ticket.places,
        schedule_id=ticket.schedule_id,
        performance_title=performance.title,
        starts_at=rfc3339(schedule.starts_at),
        booking=await view_of_row(house, booking),
    )
    return json_answer(view)


def why_not(ticket: Ticket, booking: BookingRow, schedule: schedules.ScheduleRow) -> WhyNot | None:
    """Why the ticket admits nobody, if so."""
    if schedule.cancelled_at is not None:
        return "schedule_cancelled"
    if booking.status is Status.REFUNDED:
        return "refunded"
    if booking.status not in SOLD:
        return "cancelled"
    return None if len(booking.seats) == ticket.places else "replaced"
