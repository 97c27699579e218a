"""The life of a payment: every status with every move, and what a booking is called on its way through."""

from __future__ import annotations

import pytest

from engine import commands as c
from engine.booking import Booking, Status
from engine.payment import MOVES, Move, PaymentStatus, RefundStatus
from engine.refusals import Code, Refusal
from engine.snapshot import capture, encode
from engine.state import ScheduleState
from tests.engine.plans.houses import ANN, BOB, DAY, NOW, opened
from tests.engine.test_decide import after, booking, do

HOLD_MS = 600_000
HOLD = c.HoldSeats("b1", ANN, ("A-1", "A-2", "A-3"))
PAY = c.RequestPayment("b1", ANN, "p1", "sandbox")
APPROVE = c.ApprovePayment("b1", "p1", "ref-1")
DECLINE = c.DeclinePayment("b1", "p1", "lost_card")
REFUND_ONE = c.Refund("b1", ANN, "f1", "p1", ("A-1",))
REFUND_NEXT = c.Refund("b1", ANN, "f2", "p1", ("A-2",))
REFUND_REST = c.Refund("b1", ANN, "f3", "p1")
RETURN = c.ReturnPayment("b1", ANN, "p1", 450_000, "KRW", "sandbox", "ref-1", "f4")
PAID = (HOLD, PAY, APPROVE)

REQUESTED, APPROVED, DECLINED = PaymentStatus.REQUESTED, PaymentStatus.APPROVED, PaymentStatus.DECLINED
PARTLY, WHOLLY = PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED

