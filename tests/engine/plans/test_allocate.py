"""Best available: the fast index agrees with the naive one, and both do what a customer and a box office expect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import allocate
from engine.allocate import FreeSeats, seat_scores
from engine.plan_document import read_plan
from engine.seating_plan import SeatingPlan
from tests.engine.plans.naive_allocate import NaiveFreeSeats


def house(*zones: list[str]) -> SeatingPlan:
    """A plan drawn in text: a zone's rows from the front on, a letter a seat (its category), a blank an aisle."""
    drawn, y = [], 0
    for z, rows in enumerate(zones):
        listed: list[dict[str, Any]] = []
        for r, row in enumerate(rows):
            seats = [
                {"seat_guid": f"{z}-{r}-{k}", "seat_number": str(k), "category": c, "position": {"x": 10 * k, "y": 0}}
                for k, c in enumerate(row)
                if c != " "
            ]
            listed.append({"row_number": str(r), "position": {"x": 0, "y": y}, "seats": seats})
            y += 10
        drawn.append({"name": f"zone {z}", "position": {"x": 0, "y": 0}, "rows": listed})
    categories = [{"name": name, "color": "#000000"} for name in "ABC"]
    return read_plan({"name": "drawn", "categories": categories, "zones": drawn})


def free_seats(plan: SeatingPlan, *rows: str) -> FreeSeats:
    """The index in which just the seats drawn with a dot are free; rows as in `house`, zones one after another."""
    seats = FreeSeats(plan)
    marks = "".join(rows).replace(" ", "")
    assert len(marks) == plan.size
    for index, mark in enumerate(marks):
        if mark != ".":
            seats.take(index)
    return seats


# --- the fast one and the naive one -----------------------------------------------------------------------------------
rows_drawn = st.lists(st.text("AAAB ", min_size=1, max_size=12), min_size=1, max_size=4)
plans = (
    st.lists(rows_drawn, min_size=1, max_size=3)
    .filter(lambda zones: any(seat != " " for rows in zones for row in rows for seat in row))
    .map(lambda zones: house(*zones))
)
choices = st.sampled_from([None, 0, 1])
queries = st.tuples(st.integers(1, 14), choices, choices, st.booleans())


@given(data=st.data())
def test_fast_agrees_with_naive_whatever_was_taken_and_given(data: st.DataObject) -> None:
    plan = data.draw(plans)
    fast, free = FreeSeats(plan), set(range(plan.size))
    steps = st.one_of(queries, st.lists(st.integers(0, plan.size - 1), max_size=plan.size))
    for step in data.draw(st.lists(steps, min_size=1, max_size=12)):
        if isinstance(step, list):
            for index in step:
                (fast.take if index in free else fast.give)(index)
                free ^= {index}
            continue
        quantity, category, zone, adjacent = step
        naive = NaiveFreeSeats(plan, free)
        assert fast.count(category, zone) == naive.count(category, zone)
        assert fast.longest_run(category, zone) == naive.longest_run(category, zone)
        assert fast.best(quantity, category, zone, adjacent) == naive.best(quantity, category, zone, adjacent)


@given(plan=plans, query=queries, data=st.data())
def test_what_is_supposed_is_answered_as_if_it_were_so_and_leaves_nothing_behind(
    plan: SeatingPlan, query: tuple[int, int | None, int | None, bool], data: st.DataObject
) -> None:
    taken = data.draw(st.sets(st.integers(0, plan.size - 1)))
    turned = data.draw(st.sets(st.integers(0, plan.size - 1)))
    seats = FreeSeats(plan)
    for index in taken:
        seats.take(index)
    before = list(seats.free)
    with seats.supposing(turned & taken, turned - taken):
        free = set(range(plan.size)) - (taken ^ turned)
        assert seats.best(*query) == NaiveFreeSeats(plan, free).best(*query)
    assert seats.free == before
    assert seats.best(*query) == NaiveFreeSeats(plan, set(range(plan.size)) - taken).best(*query)


