"""What booking systems have got wrong before: each failure in a test's name, the proof against it in its body."""

from __future__ import annotations

from engine import commands as c
from engine.booking import Booking, Status
from engine.refusals import Code, Refusal
from engine.state import FREE, ScheduleState
from engine.turn import Request, execute
from tests.engine.plans.houses import ANN, BOB, DAY, EVE, NOW, opened

AFTER_THE_HOLD = NOW + 600_000


def do(state: ScheduleState, request_id: str, command: c.AnyCommand, now_ms: int = NOW) -> object:
    return execute(state, Request(request_id, command), now_ms).result


def test_a_late_payment_does_not_take_the_seat_of_the_next_holder() -> None:
    state = opened()
    do(state, "1", c.HoldSeats("b1", ANN, ("A-1",)))
    do(state, "2", c.RequestPayment("b1", ANN, "p1", "sandbox"))
    do(state, "3", c.DeclinePayment("b1", "p1", "not_charged"))
    do(state, "4", c.HoldSeats("b2", BOB, ("A-1",)), AFTER_THE_HOLD)  # the first hold has run out
    late = do(state, "5", c.ApprovePayment("b1", "p1", "ref"), AFTER_THE_HOLD)
    assert late == Refusal(Code.PAYMENT_NOT_FOUND)
    assert (state.bookings["b2"].customer_id, state.bookings["b2"].status) == (BOB, Status.HELD)


def test_a_hold_does_not_run_out_while_its_payment_is_under_way() -> None:
    state = opened()
    do(state, "1", c.HoldSeats("b1", ANN, ("A-1",)))
    do(state, "2", c.RequestPayment("b1", ANN, "p1", "sandbox"))
    assert do(state, "3", c.HoldSeats("b2", BOB, ("A-1",)), NOW + DAY) == Refusal(
        Code.SEATS_UNAVAILABLE, seats=("A-1",)
    )


def test_best_available_does_not_offer_everybody_the_same_seats() -> None:
    state = opened()
    offers = [do(state, str(n), c.HoldBest(f"b{n}", f"customer-{n}", 2)) for n in range(9)]
    places = [index for offer in offers if isinstance(offer, Booking) for index in offer.seats]
    assert sorted(places) == list(range(18))


def test_a_single_seat_left_over_never_refuses_a_sale() -> None:
    state = opened()
    for number, row in enumerate("ABC"):
        do(state, f"{row}", c.HoldSeats(f"b{number}", BOB, tuple(f"{row}-{seat}" for seat in (1, 2, 3, 4, 6))))
    singles = [do(state, str(n), c.HoldBest(f"s{n}", ANN, 1)) for n in range(3)]
    assert all(isinstance(single, Booking) for single in singles)
    other = opened()
    chosen = do(other, "1", c.HoldSeats("b", EVE, ("A-2", "A-3", "A-4", "A-5")))  # leaves one at either end
    assert isinstance(chosen, Booking)


def test_two_requests_of_one_customer_are_two_wishes_and_not_one_lock() -> None:
    state = opened()
    first = do(state, "1", c.HoldSeats("b1", ANN, ("A-1",)))
    second = do(state, "2", c.HoldSeats("b2", ANN, ("A-1",)))
    assert isinstance(first, Booking)
    assert second == Refusal(Code.SEATS_UNAVAILABLE, seats=("A-1",))


def test_a_change_of_status_is_guarded_by_the_status_it_starts_from() -> None:
    state = opened()
    do(state, "1", c.HoldSeats("b1", ANN, ("A-1",)))
    do(state, "2", c.RequestPayment("b1", ANN, "p1", "sandbox"))
    do(state, "3", c.ApprovePayment("b1", "p1", "ref"))
    assert do(state, "4", c.Cancel("b1", "x1", ANN)) == Refusal(Code.BOOKING_PAID)
    assert do(state, "5", c.DeclinePayment("b1", "p1", "lost_card")) == Refusal(Code.PAYMENT_ALREADY_SETTLED)
    assert state.bookings["b1"].status is Status.CONFIRMED


def test_standing_room_comes_back_when_a_booking_is_cancelled() -> None:
    state = opened()
    do(state, "1", c.HoldSeats("b1", ANN, ("pit",) * 10))
    do(state, "2", c.Cancel("b1", "x1", ANN))
    assert state.areas[0][FREE] == 10
    assert isinstance(do(state, "3", c.HoldSeats("b2", BOB, ("pit",) * 10)), Booking)


def test_a_message_that_arrives_twice_changes_nothing_the_second_time() -> None:
    state = opened()
    do(state, "1", c.HoldSeats("b1", ANN, ("A-1",)))
    do(state, "2", c.RequestPayment("b1", ANN, "p1", "sandbox"))
    do(state, "3", c.ApprovePayment("b1", "p1", "ref"))
    version = state.seq
    assert do(state, "4", c.ApprovePayment("b1", "p1", "ref")) == Refusal(Code.PAYMENT_ALREADY_SETTLED)
    assert state.seq == version
