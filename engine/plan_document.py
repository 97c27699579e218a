"""Reads the pretix seating-plan format (extended by `general_admission` for standing room) into a `SeatingPlan`.

A document is walked once; everything found wrong is noted with its path, so that an editor's author mends it in one go.
"""

from __future__ import annotations

import math
import unicodedata
from array import array
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import NoReturn, TypeGuard

import msgspec

from engine.seating_plan import MAX_PROBLEMS, Area, Box, PlanError, PlanProblem, Row, Run, SeatingPlan, index_of

MAX_PLACES = 200_000  # no hall or stadium on earth sells more
MAX_ZONES = 1_000
MAX_CATEGORIES = 1_000
MAX_SEATS_PER_ROW = 1_000  # the longest real rows have about 150
MAX_NAME_LENGTH = 200  # pretix allows 190 characters in its longest label
MAX_POSITION = 1_000_000.0  # pixels; beyond it single precision would blur the distance between two seats
DEFAULT_COLOR = "#888888"

# A gap this much wider than the row's usual one is an aisle: seats vary by ±20 %, an aisle is as wide as a seat.
AISLE_RATIO = 1.6
STAGE_WORDS = ("stage", "screen", "무대", "스크린", "bühne", "scène")


def unprintable(text: str) -> str | None:
    """What no store and no screen takes: control characters, halves of surrogate pairs."""
    clean = text.isprintable() or all(unicodedata.category(character) not in {"Cc", "Cs"} for character in text)
    return None if clean else "must not contain control characters"


def read_plan(
    document: object, *, row_labels: bool = True, fault: Callable[[str], str | None] = unprintable
) -> SeatingPlan:
    """Reads a pretix seating plan (a decoded JSON value). Raises `PlanError`.

    Without `row_labels` a row's `seat_label` is passed over, as it once was: the seats' names are part of the digest.
    `fault` says what is wrong with a name, if anything: the door asks more of new plans than old ones were asked.
    """
    return Reader(row_labels=row_labels, fault=fault).read(document)


