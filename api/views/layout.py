"""A house as a page draws it: where its seats are and what they are called, in columns, once for all its dates.

A layout is made once a worker and kept by clients for good: a plan that is corrected has another. In columns, with each
position told as the step from the seat before, 15,000 seats are 16 kB compressed; as a list of objects they are 100.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from itertools import pairwise
from statistics import median

import msgspec

from engine.seating_plan import Area, Box, SeatingPlan

STEPS_PER_SEAT = 25  # from a seat to its neighbour: finer than a screen shows, small numbers on the wire
ROOM = 2.0  # seats' distances kept free around standing room
BAND = 0.12  # of the house's height: standing room in a house that has no free floor before the stage

Rectangle = tuple[int, int, int, int]  # left, top, right, bottom, in steps


class Layout:
    """A plan's layout. `digest` is of the very bytes, so an address that has it never answers anything else."""

    def __init__(self, plan: SeatingPlan) -> None:
        content = msgspec.json.encode(_content(plan))
        self.digest = blake2b(content, digest_size=16).hexdigest()
        self.body = b'{"digest":"%s",%s' % (self.digest.encode(), content[1:])


def _content(plan: SeatingPlan) -> dict[str, object]:
    step = _step(plan)
    boxes = _standing_room(plan, step * STEPS_PER_SEAT)
    return {
        "name": plan.name,
        "bounds": _rectangle(_bounds(plan, boxes), step),
        "stage": _rectangle(plan.stage, step),
        "categories": [{"name": n, "color": color} for n, color in zip(plan.categories, plan.colors, strict=True)],
        "zones": [{"id": i, "name": name} for i, name in zip(plan.zone_ids, plan.zones, strict=True)],
        "floors": floors(plan.zones),
        "rows": {
            "zone": [row.zone for row in plan.rows],
            "label": [row.label for row in plan.rows],
            "count": [row.count for row in plan.rows],
        },
        "runs": [run.count for run in plan.runs],
        "seats": {
            "id": plan.ids[: plan.size],
            "number": plan.numbers,
            "category": plan.category_of[: plan.size].tolist(),
            "x": _steps(plan.x, step),
            "y": _steps(plan.y, step),
        },
        "areas": [
            {
                "id": area.id,
                "name": area.name,
                "zone": area.zone,
                "category": area.category,
                "capacity": area.capacity,
                "box": _rectangle(box, step),
            }
            for area, box in zip(plan.areas, boxes, strict=True)
        ],
    }


def _step(plan: SeatingPlan) -> float:
    """How much of the plan's own measure one step is."""
    gaps = [
        math.hypot(plan.x[i + 1] - plan.x[i], plan.y[i + 1] - plan.y[i])
        for run in plan.runs
        for i in range(run.first, run.first + run.count - 1)
    ]
    usual = median(gaps) if gaps else 0.0
    # Two digits are enough, and a plan drawn in whole pixels stays in whole pixels.
    return float(f"{usual / STEPS_PER_SEAT:.2g}") if usual > 0 else 1.0


def _steps(positions: array[float], step: float) -> list[int]:
    """Each position less the one before it, the first as it is."""
    whole = [round(position / step) for position in positions]
    return [now - before for before, now in pairwise([0, *whole])]


def _rectangle(box: Box, step: float) -> Rectangle:
    return round(box.left / step), round(box.top / step), round(box.right / step), round(box.bottom / step)


def floors(zones: Iterable[str]) -> list[dict[str, object]]:
    """Zones whose names differ in their last word alone (`1층 A`, `1층 B`) are one floor. Empty where that is all."""
    names = list(zones)
    shared = Counter(name.rpartition(" ")[0] for name in names)
    of_floor: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        beginning = name.rpartition(" ")[0]
        of_floor.setdefault(beginning if beginning and shared[beginning] > 1 else name, []).append(number)
    if len(of_floor) < 2 or len(of_floor) == len(names):
        return []
    return [{"name": name, "zones": numbers} for name, numbers in of_floor.items()]


def _bounds(plan: SeatingPlan, boxes: Iterable[Box]) -> Box:
    around = [plan.stage, *boxes, *(Box(x, y, x, y) for x, y in zip(plan.x, plan.y, strict=True))]
    return Box(
        min(box.left for box in around),
        min(box.top for box in around),
        max(box.right for box in around),
        max(box.bottom for box in around),
    )


# --- standing room ----------------------------------------------------------------------------------------------------
def _standing_room(plan: SeatingPlan, pitch: float) -> list[Box]:
    """Where each standing area is drawn. The format gives it no place: it gets the free floor before the stage."""
    if not plan.areas:
        return []
    return _shared_out(plan.areas, _floor(plan, pitch * ROOM), pitch)


def _floor(plan: SeatingPlan, room: float) -> Box:
    """The largest rectangle without seats that begins at the stage's edge and lies around its middle."""
    middle, top = (plan.stage.left + plan.stage.right) / 2, plan.stage.bottom + room
    seats = sorted((y, abs(x - middle)) for x, y in zip(plan.x, plan.y, strict=True) if y > plan.stage.bottom)
    best, size = Box(middle, top, middle, top), (2 * room) ** 2
    half = max((dx for _, dx in seats), default=0.0)
    for y, dx in seats:
        free = Box(middle - half + room, top, middle + half - room, y - room)
        if (free.right - free.left) * (free.bottom - free.top) > size:
            best, size = free, (free.right - free.left) * (free.bottom - free.top)
        half = min(half, dx)
        if half <= room:
            break
    if best.right > best.left:
        return best
    around = _bounds(plan, ())
    height = max((around.bottom - around.top) * BAND, 8 * room)
    width = max(around.right - around.left, 16 * room)
    middle = (around.left + around.right) / 2
    return Box(middle - width / 2, around.bottom + room, middle + width / 2, around.bottom + room + height)


def _shared_out(areas: Iterable[Area], floor: Box, gap: float) -> list[Box]:
    """The floor divided by how many each area takes, row by row; the smallest can still be hit by a finger."""
    waiting = list(areas)
    least = max(area.capacity for area in waiting) / 4
    columns = math.ceil(math.sqrt(len(waiting)))
    rows = [waiting[start : start + columns] for start in range(0, len(waiting), columns)]
    shares = [[max(area.capacity, least) for area in row] for row in rows]
    whole = sum(sum(row) for row in shares)
    boxes: list[Box] = []
    top = floor.top
    for row in shares:
        bottom = top + (floor.bottom - floor.top) * sum(row) / whole
        left = floor.left
        for share in row:
            right = left + (floor.right - floor.left) * share / sum(row)
            boxes.append(Box(left + gap / 2, top + gap / 2, right - gap / 2, bottom - gap / 2))
            left = right
        top = bottom
    return boxes
