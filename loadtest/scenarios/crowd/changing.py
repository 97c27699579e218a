"""Changing one's mind: exchange, extend, cancel, ask for a quote, give back in part and as a whole."""

from __future__ import annotations

import random

from loadtest.buyers import Promise
from loadtest.scenarios.crowd.customer import Customer
from loadtest.scenarios.crowd.visitor import Answer

PAYS = 0.6  # the others cancel


class ChangingCustomer(Customer):
    """Does with a booking whatever can be done with one; in the end nothing is left of it."""

    rest_seconds = (0.2, 1.5)

    def on_start(self) -> None:
        self._pays = self.number % 2 == 0  # the next time

    def errand(self) -> None:
        self.log_in()
        if not self.look():
            self.think(1.0, 3.0)
            return
        booking = self.hold({"quantity": random.choice((2, 2, 3, 4))})
        if booking is None:
            return
        self.think(0.2, 1.0)
        if self.look() and self.seats_free:
            self.exchange(booking, self.neighbours(len(booking.seats), self.seats_free))
        self.ask("extend", "POST", f"/v1/bookings/{booking.booking_id}/extension", {})
        self.read_back(booking)
        self.think(0.2, 1.0)
        pays, self._pays = self._pays, random.random() < PAYS
        if pays:
            if self.pay(booking):
                self._return(booking)
        else:
            self._cancel(booking)

    def _cancel(self, booking: Promise) -> None:
        self.cancel(booking, "cannot come")
        path = f"/v1/bookings/{booking.booking_id}/cancellation"
        self.ask("cancellation", "GET", path)
        self.ask("reword cancellation", "PATCH", path, {"reason": "a cold"})
        self.ask("my cancellations", "GET", "/v1/cancellations?limit=10")

    def _return(self, booking: Promise) -> None:
        """One seat first, then the rest; each for what the quote said."""
        self._quoted(booking, [booking.seats[0]], "refund")
        self.think(0.1, 0.5)
        if booking.status == "partially_refunded":
            self._quoted(booking, [], "refund again")
        self.ask("refunds", "GET", f"/v1/payments/{booking.payment_id}/refunds")
        self.read_back(booking)

    def _quoted(self, booking: Promise, seats: list[str], kind: str) -> None:
        expected: list[int] = []

        def wrong(answer: Answer) -> str | None:
            expected.append(answer.json()["amount"])
            return None

        path = f"/v1/payments/{booking.payment_id}/refund_quote"
        named = "&".join(f"seats={seat}" for seat in seats)
        self.ask("refund quote", "GET", f"{path}?{named}" if named else path, wrong=wrong)
        before = booking.refunded
        self.give_back(booking, seats, kind)
        got = booking.refunded - before
        if expected and booking.refunded > before:
            self.found_out("refund as quoted", None if got == expected[0] else f"{got} where {expected[0]} was quoted")
