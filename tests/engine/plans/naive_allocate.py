"""Best available in the plainest way: try every block of every run. Slow on purpose; `engine.allocate` must agree.

Only the scores of seats and the cost of a block are shared with the fast one; everything else is said again here.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.allocate import block_cost, seat_scores
from engine.seating_plan import Run, SeatingPlan


class NaiveFreeSeats:
    """A set of free seats, and questions about it."""

    def __init__(self, plan: SeatingPlan, free: set[int]) -> None:
        self.plan = plan
        self.free = set(free)
        self.scores = seat_scores(plan)

    def count(self, category: int | None = None, zone: int | None = None) -> int:
        return sum(self.fits(seat, category, zone) for seat in self.free)

    def longest_run(self, category: int | None = None, zone: int | None = None) -> int:
        sizes = range(self.plan.size, 0, -1)
        return next((size for size in sizes if self.blocks(self.free, self.plan.runs, size, category, zone)), 0)

    def best(
        self, quantity: int, category: int | None = None, zone: int | None = None, adjacent: bool = False
    ) -> tuple[int, ...] | None:
        blocks = self.blocks(self.free, self.plan.runs, quantity, category, zone)
        if blocks:
            return self.seats(min(blocks))
        if adjacent or self.count(category, zone) < quantity:
            return None
        return self.split(quantity, category, zone)

    def split(self, quantity: int, category: int | None, zone: int | None) -> tuple[int, ...]:
        longest = self.longest_run(category, zone)
        chosen = self.seats(min(self.blocks(self.free, self.plan.runs, longest, category, zone)))
        home = self.plan.run_of[chosen[0]]
        for number in sorted(range(len(self.plan.runs)), key=self.distance_from(home)):
            run = self.plan.runs[number]
            for size in range(run.count, 0, -1):
                while size <= quantity - len(chosen) and (
                    blocks := self.blocks(self.free - set(chosen), (run,), size, category, zone)
                ):
                    chosen += self.seats(min(blocks))
        return tuple(sorted(chosen))

    def distance_from(self, home: int) -> Callable[[int], tuple[bool, bool, int, int]]:
        zone = self.plan.runs[home].zone
        return lambda number: (number != home, self.plan.runs[number].zone != zone, abs(number - home), number)

    def blocks(
        self, free: set[int], runs: tuple[Run, ...], size: int, category: int | None, zone: int | None
    ) -> list[tuple[int, int, int]]:
        """Every block of this size: its cost, its first seat, its size."""
        found = []
        for run in runs:
            for first in range(run.first, run.first + run.count - size + 1):
                seats = range(first, first + size)
                if all(seat in free and self.fits(seat, category, zone) for seat in seats):
                    lone = self.is_lone(free, run, first - 1, -1) + self.is_lone(free, run, first + size, 1)
                    found.append((block_cost(sum(self.scores[seat] for seat in seats), lone, size), first, size))
        return found

    @staticmethod
    def is_lone(free: set[int], run: Run, seat: int, away: int) -> bool:
        """Whether taking its neighbour on one side leaves this seat free with nobody free on the other side either."""
        here = range(run.first, run.first + run.count)
        return seat in here and seat in free and not (seat + away in here and seat + away in free)

    def fits(self, seat: int, category: int | None, zone: int | None) -> bool:
        return category in (None, self.plan.category_of[seat]) and zone in (None, self.plan.zone_of[seat])

    @staticmethod
    def seats(block: tuple[int, int, int]) -> tuple[int, ...]:
        return tuple(range(block[1], block[1] + block[2]))
