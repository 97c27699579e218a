"""From costs to machines: the arithmetic, on costs that are made up."""

from __future__ import annotations

import msgspec
import pytest

from loadtest.capacity.model import BUSY_SHARE, Cost, Costs, Crowd, cost_of, demand, owner_limit, parted

NOTHING = Cost()
COSTS = Costs(
    call=Cost(1_000, 500),
    commit=Cost(0, 100, 500),
    part=Cost(50, 50, 20),
    hold=Cost(100, 20, 10),
    refusal=Cost(80, 5),
    purchase=Cost(600, 60, 30),
    request=Cost(400, 0, 40),
    waiting_second=Cost(1),
    open_second=Cost(400),
    opening=Cost(1_000, 2_000, 500),
    schedule_kib=30,
    page_kib=25,
    idle_second=Cost(50_000, 10_000, 10_000),
    per_call=40,
    per_commit=50,
    machine_mib=700,
    connections=40,
)
CROWD = Crowd(buyers=1_000, seats=3_000)


@pytest.mark.parametrize(("calls", "few"), [(10, 500), (1, 2), (100, 101)])
def test_what_each_and_what_a_batch_of_them_costs_is_told_apart_by_two_loads(calls: int, few: int) -> None:
    each, batch = Cost(100, 20, 10), Cost(1_000, 500, 300)
    full = each * 4_000 + batch * calls
    other = each * 1_000 + batch * few
    found, found_batch = parted((4_000, calls, full), (1_000, few, other))
    assert (found.all, found_batch.all) == pytest.approx((each.all, batch.all))
    assert found.owner == pytest.approx(each.owner)


def test_costs_are_kept_apart_by_where_they_grow() -> None:
    seconds = {"API": 1.0, "mails": 0.5, "Redis": 0.25, "owner": 0.2, "PostgreSQL": 0.1}
    assert cost_of(seconds) == Cost(1_750_000, 200_000, 100_000)


def test_what_was_done_comes_to_the_sum_of_its_parts() -> None:
    assert COSTS.of({"hold": 10, "call": 2}) == Cost(3_000, 1_200, 100)
    assert COSTS.of({}) == NOTHING


def test_a_hundred_times_the_buyers_for_the_same_house_are_a_hundred_times_the_pages_and_no_more_bookings() -> None:
    few, many = Crowd(buyers=1_500, seats=3_000), Crowd(buyers=150_000, seats=3_000)
    assert few.bookings == many.bookings == 1_500
    costs = msgspec.structs.replace(COSTS, refusal=NOTHING, call=NOTHING)
    pages = {crowd.buyers: demand(crowd, costs).machines - demand(few, costs).machines for crowd in (few, many)}
    assert pages[150_000] == pytest.approx(148_500 * (400 + 3 * 400 / 60) / 1e6)


def test_where_there_are_seats_for_all_nobody_is_refused() -> None:
    refusals_cost_a_fortune = msgspec.structs.replace(COSTS, refusal=Cost(1e9))
    assert demand(CROWD, COSTS) == demand(CROWD, refusals_cost_a_fortune)


def test_machines_are_enough_for_the_cores_that_are_busy_and_not_one_more() -> None:
    needed = demand(msgspec.structs.replace(CROWD, buyers=100_000), COSTS)
    machines = needed.machines_of(16, COSTS)
    room = 16 * BUSY_SHARE - COSTS.idle_second.machines / 1e6
    assert (machines - 1) * room < needed.machines + needed.owner <= machines * room
    assert demand(CROWD, COSTS).machines_of(16, COSTS) == 1


def test_one_owner_s_limit_is_its_core() -> None:
    assert owner_limit(COSTS) == pytest.approx(0.7e6 / (20 + 500 / 40 + 100 / 50))
