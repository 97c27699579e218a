"""Tickets: a customer's own, as codes, as a picture and for a calendar; the key that phones verify codes with; and
whether a code is genuine and its booking still stands, for the schedule's organizer and admins.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import Response
from msgspec import Struct

from actors.mail import qr
from actors.mail.calendars import Entry, calendar
from actors.mail.texts import label, seat_lines
from actors.mail.tickets import BadTicket, Ticket, read_ticket, seat_tickets, ticket_code, ticket_key
from api.http.accepting import preferred
from api.http.models import BookingId, rfc3339
from api.http.paging import json_answer
from api.http.problems import Problem, invalid, language_of, responses
from api.office.dependencies import CurrentAccount, OfficeOf, Organizer
from api.routes.catalogue.schedules import own_schedule
from api.selling.booking_commands import view_of_row
from api.views.booking import CONFIRMED_EXAMPLE, BookedScheduleView, BookingView, described
from engine.booking import BOUGHT, Status
from persistence.bookings.bookings import BookingRow, find_booking
from persistence.catalogue import performances, schedules
from persistence.notifications.outbox import where_of

router = APIRouter(prefix="/v1", tags=["tickets"])

WhyNot = Literal["refunded", "cancelled", "schedule_cancelled", "replaced"]


class TicketView(Struct, frozen=True, kw_only=True):
    """What a ticket is worth now. Whether somebody came in with it already is not recorded."""

    valid: bool
    reason: WhyNot | None  # why it is not valid; replaced: seats were given back or handed on, there is a newer ticket
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


class SeatTicketView(Struct, frozen=True, kw_only=True):
    """A place, and the code that admits one person to it."""

    id: str
    zone: str
    row: str
    number: str
    category: str
    code: str


class BookingTicketView(Struct, frozen=True, kw_only=True):
    """A booking's ticket: one code for all of its places, and one for each, for those who come apart.

    Codes are signed with the key `key_id` of `GET /v1/tickets/key`. They change when seats are given back.
    """

    booking_id: str
    number: str
    schedule_id: str
    schedule: BookedScheduleView | None
    places: int
    code: str
    key_id: str
    seats: list[SeatTicketView]


class PublicKeyView(Struct, frozen=True, kw_only=True):
    """A public key as a JSON Web Key (RFC 8037)."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str
    kid: str
    use: Literal["sig"]
    alg: Literal["EdDSA"]


class TicketKeyView(PublicKeyView, frozen=True, kw_only=True):
    """The key that codes are signed with now. `previous`: those of codes that count still, after a change of secret."""

    previous: list[PublicKeyView]


KEY_EXAMPLE: dict[str, object] = ticket_key("an example").jwk() | {"previous": []}
EXAMPLE_TICKET = Ticket(booking_id=CONFIRMED_EXAMPLE["id"], schedule_id=CONFIRMED_EXAMPLE["schedule_id"], places=2)
TICKET_EXAMPLE = {
    "booking_id": CONFIRMED_EXAMPLE["id"],
    "number": CONFIRMED_EXAMPLE["number"],
    "schedule_id": CONFIRMED_EXAMPLE["schedule_id"],
    "schedule": CONFIRMED_EXAMPLE["schedule"],
    "places": 2,
    "code": ticket_code(ticket_key("an example"), EXAMPLE_TICKET),
    "key_id": KEY_EXAMPLE["kid"],
    "seats": [
        {name: seat[name] for name in ("id", "zone", "row", "number", "category")}
        | {"code": ticket_code(ticket_key("an example"), ticket)}
        for seat, ticket in zip(
            CONFIRMED_EXAMPLE["seats"],
            seat_tickets(EXAMPLE_TICKET, [seat["id"] for seat in CONFIRMED_EXAMPLE["seats"]]),
            strict=True,
        )
    ],
}
FORMS = described(200, BookingTicketView, TICKET_EXAMPLE, "The ticket, in the form that `Accept` prefers.")
FORMS[200]["content"] |= {
    "image/svg+xml": {"schema": {"type": "string"}},
    "text/calendar": {"schema": {"type": "string"}},
}


