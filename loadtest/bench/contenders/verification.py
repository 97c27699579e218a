"""The condition under which a figure counts: what was acknowledged is there, each booking with seats of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct


class Broken(Exception):
    """An acknowledged booking is missing, or shares a seat: the run has no figures."""


class Stored(Struct, frozen=True):
    """A booking in a contender's own database; `seats` are named with their schedule."""

    seats: list[str]
    status: str = "held"


def verify(acknowledged: Iterable[str], stored: Mapping[str, Stored], *, seats_each: int, status: str = "held") -> None:
    """Raises `Broken`, naming the first few that are wrong."""
    ids = list(acknowledged)
    problems = [f"{twice} acknowledged twice" for twice in _repeated(ids)]
    for booking_id in ids:
        booking = stored.get(booking_id)
        if booking is None:
            problems.append(f"{booking_id} is not there")
        elif len(booking.seats) != seats_each:
            problems.append(f"{booking_id} has {len(booking.seats)} seats of {seats_each}")
        elif booking.status != status:
            problems.append(f"{booking_id} is {booking.status}, not {status}")
    owners: dict[str, str] = {}
    for booking_id, booking in stored.items():  # also those nobody was told of: a seat has one owner
        for seat in booking.seats:
            if owners.setdefault(seat, booking_id) != booking_id:
                problems.append(f"{seat} belongs to {owners[seat]} and {booking_id}")
    if problems:
        raise Broken(f"{len(problems)} of {len(ids)} acknowledged bookings are wrong: {'; '.join(problems[:5])}")


def _repeated(ids: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [each for each in ids if each in seen or seen.add(each)]  # type: ignore[func-returns-value]  # None is meant
