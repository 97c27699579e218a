"""The geometry of a house: every seat and standing area, numbered once and for ever.

`SeatingPlan.parse` reads the pretix seating-plan format (extended by `general_admission` for standing room) and either
returns a complete, consistent plan or raises `PlanError` with every place that is wrong. A plan never changes, so it is
shared freely. Seats are the indexes 0..size-1 in the document's order, standing area k is the index size+k; the journal
stores these indexes, and `digest` tells whether two documents number the same places in the same way. A house whose
plan was corrected has several, each leading on to its `successor`; see `Difference`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from unicodedata import normalize

import msgspec
from msgspec import Struct

FREE, HELD, SOLD, BLOCKED = range(4)  # how a place stands
MAX_PROBLEMS = 50  # more than anybody reads; reading stops there


@dataclass(frozen=True, slots=True)
class PlanProblem:
    """One thing wrong with a document: where (`zones[0].rows[3].seats[2].seat_guid`) and what."""

    path: str
    message: str


class PlanError(ValueError):
    """The document is not a seating plan that can be sold."""

    def __init__(self, problems: Sequence[PlanProblem]) -> None:
        self.problems = tuple(problems)
        shown = "; ".join(f"{problem.path or 'plan'}: {problem.message}" for problem in self.problems[:3])
        super().__init__(shown + (f"; and {len(self.problems) - 3} more" if len(self.problems) > 3 else ""))


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is labelled in the house: `count` seats from index `first` on, in order along the row."""

    zone: int
    label: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of a row without an aisle: whoever sits on consecutive indexes here sits side by side."""

    zone: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Area:
    """Standing room: `capacity` places nobody can tell apart."""

    id: str
    name: str
    zone: int
    category: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in the plan's pixels; y grows away from the top of the drawing."""

    left: float
    top: float
    right: float
    bottom: float


class SeatLabel(Struct, frozen=True):
    """A place in words. A standing area has no row, and its name as its number."""

    id: str
    zone: str
    row: str
    number: str
    category: str


def index_of(ids: Sequence[str]) -> dict[str, int]:
    """Each id's place; also by its composed spelling, in which requests come: older plans were kept as they came."""
    index = {guid: i for i, guid in enumerate(ids)}
    for i, guid in enumerate(ids):
        if not guid.isascii():
            index.setdefault(normalize("NFC", guid), i)
    return index


