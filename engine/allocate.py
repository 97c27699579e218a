"""Which seats are free, and which of them are the best.

`FreeSeats` answers "the best q seats" from the set of free seats alone: how that came to be (in which order seats were
taken and given, a replay, a snapshot) never shows, so every copy of a schedule answers alike. A group is all or
nothing, and a request is refused only if the seats are not there: leaving a lone seat behind is avoided, never a reason
to refuse.

What is better: see `seat_scores` (a seat), `LONE_SEAT_PITCHES` (a block), `FreeSeats.best` (a split).

How it is fast: free seats are one bit each, in one integer per run (a stretch of a row without an aisle), so the places
where q seats are free side by side come out of a few shifts. For every (quantity, category, zone) that is asked for, a
`_Board` keeps each run's best block in a heap; before answering it looks again only at runs that changed since its last
answer and could win. `tests/engine/plans/naive_allocate.py` says the same in the slowest and plainest way, and must
always agree.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from itertools import accumulate, chain
from operator import sub

from engine.seating_plan import Run, SeatingPlan

# One seat to the side costs as much as one and a half towards the back: sight lines suffer faster at the edge of the
# stage than with distance, so in a hall of usual width the tenth row's middle beats the first row's end.
SIDEWAYS_WEIGHT = 1.5
SCORE_UNIT = 100  # scores are whole hundredths of the distance between two neighbours, so that sums are exact
# A block that leaves a single free seat beside it is as good as one without where everybody sits this many seats
# farther off: about three rows, which a group hardly notices, against a seat that mostly stays unsold.
LONE_SEAT_PITCHES = 3
BOARD_BUDGET = 200_000  # runs held on all boards together, some 40 MB; the board not asked for longest goes first
ORDER_BUDGET = 4_000_000  # starting places held in all orders together, some 40 MB; then they are found anew

Choice = tuple[int | None, int | None]  # a category and a zone; None: any
Block = tuple[int, int, int]  # cost, first seat, number of seats; the smaller the better, ties go to the lower index


def seat_scores(plan: SeatingPlan) -> array[int]:
    """How far each seat is from the best place there could be: the middle of the stage's edge. Smaller is better.

    score = 100 × √(depth² + (1.5 × sideways)²) ÷ pitch, where depth is the distance in front of (or behind) the stage,
    sideways the distance from its middle, and pitch the usual distance between neighbours, which makes scores alike in
    plans of any scale. Centre and front come out first, and seats of equal worth lie on ellipses around the stage, as
    houses price them.
    """
    stage = plan.stage
    middle = (stage.left + stage.right) / 2
    unit = SCORE_UNIT / _pitch(plan)
    depths = {y: max(stage.top - y, y - stage.bottom, 0.0) for y in set(plan.y)}
    places = zip(plan.x, plan.y, strict=True)
    return array("q", [round(unit * math.hypot(depths[y], SIDEWAYS_WEIGHT * (x - middle))) for x, y in places])


def _pitch(plan: SeatingPlan) -> float:
    x, y = plan.x, plan.y
    steps = list(map(math.hypot, map(sub, x[1:], x), map(sub, y[1:], y)))  # from each seat to the one after it
    gaps = sorted(chain.from_iterable(steps[run.first : run.first + run.count - 1] for run in plan.runs))
    usual = gaps[len(gaps) // 2] if gaps else 0.0
    return usual or 1.0


def block_cost(score: int, lone_seats: int, quantity: int) -> int:
    """What a block costs whose seats' scores add up to `score` and which leaves `lone_seats` single seats beside it."""
    return score + lone_seats * LONE_SEAT_PITCHES * SCORE_UNIT * quantity


