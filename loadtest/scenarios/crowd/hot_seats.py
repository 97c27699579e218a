"""Hot seats: a crowd and forty seats. Whoever gets some gives them back soon, so that the fight never ends."""

from __future__ import annotations

import random

from loadtest.scenarios.crowd.crew import crew
from loadtest.scenarios.crowd.customer import Customer

WANTED, WANTED_WEIGHTS = (1, 2, 3, 4), (2, 6, 1, 1)
BUYERS = 0.1  # of the winners pay before they give back


class HotSeatBuyer(Customer):
    """Wants seats of the front rows and no others."""

    rest_seconds = (0.05, 0.3)

    def errand(self) -> None:
        self.log_in()
        wanted = random.choices(WANTED, WANTED_WEIGHTS)[0]
        booking = self.hold({"seats": self.neighbours(wanted, crew.stage.hot_seats)}, expect=("seats_unavailable",))
        if booking is None:
            return
        self.think(0.05, 0.5)
        if random.random() < BUYERS and self.pay(booking):
            self.give_back(booking)
        elif booking.status == "held":
            self.cancel(booking, "on second thoughts")
