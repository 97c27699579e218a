"""The line before a schedule: who comes when, and who is let in.

Guarantees. An account has one place, however often it joins. Before the sale opens places are drawn by lot: whoever
joins or looks then stands where the lot puts them, always at the same place. From the opening on they stand in the
order in which they come, behind all those, by one clock. Nobody is let in before the opening or after the end, nor
while `shopping_at_once` are in who hold no seats yet, and in no second more than a second's worth are let in beyond
those of the time before. Somebody who is let in and does not look in time has lost the turn; so has somebody whose pass
has ended, and whoever leaves: a ticket of before brings neither back, joining anew does, at the end. Whoever has not
looked for long when the turn comes is passed over, and keeps the place.

There is no clock that lets people in: each one who joins or looks lets in whoever may come in by then. All of it can be
made again from the tickets that people have: one that is not known (Redis has come back empty) is put at its own place,
and while they come back nobody is let in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

TURN_MS = 60_000  # in which somebody who is let in has to look
PASS_MS = 600_000  # to choose seats and hold them
ABSENT_MS = 60_000  # four times the longest pause between two looks: whoever is silent for so long is not there
BACK_MS = 20_000  # in which all look again: after a loss nobody is let in before the others have come back
FLOW_MS = 30_000  # over which it is reckoned how many are let in a second
CHOOSING_MS = 60_000  # for which people are in before they hold seats: a guess, for as long as nobody has
PLACES_EACH = 2  # of those that are left, for everybody who is in: most come in pairs
PASSED_OVER_AT_ONCE = 500  # absent ones, by one look: a millisecond of Redis' time


class Doors(Struct, frozen=True, kw_only=True):
    """When a sale lets people in, and how many."""

    opens_ms: int  # 0: it always has
    closes_ms: int
    admitted_per_second: float
    shopping_at_once: int  # see `at_once`: it falls with what is left, and rises again

    @property
    def burst(self) -> float:
        """How many may come in at once after a time in which nobody came."""
        return max(1.0, self.admitted_per_second)

    @property
    def first_flow(self) -> float:
        """How many are let in a second, before it is known."""
        return min(self.admitted_per_second, self.shopping_at_once * 1000 / CHOOSING_MS)


def at_once(most: int, places_left: int) -> int:
    """How many may be in without seats: `most`, but no more than could each have a pair of what is left.

    So whoever then holds a pair makes room for nobody, whoever leaves does, and places that come back are for whoever
    is first in line. Whoever is in stays in when fewer may be.
    """
    return min(most, math.ceil(places_left / PLACES_EACH))


class Standing(Struct, frozen=True, kw_only=True):
    """Where an account stands. With neither a place nor a pass its turn is over."""

    now_ms: int
    score: float  # the place: whoever has less is let in earlier
    ahead: int | None  # while waiting: how many stand before it
    pass_ends_ms: int | None  # once it is in
    waiting: int
    shopping: int  # in, or called in, and without seats
    flow: float  # how many were let in a second, lately


class Counts(Struct, frozen=True, kw_only=True):
    """How many stand in line, and how many are in, or called in, and without seats."""

    waiting: int
    shopping: int


class LineUnavailable(Exception):
    """The line cannot be reached: nobody can be told where they stand."""


class Line(Protocol):
    """Where lines are kept. Every method raises `LineUnavailable` when it cannot do its work."""

    async def join(self, schedule_id: str, account_id: str, lot: float, doors: Doors) -> Standing:
        """Where the account stands, which has a place from now on. `lot` is its own for the schedule, in [0, 1)."""

    async def look(self, schedule_id: str, account_id: str, lot: float, score: float, doors: Doors) -> Standing:
        """Where an account with a ticket for this place stands."""

    async def leave(self, schedule_id: str, account_id: str, score: float) -> None:
        """The account has neither place nor turn any more; its ticket is over."""

    async def has_seats(self, schedule_id: str, account_id: str) -> None:
        """Somebody else may be let in for the account, which keeps its pass."""

    async def counts(self, schedule_id: str) -> Counts:
        """How many there are. Moves nobody on."""

    async def close(self) -> None:
        """Lets go of connections."""


def arrival(now_ms: int, lot: float, opens_ms: int) -> float:
    """The place of somebody who comes now: by lot before the opening, then by the millisecond, and in one by lot."""
    return lot if now_ms < opens_ms else now_ms + lot


class _Queue:
    """The line of one schedule, by the names that it has in Redis (`redis_line.SHOW_UP`), where the same is done."""

    def __init__(self) -> None:
        self.line: dict[str, float] = {}  # account → place
        self.places: dict[str, float] = {}  # the same, also of whoever was passed over
        self.seen: dict[str, int] = {}
        self.turns: dict[str, int] = {}  # account → when somebody else is let in instead
        self.passes: dict[str, int] = {}  # account → its end
        self.over: dict[str, float] = {}  # account → the last place from which it was let in, or went
        self.made_ms: int | None = None  # when the line was begun, perhaps anew
        self.at_ms: int | None = None  # up to when tokens have been given out
        self.tokens = 0.0
        self.flow: float | None = None

    def show_up(self, account: str, lot: float, score: float | None, now_ms: int, doors: Doors) -> Standing:
        self.turns = {each: until for each, until in self.turns.items() if until > now_ms}
        self.passes = {each: until for each, until in self.passes.items() if until > now_ms}
        self.made_ms = now_ms if self.made_ms is None else self.made_ms
        if account not in self.turns and account not in self.passes:
            self._stand(account, lot, score, now_ms, doors)
        if doors.opens_ms <= now_ms < doors.closes_ms:
            self._let_in(now_ms, doors)
        if account in self.turns and account not in self.passes:
            self.turns[account] = self.passes[account] = min(now_ms + PASS_MS, doors.closes_ms)
        first = sorted(self.line, key=lambda each: (self.line[each], each))
        return Standing(
            now_ms=now_ms,
            score=self.places.get(account, self.over.get(account, 0.0)),
            ahead=first.index(account) if account in self.line else None,
            pass_ends_ms=self.passes.get(account),
            waiting=len(self.line),
            shopping=len(self.turns),
            flow=doors.first_flow if self.flow is None else self.flow,
        )

    def leave(self, account: str, score: float) -> None:
        self.over[account] = max(score, self.places.pop(account, score), self.over.get(account, score))
        for kept in (self.line, self.seen, self.turns, self.passes):
            kept.pop(account, None)

    def _stand(self, account: str, lot: float, score: float | None, now_ms: int, doors: Doors) -> None:
        assert self.made_ms is not None, "it was begun"
        place, over = self.places.get(account), self.over.get(account)
        if place is None and score is not None:
            if over is not None and score <= over:
                return
            place, back_ms = score, self.made_ms + BACK_MS
            if now_ms < back_ms:
                self.at_ms, self.tokens = max(back_ms, doors.opens_ms), 0.0
        if place is None or now_ms < doors.opens_ms:
            place = arrival(now_ms, lot, doors.opens_ms)
        self.over.pop(account, None)
        self.line[account] = self.places[account] = place
        self.seen[account] = now_ms

    def _let_in(self, now_ms: int, doors: Doors) -> None:
        since_ms = doors.opens_ms if self.at_ms is None else self.at_ms
        elapsed_ms = max(0, now_ms - since_ms)
        if self.flow is None:
            self.flow = doors.first_flow
        else:
            self.flow *= math.exp(-elapsed_ms / FLOW_MS)
        self.tokens = min(doors.burst, self.tokens + elapsed_ms * doors.admitted_per_second / 1000)
        room, passed_over = min(math.floor(self.tokens), doors.shopping_at_once - len(self.turns)), 0
        while self.line and room > 0 and passed_over < PASSED_OVER_AT_ONCE:
            account = min(self.line, key=lambda each: (self.line[each], each))
            score = self.line.pop(account)
            if self.seen.pop(account) < now_ms - ABSENT_MS:
                passed_over += 1
                continue
            self.turns[account], self.over[account] = now_ms + TURN_MS, score
            del self.places[account]
            room, self.tokens, self.flow = room - 1, self.tokens - 1, self.flow + 1000 / FLOW_MS
        self.at_ms = max(since_ms, now_ms)


class MemoryLine:
    """The same contract within one process, for tests. `available = False` is Redis being away."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._queues: dict[str, _Queue] = {}
        self.available = True

    def lose_everything(self) -> None:
        """It comes back empty, as Redis does."""
        self._queues.clear()

    async def join(self, schedule_id: str, account_id: str, lot: float, doors: Doors) -> Standing:
        return self._of(schedule_id).show_up(account_id, lot, None, self._now_ms(), doors)

    async def look(self, schedule_id: str, account_id: str, lot: float, score: float, doors: Doors) -> Standing:
        return self._of(schedule_id).show_up(account_id, lot, score, self._now_ms(), doors)

    async def leave(self, schedule_id: str, account_id: str, score: float) -> None:
        self._of(schedule_id).leave(account_id, score)

    async def has_seats(self, schedule_id: str, account_id: str) -> None:
        self._of(schedule_id).turns.pop(account_id, None)

    async def counts(self, schedule_id: str) -> Counts:
        queue, now_ms = self._of(schedule_id), self._now_ms()
        return Counts(waiting=len(queue.line), shopping=sum(until > now_ms for until in queue.turns.values()))

    async def close(self) -> None:
        return None

    def _of(self, schedule_id: str) -> _Queue:
        if not self.available:
            raise LineUnavailable("the line is switched off")
        return self._queues.setdefault(schedule_id, _Queue())