class FreeSeats:
    """The free seats of one schedule. `take` and `give` turn a bit and note where, and whatever follows from it is
    brought up to date when somebody asks; standing room is counted elsewhere."""

    def __init__(self, plan: SeatingPlan) -> None:
        self.plan = plan
        self.geometry = _Geometry(plan)
        self.free = [(1 << run.count) - 1 for run in plan.runs]  # bit k: the run's k-th seat is free
        self._run_of = plan.run_of
        self._first = self.geometry.first
        # By `_counted` changes, whose outcome for each run is in `_counted_free`:
        self._counts = dict.fromkeys(self.geometry.selections, 0)
        self._runs_with_free = 0  # bit r: run r has a free seat
        self._counted_free = [0] * len(plan.runs)
        self._counted = -1
        self._log: list[int] = []  # the runs that changed, oldest first
        self._log_start = 0  # how many changes were forgotten before the first in the log
        self._log_limit = 4 * len(plan.runs) + 1_000  # a board this far behind is built anew as fast
        self._boards: OrderedDict[tuple[int, int | None, int | None], _Board] = OrderedDict()
        self._on_boards = 0

    def is_free(self, index: int) -> bool:
        run = self._run_of[index]
        return bool(self.free[run] >> (index - self._first[run]) & 1)

    def take(self, index: int) -> None:
        """The seat is no longer free. It must have been."""
        run = self._run_of[index]
        bit = 1 << (index - self._first[run])
        assert self.free[run] & bit, f"seat {index} is taken already"
        self.free[run] ^= bit
        self._log.append(run)
        if len(self._log) > self._log_limit:
            self._forget()

    def give(self, index: int) -> None:
        """The seat is free again. It must not have been."""
        run = self._run_of[index]
        bit = 1 << (index - self._first[run])
        assert not self.free[run] & bit, f"seat {index} is free already"
        self.free[run] ^= bit
        self._log.append(run)
        if len(self._log) > self._log_limit:
            self._forget()

    @contextmanager
    def supposing(self, free: Iterable[int], taken: Iterable[int]) -> Iterator[None]:
        """Until the block ends, as if these seats (which are not) were free, and then those (which are) were not."""
        given, gone = list(free), list(taken)
        for index in given:
            self.give(index)
        for index in gone:
            self.take(index)
        try:
            yield
        finally:
            for index in gone:
                self.give(index)
            for index in given:
                self.take(index)

    def restore(self, states: bytes) -> None:
        """Exactly the seats whose state is 0 are free."""
        bits = states.translate(b"1" + 255 * b"0")
        self.free[:] = [int(bits[run.first : run.first + run.count][::-1], 2) for run in self.plan.runs]
        self._forget()

    def count(self, category: int | None = None, zone: int | None = None) -> int:
        """How many seats are free, of this category and in this zone where one is given."""
        self._recount()
        return self._counts.get((category, zone), 0)

    def longest_run(self, category: int | None = None, zone: int | None = None) -> int:
        """How many free seats there are side by side at most."""
        if not self.count(category, zone):
            return 0
        block = self._board(_LONGEST, category, zone).best(self)
        return block[2] if block else 0

    def best(
        self, quantity: int, category: int | None = None, zone: int | None = None, adjacent: bool = False
    ) -> tuple[int, ...] | None:
        """The best `quantity` free seats, in index order, or None if there are not enough.

        Side by side wherever that is possible at all: the cheapest block (`block_cost`). Where it is not, None if
        `adjacent`, else a split: as many as can sit side by side get the best block of that size, and the rest sit as
        near to it as can be. For them runs are searched outwards from the block in the plan's order, its own zone
        before all others, and in each run the largest block that serves is taken, until everybody sits.
        """
        assert quantity > 0, f"quantity {quantity} is not positive"
        if self.count(category, zone) < quantity:
            return None
        if block := self._board(quantity, category, zone).best(self):
            return tuple(range(block[1], block[1] + quantity))
        if adjacent:
            return None
        together = self.longest_run(category, zone)
        block = self._board(together, category, zone).best(self)
        assert block is not None, "the longest run holds a block of its own length"
        rest = self._nearby(block, quantity - together, self.geometry.selections[category, zone])
        return tuple(sorted([*range(block[1], block[1] + together), *rest]))

    def changed_since(self, seen: int) -> tuple[Collection[int] | None, int]:
        """The runs changed after the first `seen` changes (None: too long ago to tell), and the changes so far."""
        behind = seen - self._log_start
        return (set(self._log[behind:]) if behind >= 0 else None), self._log_start + len(self._log)

    def _forget(self) -> None:
        """Empties the log: whoever has not read it yet has to look at every run."""
        self._log_start += len(self._log) + 1
        self._log.clear()

    def _recount(self) -> None:
        if self._counted == self._log_start + len(self._log):
            return
        changed, self._counted = self.changed_since(self._counted)
        counts, shares = self._counts, self.geometry.shares
        for run in range(len(self.free)) if changed is None else changed:
            free, before = self.free[run], self._counted_free[run]
            if free == before:
                continue
            if not (free and before):
                self._runs_with_free ^= 1 << run
            for mask, choices in shares[run]:
                difference = (free & mask).bit_count() - (before & mask).bit_count()
                for choice in choices:
                    counts[choice] += difference
            self._counted_free[run] = free

    def _board(self, quantity: int, category: int | None, zone: int | None) -> _Board:
        key = (quantity, category, zone)
        board = self._boards.get(key)
        if board is None:
            board = self._boards[key] = _Board(quantity, self.geometry.selections[category, zone])
            self._on_boards += board.size
            while self._on_boards > BOARD_BUDGET and len(self._boards) > 1:
                _, oldest = self._boards.popitem(last=False)
                self._on_boards -= oldest.size
        self._boards.move_to_end(key)
        return board

    def _nearby(self, block: Block, rest: int, selection: _Selection) -> list[int]:
        """`rest` seats as near to the block as can be. There must be enough."""
        home = self.plan.run_of[block[1]]
        seats: list[int] = []
        for run in self._outwards(home, selection):
            mask, first = selection.masks[run], self._first[run]
            free = self.free[run]
            if run == home:
                free ^= _bits(block[1] - first, block[2])
            while rest and (length := _longest(free & mask)):
                size = min(rest, length)
                piece = self.geometry.best_block(run, free, mask, size)
                assert piece is not None, "a stretch of this length was just found"
                seats.extend(range(piece[1], piece[1] + size))
                free ^= _bits(piece[1] - first, size)
                rest -= size
            if not rest:
                break
        return seats

    def _outwards(self, home: int, selection: _Selection) -> Iterator[int]:
        """The selection's runs that have free seats: `home`, then the others of its zone, then the rest; in both the
        nearest in the plan's order first, and of two equally near the lower."""
        yield home
        wanted = self._runs_with_free & selection.runs
        own_zone = self.geometry.runs_in_zone[self.plan.runs[home].zone]
        for runs in (wanted & own_zone, wanted & ~own_zone):
            below, above = runs & _bits(0, home), runs >> (home + 1)
            while below or above:
                down = home - below.bit_length() + 1
                up = (above & -above).bit_length()
                if not above or (below and down <= up):
                    yield home - down
                    below ^= 1 << (home - down)
                else:
                    yield home + up
                    above ^= 1 << (up - 1)


