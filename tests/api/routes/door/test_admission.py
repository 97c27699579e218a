"""What a code is worth at a door, by itself: the judgement, without the door."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from actors.mail.tickets import Ticket
from api.selling.admission import judge
from persistence.check_ins.log import Entry, TicketBooking

BOOKING, SCHEDULE, OTHER = (f"01980000-0000-7000-8000-0000000000{each}" for each in ("0b", "0a", "0c"))
AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


def ticket(places: int = 4, schedule_id: str = SCHEDULE) -> Ticket:
    return Ticket(booking_id=BOOKING, schedule_id=schedule_id, places=places)


def booked(seats: int = 4, status: str = "confirmed", schedule_id: str = SCHEDULE, **more: Any) -> TicketBooking:
    facts = {"customer_name": None, "starts_at": AT, "title": "Carmen", "schedule_cancelled": False} | more
    return TicketBooking(
        id=BOOKING, schedule_id=schedule_id, status=status, seats=tuple(map(str, range(seats))), **facts
    )


def inside(*places: int) -> list[Entry]:
    return [Entry(booking_id=BOOKING, places=each, seat=None, gate="North", at=AT) for each in places]


def one(seat: str = "1", place: int = 1) -> Ticket:
    return Ticket(booking_id=BOOKING, schedule_id=SCHEDULE, places=1, seat=seat, place=place)


def with_seat(key: str) -> list[Entry]:
    return [Entry(booking_id=BOOKING, places=1, seat=key, gate="North", at=AT)]


@pytest.mark.parametrize(
    ("read", "entered", "result", "places"),
    [
        (one(), [], "admitted", 1),
        (one(), with_seat("1#1"), "already_in", 0),
        (one(), with_seat("2#1"), "admitted", 1),
        (one(), inside(2), "admitted", 1),
        (one(), inside(4), "already_in", 0),
        (one("gone"), [], "replaced", 0),
        (one(place=2), [], "replaced", 0),
        (ticket(), with_seat("1#1"), "admitted", 3),
    ],
)
def test_a_code_for_one_place_lets_one_in_once(read: Ticket, entered: list[Entry], result: str, places: int) -> None:
    verdict = judge(read, booked(), SCHEDULE, entered, None)
    assert (verdict.result, verdict.places) == (result, places)
    if result == "already_in":
        assert (verdict.at, verdict.gate) == (AT, "North")


@pytest.mark.parametrize(
    ("read", "booking", "entered", "wanted", "result", "places"),
    [
        (ticket(), booked(), (), None, "admitted", 4),
        (ticket(), booked(), (), 2, "admitted", 2),
        (ticket(), booked(), (2,), 2, "admitted", 2),
        (ticket(), booked(), (2,), None, "admitted", 2),
        (ticket(), booked(), (2, 2), None, "already_in", 0),
        (ticket(), booked(), (3,), 2, "already_in", 0),
        (ticket(), booked(3, "partially_refunded"), (), None, "replaced", 0),
        (ticket(3), booked(3, "partially_refunded"), (), None, "admitted", 3),
        (ticket(), booked(0, "refunded"), (), None, "refunded", 0),
        (ticket(), booked(status="cancelled"), (), None, "refunded", 0),
        (ticket(), booked(status="expired"), (), None, "refunded", 0),
        (ticket(), booked(status="transferred"), (), None, "replaced", 0),
        (ticket(), booked(status="held"), (), None, "refunded", 0),
        (ticket(), booked(schedule_cancelled=True), (), None, "refunded", 0),
        (ticket(schedule_id=OTHER), booked(schedule_id=OTHER), (), None, "other_schedule", 0),
        (ticket(), booked(schedule_id=OTHER), (), None, "other_schedule", 0),
        (ticket(), None, (), None, "not_genuine", 0),
        (None, None, (), None, "not_genuine", 0),
    ],
)
def test_a_code_is_worth_what_its_booking_is(
    read: Ticket | None,
    booking: TicketBooking | None,
    entered: tuple[int, ...],
    wanted: int | None,
    result: str,
    places: int,
) -> None:
    verdict = judge(read, booking, SCHEDULE, inside(*entered), wanted)
    assert (verdict.result, verdict.places) == (result, places)
    if result == "already_in":
        assert (verdict.at, verdict.gate) == (AT, "North")