# How a payment gets where it stands. `REFUNDED` twice: its seats were given back, or it came too late for them.
WAYS: dict[str, tuple[PaymentStatus, tuple[c.AnyCommand, ...]]] = {
    "requested": (REQUESTED, (HOLD, PAY)),
    "approved": (APPROVED, PAID),
    "declined": (DECLINED, (HOLD, PAY, DECLINE)),
    "partly refunded": (PARTLY, (*PAID, REFUND_ONE)),
    "refunded": (WHOLLY, (*PAID, REFUND_REST)),
    "come too late": (WHOLLY, (HOLD, PAY, DECLINE, RETURN)),
}
COMMANDS: dict[Move, c.AnyCommand] = {
    Move.APPROVE: APPROVE,
    Move.DECLINE: DECLINE,
    Move.REFUND_PART: REFUND_NEXT,
    Move.REFUND_WHOLE: REFUND_REST,
    Move.RETURN: RETURN,
}
SETTLED, UNKNOWN = Code.PAYMENT_ALREADY_SETTLED, Code.PAYMENT_NOT_FOUND
FINAL, GONE = Code.NOT_REFUNDABLE, Code.ALREADY_REFUNDED
TABLE = [
    # where it stands, what happens to it, where it stands then or why it does not happen
    ("requested", Move.APPROVE, APPROVED),
    ("requested", Move.DECLINE, DECLINED),
    ("requested", Move.REFUND_PART, FINAL),
    ("requested", Move.REFUND_WHOLE, FINAL),
    ("requested", Move.RETURN, Code.PAYMENT_IN_PROGRESS),
    ("approved", Move.APPROVE, SETTLED),
    ("approved", Move.DECLINE, SETTLED),
    ("approved", Move.REFUND_PART, PARTLY),
    ("approved", Move.REFUND_WHOLE, WHOLLY),
    ("approved", Move.RETURN, SETTLED),
    ("declined", Move.APPROVE, SETTLED),
    ("declined", Move.DECLINE, SETTLED),
    ("declined", Move.REFUND_PART, FINAL),
    ("declined", Move.REFUND_WHOLE, FINAL),
    ("declined", Move.RETURN, WHOLLY),
    ("partly refunded", Move.APPROVE, SETTLED),
    ("partly refunded", Move.DECLINE, SETTLED),
    ("partly refunded", Move.REFUND_PART, PARTLY),
    ("partly refunded", Move.REFUND_WHOLE, WHOLLY),
    ("partly refunded", Move.RETURN, GONE),
    ("refunded", Move.APPROVE, UNKNOWN),  # its booking is over
    ("refunded", Move.DECLINE, UNKNOWN),
    ("refunded", Move.REFUND_PART, GONE),
    ("refunded", Move.REFUND_WHOLE, GONE),
    ("refunded", Move.RETURN, GONE),
    ("come too late", Move.APPROVE, SETTLED),
    ("come too late", Move.DECLINE, SETTLED),
    ("come too late", Move.REFUND_PART, GONE),
    ("come too late", Move.REFUND_WHOLE, GONE),
    ("come too late", Move.RETURN, GONE),
]
LIVES = [
    # name, commands one after the other, each with what the booking and its payment are then
    ("bought and kept", [(HOLD, "HELD", None), (PAY, "HELD", "REQUESTED"), (APPROVE, "CONFIRMED", "APPROVED")]),
    ("bought at the second attempt", [
        (HOLD, "HELD", None), (PAY, "HELD", "REQUESTED"), (DECLINE, "HELD", "DECLINED"),
        (c.RequestPayment("b1", ANN, "p2", "sandbox"), "HELD", "REQUESTED"),
        (c.ApprovePayment("b1", "p2", "ref-2"), "CONFIRMED", "APPROVED"),
    ]),
    ("given back at once", [
        (HOLD, "HELD", None), (PAY, "HELD", "REQUESTED"), (APPROVE, "CONFIRMED", "APPROVED"),
        (REFUND_REST, "REFUNDED", "REFUNDED"),
        (c.CompleteRefund("f3", "p1", 450_000, "KRW", "back"), "REFUNDED", "REFUNDED"),
    ]),
    ("given back seat by seat", [
        (HOLD, "HELD", None), (PAY, "HELD", "REQUESTED"), (APPROVE, "CONFIRMED", "APPROVED"),
        (REFUND_ONE, "PARTIALLY_REFUNDED", "PARTIALLY_REFUNDED"),
        (c.CompleteRefund("f1", "p1", 150_000, "KRW", "back"), "PARTIALLY_REFUNDED", "PARTIALLY_REFUNDED"),
        (REFUND_NEXT, "PARTIALLY_REFUNDED", "PARTIALLY_REFUNDED"),
        (REFUND_REST, "REFUNDED", "REFUNDED"),
        (c.CompleteRefund("f3", "p1", 150_000, "KRW", "back"), "REFUNDED", "REFUNDED"),
        (c.CompleteRefund("f2", "p1", 150_000, "KRW", "back"), "REFUNDED", "REFUNDED"),
    ]),
    ("given up, then the money came", [
        (HOLD, "HELD", None), (PAY, "HELD", "REQUESTED"), (DECLINE, "HELD", "DECLINED"), (RETURN, "HELD", "REFUNDED"),
        (c.RequestPayment("b1", ANN, "p2", "sandbox"), "HELD", "REQUESTED"),
        (c.ApprovePayment("b1", "p2", "ref-2"), "CONFIRMED", "APPROVED"),
        (c.CompleteRefund("f4", "p1", 450_000, "KRW", "back"), "CONFIRMED", "APPROVED"),
    ]),
    ("cancelled, then the money came", [
        (HOLD, "HELD", None), (PAY, "HELD", "REQUESTED"), (DECLINE, "HELD", "DECLINED"),
        (c.Cancel("b1", "x1", ANN), "CANCELLED", "DECLINED"), (RETURN, "CANCELLED", "REFUNDED"),
        (c.CompleteRefund("f4", "p1", 450_000, "KRW", "back"), "CANCELLED", "REFUNDED"),
    ]),
]  # fmt: skip


def shown(state: ScheduleState) -> bytes:
    return encode(capture(state))


def standing(state: ScheduleState) -> PaymentStatus:
    found = state.find("b1")
    assert found is not None
    assert found.payment is not None
    return found.payment.status