@given(plan=plans, query=queries, data=st.data())
def test_the_answer_depends_on_the_free_seats_only(
    plan: SeatingPlan, query: tuple[int, int | None, int | None, bool], data: st.DataObject
) -> None:
    """Whatever a copy went through, and in whatever order, it answers like one made from what is free now."""
    taken = data.draw(st.sets(st.integers(0, plan.size - 1)))
    passing = data.draw(st.lists(st.integers(0, plan.size - 1).filter(lambda i: i not in taken), unique=True))
    lived, rebuilt = FreeSeats(plan), FreeSeats(plan)
    for index in passing:
        lived.take(index)
    lived.best(*query)
    for index in data.draw(st.permutations(sorted(taken))):
        lived.take(index)
    for index in data.draw(st.permutations(passing)):
        lived.give(index)
    for index in sorted(taken):
        rebuilt.take(index)
    assert lived.best(*query) == rebuilt.best(*query)


@given(plan=plans, queries=st.lists(queries, min_size=1, max_size=20))
def test_a_house_sells_out_to_the_last_seat(
    plan: SeatingPlan, queries: list[tuple[int, int | None, int | None, bool]]
) -> None:
    """Every group gets its seats while they last, all or none, never a taken one; single buyers get what is left."""
    seats, free = FreeSeats(plan), set(range(plan.size))
    for quantity, category, zone, adjacent in [*queries, *[(1, None, None, False)] * plan.size]:
        enough = seats.count(category, zone) >= quantity
        block = seats.best(quantity, category, zone, adjacent)
        assert (block is not None) == (enough and (not adjacent or seats.longest_run(category, zone) >= quantity))
        for index in block or ():
            assert index in free
            free.remove(index)
            seats.take(index)
        assert block is None or len(block) == quantity
    assert not free
    assert seats.best(1) is None
    assert seats.count() == seats.longest_run() == 0


def test_boards_dropped_for_want_of_room_and_changes_forgotten_never_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocate, "BOARD_BUDGET", 5)
    monkeypatch.setattr(allocate, "ORDER_BUDGET", 5)
    plan = house(["AAAAAAAA", "AAAA BBBB"], ["BBBBBBBB"])
    fast, free = FreeSeats(plan), set(range(plan.size))
    for turn in range(1_500):
        index = turn * 7 % plan.size
        (fast.take if index in free else fast.give)(index)
        free ^= {index}
        if turn % 50 == 0 or 1_000 < turn < 1_050:
            quantity, category = turn % 4 + 1, (None, 0, 1)[turn % 3]
            assert fast.best(quantity, category) == NaiveFreeSeats(plan, free).best(quantity, category)


# --- what customers expect --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rows", "quantity", "expected"),
    [
        (["AAAAAAA"], 1, {3}),
        (["AAAAAAA"], 3, {2, 3, 4}),
        (["AAAAAAA", "AAAAAAA"], 2, {2, 3}),
        (["AAA AAA"], 2, {1, 2}),
        (["AAAAAA", "AAAAAA"], 1, {2}),
    ],
    ids=["centre", "centre of a block", "front before back", "never across an aisle", "tie: lower index"],
)
def test_an_empty_house_gives_its_front_and_centre(rows: list[str], quantity: int, expected: set[int]) -> None:
    assert set(FreeSeats(house(rows)).best(quantity) or ()) == expected


def test_a_middle_seat_farther_back_beats_the_end_of_the_first_row() -> None:
    scores = seat_scores(house(["A" * 21] * 10))
    assert scores[9 * 21 + 10] < scores[0]


def test_scores_do_not_depend_on_the_scale_of_the_drawing() -> None:
    def plan(scale: float) -> SeatingPlan:
        rows = [
            {
                "row_number": str(r),
                "position": {"x": 0, "y": r * 10 * scale},
                "seats": [
                    {
                        "seat_guid": f"{r}-{k}",
                        "seat_number": "",
                        "category": "A",
                        "position": {"x": k * scale * 8, "y": 0},
                    }
                    for k in range(9)
                ],
            }
            for r in range(4)
        ]
        return read_plan({"name": "p", "categories": [{"name": "A"}], "zones": [{"name": "z", "rows": rows}]})

    assert seat_scores(plan(1)) == seat_scores(plan(4))


