"""What a ticket's code is worth at a door: one pure judgement, for one code read once.

It admits at most as many places as the booking has now, over all who come in on it: four may enter as two and two.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from actors.mail.tickets import Ticket
from persistence.check_ins.log import Entry, Result, TicketBooking
from persistence.database.conditions import BOUGHT, TRANSFERRED


class Verdict(Struct, frozen=True, kw_only=True):
    """What the door is told of a code. `at` and `gate` say where somebody came in with it before."""

    result: Result
    places: int = 0  # let in now
    entered: int = 0  # on this booking, with those let in now
    of: int = 0  # places the booking has
    reason: str | None = None
    at: datetime | None = None
    gate: str | None = None


def judge(
    ticket: Ticket | None, booking: TicketBooking | None, schedule_id: str, inside: Sequence[Entry], wanted: int | None
) -> Verdict:
    """The verdict on a code that was read as `ticket` (None: it could not be) at the door of `schedule_id`.

    `inside` are those let in on the booking before, `wanted` how many want in now; None: all who are left.
    """
    if ticket is None or booking is None:
        return Verdict(result="not_genuine")
    entered, of = sum(each.places for each in inside), len(booking.seats)
    if ticket.schedule_id != schedule_id or booking.schedule_id != schedule_id:
        return Verdict(result="other_schedule", of=of)
    if booking.schedule_cancelled:
        return Verdict(result="refunded", reason="schedule_cancelled", entered=entered, of=of)
    if booking.status == TRANSFERRED:  # whoever has taken the seats over has a code of their own
        return Verdict(result="replaced", reason=booking.status, entered=entered, of=of)
    if booking.status not in BOUGHT:
        return Verdict(result="refunded", reason=booking.status, entered=entered, of=of)
    if ticket.seat is not None:
        return _judge_seat(ticket, booking, inside, entered)
    if of != ticket.places:
        return Verdict(result="replaced", entered=entered, of=of)
    left = of - entered
    places = left if wanted is None else wanted
    if places <= 0 or places > left:
        last = inside[-1] if inside else None
        return Verdict(
            result="already_in",
            reason=f"{left} left" if left else None,
            entered=entered,
            of=of,
            at=None if last is None else last.at,
            gate=None if last is None else last.gate,
        )
    return Verdict(result="admitted", places=places, entered=entered + places, of=of)


def _judge_seat(ticket: Ticket, booking: TicketBooking, inside: Sequence[Entry], entered: int) -> Verdict:
    """Of a code for one place: whoever came in with the whole booking's may have come in for it."""
    of = len(booking.seats)
    if ticket.seat is None or booking.seats.count(ticket.seat) < ticket.place:
        return Verdict(result="replaced", entered=entered, of=of)
    before = [each for each in inside if each.seat == ticket.place_key] or (list(inside[-1:]) if entered >= of else [])
    if before:
        return Verdict(result="already_in", entered=entered, of=of, at=before[-1].at, gate=before[-1].gate)
    return Verdict(result="admitted", places=1, entered=entered + 1, of=of)