def _place_of(name: str, names: Sequence[str]) -> int | None:
    """Where the name stands, however its letters are spelled."""
    if name in names:
        return names.index(name)
    return next((i for i, each in enumerate(names) if normalize("NFC", each) == name), None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeatingPlan:
    """An immutable plan. Two plans are the same for selling if their digests are equal."""

    name: str
    categories: tuple[str, ...]
    colors: tuple[str, ...]  # parallel to `categories`
    zones: tuple[str, ...]  # names; two zones may share one
    zone_ids: tuple[str, ...]  # unique; the name where the document gives no id
    size: int  # numbered seats
    capacity: int  # seats and standing places together
    ids: tuple[str, ...]  # of every seat, then of every standing area, then of what is gone
    index: Mapping[str, int]  # id → index, of what is there
    zone_of: array[int]  # per seat and area
    category_of: array[int]  # per seat and area
    row_of: array[int]  # per seat
    run_of: array[int]  # per seat
    rows: tuple[Row, ...]
    runs: tuple[Run, ...]
    numbers: tuple[str, ...]  # per seat
    x: array[float]  # per seat, absolute
    y: array[float]
    areas: tuple[Area, ...]
    stage: Box  # what the house looks at
    digest: str
    gone: tuple[
        SeatLabel, ...
    ] = ()  # places of earlier plans of the house, numbered after all others: nobody's any more
    number: int = 0  # how often the house's plan has been replaced before
    successor: SeatingPlan | None = None  # what it was replaced by, where whoever has read it knew of one

    def numbered(self, number: int) -> SeatingPlan:
        """This plan or one of those after it. Raises `LookupError` where that one is not known here."""
        plan: SeatingPlan | None = self
        while plan is not None and plan.number < number:
            plan = plan.successor
        if plan is None or plan.number > number:
            raise LookupError(f"the house has no plan {number} after plan {self.number}")
        return plan

    def leads_to(self, number: int) -> bool:
        """Whether `numbered` knows that one."""
        plan: SeatingPlan | None = self
        while plan is not None and plan.number < number:
            plan = plan.successor
        return plan is not None and plan.number == number

    def place(self, seat_id: str) -> int:
        """The index of a place, also of one that is gone. Raises `KeyError`."""
        index = self.index.get(seat_id)
        if index is not None:
            return index
        for number, label in enumerate(self.gone, start=len(self.zone_of)):
            if label.id == seat_id:
                return number
        raise KeyError(seat_id)

    def area(self, index: int) -> Area:
        """The standing area with this plan index."""
        return self.areas[index - self.size]

    def describe(self, index: int) -> SeatLabel:
        """What is told of the place with this plan index, also of one that is gone from a plan corrected since."""
        if index >= len(self.zone_of):
            return self.gone[index - len(self.zone_of)]
        zone = self.zones[self.zone_of[index]]
        category = self.categories[self.category_of[index]]
        if index >= self.size:
            return SeatLabel(self.ids[index], zone, "", self.area(index).name, category)
        return SeatLabel(self.ids[index], zone, self.rows[self.row_of[index]].label, self.numbers[index], category)

    def zone_number(self, text: str) -> int | None:
        """The zone with this id or, failing that, the first with this name."""
        found = _place_of(text, self.zone_ids)
        return _place_of(text, self.zones) if found is None else found

    def category_number(self, text: str) -> int | None:
        return _place_of(text, self.categories)

    def capacities(self) -> dict[str, int]:
        """How many places each category has, seats and standing room together."""
        counts = [self.category_of[: self.size].count(number) for number in range(len(self.categories))]
        for area in self.areas:
            counts[area.category] += area.capacity
        return dict(zip(self.categories, counts, strict=True))


# --- a house whose plan is corrected ----------------------------------------------------------------------------------
# A place is known by its id. It is the same place under another plan if it is called the same there, whatever its
# number and wherever it is drawn; one that is gone, or is called otherwise, must be nobody's. The ids of places that
# are gone stay known, after all others, for the bookings that ended on them.
class Difference(Struct, frozen=True):
    """What a house gains and loses by another plan, by the ids of its places."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[str, ...]  # in another zone, row or category, or with another number
    capacities: Mapping[str, tuple[int, int]]  # standing areas in both, that are larger or smaller from now on


def difference(before: SeatingPlan, after: SeatingPlan) -> Difference:
    """What of the places that anybody can have is another's, or nobody's, from now on."""
    capacity_of = {area.id: area.capacity for area in before.areas}
    return Difference(
        added=tuple(_there(after, without=before)),
        removed=tuple(_there(before, without=after)),
        renamed=tuple(
            seat_id
            for seat_id in _there(before)
            if (other := after.index.get(seat_id)) is not None
            and (
                before.describe(before.index[seat_id]) != after.describe(other)
                or (before.index[seat_id] < before.size) != (other < after.size)
            )
        ),
        capacities={
            area.id: (capacity_of[area.id], area.capacity)
            for area in after.areas
            if capacity_of.get(area.id, area.capacity) != area.capacity
        },
    )


def in_the_way(change: Difference, owned: Iterable[str]) -> tuple[str, ...]:
    """Those of the places that somebody has which the change would take away; a standing area where it gets too small.

    `owned` names a standing area once for each place in it.
    """
    lost = {*change.removed, *change.renamed}
    places = Counter(owned)
    return tuple(
        seat_id
        for seat_id, count in places.items()
        if seat_id in lost or (seat_id in change.capacities and count > change.capacities[seat_id][1])
    )


def successor(before: SeatingPlan, after: SeatingPlan) -> SeatingPlan:
    """`after` as the plan that takes the place of `before`: it knows what has gone."""
    labels = [before.describe(before.index[seat_id]) for seat_id in _there(before, without=after)]
    gone = (*(label for label in before.gone if label.id not in after.index), *labels)
    if not gone:
        return replace(after, number=before.number + 1)
    names = msgspec.msgpack.encode((after.digest, [label.id for label in gone]))
    return replace(
        after,
        number=before.number + 1,
        gone=gone,
        ids=(*after.ids, *(label.id for label in gone)),
        digest=blake2b(names, digest_size=32).hexdigest(),
    )


def renumbering(before: SeatingPlan, after: SeatingPlan) -> tuple[int, ...]:
    """The new number of each old one. What has been gone before may have gone for good, and is numbered last."""
    where = {seat_id: index for index, seat_id in enumerate(after.ids)}
    return tuple([where[seat_id] for seat_id in before.ids])


def carried(
    before: SeatingPlan, after: SeatingPlan, to: Sequence[int], seats: bytes | bytearray, areas: Sequence[Sequence[int]]
) -> tuple[bytearray, list[list[int]]]:
    """How every place stands under the other plan. Where standing room gets smaller, blocked places go first."""
    carried_seats = bytearray(after.size)
    for index, state in enumerate(seats):
        if to[index] < after.size:
            carried_seats[to[index]] = state
    carried_areas = [[area.capacity, 0, 0, 0] for area in after.areas]
    for position, counts in enumerate(areas):
        other = to[before.size + position] - after.size
        if 0 <= other < len(after.areas):
            capacity, held, sold = after.areas[other].capacity, counts[HELD], counts[SOLD]
            blocked = min(counts[BLOCKED], capacity - held - sold)
            carried_areas[other] = [capacity - held - sold - blocked, held, sold, blocked]
    return carried_seats, carried_areas


def _there(plan: SeatingPlan, without: SeatingPlan | None = None) -> Iterable[str]:
    """The ids of the places that are there, in the plan's order; those that another plan has, too, left out."""
    there = plan.ids[: len(plan.zone_of)]
    return there if without is None else (seat_id for seat_id in there if seat_id not in without.index)