class Reader:
    """Walks one document once. Everything found wrong is noted with its path; nothing half-read leaves this class."""

    def __init__(self, *, row_labels: bool, fault: Callable[[str], str | None]) -> None:
        self.row_labels = row_labels
        self.fault = fault
        self.problems: list[PlanProblem] = []
        self.categories: dict[str, int] = {}
        self.colors: list[str] = []
        self.all_declared = True
        self.zones: list[str] = []
        self.zone_ids: dict[str, int] = {}
        self.ids: list[str] = []
        self.where: dict[str, tuple[str, int]] = {}  # id → the list it stands in and its place there
        self.seat_zones = array("H")
        self.seat_categories = array("H")
        self.row_of = array("I")
        self.run_of = array("I")
        self.rows: list[Row] = []
        self.runs: list[Run] = []
        self.numbers: list[str] = []
        self.x = array("f")
        self.y = array("f")
        self.areas: list[Area] = []
        self.places = 0
        self.drawn: list[tuple[Box, str]] = []

    def read(self, document: object) -> SeatingPlan:
        """The plan. Raises `PlanError` with all that is wrong, up to `MAX_PROBLEMS`."""
        if not isinstance(document, dict):
            self.stop("", "must be an object")
        name = self.text(document, "name", "")
        self.read_categories(self.sequence(document, "categories", ""))
        zones = self.sequence(document, "zones", "")
        if len(zones) > MAX_ZONES:
            self.stop("zones", f"at most {MAX_ZONES} zones are allowed")
        for i, zone in enumerate(zones):
            self.read_zone(zone, f"zones[{i}]")
        if not self.places and not self.problems:
            self.problem("zones", "the plan has no seat and no standing room")
        if self.problems:
            raise PlanError(self.problems)
        return self.build(name)

    def build(self, name: str) -> SeatingPlan:
        """The plan of what was read, if nothing was wrong with it: seats in the document's order, then areas."""
        size = len(self.ids)
        zone_of, category_of = array("H", self.seat_zones), array("H", self.seat_categories)
        zone_of.extend(area.zone for area in self.areas)
        category_of.extend(area.category for area in self.areas)
        ids = (*self.ids, *(area.id for area in self.areas))
        stage = self.stage()
        return SeatingPlan(
            name=name,
            categories=tuple(self.categories),
            colors=tuple(self.colors),
            zones=tuple(self.zones),
            zone_ids=tuple(self.zone_ids),
            size=size,
            capacity=self.places,
            ids=ids,
            index=index_of(ids),
            zone_of=zone_of,
            category_of=category_of,
            row_of=self.row_of,
            run_of=self.run_of,
            rows=tuple(self.rows),
            runs=tuple(self.runs),
            numbers=tuple(self.numbers),
            x=self.x,
            y=self.y,
            areas=tuple(self.areas),
            stage=stage,
            digest=self.digest(stage),
        )

    def digest(self, stage: Box) -> str:
        """Of what selling depends on: places, labels, categories, geometry. Not of the plan's name and its colours."""
        content = (
            tuple(self.categories),
            self.zones,
            tuple(self.zone_ids),
            [(row.zone, row.label, row.first, row.count) for row in self.rows],
            self.ids,
            self.numbers,
            self.seat_categories.tolist(),
            self.x.tolist(),
            self.y.tolist(),
            [(area.id, area.name, area.zone, area.category, area.capacity) for area in self.areas],
            (stage.left, stage.top, stage.right, stage.bottom),
        )
        return blake2b(msgspec.msgpack.encode(content), digest_size=32).hexdigest()

    # --- the document's parts -----------------------------------------------------------------------------------------
    def read_categories(self, categories: list[object]) -> None:
        """Notes the categories by name, in the document's order, with their colours."""
        if len(categories) > MAX_CATEGORIES:
            self.stop("categories", f"at most {MAX_CATEGORIES} categories are allowed")
        for i, category in enumerate(categories):
            path = f"categories[{i}]"
            if not isinstance(category, dict):
                self.problem(path, "must be an object")
                continue
            name = self.text(category, "name", path)
            if name in self.categories:
                self.problem(f"{path}.name", f'category "{name}" is declared twice')
            elif name:
                self.categories[name] = len(self.categories)
                self.colors.append(self.text(category, "color", path, default=DEFAULT_COLOR))
        # Where the declaration itself is wrong, every seat would be blamed for it.
        self.all_declared = not any(problem.path.startswith("categories") for problem in self.problems)

    def read_zone(self, zone: object, path: str) -> None:
        """Takes in a zone's rows, areas and drawings; `path` is where it stands, for whoever is told of a problem."""
        if not isinstance(zone, dict):
            self.problem(path, "must be an object")
            return
        zone_id = self.text(zone, "zone_id", path, default="")
        name = self.text(zone, "name", path, default=zone_id or None)
        # The same identity twice is one zone drawn in two parts, as editors produce it.
        number = self.zone_ids.setdefault(zone_id or name, len(self.zone_ids))
        if number == len(self.zones):
            self.zones.append(name)
        x, y = self.position(zone, path, required=False)
        for i, row in enumerate(self.sequence(zone, "rows", path, required="general_admission" not in zone)):
            self.read_row(row, f"{path}.rows[{i}]", number, x, y)
        for i, area in enumerate(self.sequence(zone, "general_admission", path, required=False)):
            self.read_area(area, f"{path}.general_admission", i, number)
        drawings = zone.get("areas")
        if isinstance(drawings, list):
            self.drawn.extend(found for drawing in drawings if (found := _drawn(drawing, x, y)))

    def read_row(self, row: object, path: str, zone: int, zone_x: float, zone_y: float) -> None:
        """Takes in a row's seats, in their order along it, cut into runs where an aisle goes through."""
        if not isinstance(row, dict):
            self.problem(path, "must be an object")
            return
        label = self.label(row, "row_label", "row_number", path)
        x, y = self.position(row, path, required=False)
        x, y = zone_x + x, zone_y + y
        seats_path = f"{path}.seats"
        listed = self.sequence(row, "seats", path)
        if len(listed) > MAX_SEATS_PER_ROW:
            self.stop(seats_path, f"at most {MAX_SEATS_PER_ROW} seats are allowed in a row")
        # As in pretix: for all seats that say nothing else.
        shown = self.text(row, "seat_label", path, default="") if self.row_labels else ""
        seats = [
            found
            for i, seat in enumerate(listed)
            if (found := self.read_seat(seat, seats_path, i, x, y, shown)) is not None
        ]
        if not seats:
            return
        gaps = _gaps(seats)
        if _aisles(gaps):
            seats, gaps = _along(seats, gaps)
        first = len(self.ids)
        for guid, number, category, seat_x, seat_y in seats:
            self.ids.append(guid)
            self.numbers.append(number)
            self.seat_categories.append(category)
            self.x.append(seat_x)
            self.y.append(seat_y)
        self.seat_zones.extend([zone] * len(seats))
        self.row_of.extend([len(self.rows)] * len(seats))
        self.rows.append(Row(zone, label, first, len(seats)))
        ends = [*_aisles(gaps), len(seats)]
        for start, end in zip([0, *ends], ends, strict=False):
            self.run_of.extend([len(self.runs)] * (end - start))
            self.runs.append(Run(zone, first + start, end - start))

    def read_seat(self, seat: object, path: str, i: int, x: float, y: float, shown: str) -> _Seat | None:
        """The seat, or None with the problem noted. Paths are made only when something is wrong: this runs per seat."""
        if not isinstance(seat, dict):
            self.problem(f"{path}[{i}]", "must be an object")
            return None
        guid, named, at = seat.get("seat_guid"), seat.get("category"), seat.get("position")
        number = self.label(seat, "seat_label", "seat_number", path, i, shown)
        if not (isinstance(guid, str) and 0 < len(guid) <= MAX_NAME_LENGTH and self.fault(guid) is None):
            guid = self.text(seat, "seat_guid", f"{path}[{i}]")
        category = self.categories.get(named) if isinstance(named, str) else None
        if category is None:
            self.undeclared(seat, f"{path}[{i}]")
        if not isinstance(at, dict):
            at = {}
        dx, dy = at.get("x"), at.get("y")
        if not (_is_coordinate(dx) and _is_coordinate(dy)):
            self.position(seat, f"{path}[{i}]")
            return None
        if not self.admit(guid, path, i, "seat_guid", 1) or category is None:
            return None
        return guid, number, category, x + dx, y + dy

    def read_area(self, area: object, path: str, i: int, zone: int) -> None:
        """Takes in a standing area with its capacity."""
        here = f"{path}[{i}]"
        if not isinstance(area, dict):
            self.problem(here, "must be an object")
            return
        guid = self.text(area, "guid", here)
        name = self.text(area, "name", here)
        named = area.get("category")
        category = self.categories.get(named) if isinstance(named, str) else None
        if category is None:
            self.undeclared(area, here)
        capacity = area.get("capacity")
        if not isinstance(capacity, int) or isinstance(capacity, bool):
            self.problem(f"{here}.capacity", "is missing" if "capacity" not in area else "must be a whole number")
        elif not 1 <= capacity <= MAX_PLACES:
            self.problem(f"{here}.capacity", f"must be from 1 to {MAX_PLACES}")
        elif self.admit(guid, path, i, "guid", capacity) and category is not None:
            self.areas.append(Area(guid, name, zone, category, capacity))

    # --- values, each with the complaint it deserves ------------------------------------------------------------------
    def admit(self, guid: str, path: str, i: int, key: str, places: int) -> bool:
        """Count places under an id no other place has."""
        if not guid:
            return False
        if guid in self.where:
            other, place = self.where[guid]
            self.problem(f"{path}[{i}].{key}", f'"{guid}" is used already by {other}[{place}]')
            return False
        self.where[guid] = (path, i)
        self.places += places
        if self.places > MAX_PLACES:
            self.stop(f"{path}[{i}]", f"the plan has more than {MAX_PLACES} places")
        return True

    def undeclared(self, item: dict[str, object], path: str) -> None:
        name = self.text(item, "category", path)
        if name and self.all_declared:
            self.problem(f"{path}.category", f'category "{name}" is not declared')

    def text(self, item: dict[str, object], key: str, path: str, default: str | None = None) -> str:
        """A non-empty string, or "" with the problem noted. `default` stands in for one that is missing."""
        value = item.get(key)
        path = f"{path}.{key}" if path else key
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            self.problem(path, "is missing" if value is None else "must be a string")
        elif not value.strip():
            if default is not None:
                return default
            self.problem(path, "must not be empty")
        elif len(value) > MAX_NAME_LENGTH:
            self.problem(path, f"must not be longer than {MAX_NAME_LENGTH} characters")
        elif (fault := self.fault(value)) is not None:
            self.problem(path, fault)
        else:
            return value
        return ""

    def label(
        self, item: dict[str, object], label: str, number: str, path: str, i: int | None = None, shown: str = ""
    ) -> str:
        """What stands on the row or seat: its number, or its label, in which `%s` means the number (as in pretix).

        `shown` is the label of those that have none.
        """
        value, template = item.get(number), item.get(label) or shown
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_PLACES:
            value = str(value)  # hand-written plans do this
        if not template and isinstance(value, str) and len(value) <= MAX_NAME_LENGTH and self.fault(value) is None:
            return value
        here = path if i is None else f"{path}[{i}]"
        known = self.text({number: value}, number, here, default="" if template or value == "" else None)
        return self.text({label: template}, label, here, default=known).replace("%s", known)

    def position(self, item: dict[str, object], path: str, *, required: bool = True) -> tuple[float, float]:
        """Where an item is in what it lies in, in the document's units; (0, 0) with the problem noted, if not told."""
        at = item.get("position")
        if at is None and not required:
            return 0.0, 0.0
        if not isinstance(at, dict):
            self.problem(f"{path}.position", "is missing" if at is None else "must be an object")
            return 0.0, 0.0
        for key in ("x", "y"):
            if not _is_coordinate(at.get(key)):
                limit = int(MAX_POSITION)
                self.problem(f"{path}.position.{key}", f"must be a number between {-limit} and {limit}")
                return 0.0, 0.0
        return float(at["x"]), float(at["y"])

    def sequence(self, item: dict[str, object], key: str, path: str, *, required: bool = True) -> list[object]:
        """A list of the item's; an empty one with the problem noted, if it is none."""
        value = item.get(key)
        if isinstance(value, list):
            return value
        if value is not None or required:
            self.problem(f"{path}.{key}" if path else key, "is missing" if value is None else "must be a list")
        return []

    def problem(self, path: str, message: str) -> None:
        self.problems.append(PlanProblem(path, message))
        if len(self.problems) >= MAX_PROBLEMS:
            raise PlanError(self.problems)

    def stop(self, path: str, message: str) -> NoReturn:
        self.problem(path, message)
        raise PlanError(self.problems)

    # --- what the house looks at --------------------------------------------------------------------------------------
    def stage(self) -> Box:
        """The drawn area called a stage; else the only drawn shape if nothing is written on it (a pitch); else the
        middle of the drawing's upper edge, where editors put the stage by convention."""
        for box, text in self.drawn:
            if any(word in text.casefold() for word in STAGE_WORDS):
                return box
        if len(self.drawn) == 1 and not self.drawn[0][1].strip():
            return self.drawn[0][0]
        if not self.x:
            return Box(0.0, 0.0, 0.0, 0.0)
        middle, top = (min(self.x) + max(self.x)) / 2, min(self.y)
        return Box(middle, top, middle, top)


