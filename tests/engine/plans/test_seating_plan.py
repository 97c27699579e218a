"""Seating plans: what a document becomes, and what is said about one that is wrong."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import plan_document
from engine.plan_document import read_plan
from engine.seating_plan import Area, Box, PlanError, PlanProblem, Row, SeatingPlan, SeatLabel


def seat(guid: str, x: float, category: str = "A", **extra: object) -> dict[str, Any]:
    return {"seat_guid": guid, "seat_number": guid[-1], "category": category, "position": {"x": x, "y": 0}, **extra}


def row(label: str, *seats: dict[str, Any], x: float = 0, y: float = 0) -> dict[str, Any]:
    return {"row_number": label, "position": {"x": x, "y": y}, "seats": list(seats)}


def document() -> dict[str, Any]:
    """Two zones: stalls of two rows, and a balcony of one row over standing room."""
    return {
        "name": "Small house",
        "size": {"width": 300, "height": 200},
        "categories": [{"name": "A", "color": "#ff0000"}, {"name": "B"}],
        "zones": [
            {
                "name": "Stalls",
                "zone_id": "stalls",
                "position": {"x": 100, "y": 10},
                "rows": [
                    row("1", seat("a1", 0), seat("a2", 10), seat("a3", 20), x=5),
                    row("2", seat("b1", 0), seat("b2", 10, "B"), x=5, y=20),
                ],
            },
            {
                "name": "Balcony",
                "position": {"x": 0, "y": 100},
                "rows": [row("1", seat("c1", 0))],
                "general_admission": [{"guid": "floor", "name": "Standing", "category": "B", "capacity": 40}],
            },
        ],
    }


def problems(plan: object) -> dict[str, str]:
    with pytest.raises(PlanError) as caught:
        read_plan(plan)
    return {problem.path: problem.message for problem in caught.value.problems}


# --- what a document becomes ------------------------------------------------------------------------------------------
def test_a_document_becomes_numbered_places() -> None:
    plan = read_plan(document())
    assert (plan.name, plan.size, plan.capacity) == ("Small house", 6, 46)
    assert plan.ids == ("a1", "a2", "a3", "b1", "b2", "c1", "floor")
    assert [plan.index[guid] for guid in plan.ids] == list(range(7))
    assert (plan.categories, plan.colors) == (("A", "B"), ("#ff0000", plan_document.DEFAULT_COLOR))
    assert (plan.zones, plan.zone_ids) == (("Stalls", "Balcony"), ("stalls", "Balcony"))
    assert plan.rows == (Row(0, "1", 0, 3), Row(0, "2", 3, 2), Row(1, "1", 5, 1))
    assert plan.zone_of.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert plan.category_of.tolist() == [0, 0, 0, 0, 1, 0, 1]
    assert plan.row_of.tolist() == [0, 0, 0, 1, 1, 2]
    assert plan.areas == (Area("floor", "Standing", 1, 1, 40),)


def test_positions_of_zone_row_and_seat_add_up() -> None:
    plan = read_plan(document())
    assert (plan.x[4], plan.y[4]) == (115, 30)
    assert (plan.x[5], plan.y[5]) == (0, 100)


def test_places_are_described_in_words() -> None:
    plan = read_plan(document())
    assert plan.describe(4) == SeatLabel("b2", "Stalls", "2", "2", "B")
    assert plan.describe(6) == SeatLabel("floor", "Balcony", "", "Standing", "B")
    assert plan.size == 6
    assert plan.area(6).capacity == 40


@pytest.mark.parametrize(
    ("text", "number"), [("stalls", 0), ("Stalls", 0), ("Balcony", 1), ("balcony", None), ("", None)]
)
def test_a_zone_is_found_by_id_or_name(text: str, number: int | None) -> None:
    assert read_plan(document()).zone_number(text) == number


def test_an_id_wins_over_another_zones_name() -> None:
    plan = document()
    plan["zones"][1]["zone_id"] = "Stalls"
    assert read_plan(plan).zone_number("Stalls") == 1


def test_zones_may_share_a_name_but_the_same_identity_is_one_zone() -> None:
    plan = document()
    plan["zones"][1] |= {"name": "Stalls", "zone_id": "upper"}
    assert read_plan(plan).zones == ("Stalls", "Stalls")
    plan["zones"][1]["zone_id"] = "stalls"
    assert read_plan(plan).zones == ("Stalls",)
    assert set(read_plan(plan).zone_of) == {0}


def test_a_category_is_found_by_name() -> None:
    plan = read_plan(document())
    assert (plan.category_number("B"), plan.category_number("b")) == (1, None)


def test_labels_replace_numbers_as_in_pretix() -> None:
    plan = document()
    plan["zones"][0]["rows"][0] |= {"row_label": "Loge %s"}
    plan["zones"][0]["rows"][0]["seats"][0] |= {"seat_label": "Sessel %s", "seat_number": 7}
    label = read_plan(plan).describe(0)
    assert (label.row, label.number) == ("Loge 1", "Sessel 7")


def test_standing_room_alone_is_a_plan() -> None:
    plan = document()
    plan["zones"] = [{"name": "Floor", "general_admission": plan["zones"][1]["general_admission"]}]
    parsed = read_plan(plan)
    assert (parsed.size, parsed.capacity, parsed.ids, parsed.rows, parsed.runs) == (0, 40, ("floor",), (), ())


def test_optional_and_unknown_parts_may_be_missing_or_odd() -> None:
    plan = document()
    del plan["size"]
    del plan["zones"][0]["position"]
    del plan["zones"][0]["rows"][0]["position"]
    plan["zones"][0]["rows"].append(row("empty"))
    plan["zones"][0]["areas"] = ["?", {"shape": []}, {"shape": "circle", "position": {"x": "?"}}, {"position": None}]
    plan["zones"][0]["rows"][0]["seats"][0]["radius"] = 10
    plan["editor"] = {"version": 3}
    parsed = read_plan(plan)
    assert (parsed.capacity, len(parsed.rows), parsed.x[0]) == (46, 3, 0)


# --- neighbours -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("xs", "runs"),
    [
        ([0, 10, 20, 30], [4]),
        ([0, 10, 20, 40, 50], [3, 2]),
        ([0, 10, 25, 35], [4]),
        ([0, 10, 30, 40, 60, 70], [2, 2, 2]),
        ([0, 30], [2]),
        ([5, 5, 5], [3]),
        ([50, 40, 20, 10, 0], [2, 3]),
        ([0], [1]),
    ],
    ids=["even", "aisle", "a little wider", "two aisles", "a pair", "no positions", "right to left", "one seat"],
)
def test_an_aisle_parts_neighbours(xs: list[float], runs: list[int]) -> None:
    plan = document()
    plan["zones"][0]["rows"][0]["seats"] = [seat(f"s{k}", x) for k, x in enumerate(xs)]
    parsed = read_plan(plan)
    assert parsed.rows[0].count == len(xs)
    assert [run.count for run in parsed.runs if run.first < len(xs)] == runs
    for number, run in enumerate(parsed.runs):
        assert set(parsed.run_of[run.first : run.first + run.count]) == {number}


def test_seats_listed_odd_then_even_are_put_in_order_along_the_row() -> None:
    plan = document()
    places = {"s1": 30, "s3": 20, "s5": 10, "s2": 40, "s4": 50, "s6": 60}
    plan["zones"][0]["rows"][0]["seats"] = [seat(guid, x) for guid, x in places.items()]
    parsed = read_plan(plan)
    assert parsed.ids[:6] == ("s5", "s3", "s1", "s2", "s4", "s6")
    assert parsed.runs[0].count == 6


def test_a_horseshoe_keeps_the_order_of_the_document() -> None:
    plan = document()
    around = [(0, 0), (0, 10), (0, 20), (10, 30), (20, 30), (30, 20), (30, 10), (30, -20)]
    seats = [seat(f"s{k}", 0) | {"position": {"x": x, "y": y}} for k, (x, y) in enumerate(around)]
    plan["zones"][0]["rows"][0]["seats"] = seats
    parsed = read_plan(plan)
    assert parsed.ids[:8] == tuple(f"s{k}" for k in range(8))
    assert [run.count for run in parsed.runs][:2] == [7, 1]


# --- the stage --------------------------------------------------------------------------------------------------------
RECTANGLE = {"shape": "rectangle", "position": {"x": 1, "y": 2}, "rectangle": {"width": 10, "height": 5}}


@pytest.mark.parametrize(
    ("drawings", "stage"),
    [
        ([], Box(62.5, 10, 62.5, 10)),
        ([RECTANGLE], Box(101, 12, 111, 17)),
        ([RECTANGLE, RECTANGLE], Box(62.5, 10, 62.5, 10)),
        ([RECTANGLE | {"text": {"text": "Bar"}}], Box(62.5, 10, 62.5, 10)),
        (
            [RECTANGLE, RECTANGLE | {"position": {"x": 0, "y": 0}, "text": {"text": "무대 STAGE"}}],
            Box(100, 10, 110, 15),
        ),
        ([{"shape": "circle", "position": {"x": 0, "y": 0}, "circle": {"radius": 5}}], Box(95, 5, 105, 15)),
        (
            [{"shape": "ellipse", "position": {"x": 0, "y": 0}, "ellipse": {"radius": {"x": 5, "y": 2}}}],
            Box(95, 8, 105, 12),
        ),
        ([{"width": 10, "height": 5, "position": {"x": 1, "y": 2}, "text": "Stage"}], Box(101, 12, 111, 17)),
    ],
    ids=["convention", "a pitch", "two shapes", "a bar", "named", "circle", "ellipse", "format of 2018"],
)
def test_the_house_looks_at_its_stage(drawings: list[dict[str, Any]], stage: Box) -> None:
    plan = document()
    plan["zones"][0]["areas"] = drawings
    assert read_plan(plan).stage == stage


# --- the digest -------------------------------------------------------------------------------------------------------
def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(list(value))} | {"unknown_key": 1}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


def test_equal_plans_have_equal_digests_whatever_the_order_of_keys_and_extras() -> None:
    plan = document()
    digest = read_plan(plan).digest
    assert read_plan(reversed_keys(plan)).digest == digest
    assert read_plan(json.loads(json.dumps(plan))).digest == digest
    plan["name"] = "Renamed"
    plan["categories"][0]["color"] = "#00ff00"
    assert read_plan(plan).digest == digest
    assert len(digest) == 64


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: plan["zones"][0]["rows"].reverse(),
        lambda plan: plan["zones"][0]["rows"][0]["seats"].pop(),
        lambda plan: plan["zones"][0]["rows"][0]["seats"][0].update(category="B"),
        lambda plan: plan["zones"][0]["rows"][0]["seats"][0].update(seat_number="9"),
        lambda plan: plan["zones"][0]["rows"][0]["seats"][0].update(seat_guid="z"),
        lambda plan: plan["zones"][0]["rows"][0].update(row_number="9"),
        lambda plan: plan["zones"][0]["position"].update(x=99),
        lambda plan: plan["zones"][0].update(zone_id="other"),
        lambda plan: plan["zones"][1]["general_admission"][0].update(capacity=41),
        lambda plan: plan["categories"].append({"name": "C"}),
    ],
    ids=["order", "seat gone", "category", "number", "guid", "row", "position", "zone", "capacity", "categories"],
)
def test_whatever_matters_to_selling_changes_the_digest(change: Any) -> None:
    plan = document()
    digest = read_plan(plan).digest
    change(plan)
    assert read_plan(plan).digest != digest


# --- what is wrong, and where -----------------------------------------------------------------------------------------
SEAT = "zones[0].rows[0].seats[1]"
AREA = "zones[1].general_admission[0]"
LIMIT = 1_000_000


def patched(path: str, value: object) -> Any:
    """The small house with one value replaced (removed: `...`). The path is written as in a problem."""
    plan: Any = document()
    target, keys = plan, path.replace("[", ".[").split(".")
    for i, key in enumerate(keys):
        place = int(key[1:-1]) if key.startswith("[") else key
        if i < len(keys) - 1:
            target = target[place]
        elif value is ...:
            del target[place]
        else:
            target[place] = value
    return plan


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("name", ..., "is missing"),
        ("name", 5, "must be a string"),
        ("name", " ", "must not be empty"),
        ("name", "x" * 201, "must not be longer than 200 characters"),
        ("name", "a\x00b", "must not contain control characters"),
        ("name", "\ud800", "must not contain control characters"),
        ("categories", ..., "is missing"),
        ("categories[0]", "A", "must be an object"),
        ("categories[0].color", 7, "must be a string"),
        ("zones", {}, "must be a list"),
        ("zones[0]", None, "must be an object"),
        ("zones[0].name", 5, "must be a string"),
        ("zones[0].zone_id", 5, "must be a string"),
        ("zones[0].position", 5, "must be an object"),
        ("zones[0].position.x", "5", f"must be a number between -{LIMIT} and {LIMIT}"),
        ("zones[0].rows", ..., "is missing"),
        ("zones[1].rows", "none", "must be a list"),
        ("zones[0].rows[1]", [], "must be an object"),
        ("zones[0].rows[1].row_number", ..., "is missing"),
        ("zones[0].rows[1].row_number", {}, "must be a string"),
        ("zones[0].rows[1].row_number", 10**400, "must be a string"),
        ("zones[0].rows[1].row_label", 5, "must be a string"),
        ("zones[0].rows[1].seats", ..., "is missing"),
        ("zones[0].rows[1].position", {"x": 1}, None),
        (SEAT, "a2", "must be an object"),
        (f"{SEAT}.seat_guid", ..., "is missing"),
        (f"{SEAT}.seat_guid", "", "must not be empty"),
        (f"{SEAT}.seat_guid", 12, "must be a string"),
        (f"{SEAT}.seat_guid", "a1", '"a1" is used already by zones[0].rows[0].seats[0]'),
        (f"{SEAT}.seat_number", ..., "is missing"),
        (f"{SEAT}.seat_number", True, "must be a string"),
        (f"{SEAT}.category", ..., "is missing"),
        (f"{SEAT}.category", ["A"], "must be a string"),
        (f"{SEAT}.category", "Z", 'category "Z" is not declared'),
        (f"{SEAT}.position", ..., "is missing"),
        (f"{SEAT}.position.y", float("nan"), f"must be a number between -{LIMIT} and {LIMIT}"),
        (f"{SEAT}.position.y", float("inf"), f"must be a number between -{LIMIT} and {LIMIT}"),
        (f"{SEAT}.position.y", 10**400, f"must be a number between -{LIMIT} and {LIMIT}"),
        (f"{SEAT}.position.x", True, f"must be a number between -{LIMIT} and {LIMIT}"),
        ("zones[1].general_admission", 5, "must be a list"),
        (AREA, 5, "must be an object"),
        (f"{AREA}.guid", ..., "is missing"),
        (f"{AREA}.guid", "b1", '"b1" is used already by zones[0].rows[1].seats[0]'),
        (f"{AREA}.name", ..., "is missing"),
        (f"{AREA}.category", "Z", 'category "Z" is not declared'),
        (f"{AREA}.capacity", ..., "is missing"),
        (f"{AREA}.capacity", 1.5, "must be a whole number"),
        (f"{AREA}.capacity", True, "must be a whole number"),
        (f"{AREA}.capacity", 0, "must be from 1 to 200000"),
        (f"{AREA}.capacity", -1, "must be from 1 to 200000"),
        (f"{AREA}.capacity", 10**12, "must be from 1 to 200000"),
    ],
)
def test_one_wrong_value_is_named_precisely(path: str, value: object, message: str | None) -> None:
    if message is None:
        path, message, value = f"{path}.y", f"must be a number between -{LIMIT} and {LIMIT}", ...
    assert problems(patched(path, value)) == {path: message}


@pytest.mark.parametrize("value", [None, 5, "plan", [], True])
def test_a_plan_is_an_object(value: object) -> None:
    assert problems(value) == {"": "must be an object"}


def test_a_category_is_declared_once() -> None:
    plan = document()
    plan["categories"].append({"name": "A"})
    assert problems(plan) == {"categories[2].name": 'category "A" is declared twice'}


@pytest.mark.parametrize("zones", [[], [{"name": "z", "rows": []}], [{"name": "z", "rows": [row("1")]}]])
def test_an_empty_plan_cannot_be_sold(zones: list[object]) -> None:
    assert problems(document() | {"zones": zones}) == {"zones": "the plan has no seat and no standing room"}


def test_all_problems_are_reported_together_in_the_order_of_the_document() -> None:
    plan = document()
    del plan["name"]
    plan["zones"][0]["rows"][0]["seats"][0]["category"] = "Z"
    plan["zones"][1]["general_admission"][0]["capacity"] = 0
    with pytest.raises(PlanError, match=r"name: is missing; zones\[0\].*") as caught:
        read_plan(plan)
    assert caught.value.problems == (
        PlanProblem("name", "is missing"),
        PlanProblem("zones[0].rows[0].seats[0].category", 'category "Z" is not declared'),
        PlanProblem(f"{AREA}.capacity", "must be from 1 to 200000"),
    )


def test_reading_stops_at_fifty_problems() -> None:
    plan = document()
    plan["zones"][0]["rows"][0]["seats"] = [{}] * 100_000
    assert len(problems(plan)) == 1  # too long for a row, which is not read at all
    plan["zones"][0]["rows"][0]["seats"] = [{}] * 500
    assert len(problems(plan)) == 50


def test_a_house_larger_than_any_is_refused() -> None:
    plan = document()
    plan["zones"][1]["general_admission"] *= 2
    plan["zones"][1]["general_admission"] = [
        {"guid": guid, "name": guid, "category": "A", "capacity": 100_000} for guid in ("x", "y")
    ]
    assert problems(plan) == {"zones[1].general_admission[1]": "the plan has more than 200000 places"}


@pytest.mark.parametrize(("key", "item"), [("zones", {"name": "z", "rows": []}), ("categories", {"name": "c"})])
def test_absurd_numbers_of_zones_and_categories_are_refused(key: str, item: dict[str, Any]) -> None:
    assert key in problems(document() | {key: [item] * 1_001})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
def test_whatever_stands_anywhere_a_plan_or_its_problems_come_out(data: st.DataObject) -> None:
    """No other exception, and never a plan whose parts contradict each other."""
    plan: Any = copy.deepcopy(document())
    target = plan
    while isinstance(target, dict | list) and target:
        place = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
        if not isinstance(target[place], dict | list) or data.draw(st.booleans()):
            target[place] = data.draw(json_values)
            break
        target = target[place]
    try:
        parsed = read_plan(plan)
    except PlanError as error:
        found = len(error.problems)
    else:
        assert_consistent(parsed)
        return
    assert 0 < found <= plan_document.MAX_PROBLEMS


def assert_consistent(parsed: SeatingPlan) -> None:
    assert len(parsed.ids) == len(parsed.index) == len(parsed.zone_of) == len(parsed.category_of)
    assert len(parsed.row_of) == len(parsed.run_of) == len(parsed.numbers) == len(parsed.x) == parsed.size
    assert parsed.capacity == parsed.size + sum(area.capacity for area in parsed.areas)
    assert sum(row.count for row in parsed.rows) == sum(run.count for run in parsed.runs) == parsed.size
    assert [parsed.describe(index).id for index in range(len(parsed.ids))] == list(parsed.ids)