def test_the_cases_are_every_way_with_every_move() -> None:
    assert [(way, move) for way, move, _ in TABLE] == [(way, move) for way in WAYS for move in Move]
    assert {status for status, _ in WAYS.values()} == set(PaymentStatus) == set(MOVES)


def test_the_table_of_moves_is_this_one() -> None:
    taken = {(WAYS[way][0], move): outcome for way, move, outcome in TABLE if isinstance(outcome, PaymentStatus)}
    assert taken == {(status, move): then for status, moves in MOVES.items() for move, then in moves.items()}


@pytest.mark.parametrize(("way", "move", "outcome"), TABLE)
def test_a_payment_moves_by_the_table_and_in_no_other_way(way: str, move: Move, outcome: PaymentStatus | Code) -> None:
    status, before = WAYS[way]
    state = after(opened(), *before)
    assert standing(state) is status
    was = shown(state)
    result = do(state, COMMANDS[move])
    if isinstance(outcome, PaymentStatus):
        assert isinstance(result, Booking)
        assert standing(state) is outcome
        assert result == state.find("b1")
    else:
        assert isinstance(result, Refusal)
        assert result.code is outcome
        assert shown(state) == was


@pytest.mark.parametrize("life", [life for _, life in LIVES], ids=[name for name, _ in LIVES])
def test_a_booking_is_called_what_it_is_all_its_life(life: list[tuple[c.AnyCommand, str, str | None]]) -> None:
    state = opened()
    for number, (command, status, payment) in enumerate(life):
        result = booking(state, command, NOW + number)
        assert (result.status.name, result.payment and result.payment.status.name) == (status, payment)
        assert result.version == state.seq
        live = status in ("HELD", "CONFIRMED", "PARTIALLY_REFUNDED")
        assert ("b1" in state.bookings, "b1" in state.ended) == (live, not live)


def test_a_life_that_ends_at_its_deadline_is_expired() -> None:
    state = after(opened(), HOLD, PAY, DECLINE)
    after(state, c.Expire(), now_ms=NOW + HOLD_MS)
    assert (state.ended["b1"].status, standing(state)) == (Status.EXPIRED, DECLINED)
    assert booking(state, RETURN, NOW + DAY).status is Status.EXPIRED
    assert standing(state) is WHOLLY


def test_a_settled_payment_says_when_and_by_which_reference() -> None:
    state = after(opened(), HOLD, PAY)
    paid = booking(state, APPROVE, NOW + 5).payment
    assert paid is not None
    assert (paid.requested_ms, paid.settled_ms, paid.reference, paid.reason) == (NOW, NOW + 5, "ref-1", "")
    state = after(opened(), HOLD, PAY)
    declined = booking(state, DECLINE, NOW + 6).payment
    assert declined is not None
    assert (declined.settled_ms, declined.reference, declined.reason) == (NOW + 6, "", "lost_card")


def test_of_two_payments_at_once_exactly_one_is_begun() -> None:
    state = after(opened(), HOLD)
    answers = [do(state, c.RequestPayment("b1", ANN, payment, "sandbox")) for payment in ("p1", "p2")]
    assert [type(answer) for answer in answers] == [Booking, Refusal]
    assert do(state, c.ApprovePayment("b1", "p2", "ref")) == Refusal(UNKNOWN)
    assert standing(state) is REQUESTED


def test_what_costs_nothing_is_not_confirmed_under_a_running_payment_and_again_by_its_approval() -> None:
    state = after(opened(prices={"VIP": 0, "R": 0}), c.HoldSeats("b1", ANN, ("pit",)), PAY)
    assert do(state, c.Confirm("b1", ANN)) == Refusal(Code.PAYMENT_IN_PROGRESS)
    assert booking(state, APPROVE).status is Status.CONFIRMED
    assert state.areas == [[9, 0, 1, 0]]