@router.get(
    "/bookings/{booking_id}/ticket",
    summary="My ticket",
    responses=FORMS | responses("unauthenticated", "booking_not_found", "booking_not_confirmed"),
)
async def get_ticket(
    booking_id: BookingId,
    account: CurrentAccount,
    office: OfficeOf,
    accept: Annotated[str, Header(max_length=500, description="JSON unless a picture or an entry is preferred.")] = "",
    accept_language: Annotated[str, Header(max_length=500)] = "",
    place: Annotated[
        int | None, Query(ge=1, le=1_000, description="Of the picture: the code of this seat alone, by its order.")
    ] = None,
) -> Response:
    """The codes as JSON, the code for all places as a QR picture (`image/svg+xml`), or a calendar's entry: whichever
    `Accept` likes best, and JSON where it takes none of them.

    A picture with `place` lets one in: for those who come apart.
    """
    row = await find_booking(office.reading, booking_id, account.id)
    if row is None:
        raise Problem("booking_not_found")
    if row.status not in BOUGHT:
        raise Problem("booking_not_confirmed", reason=(await view_of_row(office, row)).status)
    whole = Ticket(booking_id=row.id, schedule_id=row.schedule_id, places=len(row.seats))
    key, form = office.ticket_keys[0], preferred(accept, tuple(FORMS[200]["content"]))
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Language"}
    if place is not None and place > whole.places:
        raise invalid("place", f"the booking has {whole.places}", f"이 예매에는 {whole.places}석이 있습니다")
    if form == "image/svg+xml":
        shown = whole if place is None else seat_tickets(whole, row.seats)[place - 1]
        return Response(qr.svg(ticket_code(key, shown)), media_type=form, headers=headers)
    booking = await view_of_row(office, row)
    if form == "text/calendar":
        entry = _calendar_entry(booking, language_of(accept_language))
        return Response(calendar([entry], method="PUBLISH", now=office.now()), media_type=form, headers=headers)
    view = BookingTicketView(
        booking_id=row.id,
        number=booking.number,
        schedule_id=row.schedule_id,
        schedule=booking.schedule,
        places=whole.places,
        code=ticket_code(key, whole),
        key_id=key.id,
        seats=[
            SeatTicketView(
                id=seat.id,
                zone=seat.zone,
                row=seat.row,
                number=seat.number,
                category=seat.category,
                code=ticket_code(key, ticket),
            )
            for seat, ticket in zip(booking.seats, seat_tickets(whole, row.seats), strict=True)
        ],
    )
    return json_answer(view, headers=headers)


def _calendar_entry(booking: BookingView, language: str) -> Entry:
    schedule = booking.schedule
    assert schedule is not None, "read just now"
    return Entry(
        uid=booking.id,
        sequence=booking.version,
        starts_at=datetime.fromisoformat(schedule.starts_at),
        ends_at=datetime.fromisoformat(schedule.ends_at),
        time_zone=schedule.time_zone,
        title=(schedule.performance_title_en if language == "en" else None) or schedule.performance_title,
        venue=schedule.venue_name,
        where=where_of(schedule.venue_city, schedule.venue_address),
        lines=[f"{label('booking', language)}: {booking.number}", *seat_lines(booking.seats, language)],
    )


@router.get(
    "/tickets/key",
    summary="The key that tickets are verified with",
    responses=described(200, TicketKeyView, KEY_EXAMPLE, "An Ed25519 key as a JWK."),
)
async def get_ticket_key(office: OfficeOf) -> Response:
    """Whoever has it can tell a genuine code without a network: the last 64 bytes of the code sign all before."""
    now, *previous = (key.jwk() for key in office.ticket_keys)
    return json_answer(now | {"previous": previous}, headers={"Cache-Control": "public, max-age=300"})


@router.get(
    "/organizer/tickets/{code}",
    summary="Check a ticket at the door",
    responses=described(200, TicketView, EXAMPLE, "The ticket is genuine; `valid` says whether it admits.")
    | responses("unauthenticated", "forbidden", "schedule_not_found", "booking_not_found", "validation_failed"),
)
async def check_ticket(
    code: Annotated[str, Path(description="What the QR code says.")],
    account: Organizer,
    office: OfficeOf,
) -> Response:
    """Reads the code of a ticket. A code that was not made here is a 422."""
    try:
        ticket = read_ticket(office.ticket_keys, code)
    except BadTicket:
        raise invalid("code", "is not a ticket's code, or was changed", "티켓 코드가 아니거나 변조되었습니다") from None
    booking = await find_booking(office.reading, ticket.booking_id, None)
    async with office.reading.connect() as connection:
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
        booking=await view_of_row(office, booking),
    )
    return json_answer(view)


def why_not(ticket: Ticket, booking: BookingRow, schedule: schedules.ScheduleRow) -> WhyNot | None:
    """Why the ticket admits nobody, if so."""
    if schedule.cancelled_at is not None:
        return "schedule_cancelled"
    if booking.status is Status.REFUNDED:
        return "refunded"
    if booking.status is Status.TRANSFERRED:
        return "replaced"
    if booking.status not in BOUGHT:
        return "cancelled"
    if ticket.seat is not None:
        return None if booking.seats.count(ticket.seat) >= ticket.place else "replaced"
    return None if len(booking.seats) == ticket.places else "replaced"
