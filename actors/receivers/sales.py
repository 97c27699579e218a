"""The receiving service that keeps the sales figures organizers look at.

Each event adds to the figures of the minute it happened in; nothing is ever counted anew, so that a figure is right for
every moment of the past.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime

from actors.receivers.names import SALES
from persistence.database.conditions import TRANSFERRED
from persistence.database.pools import Connection
from persistence.events.event_data import BookingData, EventEnvelope, RefundData, RefundedPlace
from persistence.sales import figures
from persistence.sales.figures import Figures, LiveBooking, SalesRow

COUNTED = (
    "reservation.held",
    "reservation.changed",
    "reservation.confirmed",
    "reservation.expired",
    "cancellation.completed",
    "reservation.handed_on",
    "reservation.taken_over",
    "refund.requested",
)
MINUTE = len("2026-11-22T14:05")  # of an event's time, which is UTC


class Sales:
    """Turns events into figures."""

    name = SALES
    wanted = COUNTED

    async def begin(self, connection: Connection) -> None:
        """Nothing: every event there ever was is counted."""

    async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
        counted = [event for event in events if event.type in COUNTED]
        if not counted:
            return
        about = {str(event.subject) for event in counted}
        begun = {
            str(event.subject) for event in counted if event.type in ("reservation.held", "reservation.taken_over")
        }
        tally = Tally(await figures.live_bookings(connection, about - begun))
        for event in counted:
            tally.count(event)
        schedule_id = events[0].data.schedule_id
        await figures.add(connection, schedule_id, tally.rows())
        await figures.keep_bookings(connection, schedule_id, tally.live, tally.ended)

    async def forget(self, connection: Connection, schedule_id: str) -> None:
        await figures.forget(connection, schedule_id)


class Tally:
    """What some events of one schedule, in order, add to its figures."""

    def __init__(self, live: dict[str, LiveBooking]) -> None:
        self.live = live
        self.ended: set[str] = set()
        self._figures: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)  # of (category, minute)

    def count(self, event: EventEnvelope) -> None:
        """Takes the next event in."""
        minute = event.time[:MINUTE]
        data = event.data
        if event.type == "refund.requested":
            assert isinstance(data, RefundData)
            self._give_back(data, minute)
        elif isinstance(data, BookingData):
            self._change(event.type, data, minute)

    def rows(self) -> list[SalesRow]:
        return [
            SalesRow(category, datetime.fromisoformat(f"{minute}:00+00:00"), Figures(**figures))
            for (category, minute), figures in sorted(self._figures.items())
        ]

    def _change(self, kind: str, data: BookingData, minute: str) -> None:
        booking_id = data.booking.id
        places = [(place.id, place.category, place.price) for place in data.booking.seats]
        if kind == "reservation.held":
            self.live[booking_id] = LiveBooking(False, places)
            self._add(places, minute, "held", 1)
        elif kind == "reservation.changed":
            before = self.live[booking_id]
            if before.sold:
                self._add(before.places, minute, "sold", -1, money=-1)
                self._add(places, minute, "sold", 1, money=1)
            else:
                self._add(before.places, minute, "held", -1)
                self._add(places, minute, "held", 1)
            before.places = places
        elif kind == "reservation.handed_on":  # its figures are whose seats it is of, and stay
            if data.booking.status == TRANSFERRED:
                self._end(booking_id)
            else:
                self.live[booking_id].places = places
        elif kind == "reservation.taken_over":
            self.live[booking_id] = LiveBooking(True, places)
        elif kind == "reservation.confirmed":
            self.live[booking_id].sold = True
            self._add(places, minute, "sold", 1, money=1)
        elif kind == "reservation.expired":
            self._add(places, minute, "expired", 1)
            self._end(booking_id)
        elif kind == "cancellation.completed":
            if self.live[booking_id].sold:  # it cost nothing, or it would have been refunded
                self._add(places, minute, "refunded", 1, money=-1)
            else:
                self._add(places, minute, "cancelled", 1)
            self._end(booking_id)

    def _give_back(self, data: RefundData, minute: str) -> None:
        booking = self.live[data.refund.booking_id]
        given = data.refund.seats
        assert isinstance(given, list), "a refund that was requested says for which places"
        for place in given:
            self._refund(booking, place, minute)
        if not booking.places:
            self._end(data.refund.booking_id)

    def _refund(self, booking: LiveBooking, place: RefundedPlace, minute: str) -> None:
        given = (place.id, place.category, place.price)
        booking.places.remove(given)
        self._add([given], minute, "refunded", 1, money=-1)
        self._figures[place.category, minute]["fees"] += place.fee

    def _add(
        self, places: Sequence[tuple[str, str, int]], minute: str, figure: str, number: int, *, money: int = 0
    ) -> None:
        """Adds so much for each place to a figure, and its price so many times to the revenue."""
        for _, category, price in places:
            figures = self._figures[category, minute]
            figures[figure] += number
            figures["revenue"] += money * price

    def _end(self, booking_id: str) -> None:
        del self.live[booking_id]
        self.ended.add(booking_id)