@pytest.mark.parametrize(
    ("free", "quantity", "expected"),
    [
        ("....x....", 2, {2, 3}),
        ("xx...xxxx", 2, {3, 4}),
        ("x..x.xxxx", 1, {4}),
        ("x...x..xx", 2, {5, 6}),
        ("x...xxxxx", 2, {2, 3}),
        (".....xxxx", 3, {2, 3, 4}),
    ],
    ids=[
        "two and two is fine",
        "one is left alone if need be",
        "a lone seat goes to a single buyer",
        "a gap that fits before a nearer one that does not",
        "never refused because of a lone seat",
        "two left together is no lone seat",
    ],
)
def test_lone_seats_are_avoided_but_never_a_reason_to_refuse(free: str, quantity: int, expected: set[int]) -> None:
    seats = free_seats(house(["A" * len(free)]), free)
    assert set(seats.best(quantity, adjacent=True) or ()) == expected


def test_a_lone_seat_is_left_rather_than_sending_a_pair_to_the_far_end() -> None:
    """Only three free seats in front, room in the twentieth row: the pair stays in front."""
    plan = house(["AAA", *["AAAA"] * 19])
    seats = free_seats(plan, "...", *["xxxx"] * 18, "....")
    assert {plan.row_of[seat] for seat in seats.best(2) or ()} == {0}


@pytest.mark.parametrize(
    ("free", "quantity", "expected"),
    [
        (["..x..", "xxxxx"], 4, {0, 1, 3, 4}),
        (["x..xx", "xxxxx", "....x", "x.xxx"], 5, {10, 11, 12, 13, 16}),
        (["xx.xx", "xxxxx", "x...x", ".xxxx", "..xxx"], 5, {11, 12, 13, 15, 2}),
        ([".x.x.", "x.x.x"], 5, {0, 2, 4, 6, 8}),
        (["xxx..", "xxxxx", "xx.xx"], 3, {3, 4, 12}),
    ],
    ids=["same row", "nearest row", "both rows around it", "all alone, all served", "over a full row"],
)
def test_a_group_that_cannot_sit_together_is_split_as_little_as_possible(
    free: list[str], quantity: int, expected: set[int]
) -> None:
    seats = free_seats(house(["A" * len(row) for row in free]), *free)
    assert seats.best(quantity, adjacent=True) is None
    assert set(seats.best(quantity) or ()) == expected


def test_a_split_stays_in_its_zone_while_it_can() -> None:
    plan = house(["AAA", "AAA"], ["AAA"])
    seats = free_seats(plan, "x.x", "...", "x..")
    # The rows before and after the three are equally near, but the one after them is in another zone.
    assert seats.best(4) == (1, 3, 4, 5)
    assert seats.best(5) == (1, 3, 4, 5, 7)


def test_rows_of_a_larger_group_lie_behind_each_other() -> None:
    plan = house(["A" * 6] * 10)
    rows = sorted(plan.row_of[seat] for seat in FreeSeats(plan).best(20) or ())
    assert rows == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 2


def test_filters_choose_by_category_and_zone() -> None:
    plan = house(["BBAABB", "BBBB"], ["AABB"])
    seats = FreeSeats(plan)
    assert (seats.count(), seats.count(0), seats.count(1), seats.count(0, 1), seats.count(2)) == (14, 4, 10, 2, 0)
    assert seats.best(1, 0) == (2,)
    assert plan.zone_of[(seats.best(1, 0, 1) or (-1,))[0]] == 1
    assert seats.best(2, 1) == (8, 9)
    assert seats.best(2, 1, 1) == (12, 13)
    assert seats.longest_run(1) == 4
    assert seats.longest_run(0, 1) == 2
    assert seats.best(5, 0) is None
    assert seats.best(1, 2) is None
    assert seats.best(1, 0, 7) is None
    assert seats.longest_run(2) == seats.longest_run(None, 7) == 0


def test_a_plan_of_standing_room_alone_has_no_seat_to_give() -> None:
    floor = {"guid": "floor", "name": "Floor", "category": "A", "capacity": 10}
    zone = {"name": "z", "general_admission": [floor]}
    seats = FreeSeats(read_plan({"name": "p", "categories": [{"name": "A"}], "zones": [zone]}))
    assert seats.count() == 0
    assert seats.best(1) is None


def test_taking_a_taken_seat_or_giving_a_free_one_is_a_bug() -> None:
    seats = FreeSeats(house(["AA"]))
    with pytest.raises(AssertionError):
        seats.give(0)
    seats.take(0)
    assert not seats.is_free(0)
    with pytest.raises(AssertionError):
        seats.take(0)
    with pytest.raises(AssertionError):
        seats.best(0)
