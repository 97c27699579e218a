"""Reports from other systems' trackers (docs/reports.md) about money and plans, tried on the rules of the sale."""

from __future__ import annotations

from typing import Any

import pytest

from engine import commands as c
from engine.booking import Booking, Status
from engine.plan_document import read_plan
from engine.refusals import Code, Refusal
from engine.seating_plan import PlanError
from engine.state import ScheduleState
from engine.turn import Request, execute
from tests.engine.plans.houses import ANN, BOB, DAY, NOW, opened, terms

MINUTE = 60_000


def send(state: ScheduleState, command: c.AnyCommand, after_ms: int = 0) -> Booking | Refusal:
    result = execute(state, Request("", command), NOW + after_ms).result
    assert isinstance(result, Booking | Refusal), result
    return result


def sold(state: ScheduleState, booking_id: str, customer: str, *seats: str) -> Booking:
    send(state, c.HoldSeats(booking_id, customer, seats))
    send(state, c.RequestPayment(booking_id, customer, f"p-{booking_id}", "sandbox"))
    booking = send(state, c.ApprovePayment(booking_id, f"p-{booking_id}", "ref"))
    assert isinstance(booking, Booking)
    return booking


def test_found_13_who_pays_after_the_hold_is_over_gets_no_seat_that_is_another_s() -> None:
    state = opened()
    send(state, c.HoldSeats("b1", ANN, ("A-1",)))
    send(state, c.HoldSeats("b2", BOB, ("A-1",)), 11 * MINUTE)
    late = send(state, c.RequestPayment("b1", ANN, "p1", "sandbox"), 12 * MINUTE)
    assert isinstance(late, Refusal)
    assert late.code is Code.BOOKING_EXPIRED
    assert state.bookings["b2"].status is Status.HELD


def test_found_14_money_taken_twice_goes_back_once_and_the_booking_stands() -> None:
    state = opened()
    send(state, c.HoldSeats("b1", ANN, ("A-1",)))
    send(state, c.RequestPayment("b1", ANN, "p1", "sandbox"))
    send(state, c.DeclinePayment("b1", "p1", "not_charged"))
    send(state, c.RequestPayment("b1", ANN, "p2", "sandbox"))
    send(state, c.ApprovePayment("b1", "p2", "ref-2"))
    back = c.ReturnPayment("b1", ANN, "p1", 150_000, "KRW", "sandbox", "ref-1", "f1")
    booking = send(state, back)
    assert isinstance(booking, Booking)
    assert (booking.status, [refund.amount for refund in booking.refunds]) == (Status.CONFIRMED, [150_000])
    again = send(state, back)
    assert isinstance(again, Refusal)
    assert again.code is Code.ALREADY_REFUNDED


def test_found_15_a_seat_given_back_brings_what_it_had_cost_not_what_it_costs_now() -> None:
    state = opened()
    sold(state, "b1", ANN, "A-1", "A-2")
    execute(state, Request("", c.ChangeTerms(terms(prices={"VIP": 999_000, "R": 90_000}))), NOW)
    booking = send(state, c.Refund("b1", ANN, "f1", "p-b1", ("A-1",)))
    assert isinstance(booking, Booking)
    assert booking.refunds[-1].amount == 150_000


def test_found_16_refunds_in_parts_come_to_the_whole_to_the_last_cent() -> None:
    state = opened(currency="USD", prices={"VIP": 2_500, "R": 99})
    sold(state, "b1", ANN, "A-1", "B-1")
    parts = [send(state, c.Refund("b1", ANN, f"f-{seat}", "p-b1", (seat,)), DAY) for seat in ("A-1", "B-1")]
    amounts = [part.refunds[-1].amount for part in parts if isinstance(part, Booking)]
    assert amounts == [2_500, 99]
    assert state.ended["b1"].status is Status.REFUNDED


