"""What is for sale, until when, and to whom: categories without a price, what has begun, limits that were lowered."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from engine import commands as c
from engine.booking import Status
from engine.refusals import Code, Refusal, Why
from engine.snapshot import capture, decode, encode
from engine.state import FREE, ScheduleState
from engine.turn import Request, execute
from tests.engine.plans.houses import ANN, BOB, DAY, NOW, opened, terms
from tests.engine.test_decide import after, booking, do

STARTS = NOW + 30 * DAY
BEGUN = Refusal(Code.SALE_CLOSED, at_ms=STARTS)
HOLD = c.HoldSeats("b1", ANN, ("A-1", "A-2"))
PAY = c.RequestPayment("b1", ANN, "p1", "sandbox")
NO_VIP = {"VIP": None, "R": 90_000}
NO_R = {"VIP": 150_000, "R": None}
GIFTS = {"VIP": 0, "R": 0}


# --- a category that is not for sale ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("prices", "command", "refusal"),
    [
        (NO_VIP, HOLD, Refusal(Code.SEATS_UNAVAILABLE, seats=("A-1", "A-2"))),
        (NO_VIP, c.HoldSeats("b1", ANN, ("B-1", "A-2")), Refusal(Code.SEATS_UNAVAILABLE, seats=("A-2",))),
        (NO_VIP, c.HoldBest("b1", ANN, 1, category="VIP"), Refusal(Code.NOT_ENOUGH_SEATS, available=0)),
        (NO_VIP, c.HoldBest("b1", ANN, 13), Refusal(Code.NOT_ENOUGH_SEATS, available=12)),
        (NO_R, c.HoldSeats("b1", ANN, ("pit", "pit")), Refusal(Code.SEATS_UNAVAILABLE, seats=("pit",))),
        (NO_R, c.HoldBest("b1", ANN, 7), Refusal(Code.NOT_ENOUGH_SEATS, available=6)),
    ],
)
def test_report_14_nobody_gets_what_has_no_price(
    prices: dict[str, int | None], command: c.AnyCommand, refusal: Refusal
) -> None:
    assert do(opened(prices=prices), command) == refusal


def test_report_14_the_best_seats_are_those_for_sale() -> None:
    assert booking(opened(prices=NO_VIP), c.HoldBest("b1", ANN, 2)).prices == (90_000, 90_000)


def test_report_14_a_seat_held_before_its_category_went_off_sale_is_kept_and_paid_for() -> None:
    state = after(opened(), HOLD, c.ChangeTerms(terms(prices=NO_VIP)))
    assert booking(state, c.Change("b1", ANN, ("A-1", "B-1"))).prices == (150_000, 90_000)
    swapped = do(state, c.Change("b1", ANN, ("A-3", "B-1")))
    assert swapped == Refusal(Code.SEATS_UNAVAILABLE, seats=("A-3",))
    after(state, PAY, c.ApprovePayment("b1", "p1", "ref"))
    after(state, c.Refund("b1", ANN, "f1", "p1", ("A-1",)))
    assert state.seats[0] == FREE
    assert do(state, c.HoldSeats("b2", BOB, ("A-1",))) == Refusal(Code.SEATS_UNAVAILABLE, seats=("A-1",))
    after(state, c.ChangeTerms(terms()))
    assert booking(state, c.HoldBest("b2", BOB, 6, category="VIP")).prices == (150_000,) * 6


def test_report_14_what_is_not_for_sale_stays_so_after_a_restore() -> None:
    state = after(opened(prices=NO_VIP), c.HoldSeats("b1", ANN, ("B-1",)))
    restored = decode(state.plan, encode(capture(state)))
    assert restored.free.free == state.free.free
    assert restored.free.count(None, None) == 11
    assert do(restored, c.HoldBest("b2", BOB, 1, category="VIP")) == Refusal(Code.NOT_ENOUGH_SEATS, available=0)


# --- what has begun ---------------------------------------------------------------------------------------------------
SOONER = terms(starts_at_ms=NOW + 1_000, sale_closes_at_ms=NOW + 1_000)
CLOSED = Refusal(Code.SALE_CLOSED, at_ms=NOW + 1_000)


@pytest.mark.parametrize(
    ("prices", "command"),
    [
        (None, PAY),
        (None, c.Extend("b1", ANN)),
        (None, c.Change("b1", ANN, ("A-3", "A-4"))),
        (None, c.HoldSeats("b2", BOB, ("B-1",))),
        (GIFTS, c.Confirm("b1", ANN)),
    ],
)
def test_report_05_nothing_is_sold_or_paid_for_what_has_begun(
    prices: dict[str, int | None] | None, command: c.AnyCommand
) -> None:
    free = {} if prices is None else {"prices": prices}
    state = after(opened(**free), HOLD, c.ChangeTerms(terms(starts_at_ms=NOW + 1_000, sale_closes_at_ms=NOW + 1_000)))
    assert do(state, command, NOW + 1_000) == CLOSED
    assert state.bookings["b1"].status is Status.HELD


def test_report_05_nothing_is_given_up_for_what_has_begun() -> None:
    state = after(opened(), HOLD, PAY, c.ApprovePayment("b1", "p1", "ref"), c.ChangeTerms(SOONER))
    too_late = Refusal(Code.NOT_REFUNDABLE, at_ms=NOW + 1_000)
    assert do(state, c.Refund("b1", ANN, "f1", "p1"), NOW + 1_000) == too_late
    gift = after(opened(prices=GIFTS), HOLD, c.Confirm("b1", ANN))
    assert do(gift, c.Cancel("b1", "x1", ANN), STARTS) == Refusal(
        Code.BOOKING_NOT_CHANGEABLE, at_ms=STARTS, reason=Why.BEGUN
    )
    assert booking(gift, c.Cancel("b1", "x1", "", by="admin"), STARTS).status is Status.CANCELLED


def test_report_05_a_payment_under_way_ends_as_it_must() -> None:
    state = after(opened(), HOLD, PAY, c.ChangeTerms(SOONER))
    assert booking(state, c.ApprovePayment("b1", "p1", "ref"), NOW + 2_000).status is Status.CONFIRMED


# --- limits -----------------------------------------------------------------------------------------------------------
def test_report_07_a_change_that_adds_no_seat_is_not_refused_for_a_limit() -> None:
    state = after(opened(max_seats_per_customer=4), c.HoldSeats("b1", ANN, ("A-1", "A-2", "A-3", "A-4")))
    after(state, c.ChangeTerms(terms(max_seats_per_customer=2)))
    assert len(booking(state, c.Change("b1", ANN, ("A-1", "A-2", "A-3", "A-5"))).seats) == 4
    assert len(booking(state, c.Change("b1", ANN, ("A-1", "A-2", "A-3"))).seats) == 3
    more = do(state, c.Change("b1", ANN, ("A-1", "A-2", "A-3", "A-4")))
    assert more == Refusal(Code.CUSTOMER_LIMIT_REACHED, limit=2, available=0)


@pytest.mark.parametrize("for_many", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        lambda for_many: c.HoldSeats("b2", ANN, ("A-3",), for_many),
        lambda for_many: c.HoldBest("b2", ANN, 1, for_many=for_many),
        lambda for_many: c.Change("b1", ANN, ("A-1", "A-2", "A-3"), for_many),
        lambda for_many: c.ChangeBest("b1", ANN, 3, for_many=for_many),
    ],
)
def test_who_buys_for_many_has_no_limit_per_customer(more: Callable[[bool], c.Command], for_many: bool) -> None:
    state = after(opened(max_seats_per_customer=2), c.HoldSeats("b1", ANN, ("A-1", "A-2")))
    refusal = Refusal(Code.CUSTOMER_LIMIT_REACHED, limit=2, available=0)
    assert (do(state, more(for_many)) == refusal) is not for_many


# --- terms that somebody else has changed -----------------------------------------------------------------------------
def test_terms_are_changed_only_from_those_in_force() -> None:
    state = opened()
    before, mine, theirs = state.on, terms(hold_ms=60_000), terms(max_seats_per_customer=2)
    after(state, c.ChangeTerms(theirs, before))
    assert do(state, c.ChangeTerms(mine, before)) == Refusal(Code.TERMS_CHANGED)
    assert state.on == theirs
    after(state, c.ChangeTerms(mine, theirs))
    assert state.on == mine


# --- what can still be done to a date that is over; of one that was withdrawn `test_withdrawal.py` tells --------------
OFF, SHUT, EXPIRED = Code.SCHEDULE_CANCELLED, Code.SALE_CLOSED, Code.BOOKING_EXPIRED
BEFORE = (
    c.HoldSeats("held", ANN, ("A-1",)),
    c.HoldSeats("paying", ANN, ("A-2",)),
    c.RequestPayment("paying", ANN, "p2", "sandbox"),
    c.HoldSeats("declined", ANN, ("A-3",)),
    c.RequestPayment("declined", ANN, "p3", "sandbox"),
    c.DeclinePayment("declined", "p3", "lost_card"),
    c.HoldSeats("sold", ANN, ("B-1", "B-2")),
    c.RequestPayment("sold", ANN, "p4", "sandbox"),
    c.ApprovePayment("sold", "p4", "ref"),
    c.Refund("sold", ANN, "f4", "p4", ("B-2",)),
    c.Block(("C-1",), "camera", "organizer"),
)
ROWS: list[tuple[c.AnyCommand, Code | None, Code | None]] = [
    # command, why it is refused once the date is cancelled and once it has begun; None: it is not
    (c.HoldSeats("new", BOB, ("A-4",)), OFF, SHUT),
    (c.HoldBest("new", BOB, 2), OFF, SHUT),
    (c.Extend("held", ANN), OFF, EXPIRED),
    (c.Change("sold", ANN, ("B-3",)), OFF, SHUT),
    (c.ChangeBest("sold", ANN, 1), OFF, SHUT),
    (c.Confirm("held", ANN), OFF, EXPIRED),
    (c.Cancel("held", "x1", ANN), None, EXPIRED),
    (c.Transfer("sold", ANN, "new", BOB), OFF, SHUT),
    (c.Expire(), None, None),
    (c.RequestPayment("held", ANN, "p1", "sandbox"), OFF, EXPIRED),
    (c.ApprovePayment("paying", "p2", "ref"), None, None),
    (c.DeclinePayment("paying", "p2", "lost_card"), None, None),
    (c.ReturnPayment("declined", ANN, "p3", 150_000, "KRW", "sandbox", "ref", "f3"), None, None),
    (c.Refund("sold", ANN, "f5", "p4"), None, Code.NOT_REFUNDABLE),
    (c.CompleteRefund("f4", "p4", 90_000, "KRW", "back"), None, None),
    (c.CancelSchedule("snow", "organizer"), OFF, None),  # a performance may be broken off
    (c.EndBookings(("e1",)), None, Code.SCHEDULE_NOT_CANCELLED),
    (c.Block(("C-2",), "camera", "organizer"), OFF, SHUT),
    (c.Unblock(("C-1",), "organizer"), OFF, SHUT),
    (c.ChangeTerms(opened(hold_ms=60_000).on), OFF, None),  # it may begin later than it was to
]


def test_the_rows_are_every_command() -> None:
    assert [type(command) for command, _, _ in ROWS] == list(get_args(c.AnyCommand))


@pytest.mark.parametrize(("command", "cancelled", "begun"), ROWS, ids=[type(row[0]).__name__ for row in ROWS])
def test_what_is_done_to_a_date_that_is_over_is_what_ends_things(
    command: c.AnyCommand, cancelled: Code | None, begun: Code | None
) -> None:
    off = after(opened(), *BEFORE, c.CancelSchedule("ill", "organizer"))
    assert _refused(off, command, NOW) is cancelled
    on = after(opened(), *BEFORE)
    execute(on, Request("", c.Expire()), STARTS)  # what has no time any more is over before anything else
    assert _refused(on, command, STARTS) is begun


def _refused(state: ScheduleState, command: c.AnyCommand, now_ms: int) -> Code | None:
    seats, seq = bytes(state.seats), state.seq
    result = do(state, command, now_ms)
    if not isinstance(result, Refusal):
        return None
    assert (bytes(state.seats), state.seq) == (seats, seq)
    return result.code
