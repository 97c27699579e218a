"""Giving money back, one row a case: for which bookings, for which seats, how often, and how a whole schedule ends."""

from __future__ import annotations

import pytest

from engine import commands as c
from engine import state as engine_state
from engine.booking import Booking, Status
from engine.payment import PaymentStatus, Refund, RefundStatus
from engine.refund_policy import RefundStep
from engine.refusals import Code, Refusal, Why
from engine.state import FREE, SOLD, Done, ScheduleState
from engine.turn import Request, Turn, execute
from tests.engine.plans.houses import ANN, BOB, DAY, EVE, NOW, opened, terms
from tests.engine.test_decide import after, booking, do

HOLD_MS = 600_000
STARTS = NOW + 30 * DAY
HOLD = c.HoldSeats("b1", ANN, ("A-1", "A-2", "B-1"))
PAY = c.RequestPayment("b1", ANN, "p1", "sandbox")
APPROVE = c.ApprovePayment("b1", "p1", "ref-1")
DECLINE = c.DeclinePayment("b1", "p1", "lost_card")
CANCEL = c.Cancel("b1", "x1", ANN)
PAID = (HOLD, PAY, APPROVE)
WHOLE = c.Refund("b1", ANN, "f1", "p1")
GIFTS = {"VIP": 0, "R": 0}
PART = c.Refund("b1", ANN, "f1", "p1", ("A-1",))
KEEP = c.Refund("b1", "", "f1", "p1", reason="x", by="admin", fee_percent=100)
KEEP_ONE = c.Refund("b1", "", "f1", "p1", ("A-1",), "x", "admin", 100)
KEEP_ANOTHER = c.Refund("b1", "", "f3", "p1", ("A-2",), "x", "admin", 100)
END = c.CancelSchedule("폭설", "organizer")
CANCELLED = Refusal(Code.SCHEDULE_CANCELLED, at_ms=NOW)


def give_back(*seats: str, refund_id: str = "f2", customer: str = ANN, payment_id: str = "p1") -> c.Refund:
    return c.Refund("b1", customer, refund_id, payment_id, seats)


