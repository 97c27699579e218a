"""The demo season's venues as seating plans in the pretix format.

Names, cities, floors and the number of places are public facts (Sejong Center Grand Theater: 3,022 seats on three
floors; Seoul Arts Center Opera Theater: 2,305); the arena of 15,000 is invented after usual ones. How the seats are
divided into sections and rows is ours: drawn as such houses are, with curved rows that widen towards the back, exact in
the totals and not to be found the same on site. A plan is the same on every call, so it has the same digest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

SEAT_PITCH = 25.0  # pixels from seat to seat, as pretix's editor draws them; half a metre
ROW_PITCH = 45.0
AISLE = 45.0  # between two sections in a tier's first row, beyond the seats' own distance; it widens like the sections
MARGIN = 50.0

COLORS = {"VIP": "#8e24aa", "R": "#e53935", "S": "#fb8c00", "A": "#43a047", "B": "#1e88e5", "Standing": "#00acc1"}

Json = dict[str, object]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Band:
    """The price category of a section's rows up to this one."""

    category: str
    last_row: int


@dataclass(frozen=True, slots=True)
class Section:
    """A block of seats between two aisles, all its rows together."""

    name: str
    seats: int
    bands: tuple[Band, ...]

    def category(self, row: int) -> str:
        return next(band.category for band in self.bands if row <= band.last_row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A floor: its sections side by side, from left to right as seen by someone who looks at the stage's picture."""

    prefix: str  # of zone ids and seat ids: `1F-`
    name: str  # of the floor, before the section's: `1층 `
    rows: int
    radius: float  # of the first row's arc; a row's length, and with it its seats, grows with its radius
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Floor:
    """Standing room in front of the stage: area → capacity."""

    name: str
    category: str
    areas: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoVenue:
    """A venue to register: `seating_plan()` builds its plan; `prices` are a usual evening's, in won."""

    name: str
    city: str
    address: str
    capacity: int
    seating_plan: Callable[[], Json]
    prices: Mapping[str, int]


def _plan(name: str, tiers: Sequence[Tier], *, stage: tuple[float, float], floor: Floor | None = None) -> Json:
    """Draw the house around the centre of its arcs. `stage` gives its upper and lower edge as seen from there."""
    drawn = [(tier, section, rows) for tier in tiers for section, rows in _tier_rows(tier)]
    points = [point for _, _, rows in drawn for row in rows for point in row]
    half_width = max(abs(x) for x, _ in points) + MARGIN
    top = min(stage[0], *(y for _, y in points)) - MARGIN
    height = max(y for _, y in points) + MARGIN - top
    origin = (-half_width, top)
    zones = [_zone(tier, section, rows, origin) for tier, section, rows in drawn]
    if floor:
        zones.insert(0, _floor_zone(floor))
    zones[0]["areas"] = [_stage_area(stage, origin)]
    used = {band.category for tier in tiers for section in tier.sections for band in section.bands}
    used |= {floor.category} if floor else set()
    return {
        "name": name,
        "size": {"width": math.ceil(2 * half_width), "height": math.ceil(height)},
        "categories": [{"name": category, "color": color} for category, color in COLORS.items() if category in used],
        "zones": zones,
    }


def _tier_rows(tier: Tier) -> Iterator[tuple[Section, list[list[Point]]]]:
    """Every section with the places of its seats, row by row."""
    radii = [tier.radius + row * ROW_PITCH for row in range(tier.rows)]
    counts = [_shared_out(section.seats, radii) for section in tier.sections]
    starts = []  # where on its row's arc a section starts; the row's middle is straight in front of the stage
    for row, radius in enumerate(radii):
        aisle = AISLE * radius / tier.radius
        at = -(sum(count[row] for count in counts) * SEAT_PITCH + (len(counts) - 1) * aisle) / 2 + SEAT_PITCH / 2
        starts.append([at := at + width for width in [0.0, *(count[row] * SEAT_PITCH + aisle for count in counts)]])
    for number, section in enumerate(tier.sections):
        yield (
            section,
            [
                [_on_arc(radius, starts[row][number] + seat * SEAT_PITCH) for seat in range(counts[number][row])]
                for row, radius in enumerate(radii)
            ],
        )


def _shared_out(total: int, weights: Sequence[float]) -> list[int]:
    """Split a whole number in proportion to the weights, to the last seat."""
    whole, reached, parts = sum(weights), 0.0, []
    for weight in weights:
        before = round(total * reached / whole)
        reached += weight
        parts.append(round(total * reached / whole) - before)
    return parts


def _on_arc(radius: float, along: float) -> Point:
    return radius * math.sin(along / radius), radius * math.cos(along / radius)


def _zone(tier: Tier, section: Section, rows: Sequence[Sequence[Point]], origin: Point) -> Json:
    zone_id = f"{tier.prefix}{section.name}"
    return {
        "name": f"{tier.name}{section.name}",
        "zone_id": zone_id,
        "position": {"x": 0, "y": 0},
        "rows": [
            {
                "row_number": str(number),
                "position": _position(row[0], origin),
                "seats": [
                    {
                        "seat_guid": f"{zone_id}-{number}-{seat}",
                        "seat_number": str(seat),
                        "position": _position(point, row[0]),
                        "category": section.category(number),
                    }
                    for seat, point in enumerate(row, 1)
                ],
            }
            for number, row in enumerate(rows, 1)
        ],
    }


def _floor_zone(floor: Floor) -> Json:
    areas = [
        {"guid": f"FLOOR-{area}", "name": f"{floor.name} {area}", "category": floor.category, "capacity": capacity}
        for area, capacity in floor.areas.items()
    ]
    return {
        "name": floor.name,
        "zone_id": "FLOOR",
        "position": {"x": 0, "y": 0},
        "rows": [],
        "general_admission": areas,
    }


def _stage_area(stage: tuple[float, float], origin: Point) -> Json:
    width, height = 900.0, stage[1] - stage[0]
    return {
        "shape": "rectangle",
        "color": "#455a64",
        "border_color": "#263238",
        "rotation": 0,
        "position": _position((-width / 2, stage[0]), origin),
        "rectangle": {"width": width, "height": height},
        "text": {"position": {"x": width / 2, "y": height / 2}, "color": "#ffffff", "text": "무대 STAGE"},
    }


def _position(point: Point, origin: Point) -> Json:
    return {"x": round(point[0] - origin[0], 1), "y": round(point[1] - origin[1], 1)}


def _sections(names: str, seats: Sequence[int], bands: Sequence[tuple[Band, ...]]) -> tuple[Section, ...]:
    """Sections that mirror each other: `seats` and `bands` are given from the middle outwards."""
    middle = (len(names) - 1) / 2
    places = [math.floor(abs(place - middle)) for place in range(len(names))]
    return tuple(Section(name, seats[k], bands[k]) for name, k in zip(names, places, strict=True))


def sejong_grand_theater() -> Json:
    """세종문화회관 대극장: 3,022 seats on three floors, each of six sections, the aisle in the middle."""
    ground = (
        (Band("VIP", 16), Band("R", 26)),
        (Band("VIP", 8), Band("R", 18), Band("S", 26)),
        (Band("R", 10), Band("S", 26)),
    )
    first = ((Band("R", 4), Band("S", 12)), (Band("S", 8), Band("A", 12)), (Band("A", 12),))
    second = ((Band("A", 6), Band("B", 11)), (Band("A", 3), Band("B", 11)), (Band("B", 11),))
    tiers = (
        Tier(prefix="1F-", name="1층 ", rows=26, radius=1100, sections=_sections("ABCDEF", (310, 275, 190), ground)),
        Tier(prefix="2F-", name="2층 ", rows=12, radius=2400, sections=_sections("ABCDEF", (152, 140, 100), first)),
        Tier(prefix="3F-", name="3층 ", rows=11, radius=3050, sections=_sections("ABCDEF", (128, 124, 92), second)),
    )
    return _plan("세종문화회관 대극장 Sejong Center Grand Theater", tiers, stage=(550, 950))


def seoul_arts_center_opera_theater() -> Json:
    """예술의전당 오페라극장: 2,305 seats, the stalls (객석 1층) and four balconies behind and above each other."""
    stalls = (
        (Band("VIP", 15), Band("R", 24)),
        (Band("VIP", 8), Band("R", 20), Band("S", 24)),
        (Band("R", 12), Band("S", 24)),
    )
    balconies = (
        ((Band("R", 3), Band("S", 5)), (Band("R", 2), Band("S", 5)), (Band("S", 5),)),
        ((Band("S", 5),), (Band("S", 3), Band("A", 5)), (Band("A", 5),)),
        ((Band("A", 5),), (Band("A", 3), Band("B", 5)), (Band("B", 5),)),
        ((Band("B", 4),),) * 3,
    )
    tiers = (
        Tier(prefix="1F-", name="1층 ", rows=24, radius=1000, sections=_sections("ABCDE", (283, 228, 140), stalls)),
        Tier(
            prefix="B1-", name="발코니1 ", rows=5, radius=2150, sections=_sections("ABCDE", (96, 78, 60), balconies[0])
        ),
        Tier(
            prefix="B2-", name="발코니2 ", rows=5, radius=2450, sections=_sections("ABCDE", (90, 72, 56), balconies[1])
        ),
        Tier(
            prefix="B3-", name="발코니3 ", rows=5, radius=2750, sections=_sections("ABCDE", (86, 69, 53), balconies[2])
        ),
        Tier(
            prefix="B4-", name="발코니4 ", rows=4, radius=3050, sections=_sections("ABCDE", (62, 52, 36), balconies[3])
        ),
    )
    return _plan("예술의전당 오페라극장 Seoul Arts Center Opera Theater", tiers, stage=(450, 850))


def arena() -> Json:
    """An arena of 15,000: 12,000 seats in two rings around three sides, 3,000 places to stand before the stage."""
    rows = (15, 16)
    lower = [
        Section(str(101 + k), 240, (Band("R" if 4 <= k < 18 else "S", rows[0]),))  # the ends look along the stage
        for k in range(22)
    ]
    upper = [
        Section(str(201 + k), 280, (Band("S", 6), Band("A", rows[1])) if 5 <= k < 19 else (Band("B", rows[1]),))
        for k in range(24)
    ]
    tiers = (
        Tier(prefix="", name="1층 ", rows=rows[0], radius=2050, sections=tuple(lower)),
        Tier(prefix="", name="2층 ", rows=rows[1], radius=2900, sections=tuple(upper)),
    )
    floor = Floor("스탠딩 Standing", "Standing", {"A": 900, "B": 900, "C": 600, "D": 600})
    return _plan("한강 아레나 Hangang Arena", tiers, stage=(-1900, -1200), floor=floor)


VENUES: tuple[DemoVenue, ...] = (
    DemoVenue(
        name="세종문화회관 대극장 Sejong Center Grand Theater",
        city="서울 Seoul",
        address="세종대로 175 175 Sejong-daero",
        capacity=3_022,
        seating_plan=sejong_grand_theater,
        prices=MappingProxyType({"VIP": 170_000, "R": 140_000, "S": 110_000, "A": 80_000, "B": 60_000}),
    ),
    DemoVenue(
        name="예술의전당 오페라극장 Seoul Arts Center Opera Theater",
        city="서울 Seoul",
        address="남부순환로 2406 2406 Nambusunhwan-ro",
        capacity=2_305,
        seating_plan=seoul_arts_center_opera_theater,
        prices=MappingProxyType({"VIP": 190_000, "R": 150_000, "S": 120_000, "A": 80_000, "B": 40_000}),
    ),
    DemoVenue(
        name="한강 아레나 Hangang Arena",
        city="서울 Seoul",
        address="한강대로 1 1 Hangang-daero",
        capacity=15_000,
        seating_plan=arena,
        prices=MappingProxyType({"Standing": 165_000, "R": 165_000, "S": 143_000, "A": 121_000, "B": 99_000}),
    ),
)
