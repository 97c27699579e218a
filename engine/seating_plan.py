"""The geometry of a house: every seat and standing area, numbered once and for ever.

`SeatingPlan.parse` reads the pretix seating-plan format (extended by `general_admission` for standing room) and either
returns a complete, consistent plan or raises `PlanError` with every place that is wrong. A plan never changes, so it is
shared freely. Seats are the indexes 0..size-1 in the document's order, standing area k is the index size+k; the journal
stores these indexes, and `digest` tells whether two documents number the same places in the same way.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from msgspec import Struct

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
    ids: tuple[str, ...]  # of every seat, then of every standing area
    index: Mapping[str, int]  # id → index
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

    def is_area(self, index: int) -> bool:
        return index >= self.size

    def area(self, index: int) -> Area:
        """The standing area with this plan index."""
        return self.areas[index - self.size]

    def describe(self, index: int) -> SeatLabel:
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