REFUSALS = [
    # name, what came before, command, refusal
    ("an unknown booking", (), WHOLE, Refusal(Code.BOOKING_NOT_FOUND)),
    ("another's booking", PAID, give_back(customer=BOB), Refusal(Code.BOOKING_NOT_FOUND)),
    ("another's ended booking", (*PAID, WHOLE), give_back(customer=BOB), Refusal(Code.BOOKING_NOT_FOUND)),
    ("an unpaid hold", (HOLD,), WHOLE, Refusal(Code.NOT_REFUNDABLE)),
    ("a hold being paid for", (HOLD, PAY), WHOLE, Refusal(Code.NOT_REFUNDABLE)),
    ("a hold whose payment was declined", (HOLD, PAY, DECLINE), WHOLE, Refusal(Code.NOT_REFUNDABLE)),
    ("a cancelled booking", (HOLD, CANCEL), WHOLE, Refusal(Code.NOT_REFUNDABLE)),
    ("a refunded booking", (*PAID, WHOLE), give_back(), Refusal(Code.ALREADY_REFUNDED)),
    ("a seat of a refunded booking", (*PAID, WHOLE), give_back("A-1"), Refusal(Code.ALREADY_REFUNDED)),
    ("a booking ended without its money", (*PAID, KEEP), give_back(), Refusal(Code.NOT_REFUNDABLE, reason=Why.KEPT)),
    ("a seat of one", (*PAID, KEEP), give_back("A-1"), Refusal(Code.NOT_REFUNDABLE, reason=Why.KEPT)),
    ("a seat taken back without its money", (*PAID, KEEP_ONE), give_back("A-1"),
     Refusal(Code.NOT_REFUNDABLE, seats=("A-1",), reason=Why.KEPT)),
    ("one taken back without its money and one with it", (*PAID, PART, KEEP_ANOTHER), give_back("A-1", "A-2"),
     Refusal(Code.ALREADY_REFUNDED, seats=("A-1", "A-2"))),
    ("by an attempt before the payment that was given back",
     (HOLD, PAY, DECLINE, c.RequestPayment("b1", ANN, "p2", "sandbox"), c.ApprovePayment("b1", "p2", "ref"),
      c.Refund("b1", ANN, "f1", "p2")), give_back(), Refusal(Code.NOT_REFUNDABLE)),
    ("by another payment", PAID, give_back(payment_id="p2"), Refusal(Code.NOT_REFUNDABLE)),
    ("by no payment", PAID, give_back(payment_id=""), Refusal(Code.NOT_REFUNDABLE)),
    ("by an earlier attempt",
     (HOLD, PAY, DECLINE, c.RequestPayment("b1", ANN, "p2", "sandbox"), c.ApprovePayment("b1", "p2", "ref")), WHOLE,
     Refusal(Code.NOT_REFUNDABLE)),
    ("a seat the house does not have", PAID, give_back("Z-1"), Refusal(Code.UNKNOWN_SEAT, seats=("Z-1",))),
    ("a seat twice", PAID, give_back("A-1", "A-1"), Refusal(Code.DUPLICATE_SEAT, seats=("A-1",))),
    ("a seat that is not the booking's", PAID, give_back("A-1", "C-1"), Refusal(Code.NOT_REFUNDABLE, seats=("C-1",))),
    ("another's seat", (*PAID, c.HoldSeats("b2", BOB, ("C-1",))), give_back("C-1"),
     Refusal(Code.NOT_REFUNDABLE, seats=("C-1",))),
    ("a seat given back already", (*PAID, PART), give_back("A-1"), Refusal(Code.ALREADY_REFUNDED, seats=("A-1",))),
    ("a seat given back and one that is left", (*PAID, PART), give_back("A-1", "A-2"),
     Refusal(Code.ALREADY_REFUNDED, seats=("A-1",))),
    ("a seat given back and one never had", (*PAID, PART), give_back("A-1", "C-1"),
     Refusal(Code.NOT_REFUNDABLE, seats=("A-1", "C-1"))),
    ("one standing place too many",
     (c.HoldSeats("b1", ANN, ("pit", "pit")), PAY, APPROVE), give_back("pit", "pit", "pit"),
     Refusal(Code.NOT_REFUNDABLE, seats=("pit",))),
    ("a refund id that was used", (*PAID, PART), give_back("A-2", refund_id="f1"), Refusal(Code.ALREADY_REFUNDED)),
    ("confirming an unknown refund", PAID, c.CompleteRefund("f1", "p1", 1, "KRW", "back"),
     Refusal(Code.REFUND_NOT_FOUND)),
    ("confirming a refund twice", (*PAID, WHOLE, c.CompleteRefund("f1", "p1", 390_000, "KRW", "back")),
     c.CompleteRefund("f1", "p1", 390_000, "KRW", "back"), Refusal(Code.REFUND_NOT_FOUND)),
    ("cancelling after a partial refund", (*PAID, PART), CANCEL, Refusal(Code.BOOKING_PAID)),
    ("paying after a partial refund", (*PAID, PART), c.RequestPayment("b1", ANN, "p2", "sandbox"),
     Refusal(Code.BOOKING_ALREADY_PAID)),
    ("confirming after a partial refund", (*PAID, PART), c.Confirm("b1", ANN), Refusal(Code.BOOKING_ALREADY_PAID)),
    ("extending after a partial refund", (*PAID, PART), c.Extend("b1", ANN),
     Refusal(Code.BOOKING_NOT_CHANGEABLE, reason=Why.PAID)),
    ("changing to other prices after a partial refund", (*PAID, PART), c.Change("b1", ANN, ("A-2", "A-3")),
     Refusal(Code.BOOKING_NOT_CHANGEABLE, reason=Why.OTHER_PRICE)),
    ("approving again after a partial refund", (*PAID, PART), APPROVE, Refusal(Code.PAYMENT_ALREADY_SETTLED)),
    ("cancelling a refunded booking", (*PAID, WHOLE), CANCEL, Refusal(Code.BOOKING_ALREADY_CANCELLED)),
    ("paying for a refunded booking", (*PAID, WHOLE), PAY, Refusal(Code.BOOKING_ALREADY_CANCELLED)),
    ("changing a refunded booking", (*PAID, WHOLE), c.Change("b1", ANN, ("C-1",)),
     Refusal(Code.BOOKING_ALREADY_CANCELLED)),
    ("ending bookings of a schedule that goes on", PAID, c.EndBookings(("x1",)), Refusal(Code.SCHEDULE_NOT_CANCELLED)),
    ("cancelling a schedule twice", (END,), END, CANCELLED),
    ("holding seats of a cancelled schedule", (END,), HOLD, CANCELLED),
    ("holding the best of a cancelled schedule", (END,), c.HoldBest("b1", ANN, 1), CANCELLED),
    ("changing on a cancelled schedule", (HOLD, END), c.Change("b1", ANN, ("C-1",)), CANCELLED),
    ("extending on a cancelled schedule", (HOLD, END), c.Extend("b1", ANN), CANCELLED),
    ("paying on a cancelled schedule", (HOLD, END), PAY, CANCELLED),
    ("confirming on a cancelled schedule", (HOLD, END), c.Confirm("b1", ANN), CANCELLED),
]  # fmt: skip


