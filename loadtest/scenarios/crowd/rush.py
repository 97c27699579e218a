"""The rush: the sale opens, and everybody who has waited for it wants seats in the same second."""

from __future__ import annotations

import random
import time

from loadtest.scenarios.crowd.crew import crew
from loadtest.scenarios.crowd.customer import TAKEN, Customer, basket

IMPATIENT = 0.1  # of those who wait try before it is time
CLOSE_SECONDS = 0.2  # to the opening: who tries now might be answered after it
FRONT = 0.15  # of what is free is what everybody looks at first
BEST_AVAILABLE = 0.5  # leave the choice to us
EARLY = (*TAKEN, "sale_not_open")


class RushBuyer(Customer):
    """Waits for the opening, takes seats and pays. Then the next one comes, until nothing is left."""

    rest_seconds = (0.0, 0.5)

    def errand(self) -> None:
        self.log_in()
        early = time.time() < crew.opens_at
        if early:
            self._wait()
            if crew.closing.is_set():
                return
        elif not self.look():
            self.think(1.0, 2.0)
            return
        # Who was early has the seat map from the lobby, as everybody else has: the whole house is free.
        wanted = min(basket(), 4)
        wish: object = {"quantity": wanted}
        if random.random() > BEST_AVAILABLE and self.seats_free:
            front = self.seats_free[: max(wanted, int(FRONT * len(self.seats_free)))]
            wish = {"seats": self.neighbours(wanted, front)}
        booking = self.hold(wish, expect=EARLY)
        if booking is not None and self.pay(booking):
            self.read_back(booking)

    def _wait(self) -> None:
        """In the lobby: perhaps tries too early, has a look at the house, and is there when the sale opens."""
        if (self.number == 0 or random.random() < IMPATIENT) and time.time() < crew.opens_at - CLOSE_SECONDS:
            self.hold({"quantity": 1}, expect=EARLY)
        self.ask("schedule", "GET", self.schedule)
        self.look()
        crew.closing.wait(max(0.0, crew.opens_at - time.time()))