_Seat = tuple[str, str, int, float, float]  # id, number, category, x, y


def _is_coordinate(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and -MAX_POSITION <= value <= MAX_POSITION


def _gaps(seats: Sequence[_Seat]) -> list[float]:
    return [math.hypot(b[3] - a[3], b[4] - a[4]) for a, b in pairwise(seats)]


def _aisles(gaps: Sequence[float]) -> list[int]:
    """The places in the row before which an aisle lies."""
    if not gaps:
        return []
    usual = sorted(gaps)[(len(gaps) - 1) // 2]
    return [i for i, gap in enumerate(gaps, 1) if gap > AISLE_RATIO * usual]


def _along(seats: list[_Seat], gaps: list[float]) -> tuple[list[_Seat], list[float]]:
    """Order seats along the row: as the document has them, or from end to end where that is the shorter walk (odd and
    even numbers on different sides). Strongly curved rows keep the document's order, which is the shorter one there."""
    wide = max(seat[3] for seat in seats) - min(seat[3] for seat in seats)
    high = max(seat[4] for seat in seats) - min(seat[4] for seat in seats)
    axis = 3 if wide >= high else 4
    other = sorted(seats, key=lambda seat: seat[axis])
    other_gaps = _gaps(other)
    return (other, other_gaps) if sum(other_gaps) < sum(gaps) * 0.999 else (seats, gaps)


def _drawn(drawing: object, x: float, y: float) -> tuple[Box, str] | None:
    """A decoration's extent and text. Decoration is never a reason to refuse a plan, so anything odd is no drawing."""
    if not isinstance(drawing, dict) or not isinstance(at := drawing.get("position"), dict):
        return None
    shape = drawing.get("shape", "rectangle")
    form = drawing.get(shape) if isinstance(shape, str) else None
    if not isinstance(form, dict):
        form = drawing  # the format's first version had the extent here
    wide, high = form.get("width"), form.get("height")
    if shape != "rectangle":
        radius = form.get("radius")
        wide, high = (radius.get("x"), radius.get("y")) if isinstance(radius, dict) else (radius, radius)
    left, top = at.get("x"), at.get("y")
    if not (_is_coordinate(left) and _is_coordinate(top) and _is_coordinate(wide) and _is_coordinate(high)):
        return None
    text = drawing.get("text")
    words = text.get("text") if isinstance(text, dict) else text
    right, bottom = x + left + wide, y + top + high
    if shape != "rectangle":  # a circle's position is its centre
        left, top = left - wide, top - high
    return Box(x + left, y + top, right, bottom), words if isinstance(words, str) else ""
