"""What the sales projection must say of a schedule, counted from the journal's records alone, and how to tell cheaply
whether it does.

The service that writes the projection counts what is published; this counts what was journaled, by rules of its own, so
that an error in either shows. Live bookings are compared by a digest that PostgreSQL reckons in one pass; only where it
differs are rows read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import md5

from engine import events
from engine.events import Record
from engine.seating_plan import SeatingPlan
from persistence.database.pools import Connection
from persistence.sales.figures import FIGURES, Figures, LiveBooking, SalesRow

MINUTE_MS = 60_000
_HELD, _EXPIRED, _CANCELLED, _SOLD, _REFUNDED, _REVENUE, _FEES = range(len(FIGURES))
_DIGEST = "('x' || left(md5(booking_id::text || ' ' || booking::text), 16))::bit(64)::bigint"

_Place = tuple[str, str, int]  # id, category, price


class SalesMirror:
    """A schedule's sales, followed from its first record on."""

    def __init__(self, plan: SeatingPlan) -> None:
        self.live: dict[str, LiveBooking] = {}
        self._plan = plan
        self._figures: dict[tuple[str, int], list[int]] = {}  # category, minute → in the order of `FIGURES`
        self._touched: set[str] = set()
        self._digests: dict[str, int] = {}
        self._digest = 0

    def know(self, plan: SeatingPlan) -> None:
        """The house's plan was corrected since this one was read."""
        self._plan = plan.numbered(self._plan.number)

    def follow(self, records: Iterable[Record]) -> None:
        """Takes in the next records of the journal. Raises `LookupError` or `ValueError` where one does not fit."""
        for record in records:
            event, minute = record.event, record.at_ms // MINUTE_MS
            if isinstance(event, events.Held):
                places = self._places(event.seats, event.prices)
                self._keep(event.booking_id, LiveBooking(False, places))
                self._count(places, minute, _HELD)
            elif isinstance(event, events.Changed):
                self._change(event, minute)
            elif isinstance(event, events.Confirmed):
                booking = self.live[event.booking_id]
                self._keep(event.booking_id, LiveBooking(True, booking.places))
                self._count(booking.places, minute, _SOLD, price=1)
            elif isinstance(event, events.Expired):
                self._count(self._end(event.booking_id).places, minute, _EXPIRED)
            elif isinstance(event, events.Cancelled):
                booking = self._end(event.booking_id)
                if booking.sold:  # it cost nothing, or its money would have been asked back
                    self._count(booking.places, minute, _REFUNDED, price=-1)
                else:
                    self._count(booking.places, minute, _CANCELLED)
            elif isinstance(event, events.HandedOn):
                self._hand_on(event)
            elif isinstance(event, events.TakenOver):
                self._keep(event.booking_id, LiveBooking(True, self._places(event.seats, event.prices)))
            elif isinstance(event, events.RefundRequested):
                self._give_back(event, minute)
            elif isinstance(event, events.PlanChanged):
                self._plan = self._plan.numbered(event.plan_number)

    def rows(self) -> list[SalesRow]:
        """The figures, as the table `sales` must have them."""
        return [
            SalesRow(
                category,
                datetime.fromtimestamp(minute * MINUTE_MS // 1000, UTC),
                Figures(**dict(zip(FIGURES, figures, strict=True))),
            )
            for (category, minute), figures in sorted(self._figures.items())
        ]

    def digest(self) -> tuple[int, int]:
        """How many live bookings, and the exclusive or of their digests: what `live_digest` reckons."""
        for booking_id in self._touched:
            booking = self.live.get(booking_id)
            self._digest ^= self._digests.pop(booking_id, 0)
            if booking is not None:
                self._digests[booking_id] = fresh = _digest(booking_id, booking)
                self._digest ^= fresh
        self._touched.clear()
        return len(self.live), self._digest

    def _places(self, seats: Sequence[int], prices: Sequence[int]) -> list[_Place]:
        plan = self._plan
        return [
            (plan.ids[seat], plan.categories[plan.category_of[seat]], price)
            for seat, price in zip(seats, prices, strict=True)
        ]

    def _change(self, event: events.Changed, minute: int) -> None:
        before, places = self.live[event.booking_id], self._places(event.seats, event.prices)
        which, price = (_SOLD, 1) if before.sold else (_HELD, 0)
        self._count(before.places, minute, which, -1, price=-price)
        self._count(places, minute, which, price=price)
        self._keep(event.booking_id, LiveBooking(before.sold, places))

    def _hand_on(self, event: events.HandedOn) -> None:
        ids, left = [self._plan.ids[seat] for seat in event.seats], []
        for place in self.live[event.booking_id].places:
            if place[0] in ids:
                ids.remove(place[0])
            else:
                left.append(place)
        if left:
            self._keep(event.booking_id, LiveBooking(True, left))
        else:
            self._end(event.booking_id)

    def _give_back(self, event: events.RefundRequested, minute: int) -> None:
        left = [*self.live[event.booking_id].places]
        places = self._places(event.seats, event.prices)
        self._count(places, minute, _REFUNDED, price=-1)
        for place, fee in zip(places, event.fees, strict=True):
            left.remove(place)
            self._figures[place[1], minute][_FEES] += fee
        if left:
            self._keep(event.booking_id, LiveBooking(True, left))
        else:
            self._end(event.booking_id)

    def _count(self, places: Iterable[_Place], minute: int, which: int, number: int = 1, *, price: int = 0) -> None:
        for _, category, each in places:
            figures = self._figures.get((category, minute))
            if figures is None:
                figures = self._figures[category, minute] = [0] * len(FIGURES)
            figures[which] += number
            figures[_REVENUE] += price * each

    def _keep(self, booking_id: str, booking: LiveBooking) -> None:
        self.live[booking_id] = booking
        self._touched.add(booking_id)

    def _end(self, booking_id: str) -> LiveBooking:
        self._touched.add(booking_id)
        return self.live.pop(booking_id)


def _digest(booking_id: str, booking: LiveBooking) -> int:
    """Of the booking as PostgreSQL writes JSON: keys by length, a space after each comma and colon."""
    text = json.dumps({"sold": booking.sold, "places": booking.places}, ensure_ascii=False)
    value = md5(f"{booking_id} {text}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(value[:8], signed=True)


# --- what the projection says -----------------------------------------------------------------------------------------
async def rows_of(connection: Connection, schedule_id: str) -> list[SalesRow]:
    """A schedule's figures."""
    rows = await connection.fetch(
        f"SELECT category, minute, {', '.join(FIGURES)} FROM sales WHERE schedule_id = $1 ORDER BY category, minute",  # noqa: S608  # constants
        schedule_id,
    )
    return [
        SalesRow(category, minute, Figures(**dict(zip(FIGURES, numbers, strict=True))))
        for category, minute, *numbers in rows
    ]


async def live_digest(connection: Connection, schedule_id: str) -> tuple[int, int]:
    """How many live bookings the projection knows, and the exclusive or of their digests."""
    row = await connection.fetchrow(
        f"SELECT count(*), coalesce(bit_xor({_DIGEST}), 0) FROM sales_bookings WHERE schedule_id = $1",  # noqa: S608  # a constant
        schedule_id,
    )
    assert row is not None
    return row[0], row[1]


async def live_of(connection: Connection, schedule_id: str) -> Mapping[str, str]:
    """The live bookings the projection knows, each with the JSON it is kept in."""
    rows = await connection.fetch(
        "SELECT booking_id::text, booking::text FROM sales_bookings WHERE schedule_id = $1", schedule_id
    )
    return {row[0]: row[1] for row in rows}