@pytest.mark.parametrize(("before", "command", "refusal"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_a_refusal_names_its_reason_and_moves_no_money(
    before: tuple[c.AnyCommand, ...], command: c.AnyCommand, refusal: Refusal
) -> None:
    state = after(opened(), *before)
    was = (bytes(state.seats), state.seq, dict(state.pending_refunds), dict(state.bookings))
    assert do(state, command) == refusal
    assert (bytes(state.seats), state.seq, state.pending_refunds, state.bookings) == was


def test_an_expired_hold_has_no_money_to_give_back() -> None:
    assert do(after(opened(), HOLD), WHOLE, NOW + HOLD_MS) == Refusal(Code.NOT_REFUNDABLE)


def test_a_free_booking_is_cancelled_and_not_refunded() -> None:
    state = after(opened(prices=GIFTS), HOLD, c.Confirm("b1", ANN))
    assert do(state, WHOLE) == Refusal(Code.NOT_REFUNDABLE)
    assert booking(state, CANCEL).status is Status.CANCELLED


def test_a_booking_paid_with_nothing_is_cancelled_and_not_refunded() -> None:
    state = after(opened(prices=GIFTS), *PAID)
    assert do(state, WHOLE) == Refusal(Code.NOT_REFUNDABLE)
    assert booking(state, CANCEL).status is Status.CANCELLED


# --- what a refund does -----------------------------------------------------------------------------------------------
def test_a_whole_refund_frees_every_seat_at_once_and_owes_the_money() -> None:
    state = after(opened(), *PAID)
    given = booking(state, c.Refund("b1", ANN, "f1", "p1", reason="아파서"), NOW + 5)
    assert given.refunds == (
        Refund("f1", "p1", 390_000, 0, (0, 1, 6), RefundStatus.REQUESTED, NOW + 5, "아파서", "customer"),
    )
    assert given.ending is not None
    assert (given.ending.id, given.ending.at_ms, given.ending.by) == ("f1", NOW + 5, "customer")
    assert (state.pending_refunds, bytes(state.seats), state.places_of) == ({"f1": "b1"}, bytes(18), {})
    assert booking(state, c.HoldSeats("b2", BOB, ("A-1", "A-2", "B-1"))).status is Status.HELD


def test_a_confirmed_refund_says_when_and_by_which_reference() -> None:
    state = after(opened(), *PAID, WHOLE)
    done = booking(state, c.CompleteRefund("f1", "p1", 390_000, "KRW", "back-1"), NOW + 9).refunds[0]
    assert (done.status, done.settled_ms, done.reference) == (RefundStatus.COMPLETED, NOW + 9, "back-1")
    assert state.pending_refunds == {}


def test_a_partial_refund_frees_its_seats_and_keeps_the_others() -> None:
    state = after(opened(), *PAID)
    left = booking(state, PART)
    assert (left.status, left.seats, left.prices, left.ending) == (
        Status.PARTIALLY_REFUNDED, (1, 6), (150_000, 90_000), None
    )  # fmt: skip
    assert (state.seats[0], state.seats[1], state.seats[6]) == (FREE, SOLD, SOLD)
    assert state.places_of == {ANN: 2}
    assert booking(state, c.HoldSeats("b2", BOB, ("A-1",))).status is Status.HELD


def test_a_partial_and_then_a_whole_refund_give_all_of_it_back() -> None:
    state = after(opened(), *PAID, PART)
    rest = booking(state, c.Refund("b1", ANN, "f2", "p1"))
    assert [(refund.amount, refund.seats) for refund in rest.refunds] == [(150_000, (0,)), (240_000, (1, 6))]
    assert (rest.status, set(state.pending_refunds)) == (Status.REFUNDED, {"f1", "f2"})
    assert rest.payment is not None
    assert (rest.payment.status, rest.payment.amount) == (PaymentStatus.REFUNDED, 390_000)


def test_all_seats_named_one_by_one_are_a_whole_refund() -> None:
    state = after(opened(), *PAID)
    assert booking(state, give_back("B-1", "A-1", "A-2")).status is Status.REFUNDED


def test_a_booking_partly_given_back_changes_to_seats_of_the_same_price_even_to_the_one_given_back() -> None:
    state = after(opened(), *PAID, PART)
    changed = booking(state, c.Change("b1", ANN, ("A-1", "B-1")))
    assert (changed.status, changed.seats) == (Status.PARTIALLY_REFUNDED, (0, 6))
    rest = booking(state, give_back("A-1"))  # it is theirs again, so it can be given back again
    assert [refund.amount for refund in rest.refunds] == [150_000, 150_000]


def test_a_booking_partly_given_back_owns_the_rest_for_good() -> None:
    state = after(opened(), *PAID, PART)
    after(state, c.Expire(), now_ms=NOW + 40 * DAY)
    assert state.bookings["b1"].status is Status.PARTIALLY_REFUNDED


def test_what_is_left_after_a_refund_and_cost_nothing_is_cancelled() -> None:
    state = after(opened(prices={"VIP": 100, "R": 0}), *PAID, give_back("A-1", "A-2"))
    ended = booking(state, CANCEL)
    assert (ended.status, bytes(state.seats)) == (Status.CANCELLED, bytes(18))
    assert ended.refunds[0].amount == 200


def test_what_is_left_after_a_refund_and_cost_nothing_can_be_given_back_as_well() -> None:
    state = after(opened(prices={"VIP": 100, "R": 0}), *PAID, give_back("A-1", "A-2"))
    ended = booking(state, c.Refund("b1", ANN, "f3", "p1"))
    assert (ended.status, bytes(state.seats)) == (Status.REFUNDED, bytes(18))
    assert [(refund.amount, refund.status) for refund in ended.refunds][1:] == [(0, RefundStatus.COMPLETED)]


def test_seats_given_back_count_no_longer_towards_the_customer_s_limit() -> None:
    state = after(opened(max_seats_per_customer=3), *PAID)
    assert isinstance(do(state, c.HoldSeats("b2", ANN, ("C-1",))), Refusal)
    after(state, PART)
    assert booking(state, c.HoldSeats("b2", ANN, ("C-1",))).status is Status.HELD


def test_whoever_acts_for_the_owner_needs_no_customer_id() -> None:
    state = after(opened(), *PAID)
    given = booking(state, c.Refund("b1", "", "f1", "p1", ("A-1",), "파손된 좌석", "admin", 0))
    assert (given.refunds[0].by, given.refunds[0].reason) == ("admin", "파손된 좌석")


# --- outside the policy -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("percent", range(101))
@pytest.mark.parametrize("at_ms", [NOW, STARTS + DAY], ids=["in time", "after the start"])
def test_an_admin_decides_the_fee_whatever_the_policy_says(percent: int, at_ms: int) -> None:
    state = after(opened(starts_at_ms=STARTS, refund_policy=(), prices={"VIP": 33, "R": 101}), *PAID)
    turn = run(state, c.Refund("b1", "", "f1", "p1", fee_percent=percent, by="admin"), at_ms)
    assert isinstance(turn.result, Booking)
    (refund,) = turn.result.refunds
    fee = 2 * (33 * percent // 100) + 101 * percent // 100
    assert (refund.amount, refund.fee) == (167 - fee, fee)
    assert told(turn) == (["refund.requested"] if percent < 100 else ["refund.requested", "payment.refunded"])


@pytest.mark.parametrize("seats", [(), ("A-1",)], ids=["whole", "in part"])
def test_a_refund_that_owes_nothing_is_done_at_once(seats: tuple[str, ...]) -> None:
    state = after(opened(), *PAID)
    given = booking(state, c.Refund("b1", "", "f1", "p1", seats, fee_percent=100))
    (refund,) = given.refunds
    assert (refund.status, refund.amount, state.pending_refunds) == (RefundStatus.COMPLETED, 0, {})
    assert given.payment is not None
    assert given.payment.status is (PaymentStatus.PARTIALLY_REFUNDED if seats else PaymentStatus.REFUNDED)


# --- repeats ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", [WHOLE, PART, c.Refund("b1", ANN, "f1", "p1", fee_percent=100)])
def test_a_repeated_request_is_answered_as_the_first_and_gives_nothing_back_twice(command: c.Refund) -> None:
    state = after(opened(), *PAID)
    request = Request("again", command, "body")
    first = execute(state, request, NOW)
    later = execute(state, request, NOW + DAY)
    assert (later.result, later.steps, later.repeated) == (first.result, (), True)
    assert execute(state, Request("again", command, "other body"), NOW).result == Refusal(Code.IDEMPOTENCY_KEY_REUSED)


def test_a_repeated_return_of_money_is_answered_as_the_first() -> None:
    state = opened()
    request = Request("again", c.ReturnPayment("b1", ANN, "p1", 5, "KRW", "sandbox", "ref", "f1"))
    first = execute(state, request, NOW)
    after(state, c.CompleteRefund("f1", "p1", 5, "KRW", "back"))
    assert execute(state, request, NOW + DAY).result == first.result == Done(2)
    assert state.pending_refunds == {}


# --- bookings forgotten -----------------------------------------------------------------------------------------------
@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> ScheduleState:
    """A schedule that remembers one ended booking; `b1` was refunded and is forgotten."""
    monkeypatch.setattr(engine_state, "ENDED_REMEMBERED", 1)
    state = after(opened(), *PAID, WHOLE, c.HoldSeats("b2", BOB, ("C-1",)), c.Cancel("b2", "x2", BOB))
    assert (state.find("b1"), list(state.ended)) == (None, ["b2"])
    return state


def test_the_refund_of_a_forgotten_booking_is_still_owed_and_confirmed_once(forgetful: ScheduleState) -> None:
    assert forgetful.pending_refunds == {"f1": "b1"}
    complete = c.CompleteRefund("f1", "p1", 390_000, "KRW", "back")
    turn = run(forgetful, complete)
    assert (turn.result, told(turn)) == (Done(forgetful.seq), ["payment.refunded"])
    assert do(forgetful, complete) == Refusal(Code.REFUND_NOT_FOUND)


def test_a_forgotten_booking_is_unknown_to_whoever_wants_more_of_it(forgetful: ScheduleState) -> None:
    assert do(forgetful, c.Refund("b1", ANN, "f2", "p1")) == Refusal(Code.BOOKING_NOT_FOUND)
    assert do(forgetful, CANCEL) == Refusal(Code.BOOKING_NOT_FOUND)


def test_money_for_a_forgotten_booking_goes_back_while_its_refund_is_owed_once(forgetful: ScheduleState) -> None:
    late = c.ReturnPayment("b1", ANN, "p9", 390_000, "KRW", "sandbox", "ref-9", "f9")
    assert do(forgetful, late) == Done(forgetful.seq)
    assert do(forgetful, late) == Refusal(Code.ALREADY_REFUNDED)
    assert forgetful.pending_refunds == {"f1": "b1", "f9": "b1"}


# --- the end of a schedule --------------------------------------------------------------------------------------------
def crowded() -> ScheduleState:
    """A hold, one being paid for, a paid one, one partly given back, a free one; then the schedule is cancelled."""
    state = opened(starts_at_ms=STARTS, refund_policy=(RefundStep(0, 50),), prices={"VIP": 150_000, "R": 90_000})
    after(state, c.HoldSeats("held", ANN, ("A-1",)))
    for number, (name, customer, seats) in enumerate(
        [("paying", BOB, ("A-2",)), ("paid", EVE, ("A-3", "pit")), ("partly", ANN, ("B-1", "B-2"))]
    ):
        after(state, c.HoldSeats(name, customer, seats), c.RequestPayment(name, customer, f"p-{name}", "sandbox"))
        if number:
            after(state, c.ApprovePayment(name, f"p-{name}", "ref"))
    after(state, c.Refund("partly", ANN, "f-partly", "p-partly", ("B-1",)))
    after(state, c.ChangeTerms(terms(prices={"VIP": 150_000, "R": 0}, refund_policy=(RefundStep(0, 50),))))
    after(state, c.HoldSeats("free", EVE, ("C-1",)), c.Confirm("free", EVE), END)
    return state


def test_a_cancelled_schedule_says_when_why_and_by_whom() -> None:
    state = crowded()
    assert state.cancelled is not None
    assert (state.cancelled.at_ms, state.cancelled.reason, state.cancelled.by) == (NOW, "폭설", "organizer")


def test_every_booking_of_a_cancelled_schedule_ends_and_what_was_paid_goes_back_in_full() -> None:
    state = crowded()
    turn = run(state, c.EndBookings(tuple(f"e{number}" for number in range(50))), STARTS + DAY)
    assert told(turn) == ["reservation.expired", "refund.requested", "refund.requested", "cancellation.completed"]
    assert {key: ended.status.name for key, ended in state.ended.items()} == {
        "held": "EXPIRED", "paid": "REFUNDED", "partly": "REFUNDED", "free": "CANCELLED",
    }  # fmt: skip
    assert [(r.amount, r.fee) for r in state.ended["paid"].refunds] == [(240_000, 0)]
    assert [(r.amount, r.fee) for r in state.ended["partly"].refunds] == [(45_000, 45_000), (90_000, 0)]
    endings = [state.ended[name].ending for name in ("paid", "partly", "free")]
    assert [(ending.id, ending.reason, ending.by) for ending in endings if ending] == [
        ("e0", "폭설", "organizer"), ("e1", "폭설", "organizer"), ("e2", "폭설", "organizer"),
    ]  # fmt: skip
    assert list(state.bookings) == ["paying"]


def test_bookings_are_ended_in_batches_until_none_is_left_but_those_being_paid_for() -> None:
    state = crowded()
    left = []
    for batch in range(4):
        after(state, c.EndBookings((f"e{batch}-1", f"e{batch}-2")))
        left.append(set(state.bookings))
    assert left == [{"paying", "partly", "free"}, {"paying"}, {"paying"}, {"paying"}]
    assert {key: ended.status.name for key, ended in state.ended.items()} == {
        "held": "CANCELLED", "paid": "REFUNDED", "partly": "REFUNDED", "free": "CANCELLED",
    }  # fmt: skip


def test_a_batch_with_no_booking_left_changes_nothing() -> None:
    state = after(opened(), END)
    assert do(state, c.EndBookings(("e1",))) == Done(state.seq)
    assert do(state, c.EndBookings(())) == Done(state.seq)


def test_a_repeated_batch_ends_no_more_bookings() -> None:
    state = crowded()
    request = Request("batch-1", c.EndBookings(("e1", "e2")))
    first = execute(state, request, NOW)
    assert execute(state, request, NOW).steps == ()
    assert execute(state, request, NOW).result == first.result


@pytest.mark.parametrize("approved", [True, False], ids=["approved", "declined"])
def test_a_payment_under_way_when_the_schedule_is_cancelled_is_settled_first_and_then_ended(approved: bool) -> None:
    state = crowded()
    after(state, c.EndBookings(("e1", "e2", "e3", "e4", "e5")))
    outcome: c.AnyCommand = (
        c.ApprovePayment("paying", "p-paying", "ref") if approved else c.DeclinePayment("paying", "p-paying", "no")
    )
    after(state, outcome, c.EndBookings(("e6",)))
    ended = state.ended["paying"]
    assert ended.status is (Status.REFUNDED if approved else Status.CANCELLED)
    assert [(refund.amount, refund.fee) for refund in ended.refunds] == ([(150_000, 0)] if approved else [])
    assert (state.bookings, bytes(state.seats), state.areas) == ({}, bytes(18), [[10, 0, 0, 0]])


@pytest.mark.parametrize("at_ms", [NOW, STARTS + DAY], ids=["before the start", "after it"])
def test_whoever_asks_before_the_organizer_gets_to_them_loses_nothing_by_it(at_ms: int) -> None:
    state = crowded()
    (refund,) = booking(state, c.Refund("paid", EVE, "f1", "p-paid"), at_ms).refunds
    assert (refund.amount, refund.fee) == (240_000, 0)


def test_a_refund_asked_for_before_the_schedule_was_cancelled_is_still_confirmed() -> None:
    state = crowded()
    after(state, c.EndBookings(("e1", "e2", "e3", "e4")))
    for refund_id, booking_id in list(state.pending_refunds.items()):
        refund = next(each for each in state.ended[booking_id].refunds if each.id == refund_id)
        after(state, c.CompleteRefund(refund_id, refund.payment_id, refund.amount, "KRW", "back"))
    assert state.pending_refunds == {}


def test_a_hold_on_a_cancelled_schedule_can_still_be_given_up() -> None:
    state = after(opened(), HOLD, END)
    assert booking(state, CANCEL).status is Status.CANCELLED


def run(state: ScheduleState, command: c.AnyCommand, now_ms: int = NOW) -> Turn:
    return execute(state, Request(f"run-{state.seq}", command), now_ms)


def told(turn: Turn) -> list[str]:
    return [step.record.event.type_name for step in turn.steps]
