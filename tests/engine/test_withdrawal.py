"""A schedule that was withdrawn, whatever its sale had come to: nothing is taken any more, and debts are paid."""

from __future__ import annotations

import pytest

from engine import commands as c
from engine.booking import Status
from engine.events import Record, Withdrawn
from engine.refusals import Code, Refusal
from engine.snapshot import capture, decode, encode, state_hash
from engine.state import Done, ScheduleState, apply
from engine.turn import Request, execute
from tests.engine.plans.houses import ANN, BOB, DAY, NOW, opened, terms
from tests.engine.test_decide import after, booking, do

GONE = Refusal(Code.SCHEDULE_NOT_FOUND)
HOLD = c.HoldSeats("b1", ANN, ("A-1", "A-2"))
PAY = c.RequestPayment("b1", ANN, "p1", "sandbox")
APPROVE = c.ApprovePayment("b1", "p1", "ref-1")
DECLINE = c.DeclinePayment("b1", "p1", "not_charged")
CANCEL = c.Cancel("b1", "x1", ANN)
REFUND = c.Refund("b1", ANN, "f1", "p1")
END = c.CancelSchedule("snow", "organizer")

# The state of the sale, and of its one booking: what came before the withdrawal.
STATES: dict[str, tuple[dict[str, object], tuple[c.AnyCommand, ...]]] = {
    "never opened": ({"sale_opens_at_ms": NOW + DAY}, ()),
    "nothing ever booked": ({}, ()),
    "a hold was given back": ({}, (HOLD, CANCEL)),
    "everything was refunded, and is owed": ({}, (HOLD, PAY, APPROVE, REFUND)),
    "everything was refunded, and is paid out": (
        {},
        (HOLD, PAY, APPROVE, REFUND, c.CompleteRefund("f1", "p1", 300_000, "KRW", "back")),
    ),
    "a payment was given up": ({}, (HOLD, PAY, DECLINE, CANCEL)),
    "closed": ({"sale_closes_at_ms": NOW}, ()),
    "begun": ({"starts_at_ms": NOW, "sale_closes_at_ms": NOW}, ()),
    "cancelled": ({}, (END,)),
    "cancelled, its bookings ended": ({}, (HOLD, PAY, APPROVE, END, c.EndBookings(("e1",)))),
    # None of these can be withdrawn today; a store from before may have one.
    "a live hold": ({}, (HOLD,)),
    "a payment under way": ({}, (HOLD, PAY)),
    "sold": ({}, (HOLD, PAY, APPROVE)),
}
TURNED_AWAY: dict[str, c.AnyCommand] = {
    "book": c.HoldSeats("b2", BOB, ("B-1",)),
    "book the best": c.HoldBest("b2", BOB, 2),
    "book what does not exist": c.HoldSeats("b2", BOB, ("Z-9",)),
    "pay": c.RequestPayment("b1", ANN, "p9", "sandbox"),
    "confirm": c.Confirm("b1", ANN),
    "extend": c.Extend("b1", ANN),
    "exchange": c.Change("b1", ANN, ("B-1", "B-2")),
    "block": c.Block(("C-1",), "camera", "organizer"),
    "unblock": c.Unblock(("C-1",), "organizer"),
    "change terms": c.ChangeTerms(terms(hold_ms=60_000)),
    "cancel": c.CancelSchedule("snow", "organizer"),
}
every_state = pytest.mark.parametrize(("changes", "before"), STATES.values(), ids=STATES)


def withdrawn(changes: dict[str, object], before: tuple[c.AnyCommand, ...]) -> ScheduleState:
    # The terms are those of the moment after what came before: a sale that is over was open once.
    state = after(opened(**({} if before else changes)), *before)
    apply(state, Record(state.seq + 1, NOW, Withdrawn("organizer")))
    return state


@every_state
@pytest.mark.parametrize("command", TURNED_AWAY.values(), ids=TURNED_AWAY)
def test_nothing_is_taken_any_more(
    changes: dict[str, object], before: tuple[c.AnyCommand, ...], command: c.AnyCommand
) -> None:
    state = withdrawn(changes, before)
    seq, seats = state.seq, bytes(state.seats)
    assert do(state, command) == GONE
    assert (state.seq, bytes(state.seats)) == (seq, seats)


@every_state
def test_a_withdrawal_survives_in_snapshot_and_hash(
    changes: dict[str, object], before: tuple[c.AnyCommand, ...]
) -> None:
    state = withdrawn(changes, before)
    copy = decode(state.plan, encode(capture(state)))
    assert (copy.withdrawn, state_hash(copy)) == (state.withdrawn, state_hash(state))
    copy.withdrawn = None
    assert state_hash(copy) != state_hash(state)


def test_a_request_that_was_accepted_before_gets_its_answer_again() -> None:
    state = opened()
    first = execute(state, Request("r1", HOLD), NOW).result
    after(state, CANCEL)
    apply(state, Record(state.seq + 1, NOW, Withdrawn("organizer")))
    assert execute(state, Request("r1", HOLD), NOW).result == first


def test_what_is_owed_goes_back_after_a_withdrawal() -> None:
    state = withdrawn(*STATES["everything was refunded, and is owed"])
    assert state.pending_refunds == {"f1": "b1"}
    done = do(state, c.CompleteRefund("f1", "p1", 300_000, "KRW", "back"))
    assert not isinstance(done, Refusal)
    assert state.pending_refunds == {}


def test_money_that_comes_late_goes_back_after_a_withdrawal() -> None:
    state = withdrawn(*STATES["a payment was given up"])
    late = c.ReturnPayment("b1", ANN, "p1", 300_000, "KRW", "sandbox", "ref", "f1")
    assert not isinstance(do(state, late), Refusal)
    assert state.pending_refunds == {"f1": "b1"}


def test_whoever_had_paid_in_a_store_from_before_gets_everything_back() -> None:
    state = withdrawn(*STATES["sold"])
    refunded = booking(state, REFUND, NOW + 29 * DAY)
    assert (refunded.status, refunded.refunds[0].amount, refunded.refunds[0].fee) == (Status.REFUNDED, 300_000, 0)


def test_a_payment_under_way_in_a_store_from_before_ends_as_it_must() -> None:
    state = withdrawn(*STATES["a payment under way"])
    assert booking(state, APPROVE).status is Status.CONFIRMED
    assert booking(state, REFUND).status is Status.REFUNDED


def test_a_hold_in_a_store_from_before_runs_out_or_is_given_back() -> None:
    state = withdrawn(*STATES["a live hold"])
    assert isinstance(do(state, c.Expire(), NOW + 600_000), Done | type(state.ended["b1"]))
    assert (state.ended["b1"].status, bytes(state.seats)) == (Status.EXPIRED, bytes(18))
    assert booking(withdrawn(*STATES["a live hold"]), CANCEL).status is Status.CANCELLED
