"""Refund arithmetic as tables: what is kept of which price at which moment, exact to the minor unit."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import commands as c
from engine.booking import Booking, Status
from engine.plan_document import read_plan
from engine.refund_policy import (
    DAY_MS,
    DEFAULT_POLICY,
    STEPS,
    RefundPolicy,
    RefundStep,
    fee_of,
    fee_percent,
    last_moment_ms,
    step_of,
)
from engine.refusals import Code, Refusal
from engine.state import ScheduleState
from tests.engine.plans.houses import ANN, BOB, DAY, NOW, opened, plan_document, terms
from tests.engine.test_decide import after, booking, do

STARTS = NOW + 30 * DAY
HOUR = DAY // 24
FINAL: RefundPolicy = ()
ALWAYS_HALF: RefundPolicy = (RefundStep(0, 50),)
UNTIL_THE_DAY_BEFORE: RefundPolicy = (RefundStep(1, 0),)
ALL_IS_KEPT_LATE: RefundPolicy = (RefundStep(2, 33), RefundStep(0, 100))
PRICES = [0, 1, 2, 3, 9, 10, 33, 99, 101, 999, 55_001, 150_000, 2**31 + 1, 9_007_199_254_740_993]
PERCENTS = st.integers(0, 100)

DEFAULT_SCALE = [
    # before the start, percent
    (3650 * DAY, 0),
    (10 * DAY + 1, 0),
    (10 * DAY, 0),
    (10 * DAY - 1, 10),
    (8 * DAY, 10),
    (7 * DAY + 1, 10),
    (7 * DAY, 10),
    (7 * DAY - 1, 20),
    (5 * DAY, 20),
    (3 * DAY + 1, 20),
    (3 * DAY, 20),
    (3 * DAY - 1, 30),
    (1 * DAY, 30),
    (HOUR, 30),
    (1, 30),
    (0, None),
    (-1, None),
    (-DAY, None),
]
OWN_SCALES = [
    # policy, before the start, percent, until when
    (FINAL, 365 * DAY, None, None),
    (FINAL, 1, None, None),
    (ALWAYS_HALF, 365 * DAY, 50, STARTS),
    (ALWAYS_HALF, 1, 50, STARTS),
    (ALWAYS_HALF, 0, None, STARTS),
    (UNTIL_THE_DAY_BEFORE, DAY, 0, STARTS - DAY),
    (UNTIL_THE_DAY_BEFORE, DAY - 1, None, STARTS - DAY),
    (ALL_IS_KEPT_LATE, 2 * DAY, 33, STARTS),
    (ALL_IS_KEPT_LATE, 2 * DAY - 1, 100, STARTS),
]
FEES = [
    # price, percent, fee
    (0, 30, 0),
    (1, 0, 0),
    (1, 99, 0),
    (1, 100, 1),
    (3, 10, 0),
    (3, 33, 0),
    (3, 34, 1),
    (9, 10, 0),
    (10, 10, 1),
    (33, 10, 3),
    (33, 20, 6),
    (33, 30, 9),
    (99, 10, 9),
    (99, 20, 19),
    (99, 30, 29),
    (101, 10, 10),
    (101, 30, 30),
    (55_001, 10, 5_500),
    (55_001, 20, 11_000),
    (55_001, 30, 16_500),
    (150_000, 33, 49_500),
    (9_007_199_254_740_993, 30, 2_702_159_776_422_297),  # where a float would be off
]
CURRENCIES = [
    # currency, price in minor units, days left, amount, fee: three seats each
    ("KRW", 55_001, 5, 132_003, 33_000),  # ₩: no minor unit
    ("JPY", 9_999, 2, 21_000, 8_997),  # ¥: none either
    ("USD", 12_345, 8, 33_333, 3_702),  # cents
    ("KWD", 7_770, 2, 16_320, 6_990),  # fils, a thousandth of a dinar, of which cards take ten at a time
    ("KWD", 10, 8, 30, 0),
    ("KWD", 7_777, 2, 16_332, 6_999),  # where something else than a card has taken fils
    ("MGA", 10_500, 8, 28_500, 3_000),  # whole ariaries
    ("USD", 1, 2, 3, 0),  # three seats at a cent: a third of a cent each is not taken
    ("EUR", 333, 2, 702, 297),
]


@pytest.mark.parametrize(("left_ms", "percent"), DEFAULT_SCALE)
def test_the_default_scale_steps_at_each_edge_to_the_millisecond(left_ms: int, percent: int | None) -> None:
    assert fee_percent(DEFAULT_POLICY, STARTS, STARTS - left_ms) == percent


@pytest.mark.parametrize(("left_ms", "percent"), DEFAULT_SCALE)
def test_a_refund_follows_the_scale_and_is_refused_once_it_is_too_late(left_ms: int, percent: int | None) -> None:
    state = paid(opened(starts_at_ms=STARTS), "A-1", "B-1")
    now_ms = STARTS - left_ms
    result = do(state, c.Refund("b1", ANN, "f1", "p1"), now_ms)
    if percent is None:
        assert result == Refusal(Code.NOT_REFUNDABLE, at_ms=STARTS)
        assert state.bookings["b1"].status is Status.CONFIRMED
    else:
        assert isinstance(result, Booking)
        (refund,) = result.refunds
        assert (refund.amount, refund.fee) == (2_400 * (100 - percent), 2_400 * percent)


@pytest.mark.parametrize(("policy", "left_ms", "percent", "until_ms"), OWN_SCALES)
def test_a_policy_of_one_s_own_says_how_much_and_until_when(
    policy: RefundPolicy, left_ms: int, percent: int | None, until_ms: int | None
) -> None:
    assert fee_percent(policy, STARTS, STARTS - left_ms) == percent
    assert last_moment_ms(policy, STARTS) == until_ms


@pytest.mark.parametrize(("policy", "left_ms", "percent", "until_ms"), OWN_SCALES)
def test_a_refusal_says_until_when_a_seat_could_have_been_given_up(
    policy: RefundPolicy, left_ms: int, percent: int | None, until_ms: int | None
) -> None:
    state = paid(opened(starts_at_ms=STARTS, refund_policy=policy), "A-1")
    result = do(state, c.Refund("b1", ANN, "f1", "p1"), STARTS - left_ms)
    if percent is None:
        assert result == Refusal(Code.NOT_REFUNDABLE, at_ms=until_ms)
    else:
        assert isinstance(result, Booking)
        assert result.refunds[0].fee == 1_500 * percent


@pytest.mark.parametrize(("price", "percent", "fee"), FEES)
def test_a_fee_is_rounded_down_to_the_minor_unit(price: int, percent: int, fee: int) -> None:
    assert fee_of(price, percent) == fee


@given(st.sampled_from(PRICES), PERCENTS)
def test_nobody_pays_more_than_the_percentage_and_never_a_unit_less(price: int, percent: int) -> None:
    exact = Fraction(price * percent, 100)
    assert 0 <= fee_of(price, percent) <= exact < fee_of(price, percent) + 1


@given(st.sampled_from(PRICES), PERCENTS, st.sampled_from(sorted({step_of(each) for each in (*STEPS, "KRW")})))
def test_what_goes_back_is_what_can_be_paid_and_no_more_is_kept_for_it(price: int, percent: int, step: int) -> None:
    fee, finest = fee_of(price, percent, step), fee_of(price, percent)
    assert 0 <= fee <= finest < fee + step or fee == 0
    assert (price - fee) % step == 0 or price % step, "what was charged in whole steps is given back in whole steps"
    assert fee_of(price, 100, step) == price


@pytest.mark.parametrize(("currency", "price", "days", "amount", "fee"), CURRENCIES)
def test_refunds_are_exact_in_every_currency_s_minor_unit(
    currency: str, price: int, days: int, amount: int, fee: int
) -> None:
    state = paid(opened(currency=currency, starts_at_ms=STARTS, prices={"VIP": price, "R": price}), "A-1", "B-1", "pit")
    (refund,) = booking(state, c.Refund("b1", ANN, "f1", "p1"), STARTS - days * DAY).refunds
    assert (refund.amount, refund.fee) == (amount, fee)
    assert refund.amount + refund.fee == 3 * price


def test_the_fee_is_rounded_for_each_seat_and_not_for_their_sum() -> None:
    state = paid(opened(prices={"VIP": 99, "R": 99}, starts_at_ms=STARTS), "B-1", "B-2", "B-3", "pit")
    (refund,) = booking(state, c.Refund("b1", ANN, "f1", "p1"), STARTS - 2 * DAY).refunds
    assert refund.fee == 4 * 29  # of the sum it would be 118


def test_the_policy_promised_when_booking_holds_whatever_the_organizer_changes_later() -> None:
    state = paid(opened(starts_at_ms=STARTS), "A-1")
    after(state, c.ChangeTerms(terms(refund_policy=FINAL)), now_ms=NOW + 1)
    later = paid(state, "A-2", customer=BOB, number=2, now_ms=NOW + 2)
    assert do(later, c.Refund("b2", BOB, "f2", "p2"), NOW + 3) == Refusal(Code.NOT_REFUNDABLE)
    assert booking(later, c.Refund("b1", ANN, "f1", "p1"), NOW + 3).refunds[0].amount == 150_000


def test_a_kinder_policy_is_not_for_those_who_booked_before_it() -> None:
    state = paid(opened(starts_at_ms=STARTS, refund_policy=ALWAYS_HALF), "A-1")
    after(state, c.ChangeTerms(terms(refund_policy=DEFAULT_POLICY)), now_ms=NOW + 1)
    after(state, c.ChangeTerms(terms(refund_policy=FINAL)), now_ms=NOW + 2)
    assert booking(state, c.Refund("b1", ANN, "f1", "p1"), NOW + 3).refunds[0].fee == 75_000
    assert [since_ms for since_ms, _ in state.policies] == [NOW, NOW + 1, NOW + 2]


@pytest.mark.parametrize("change_first", [True, False])
def test_a_change_in_the_booking_s_own_millisecond_was_not_what_its_customer_was_promised(change_first: bool) -> None:
    state, change = opened(starts_at_ms=STARTS), c.ChangeTerms(terms(refund_policy=FINAL))
    later_ms = NOW + 1
    if change_first:
        after(state, change, now_ms=later_ms)
    paid(state, "A-1", now_ms=later_ms)
    if not change_first:
        after(state, change, now_ms=later_ms)
    assert booking(state, c.Refund("b1", ANN, "f1", "p1"), later_ms).refunds[0].amount == 150_000


def test_standing_places_added_to_a_hold_cost_what_they_cost_today() -> None:
    state = after(opened(), c.HoldSeats("b1", ANN, ("pit",)))
    after(state, c.ChangeTerms(terms(prices={"VIP": 1, "R": 100_000})))
    assert booking(state, c.Change("b1", ANN, ("pit", "pit"))).prices == (90_000, 100_000)
    settle(state)
    amounts = [
        booking(state, c.Refund("b1", ANN, f"f{number}", "p1", ("pit",))).refunds[-1].amount for number in (1, 2)
    ]
    assert amounts == [90_000, 100_000]


def test_terms_that_leave_the_policy_alone_add_nothing_to_remember() -> None:
    state = opened()
    after(state, c.ChangeTerms(terms(prices={"VIP": 1, "R": 1})))
    assert state.policies == [(NOW, DEFAULT_POLICY)]


def test_days_are_counted_back_from_the_start_as_it_is_now() -> None:
    state = paid(opened(starts_at_ms=STARTS, refund_when_moved=False), "A-1")
    sooner = {"starts_at_ms": NOW + 5 * DAY, "sale_closes_at_ms": NOW + 5 * DAY}
    after(state, c.ChangeTerms(terms(**sooner)), now_ms=NOW + 1)  # promising more from here on
    assert booking(state, c.Refund("b1", ANN, "f1", "p1"), NOW + 1).refunds[0].fee == 30_000


def test_report_06_who_booked_before_the_start_was_moved_gives_seats_up_for_nothing_until_it() -> None:
    state = paid(opened(starts_at_ms=STARTS), "A-1", "A-2", "A-3")
    sooner = {"starts_at_ms": NOW + 2 * DAY, "sale_closes_at_ms": NOW + 2 * DAY}
    after(state, c.ChangeTerms(terms(**sooner, refund_when_moved=False)), now_ms=NOW + 1)
    assert booking(state, c.Refund("b1", ANN, "f1", "p1", ("A-1",)), NOW + 2).refunds[0].fee == 0
    assert booking(state, c.Refund("b1", ANN, "f2", "p1", ("A-2",)), NOW + 2 * DAY - 1).refunds[1].fee == 0
    too_late = do(state, c.Refund("b1", ANN, "f3", "p1"), NOW + 2 * DAY)
    assert too_late == Refusal(Code.NOT_REFUNDABLE, at_ms=NOW + 2 * DAY)


def test_report_06_who_books_after_the_start_was_moved_has_the_policy() -> None:
    state = opened(starts_at_ms=STARTS)
    sooner = {"starts_at_ms": NOW + 2 * DAY, "sale_closes_at_ms": NOW + 2 * DAY}
    after(state, c.ChangeTerms(terms(**sooner)), now_ms=NOW)
    after(state, c.HoldSeats("b1", ANN, ("A-1",)), c.RequestPayment("b1", ANN, "p1", "sandbox"), now_ms=NOW + 1)
    after(state, c.ApprovePayment("b1", "p1", "ref"), now_ms=NOW + 1)
    assert booking(state, c.Refund("b1", ANN, "f1", "p1"), NOW + 2).refunds[0].fee == 45_000


def test_a_change_of_seats_keeps_the_promise_of_the_booking() -> None:
    state = paid(opened(starts_at_ms=STARTS), "A-1")
    after(state, c.ChangeTerms(terms(refund_policy=FINAL)), now_ms=NOW + 1)
    after(state, c.Change("b1", ANN, ("A-6",)), now_ms=NOW + 2)
    assert booking(state, c.Refund("b1", ANN, "f1", "p1"), NOW + 3).status is Status.REFUNDED


# --- parts and wholes -------------------------------------------------------------------------------------------------
HOUSE = read_plan(plan_document(rows=2, seats=4, standing=8))
PLACES = ("A-1", "A-2", "A-3", "B-1", "B-2", "B-4", "pit", "pit", "pit")
ORDERS = st.permutations(PLACES)
CUTS = st.sets(st.integers(1, len(PLACES) - 1)).map(sorted)


@given(ORDERS, CUTS, st.sampled_from(PRICES), st.sampled_from(PRICES), PERCENTS)
def test_refunds_of_parts_add_up_to_the_refund_of_the_whole(
    order: list[str], cuts: list[int], vip: int, regular: int, percent: int
) -> None:
    prices = {"VIP": vip or 1, "R": regular}
    whole = booking(
        paid(opened(HOUSE, prices=prices), *PLACES), c.Refund("b1", ANN, "f", "p1", fee_percent=percent)
    ).refunds[0]
    state = paid(opened(HOUSE, prices=prices), *PLACES)
    edges = [0, *cuts, len(order)]
    last: Booking | None = None
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        if last is not None and not last.amount:
            break  # what is left cost nothing: there is no money in it any more
        before, seats = last or state.bookings["b1"], tuple(order[start:end])
        last = booking(state, c.Refund("b1", ANN, f"f{number}", "p1", seats, fee_percent=percent))
        refund = last.refunds[-1]
        assert tuple(HOUSE.ids[index] for index in refund.seats) == seats
        if last.status is Status.PARTIALLY_REFUNDED:
            assert refund.amount + refund.fee == before.amount - last.amount
    assert last is not None
    assert sum(refund.amount for refund in last.refunds) == whole.amount
    assert sum(refund.fee for refund in last.refunds) == whole.fee
    assert whole.amount + whole.fee == 3 * prices["VIP"] + 6 * regular


@given(ORDERS, CUTS, st.lists(st.integers(0, 30 * DAY - 1), min_size=9, max_size=9))
def test_whenever_the_parts_are_given_back_amounts_and_fees_make_up_what_was_paid(
    order: list[str], cuts: list[int], moments: list[int]
) -> None:
    state = paid(opened(HOUSE, starts_at_ms=STARTS, prices={"VIP": 55_001, "R": 33}), *PLACES)
    edges = [0, *cuts, len(order)]
    last: Booking | None = None
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        command = c.Refund("b1", ANN, f"f{number}", "p1", tuple(order[start:end]))
        last = booking(state, command, NOW + moments[number])
    assert last is not None
    assert last.status is Status.REFUNDED
    assert sum(refund.amount + refund.fee for refund in last.refunds) == 3 * 55_001 + 6 * 33
    assert all(0 <= refund.fee * 10 <= 3 * (refund.amount + refund.fee) for refund in last.refunds)  # at most 30 %


def test_places_in_standing_room_are_given_back_one_by_one() -> None:
    state = paid(opened(starts_at_ms=STARTS), "pit", "pit", "pit")
    for number, (places, left) in enumerate([(1, 2), (1, 1), (1, 0)]):
        command = c.Refund("b1", ANN, f"f{number}", "p1", ("pit",) * places)
        given_back = booking(state, command, STARTS - 5 * DAY)
        assert (given_back.refunds[-1].amount, given_back.refunds[-1].fee) == (72_000, 18_000)
        assert state.areas == [[10 - left, 0, left, 0]]


def test_standing_places_bought_at_different_prices_give_back_what_they_cost_in_the_end() -> None:
    state = opened(starts_at_ms=STARTS, prices={"VIP": 5, "R": 100})
    after(state, c.HoldSeats("b1", ANN, ("pit", "A-1")))
    after(state, c.ChangeTerms(terms(prices={"VIP": 7, "R": 300})))
    after(state, c.Change("b1", ANN, ("pit", "A-2", "B-1")))
    settle(state)
    assert state.bookings["b1"].prices == (100, 7, 300)
    amounts = [
        booking(state, c.Refund("b1", ANN, f"f-{seat}", "p1", (seat,))).refunds[-1].amount
        for seat in ("B-1", "pit", "A-2")
    ]
    assert amounts == [300, 100, 7]


def test_a_day_has_24_hours_whatever_the_calendar_says() -> None:
    assert DAY_MS == 24 * 3_600_000


def paid(state: ScheduleState, *seats: str, customer: str = ANN, number: int = 1, now_ms: int = NOW) -> ScheduleState:
    """Holds the seats as booking `b<number>` and pays for them with payment `p<number>`."""
    after(state, c.HoldSeats(f"b{number}", customer, seats), now_ms=now_ms)
    return settle(state, number, now_ms)


def settle(state: ScheduleState, number: int = 1, now_ms: int = NOW) -> ScheduleState:
    pay = c.RequestPayment(f"b{number}", "", f"p{number}", "sandbox")
    return after(state, pay, c.ApprovePayment(f"b{number}", f"p{number}", "ref"), now_ms=now_ms)