def test_found_17_one_of_several_tickets_is_given_back_alone() -> None:
    state = opened()
    sold(state, "b1", ANN, "A-1", "A-2", "A-3")
    booking = send(state, c.Refund("b1", ANN, "f1", "p-b1", ("A-2",)))
    assert isinstance(booking, Booking)
    assert [state.plan.ids[index] for index in booking.seats] == ["A-1", "A-3"]
    assert booking.status is Status.PARTIALLY_REFUNDED


# --- plans ------------------------------------------------------------------------------------------------------------
def sports_hall() -> dict[str, Any]:
    """Block D of the Riethsporthalle in Erfurt, by the facts of its published plan: nine rows, the highest number at
    the top, some cut by aisles that its numbers run through; what the format does not know stands beside."""
    rows = {14: (7, 14, 7), **dict.fromkeys((13, 12, 11), (2, 20, 3)), **dict.fromkeys((10, 9, 8, 7), (20,)), 6: (10,)}
    return {
        "name": "Riethsporthalle Erfurt",
        "categories": [{"name": "Kategorie II", "color": "#1D3557"}],
        "size": {"width": 1050, "height": 1200},
        "zones": [
            {
                "zone_id": "D",
                "name": "Block D",
                "align_edge": "leading",
                "position": {"x": 0, "y": 0},
                "rows": [
                    {
                        "row_number": str(number),
                        "row_number_position": "both",
                        "section_break": False,
                        "segment_breaks": [3, 23],
                        "position": {"x": 0, "y": 40 * place},
                        "seats": [
                            {
                                "seat_guid": f"d-{number}-{seat}",
                                "seat_number": str(seat),
                                "position": {"x": 25 * (seat - 1), "y": 0},
                                "category": "Kategorie II",
                                "wheelchair": number == 6,
                            }
                            for seat in range(1, sum(parts) + 1)
                        ],
                    }
                    for place, (number, parts) in enumerate(rows.items())
                ],
            }
        ],
    }


def test_found_18_a_sports_hall_is_read_with_all_its_seats_whatever_else_stands_beside_them() -> None:
    plan = read_plan(sports_hall())
    assert (plan.size, plan.zones, len(plan.rows)) == (193, ("Block D",), 9)
    assert plan.describe(plan.index["d-13-23"]).row == "13"


def benches(category: str) -> dict[str, Any]:
    """Two tables of eight at beer benches, as a public generator lays them out: a table is a row, its seats face each
    other, and their ids have umlauts' neighbours in them: `Tisch1_Platz1`."""
    return {
        "name": "Beer benches",
        "categories": [{"name": category}] if category else [],
        "zones": [
            {
                "name": "Main",
                "zone_id": "Main",
                "position": {"x": 0, "y": 0},
                "areas": [
                    {"shape": "rectangle", "position": {"x": 50, "y": 40}, "rectangle": {"width": 60, "height": 95}}
                ],
                "rows": [
                    {
                        "row_number": str(table),
                        "position": {"x": 50 + 140 * (table - 1), "y": 50},
                        "seats": [
                            {
                                "seat_guid": f"Tisch{table}_Platz{seat}",
                                "seat_number": str(seat),
                                "position": {"x": 60 * (seat % 2 == 0), "y": (seat - 1) // 2 * 25},
                                "category": category,
                                "radius": 10,
                            }
                            for seat in range(1, 9)
                        ],
                    }
                    for table in (1, 2)
                ],
            }
        ],
    }


def test_found_19_seats_at_tables_are_read_and_a_group_sits_at_one_table() -> None:
    plan = read_plan(benches("Bench"))
    state = opened(plan, prices={"Bench": 12_000})
    booking = send(state, c.HoldBest("b1", ANN, 8))
    assert isinstance(booking, Booking)
    assert len({plan.describe(index).row for index in booking.seats}) == 1


def test_found_20_a_plan_whose_seats_have_no_category_is_refused_seat_by_seat() -> None:
    with pytest.raises(PlanError) as refused:
        read_plan(benches(""))
    paths = [problem.path for problem in refused.value.problems]
    assert paths[0] == "zones[0].rows[0].seats[0].category"
    assert len(paths) == 16