def test_the_amount_is_the_booking_s_whatever_its_seats_cost_today() -> None:
    state = after(opened(), HOLD, c.ChangeTerms(opened(prices={"VIP": 1, "R": 1}).on))
    requested = booking(state, PAY).payment
    assert requested is not None
    assert requested.amount == 450_000


# --- money that came too late -----------------------------------------------------------------------------------------
def test_money_for_an_unknown_booking_goes_back() -> None:
    state = opened()
    assert not isinstance(do(state, RETURN), Booking | Refusal)
    assert state.pending_refunds == {"f4": "b1"}
    assert do(state, RETURN) == Refusal(GONE)
    after(state, c.CompleteRefund("f4", "p1", 450_000, "KRW", "back"))
    assert (state.pending_refunds, state.bookings, dict(state.ended)) == ({}, {}, {})


@pytest.mark.parametrize(
    ("ending", "at_ms"), [(c.Cancel("b1", "x1", ANN), NOW), (c.Expire(), NOW + HOLD_MS)], ids=["cancelled", "expired"]
)
def test_money_for_a_booking_that_is_over_goes_back_once(ending: c.AnyCommand, at_ms: int) -> None:
    state = after(opened(), HOLD, PAY, DECLINE)
    after(state, ending, c.HoldSeats("b2", BOB, ("A-1",)), now_ms=at_ms)
    late = booking(state, RETURN, at_ms)
    assert [(refund.id, refund.payment_id, refund.amount, refund.fee, refund.seats) for refund in late.refunds] == [
        ("f4", "p1", 450_000, 0, ())
    ]
    assert state.bookings["b2"].status is Status.HELD  # nobody else's seat is touched
    other_id = c.ReturnPayment("b1", ANN, "p1", 450_000, "KRW", "sandbox", "ref-1", "f5")
    for again in (RETURN, other_id):
        assert do(state, again, at_ms) == Refusal(GONE)
    done = booking(state, c.CompleteRefund("f4", "p1", 450_000, "KRW", "back"), at_ms)
    assert done.refunds[0].status is RefundStatus.COMPLETED
    for again in (RETURN, other_id):
        assert do(state, again, at_ms) == Refusal(GONE)


def test_money_for_an_earlier_attempt_goes_back_and_leaves_the_later_one_alone() -> None:
    state = after(opened(), HOLD, PAY, DECLINE, c.RequestPayment("b1", ANN, "p2", "sandbox"))
    late = booking(state, RETURN)
    assert late.payment is not None
    assert (late.payment.id, late.payment.status, late.refunds[0].payment_id) == ("p2", REQUESTED, "p1")
    assert do(state, RETURN) == Refusal(GONE)
    assert booking(state, c.ApprovePayment("b1", "p2", "ref-2")).status is Status.CONFIRMED
    whole = booking(state, c.Refund("b1", ANN, "f5", "p2"))
    assert [(refund.payment_id, refund.amount) for refund in whole.refunds] == [("p1", 450_000), ("p2", 450_000)]
    assert set(state.pending_refunds) == {"f4", "f5"}


def test_a_second_charge_for_a_paid_booking_goes_back_and_the_booking_stays() -> None:
    state = after(opened(), *PAID)
    double = c.ReturnPayment("b1", ANN, "p9", 450_000, "KRW", "sandbox", "ref-9", "f9")
    kept = booking(state, double)
    assert (kept.status, standing(state), kept.refunds[0].payment_id) == (Status.CONFIRMED, APPROVED, "p9")
    assert do(state, double) == Refusal(GONE)


def test_money_that_came_too_late_leaves_the_hold_its_time() -> None:
    state = after(opened(), HOLD, PAY, DECLINE, RETURN)
    assert state.next_deadline_ms() == NOW + HOLD_MS
    after(state, c.Expire(), now_ms=NOW + HOLD_MS)
    assert (state.ended["b1"].status, bytes(state.seats)) == (Status.EXPIRED, bytes(18))
