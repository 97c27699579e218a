"""Which seats are free, and which of them are the best.

`FreeSeats` answers "the best q seats" from the set of free seats alone: how that came to be (in which order seats were
taken and given, a replay, a snapshot) never shows, so every copy of a schedule answers alike. A group is all or
nothing, and a request is refused only if the seats are not there: leaving a lone seat behind is avoided, never a reason
to refuse.

What is better: see `seat_scores` (a seat), `LONE_SEAT_PITCHES` (a block), `FreeSeats.best` (a split).

How it is fast: free seats are one bit each, in one integer per run (a stretch of a row without an aisle), so the places
where q seats are free side by side come out of a few shifts. For every (quantity, category, zone) that is asked for, a
`_Board` keeps each run's best block in a heap; before answering it looks again only at runs that changed since its last
answer and could win. `tests/engine/naive_allocate.py` says the same in the slowest and plainest way, and must always
agree.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from itertools import accumulate, pairwise

from engine.seating_plan import SeatingPlan

# One seat to the side costs as much as one and a half towards the back: sight lines suffer faster at the edge of the
# stage than with distance, so in a hall of usual width the tenth row's middle beats the first row's end.
SIDEWAYS_WEIGHT = 1.5
SCORE_UNIT = 100  # scores are whole hundredths of the distance between two neighbours, so that sums are exact
# A block that leaves a single free seat beside it is as good as one without where everybody sits this many seats
# farther off: about three rows, which a group hardly notices, against a seat that mostly stays unsold.
LONE_SEAT_PITCHES = 3
BOARD_BUDGET = 200_000  # runs held on all boards together, some 40 MB; the board not asked for longest goes first
ORDER_BUDGET = 4_000_000  # starting places held in all orders together, some 40 MB; then they are found anew

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
    scores = array("q")
    for x, y in zip(plan.x, plan.y, strict=True):
        depth = max(stage.top - y, y - stage.bottom, 0.0)
        scores.append(round(unit * math.hypot(depth, SIDEWAYS_WEIGHT * (x - middle))))
    return scores


def _pitch(plan: SeatingPlan) -> float:
    gaps = sorted(
        math.hypot(plan.x[b] - plan.x[a], plan.y[b] - plan.y[a])
        for run in plan.runs
        for a, b in pairwise(range(run.first, run.first + run.count))
    )
    usual = gaps[len(gaps) // 2] if gaps else 0.0
    return usual or 1.0


def block_cost(score: int, lone_seats: int, quantity: int) -> int:
    """What a block costs whose seats' scores add up to `score` and which leaves `lone_seats` single seats beside it."""
    return score + lone_seats * LONE_SEAT_PITCHES * SCORE_UNIT * quantity


