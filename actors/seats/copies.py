"""One schedule's seats as a process knows them: the view, what has just changed, counts, and who follows it.

A copy's version only rises. Whoever follows it may be slow: changes are merged for them, or they get a fresh view, so
that memory does not grow with slow consumers. What leads on from a version is merged once for all who have that one.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from itertools import takewhile

from msgspec import Struct

from engine.seating_plan import SeatingPlan
from persistence.seats.cache import AreaCounts, SeatDelta, SeatView, merge

RECENT_DELTAS = 1_000  # 50 s of a sale at 20 publications a second: longer than a browser takes to come back
RECENT_CHANGES = 10_000  # per schedule, about 1 MB
OFFLINE_PATIENCE_SECONDS = 0.25  # how old a copy may be while nothing keeps it live


class CategoryCount(Struct, frozen=True):
    """Places of one category, seats and standing room together."""

    total: int
    free: int
    held: int
    sold: int
    blocked: int

    @property
    def capacity(self) -> int:
        """Places that somebody has or may have: those that are blocked nobody may."""
        return self.total - self.blocked


class Availability(Struct, frozen=True):
    """What is left of a schedule at one version. Categories stand in the plan's order."""

    version: int
    by_category: dict[str, CategoryCount]


class Changes:
    """What one consumer has not seen yet. Waiting may be cancelled and taken up again without losing anything."""

    def __init__(self, copy: Copy, seen: int | None) -> None:
        self._copy = copy
        self._seen = seen  # the consumer's version; None: it has nothing
        self._news = asyncio.Event()
        self._ended = False

    def __aiter__(self) -> Changes:
        return self

    async def __anext__(self) -> SeatView | SeatDelta:
        """The next change, or a whole view for who has none or lags too far behind."""
        while not (self._ended or self._copy.ended):
            if (change := self.at_once()) is not None:
                return change
            self._news.clear()
            await self._news.wait()
        raise StopAsyncIteration

    def at_once(self) -> SeatView | SeatDelta | None:
        """The next change if there is one already."""
        change = None if self._ended or self._copy.ended else self._copy.change_after(self._seen)
        if change is not None:
            self._seen = change.version
        return change

    def wake(self) -> None:
        self._news.set()

    def end(self) -> None:
        """Ends the iteration, also of one who waits."""
        self._ended = True
        self._news.set()


class Copy:
    """One schedule as this process knows it. Its version only rises."""

    def __init__(self, view: SeatView) -> None:
        self.view = view
        self.announced = 0  # the newest version heard of
        self.live_in: int | None = None  # the subscription that keeps it up to date
        self.checked_at = 0.0
        self.patience_seconds = OFFLINE_PATIENCE_SECONDS
        self.counts: Counts | None = None
        self.recent: deque[SeatDelta] = deque()
        self.recent_changes = 0
        self.subscribers: set[Changes] = set()
        self.ended = False
        self._merged: dict[int, SeatDelta] = {}  # what leads to the view, by where it leads on from

    def advance(self, delta: SeatDelta) -> None:
        """Goes on by a change that begins where the copy stands, and wakes who follows."""
        before, self.view = self.view, self.view.after(delta)
        self._merged.clear()
        if self.counts is not None:
            self.counts.advance(before, delta)
        self.recent.append(delta)
        self.recent_changes += _size(delta)
        while len(self.recent) > RECENT_DELTAS or self.recent_changes > RECENT_CHANGES:
            self.recent_changes -= _size(self.recent.popleft())
        for changes in self.subscribers:
            changes.wake()

    def replace(self, view: SeatView) -> None:
        """Goes on from a view by which places have other numbers: no change leads there."""
        self.view, self.counts = view, None
        self.recent.clear()
        self.recent_changes = 0
        self._merged.clear()
        for changes in self.subscribers:
            changes.wake()

    def deltas_since(self, version: int) -> list[SeatDelta] | None:
        """What leads from a version to this one, oldest first; None if that is not known any more."""
        if version == self.view.version:
            return []
        # From the newest: most who ask have seen all but a few.
        deltas = list(takewhile(lambda delta: delta.version > version, reversed(self.recent)))[::-1]
        if not deltas or deltas[0].from_version > version:
            return None
        return deltas

    def change_after(self, seen: int | None) -> SeatView | SeatDelta | None:
        """What to tell somebody who has seen that version (None: nothing yet); None where there is no news."""
        if seen is None:
            return self.view
        if seen == self.view.version:
            return None
        if (merged := self._merged.get(seen)) is None:
            deltas = self.deltas_since(seen)
            if deltas is None:
                return self.view
            merged = self._merged[seen] = merge(deltas)
        return merged

    def end(self) -> None:
        """Ends for all who follow."""
        self.ended = True
        for changes in self.subscribers:
            changes.wake()


class Counts:
    """Places per category and state."""

    def __init__(self, plan: SeatingPlan, view: SeatView) -> None:
        assert len(view.states) == plan.size, "a view of another plan"
        self._plan = plan
        self._table = [[0, 0, 0, 0] for _ in plan.categories]
        # `category_of` goes on with the areas' categories, hence the unequal lengths.
        for (category, state), count in Counter(zip(plan.category_of, view.states, strict=False)).items():
            self._table[category][state] = count
        for position, counts in enumerate(view.areas):
            self._add(position, counts, 1)
        self._latest = Availability(-1, {})

    def advance(self, before: SeatView, delta: SeatDelta) -> None:
        """Counts a change of that view."""
        for index, state in delta.seats:
            row = self._table[self._plan.category_of[index]]
            row[before.states[index]] -= 1
            row[state] += 1
        for position, counts in delta.areas:
            self._add(position, before.areas[position], -1)
            self._add(position, counts, 1)

    def _add(self, position: int, counts: AreaCounts, sign: int) -> None:
        row = self._table[self._plan.areas[position].category]
        for state, count in enumerate((counts.left, counts.held, counts.sold, counts.blocked)):
            row[state] += sign * count

    def availability(self, version: int) -> Availability:
        """The counts, which are those of this version."""
        if self._latest.version != version:
            rows = zip(self._plan.categories, self._table, strict=True)
            self._latest = Availability(version, {name: CategoryCount(sum(row), *row) for name, row in rows})
        return self._latest


def _size(delta: SeatDelta) -> int:
    return len(delta.seats) + len(delta.areas)
