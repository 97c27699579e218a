"""What is for sale, until when, and to whom: categories without a price, what has begun, limits that were lowered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine import commands as c
from engine.booking import Status
from engine.refusals import Code, Refusal
from engine.snapshot import capture, decode, encode
from engine.state import FREE
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
    assert do(gift, c.Cancel("b1", "x1", ANN), STARTS) == Refusal(Code.BOOKING_NOT_CHANGEABLE, at_ms=STARTS)
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