class FreeSeats:
    """The free seats of one schedule. `take` and `give` cost O(1); standing room is counted elsewhere."""

    def __init__(self, plan: SeatingPlan) -> None:
        self.plan = plan
        self.geometry = _Geometry(plan)
        self.free = [(1 << run.count) - 1 for run in plan.runs]  # bit k: the run's k-th seat is free
        self.changes = [0] * len(plan.runs)  # how often each run changed
        self._first = [run.first for run in plan.runs]
        self._runs_with_free = (1 << len(plan.runs)) - 1  # bit r: run r has a free seat
        self._counts = {
            choice: sum(mask.bit_count() for mask in selection.masks.values())
            for choice, selection in self.geometry.selections.items()
        }
        self._log: list[int] = []  # the runs that changed, oldest first
        self._log_start = 0  # how many changes were forgotten before the first in the log
        self._log_limit = 4 * len(plan.runs) + 1_000  # a board this far behind is built anew as fast
        self._boards: OrderedDict[tuple[int, int | None, int | None], _Board] = OrderedDict()
        self._on_boards = 0

    def is_free(self, index: int) -> bool:
        run = self.plan.run_of[index]
        return bool(self.free[run] >> (index - self._first[run]) & 1)

    def take(self, index: int) -> None:
        """The seat is no longer free. It must have been."""
        assert self.is_free(index), f"seat {index} is taken already"
        self._flip(index, -1)

    def give(self, index: int) -> None:
        """The seat is free again. It must not have been."""
        assert not self.is_free(index), f"seat {index} is free already"
        self._flip(index, 1)

    def count(self, category: int | None = None, zone: int | None = None) -> int:
        """How many seats are free, of this category and in this zone where one is given."""
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
        together = min(quantity, self.longest_run(category, zone))
        if together < quantity and adjacent:
            return None
        block = self._board(together, category, zone).best(self)
        assert block is not None, "the longest run holds a block of its own length"
        seats = list(range(block[1], block[1] + together))
        if together < quantity:
            seats += self._nearby(block, quantity - together, self.geometry.selections[category, zone])
        return tuple(sorted(seats))

    def changed_since(self, seen: int) -> tuple[set[int] | None, int]:
        """The runs changed after the first `seen` changes (None: too long ago to tell), and the changes so far."""
        behind = seen - self._log_start
        return (set(self._log[behind:]) if behind >= 0 else None), self._log_start + len(self._log)

    def _flip(self, index: int, difference: int) -> None:
        plan = self.plan
        run = plan.run_of[index]
        before = self.free[run]
        self.free[run] = after = before ^ 1 << (index - self._first[run])
        if not (before and after):
            self._runs_with_free ^= 1 << run
        self.changes[run] += 1
        if len(self._log) >= self._log_limit:
            self._log_start += len(self._log)
            self._log.clear()
        self._log.append(run)
        category, zone = plan.category_of[index], plan.zone_of[index]
        for choice in ((None, None), (category, None), (None, zone), (category, zone)):
            self._counts[choice] += difference

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
        # (cost, first seat, run, the run's number of changes then: stale if it has changed since); or, still to be
        # looked at, (least cost, -1, run, 0), which comes before all blocks of that cost
        self._entries: list[tuple[int, int, int, int]] = []
        self._unseen: set[int] = set()  # the runs still to be looked at

    def best(self, seats: FreeSeats) -> Block | None:
        self._catch_up(seats)
        entries = self._entries
        while entries:
            cost, seat, run, changes = entries[0]
            if seat >= 0 and changes == seats.changes[run]:
                return cost, seat, self.quantity or -cost
            if seat < 0:
                self._unseen.remove(run)
                if block := self._look(seats, run):
                    heapreplace(entries, (block[0], block[1], run, seats.changes[run]))
                    continue
            heappop(entries)
        return None

    def _catch_up(self, seats: FreeSeats) -> None:
        changed, self._seen = seats.changed_since(self._seen)
        masks, unseen, free = self.selection.masks, self._unseen, seats.free
        least = max(self.quantity, 1)
        if changed is None:
            self._entries.clear()
            unseen.clear()
            changed = set(masks)
        for run in changed:
            if run in masks and run not in unseen and (free[run] & masks[run]).bit_count() >= least:
                heappush(self._entries, (self._bound(seats, run), -1, run, 0))
                unseen.add(run)
        if len(self._entries) > 3 * self.size + 16:
            self._entries = [entry for entry in self._entries if entry[1] < 0 or entry[3] == seats.changes[entry[2]]]
            heapify(self._entries)

    def _bound(self, seats: FreeSeats, run: int) -> int:
        if self.quantity == _LONGEST:
            return -self.selection.masks[run].bit_count()
        return self.quantity * seats.geometry.floors[run]

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
        self._sums = array("q", accumulate(scores, initial=0))  # of the scores of all seats before this one
        self.floors = [min(scores[run.first : run.first + run.count]) for run in plan.runs]  # no seat scores better
        self._orders: dict[tuple[int, int], array[int]] = {}
        self._in_orders = 0
        self.runs_in_zone = [0] * len(plan.zones)
        self.selections: dict[tuple[int | None, int | None], _Selection] = defaultdict(_Selection)
        for number, run in enumerate(plan.runs):
            self.runs_in_zone[run.zone] |= 1 << number
            categories = plan.category_of[run.first : run.first + run.count]
            for category in set(categories):
                mask = sum(1 << k for k, other in enumerate(categories) if other == category)
                for choice in ((None, None), (category, None), (None, run.zone), (category, run.zone)):
                    selection = self.selections[choice]
                    selection.masks[number] = selection.masks.get(number, 0) | mask
                    selection.runs |= 1 << number

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
        for k in self._order(run, size):
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
    return max(map(len, f"{bits:b}".split("0")))
