"""Paying customers: a basket, some time to think, a card that may be declined or slow, and a look at what they have."""

from __future__ import annotations

import random

from loadtest.buyers import DECLINED_CARD, GOOD_CARD, Promise
from loadtest.scenarios.crowd.customer import SLOW_CARD, Customer, basket

BEST_AVAILABLE = 0.6
CARDS, CARD_WEIGHTS = (DECLINED_CARD, SLOW_CARD, GOOD_CARD), (8, 6, 86)
GIVES_UP = 0.3  # of those whose card was declined
LISTS = 0.3


class PayingCustomer(Customer):
    """Buys, and comes again."""

    rest_seconds = (0.5, 3.0)
    keeps: int | None = None  # bookings; what is beyond goes back, the oldest first

    def on_start(self) -> None:
        """Comes for the first time."""
        self.bought: list[Promise] = []
        self._card = CARDS[self.number % len(CARDS)]  # the next one
        self._lists = True

    def errand(self) -> None:
        self.log_in()
        if not self.look():
            self.think(2.0, 5.0)
            return
        self.think(0.5, 2.0)
        booking = self.hold(self._wish())
        if booking is None:
            return
        self.think(0.5, 3.0)
        if not self._check_out(booking):
            return
        self.read_back(booking)
        self.ask("payment", "GET", f"/v1/payments/{booking.payment_id}")
        if self._lists:
            self.ask("my bookings", "GET", "/v1/bookings?limit=20")
        self._lists = random.random() < LISTS
        self.bought.append(booking)
        if self.keeps is not None and len(self.bought) > self.keeps:
            self.give_back(self.bought.pop(0))

    def _wish(self) -> object:
        wanted = basket()
        if not self.seats_free:
            return {"seats": [random.choice(self.standing)] * wanted}
        if random.random() < BEST_AVAILABLE:
            return {"quantity": wanted}
        return {"seats": self.neighbours(wanted, self.seats_free)}

    def _check_out(self, booking: Promise) -> bool:
        """Whether it was paid in the end."""
        card, self._card = self._card, random.choices(CARDS, CARD_WEIGHTS)[0]
        if card == DECLINED_CARD:
            self.pay(booking, card)
            self.think(0.5, 2.0)
            if random.random() < GIVES_UP:
                self.cancel(booking, "card declined")
                return False
            card = GOOD_CARD
        return self.pay(booking, card)


class ReturningCustomer(PayingCustomer):
    """Keeps two bookings at most, so that a house is never sold out however long it goes on."""

    keeps = 2
