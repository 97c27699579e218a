"""The demo venues: exact totals, and plans that look and sell like houses."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import pytest

from api.demo.venues import VENUES, DemoVenue
from engine.allocate import FreeSeats
from engine.plan_document import read_plan
from engine.seating_plan import SeatingPlan

every_venue = pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.seating_plan.__name__)


def plan_of(name: str) -> SeatingPlan:
    return next(read_plan(venue.seating_plan()) for venue in VENUES if venue.seating_plan.__name__ == name)


def seats_per_floor(plan: SeatingPlan) -> Counter[str]:
    return Counter(plan.zones[zone].split()[0] for zone in plan.zone_of[: plan.size])


def test_sejong_grand_theater_has_3022_seats_on_three_floors() -> None:
    plan = plan_of("sejong_grand_theater")
    assert (plan.size, plan.capacity) == (3_022, 3_022)
    assert seats_per_floor(plan) == {"1층": 1_550, "2층": 784, "3층": 688}
    assert "1F-A-12-7" in plan.index


def test_seoul_arts_center_opera_theater_has_2305_seats_in_stalls_and_four_balconies() -> None:
    plan = plan_of("seoul_arts_center_opera_theater")
    assert (plan.size, plan.capacity) == (2_305, 2_305)
    assert list(seats_per_floor(plan)) == ["1층", "발코니1", "발코니2", "발코니3", "발코니4"]


def test_the_arena_has_15000_places_3000_of_them_standing() -> None:
    plan = plan_of("arena")
    assert (plan.size, plan.capacity) == (12_000, 15_000)
    assert {area.id: area.capacity for area in plan.areas} == {
        "FLOOR-A": 900,
        "FLOOR-B": 900,
        "FLOOR-C": 600,
        "FLOOR-D": 600,
    }


@every_venue
def test_every_category_has_its_price_and_colour(venue: DemoVenue) -> None:
    plan = read_plan(venue.seating_plan())
    assert (plan.name, plan.capacity) == (venue.name, venue.capacity)
    assert set(plan.categories) == set(venue.prices) == {plan.categories[k] for k in plan.category_of}
    assert len(set(plan.colors)) == len(plan.colors)
    assert all(price > 0 for price in venue.prices.values())


@every_venue
def test_rows_are_unbroken_within_a_section_and_widen_towards_the_back(venue: DemoVenue) -> None:
    plan = read_plan(venue.seating_plan())
    assert len(plan.runs) == len(plan.rows)
    for before, row in pairwise(plan.rows):
        if row.zone == before.zone:
            assert row.count >= before.count - 1
    assert min(row.count for row in plan.rows) >= 4


@every_venue
def test_no_two_seats_are_drawn_on_top_of_each_other(venue: DemoVenue) -> None:
    plan = read_plan(venue.seating_plan())
    near: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for x, y in zip(plan.x, plan.y, strict=True):
        cell = int(x // 25), int(y // 25)
        around = [(cell[0] + dx, cell[1] + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        assert all(math.dist((x, y), other) > 20 for key in around for other in near.get(key, []))
        near.setdefault(cell, []).append((x, y))
    assert min(plan.x) > 0
    assert min(plan.y) > 0


@every_venue
def test_the_stage_is_clear_of_seats_and_in_the_middle(venue: DemoVenue) -> None:
    plan = read_plan(venue.seating_plan())
    stage = plan.stage
    assert stage.right - stage.left == pytest.approx(900)
    assert (stage.left + stage.right) / 2 == pytest.approx((min(plan.x) + max(plan.x)) / 2, abs=1)
    assert not any(
        stage.left <= x <= stage.right and stage.top <= y <= stage.bottom for x, y in zip(plan.x, plan.y, strict=True)
    )


def test_the_best_pair_of_a_theater_is_in_front_and_in_the_middle() -> None:
    plan = plan_of("sejong_grand_theater")
    pair = [plan.describe(seat) for seat in FreeSeats(plan).best(2) or ()]
    assert {label.category for label in pair} == {"VIP"}
    assert {label.row for label in pair} == {"1"}
    assert {label.zone for label in pair} <= {"1층 C", "1층 D"}


@every_venue
def test_a_plan_is_the_same_on_every_call(venue: DemoVenue) -> None:
    assert read_plan(venue.seating_plan()).digest == read_plan(venue.seating_plan()).digest
