"""The layout of a house: everything its plan says, in few bytes, and room to stand where nobody sits."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

import cramjam
import pytest

from api.demo.venues import arena, sejong_grand_theater, seoul_arts_center_opera_theater
from api.views.layout import STEPS_PER_SEAT, Layout, floors
from engine.plan_document import read_plan
from engine.seating_plan import SeatingPlan

HOUSES = {
    "sejong": read_plan(sejong_grand_theater()),
    "opera": read_plan(seoul_arts_center_opera_theater()),
    "arena": read_plan(arena()),
}


def read(plan: SeatingPlan) -> dict[str, Any]:
    layout: dict[str, Any] = json.loads(Layout(plan).body)
    return layout


def standing(capacity: int, guid: str) -> dict[str, Any]:
    return {"guid": guid, "name": guid, "category": "A", "capacity": capacity}


def plan_of(*rows: list[tuple[float, float]], areas: list[dict[str, Any]] | None = None) -> SeatingPlan:
    seats = [
        {
            "row_number": str(number),
            "seats": [
                {"seat_guid": f"{number}-{i}", "seat_number": str(i), "category": "A", "position": {"x": x, "y": y}}
                for i, (x, y) in enumerate(row)
            ],
        }
        for number, row in enumerate(rows)
    ]
    zone = {"name": "Z", "rows": seats, "general_admission": areas or []}
    return read_plan({"name": "P", "categories": [{"name": "A", "color": "#000000"}], "zones": [zone]})


@pytest.mark.parametrize("house", HOUSES)
def test_a_layout_says_of_every_seat_what_the_plan_says(house: str) -> None:
    plan = HOUSES[house]
    layout = read(plan)
    seats, rows = layout["seats"], layout["rows"]
    assert seats["id"] == list(plan.ids[: plan.size])
    row_of = [row for row, count in enumerate(rows["count"]) for _ in range(count)]
    for index in range(0, plan.size, 7):
        place = plan.describe(index)
        assert layout["zones"][rows["zone"][row_of[index]]]["name"] == place.zone
        assert rows["label"][row_of[index]] == place.row
        assert seats["number"][index] == place.number
        assert layout["categories"][seats["category"][index]]["name"] == place.category


@pytest.mark.parametrize("house", HOUSES)
def test_positions_come_back_to_half_a_step(house: str) -> None:
    plan = HOUSES[house]
    seats = read(plan)["seats"]
    for steps, positions in ((seats["x"], plan.x), (seats["y"], plan.y)):
        assert all(abs(a - b) <= 0.51 for a, b in zip(accumulate(steps), positions, strict=True))


@pytest.mark.parametrize("house", HOUSES)
def test_runs_are_the_engines(house: str) -> None:
    plan = HOUSES[house]
    assert read(plan)["runs"] == [run.count for run in plan.runs]
    assert list(accumulate((run.count for run in plan.runs), initial=0))[:-1] == [run.first for run in plan.runs]


@pytest.mark.parametrize(("house", "limit"), [("sejong", 8_000), ("opera", 8_000), ("arena", 25_000)])
def test_a_layout_is_small_enough_for_a_phone(house: str, limit: int) -> None:
    assert len(bytes(cramjam.brotli.compress(Layout(HOUSES[house]).body))) <= limit


@pytest.mark.parametrize("scale", [0.01, 1.0, 40.0])
def test_a_plan_in_any_measure_has_the_same_steps(scale: float) -> None:
    row = [(scale * 10 * i, scale * 30) for i in range(8)]
    assert read(plan_of(row))["seats"]["x"] == [0, *[STEPS_PER_SEAT] * 7]


def test_other_seats_and_other_colours_are_other_layouts() -> None:
    house = arena()
    before = Layout(read_plan(house)).digest
    house["categories"][0]["color"] = "#000000"  # type: ignore[index]  # a document of any shape
    assert Layout(read_plan(house)).digest != before
    assert Layout(HOUSES["arena"]).digest == before


# --- floors -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("zones", "found"),
    [
        (("1층 A", "1층 B", "2층 A", "2층 B"), {"1층": [0, 1], "2층": [2, 3]}),
        (("Floor", "Ring 1", "Ring 2"), {"Floor": [0], "Ring": [1, 2]}),
        (("1층 A", "1층 B"), {}),
        (("Stalls", "Circle"), {}),
        ((), {}),
    ],
)
def test_zones_whose_last_word_differs_are_a_floor(zones: tuple[str, ...], found: dict[str, list[int]]) -> None:
    assert {floor["name"]: floor["zones"] for floor in floors(zones)} == found


# --- standing room ----------------------------------------------------------------------------------------------------
def inside(box: list[int], x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def apart(a: list[int], b: list[int]) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.parametrize(
    "plan",
    [
        HOUSES["arena"],
        plan_of(*[[(x * 10, y * 10) for x in range(30)] for y in range(20)], areas=[standing(100, "S")]),
        plan_of(areas=[standing(100, "S"), standing(50, "T"), standing(1, "U")]),
    ],
    ids=["a floor before the stage", "no floor", "nothing but room to stand"],
)
def test_standing_room_is_where_no_seat_is(plan: SeatingPlan) -> None:
    layout = read(plan)
    boxes = [area["box"] for area in layout["areas"]]
    seats = list(zip(accumulate(layout["seats"]["x"]), accumulate(layout["seats"]["y"]), strict=True))
    for i, box in enumerate(boxes):
        assert box[2] - box[0] >= STEPS_PER_SEAT
        assert box[3] - box[1] >= STEPS_PER_SEAT
        assert not any(inside(box, x, y) for x, y in seats)
        assert all(apart(box, other) for other in boxes[:i])
        assert all(inside(layout["bounds"], x, y) for x, y in (box[:2], box[2:]))