_LONGEST = 0  # in place of a quantity: the board of the longest stretches


class _Board:
    """The best block of every run of a selection, in a heap. A run that changed is first put in with the least its best
    block can cost, and looked at only once that comes to the top: runs that cannot win are never looked at."""

    def __init__(self, quantity: int, selection: _Selection) -> None:
        self.quantity = quantity
        self.selection = selection
        self.size = len(selection.masks)
        self._seen = -1  # how many changes the entries take into account
        # (cost, first seat, run, the run's free seats), or, still to be looked at, (least cost, -1, run, its free
        # seats), which comes before all blocks of that cost; stale where other seats of the run are free by now
        self._entries: list[tuple[int, int, int, int]] = []

    def best(self, seats: FreeSeats) -> Block | None:
        self._catch_up(seats)
        entries = self._entries
        while entries:
            cost, seat, run, free = entries[0]
            if free != seats.free[run]:
                heappop(entries)
            elif seat >= 0:
                return cost, seat, self.quantity or -cost
            elif block := self._look(seats, run):
                heapreplace(entries, (block[0], block[1], run, free))
            else:
                heappop(entries)
        return None

    def _catch_up(self, seats: FreeSeats) -> None:
        changed, self._seen = seats.changed_since(self._seen)
        if changed is None:
            self._entries.clear()
            changed = self.selection.masks.keys()
        masks, entries, everywhere = self.selection.masks, self._entries, seats.free
        for run in changed:
            free = everywhere[run]
            count = (free & masks.get(run, 0)).bit_count()
            if count and count >= self.quantity:
                least = self.quantity * seats.geometry.floors[run] if self.quantity else -count
                heappush(entries, (least, -1, run, free))
        if len(entries) > 3 * self.size + 16:
            self._entries = list({entry for entry in entries if entry[3] == everywhere[entry[2]]})
            heapify(self._entries)

    def _look(self, seats: FreeSeats, run: int) -> Block | None:
        free, mask = seats.free[run], self.selection.masks[run]
        if self.quantity != _LONGEST:
            return seats.geometry.best_block(run, free, mask, self.quantity)
        length = _longest(free & mask)
        return (-length, seats.plan.runs[run].first, length) if length else None


@dataclass(slots=True)
class _Selection:
    """What a category and a zone, or neither, choose from the house."""

    masks: dict[int, int] = field(default_factory=dict)  # run → the bits of its seats that are meant
    runs: int = 0  # bit r: run r has such a seat


class _Geometry:
    """What does not change while seats are sold."""

    def __init__(self, plan: SeatingPlan) -> None:
        self._plan = plan
        scores = seat_scores(plan)
        self.first = [run.first for run in plan.runs]
        self._sums = array("q", accumulate(scores, initial=0))  # of the scores of all seats before this one
        self.floors = [min(scores[run.first : run.first + run.count]) for run in plan.runs]  # no seat scores better
        self._orders: dict[tuple[int, int], array[int]] = {}
        self._in_orders = 0
        self.runs_in_zone = [0] * len(plan.zones)
        self.selections: dict[Choice, _Selection] = defaultdict(_Selection)
        # Per run: some of its seats, and the choices that mean just these of them: what `FreeSeats` counts.
        self.shares: list[list[tuple[int, tuple[Choice, ...]]]] = []
        for number, run in enumerate(plan.runs):
            self.runs_in_zone[run.zone] |= 1 << number
            shares = self._shares_of(run)
            self.shares.append(shares)
            for mask, choices in shares:
                for choice in choices:
                    selection = self.selections[choice]
                    selection.masks[number] = mask
                    selection.runs |= 1 << number

    def _shares_of(self, run: Run) -> list[tuple[int, tuple[Choice, ...]]]:
        categories = self._plan.category_of[run.first : run.first + run.count]
        whole, here = (1 << run.count) - 1, ((None, None), (None, run.zone))
        if len(set(categories)) == 1:  # as a rule
            return [(whole, (*here, (categories[0], None), (categories[0], run.zone)))]
        shares: list[tuple[int, tuple[Choice, ...]]] = [(whole, here)]
        for category in set(categories):
            mask = sum(1 << k for k, other in enumerate(categories) if other == category)
            shares.append((mask, ((category, None), (category, run.zone))))
        return shares

    def best_block(self, run: int, free: int, mask: int, size: int) -> Block | None:
        """The cheapest place in a run where `size` of the seats in `mask` are free (all its free ones: `free`)."""
        starts = free & mask  # becomes, bit k: from the k-th seat on there are `reach` such seats
        reach = 1
        while reach < size and starts:
            step = min(reach, size - reach)
            starts &= starts >> step
            reach += step
        if not starts:
            return None
        first, sums = self._plan.runs[run].first, self._sums
        lone_before = (free << 1) & ~(free << 2)  # bit k: a block from k on would leave the seat before it single
        lone_after = (free >> size) & ~(free >> (size + 1))
        best: Block | None = None
        # In a house that is nearly full there is just one, as a rule.
        for k in self._order(run, size) if starts & (starts - 1) else (starts.bit_length() - 1,):
            if not starts >> k & 1:
                continue
            seat = first + k
            score = sums[seat + size] - sums[seat]
            if best and score > best[0]:
                break
            lone = (lone_before >> k & 1) + (lone_after >> k & 1)
            block = (block_cost(score, lone, size), seat, size)
            if best is None or block < best:
                best = block
            if not lone:
                break  # those that follow score no better, and none costs less than its score
        return best

    def _order(self, run: int, size: int) -> array[int]:
        """Where a block of `size` can start in a run, the best score first."""
        order = self._orders.get((run, size))
        if order is None:
            first, sums = self._plan.runs[run].first, self._sums
            starts = range(self._plan.runs[run].count - size + 1)
            ranked = sorted(starts, key=lambda k: sums[first + k + size] - sums[first + k])
            self._in_orders += len(ranked)
            if self._in_orders > ORDER_BUDGET:
                self._orders.clear()
                self._in_orders = len(ranked)
            order = self._orders[run, size] = array("H", ranked)
        return order


def _bits(start: int, count: int) -> int:
    return (1 << count) - 1 << start


def _longest(bits: int) -> int:
    """The length of the longest stretch of ones."""
    if not bits & bits >> 1:
        return int(bits > 0)
    return max(map(len, f"{bits:b}".split("0")))
