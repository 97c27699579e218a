"""Handing seats on, one row a case: what may be, what becomes of both bookings, and that the money stays one."""

from __future__ import annotations

import itertools

import pytest

from engine import commands as c
from engine import state as engine_state
from engine.booking import Booking, Status
from engine.payment import PaymentStatus
from engine.refusals import Code, Refusal
from engine.snapshot import capture, decode, encode, state_hash
from engine.state import SOLD, ScheduleState
from engine.turn import Request, execute
from tests.engine.plans.houses import ANN, BOB, DAY, EVE, NOW, opened, terms
from tests.engine.test_decide import after, booking, do

HOLD_MS = 600_000
STARTS = NOW + 30 * DAY
HOLD = c.HoldSeats("b1", ANN, ("A-1", "A-2", "B-1", "pit", "pit"))
PAY = c.RequestPayment("b1", ANN, "p1", "sandbox")
APPROVE = c.ApprovePayment("b1", "p1", "ref-1")
DECLINE = c.DeclinePayment("b1", "p1", "lost_card")
CANCEL = c.Cancel("b1", "x1", ANN)
WHOLE = c.Refund("b1", ANN, "f1", "p1")
PAID = (HOLD, PAY, APPROVE)
AMOUNT = 570_000
END = c.CancelSchedule("폭설", "organizer")
ALL = c.Transfer("b1", ANN, "b2", BOB)
SOME = c.Transfer("b1", ANN, "b2", BOB, ("A-2", "pit"))
NO = Refusal(Code.TRANSFER_NOT_ALLOWED)


def hand_on(*seats: str, to: str = BOB, as_: str = "b2", by: str = ANN, of: str = "b1") -> c.Transfer:
    return c.Transfer(of, by, as_, to, seats)


REFUSALS = [
    # name, what came before, command, refusal
    ("an unknown booking", (), ALL, Refusal(Code.BOOKING_NOT_FOUND)),
    ("another's booking", PAID, hand_on(by=BOB, to=EVE), Refusal(Code.BOOKING_NOT_FOUND)),
    ("by whom they were handed on to, of the giver's", (*PAID, SOME), hand_on("A-1", by=BOB, to=EVE, as_="b3"),
     Refusal(Code.BOOKING_NOT_FOUND)),
    ("a hold", (HOLD,), ALL, NO),
    ("what is being paid for", (HOLD, PAY), ALL, NO),
    ("a hold whose payment was declined", (HOLD, PAY, DECLINE), ALL, NO),
    ("a cancelled hold", (HOLD, CANCEL), ALL, Refusal(Code.BOOKING_ALREADY_CANCELLED)),
    ("a refunded booking", (*PAID, WHOLE), ALL, Refusal(Code.BOOKING_ALREADY_CANCELLED)),
    ("handed on already", (*PAID, ALL), hand_on(to=EVE, as_="b3"), Refusal(Code.BOOKING_TRANSFERRED)),
    ("a seat handed on already", (*PAID, SOME), hand_on("A-1", "A-2", to=EVE, as_="b3"),
     Refusal(Code.TRANSFER_NOT_ALLOWED, seats=("A-2",))),
    ("a seat given back already", (*PAID, c.Refund("b1", ANN, "f1", "p1", ("A-1",))), hand_on("A-1"),
     Refusal(Code.TRANSFER_NOT_ALLOWED, seats=("A-1",))),
    ("on a cancelled schedule", (*PAID, END), ALL, Refusal(Code.SCHEDULE_CANCELLED, at_ms=NOW)),
    ("where it is not allowed", (*PAID, c.ChangeTerms(terms(transferable=False))), ALL, NO),
    ("to oneself", PAID, hand_on(to=ANN), NO),
    ("to oneself, asked for by nobody in particular", PAID, hand_on(by="", to=ANN), NO),
    ("as a booking that there is", (*PAID, c.HoldSeats("b2", BOB, ("C-1",))), ALL, NO),
    ("as a booking that has ended", (*PAID, c.HoldSeats("b2", BOB, ("C-1",)), c.Cancel("b2", "x", BOB)), ALL, NO),
    ("as itself", PAID, hand_on(as_="b1"), NO),
    ("a seat that is not the booking's", PAID, hand_on("A-1", "C-1"),
     Refusal(Code.TRANSFER_NOT_ALLOWED, seats=("C-1",))),
    ("another's seat", (*PAID, c.HoldSeats("b9", EVE, ("C-1",))), hand_on("C-1"),
     Refusal(Code.TRANSFER_NOT_ALLOWED, seats=("C-1",))),
    ("a seat the house does not have", PAID, hand_on("Z-1"), Refusal(Code.UNKNOWN_SEAT, seats=("Z-1",))),
    ("a seat twice", PAID, hand_on("A-1", "A-1"), Refusal(Code.DUPLICATE_SEAT, seats=("A-1",))),
    ("one standing place too many", PAID, hand_on("pit", "pit", "pit"),
     Refusal(Code.TRANSFER_NOT_ALLOWED, seats=("pit",))),
    ("standing places of which one is gone", (*PAID, SOME), hand_on("pit", "pit", to=EVE, as_="b3"),
     Refusal(Code.TRANSFER_NOT_ALLOWED, seats=("pit",))),
    ("101 places", PAID, hand_on(*("pit",) * 101), Refusal(Code.INVALID_QUANTITY, limit=100)),
]  # fmt: skip


@pytest.mark.parametrize(("before", "command", "refusal"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_a_refusal_names_its_reason_and_nothing_changes_hands(
    before: tuple[c.AnyCommand, ...], command: c.AnyCommand, refusal: Refusal
) -> None:
    state = after(opened(), *before)
    was = state_hash(state)
    assert do(state, command) == refusal
    assert state_hash(state) == was


def test_nothing_changes_hands_once_it_has_begun_and_until_then_it_does() -> None:
    assert do(after(opened(), *PAID), ALL, STARTS) == Refusal(Code.SALE_CLOSED, at_ms=STARTS)
    closed = after(opened(sale_closes_at_ms=NOW + DAY), *PAID)  # nothing is sold any more, what is sold is theirs
    assert booking(closed, ALL, STARTS - 1).customer_id == BOB


def test_an_expired_hold_is_nobody_s_to_hand_on() -> None:
    assert do(after(opened(), HOLD), ALL, NOW + HOLD_MS) == Refusal(Code.BOOKING_EXPIRED)


@pytest.mark.parametrize(
    ("theirs", "seats", "left"),
    [
        (0, ("A-1", "pit"), None),
        (1, ("A-1", "pit"), None),
        (2, ("A-1", "pit"), 1),
        (3, ("pit",), 0),
        (2, ("pit",), None),
    ],
)
def test_the_limit_is_that_of_whoever_gets_them_and_counts_standing_places(
    theirs: int, seats: tuple[str, ...], left: int | None
) -> None:
    state = after(opened(), *PAID)
    after(state, c.ChangeTerms(terms(max_seats_per_customer=3)))
    if theirs:
        after(state, c.HoldSeats("b9", BOB, ("pit",) * theirs))
    result = do(state, hand_on(*seats))
    expected = None if left is None else Refusal(Code.CUSTOMER_LIMIT_REACHED, limit=3, available=left)
    assert (result if isinstance(result, Refusal) else None) == expected


def test_seats_handed_on_count_for_who_has_them() -> None:
    state = after(opened(), *PAID, SOME)
    assert state.places_of == {ANN: 3, BOB: 2}
    after(state, hand_on(to=BOB, as_="b3"))
    assert state.places_of == {BOB: 5}


# --- what becomes of both ---------------------------------------------------------------------------------------------
def test_all_of_a_booking_is_handed_on_and_nothing_is_free_meanwhile() -> None:
    state = after(opened(), *PAID)
    was = (bytes(state.seats), [list(area) for area in state.areas])
    theirs = booking(state, ALL, NOW + 5)
    paid = state.ended["b1"]
    assert (theirs.status, theirs.customer_id, theirs.seats, theirs.prices) == (
        Status.CONFIRMED, BOB, paid.seats, paid.prices
    )  # fmt: skip
    assert (theirs.origin, theirs.payer, theirs.created_ms, theirs.expires_ms) == ("b1", ANN, NOW, 0)
    assert (theirs.payment, theirs.refunds) == (paid.payment, ())
    assert (paid.status, paid.ending and (paid.ending.id, paid.ending.by)) == (Status.TRANSFERRED, ("b2", "customer"))
    assert (bytes(state.seats), state.areas) == was
    assert not state.free.is_free(0)


def test_some_of_a_booking_is_handed_on_and_each_seat_keeps_its_price() -> None:
    state = after(opened(), *PAID)
    theirs = booking(state, SOME)
    left = state.bookings["b1"]
    assert (left.status, left.seats, left.prices) == (Status.CONFIRMED, (0, 6, 18), (150_000, 90_000, 90_000))
    assert (theirs.seats, theirs.prices) == ((1, 18), (150_000, 90_000))
    assert (state.seats[0], state.seats[1], state.areas) == (SOLD, SOLD, [[8, 0, 2, 0]])


def test_standing_places_of_several_prices_keep_them_in_order() -> None:
    state = after(opened(), c.HoldSeats("b1", ANN, ("pit",)))
    after(state, c.ChangeTerms(terms(prices={"VIP": 150_000, "R": 70_000})), c.Change("b1", ANN, ("pit", "pit")))
    after(state, PAY, APPROVE)
    assert booking(state, hand_on("pit")).prices == (90_000,)
    assert state.bookings["b1"].prices == (70_000,)


def test_over_two_hops_prices_origin_payer_and_policy_are_those_of_who_paid() -> None:
    state = after(opened(), *PAID)
    after(state, ALL, c.ChangeTerms(terms(prices={"VIP": 1, "R": 1}, refund_policy=())), now_ms=NOW + DAY)
    last = booking(state, hand_on("A-2", of="b2", by=BOB, to=EVE, as_="b3"), NOW + 2 * DAY)
    assert (last.customer_id, last.seats, last.prices) == (EVE, (1,), (150_000,))
    assert (last.origin, last.payer, last.created_ms) == ("b1", ANN, NOW)
    assert state.policy_of(last) == opened().on.refund_policy
    assert last.payment is not None
    assert (last.payment.id, last.payment.amount) == ("p1", AMOUNT)


def test_what_cost_nothing_is_handed_on_and_is_its_taker_s_to_cancel() -> None:
    state = after(opened(prices={"VIP": 0, "R": 0}), HOLD, c.Confirm("b1", ANN), SOME)
    assert booking(state, c.Cancel("b2", "x2", BOB)).status is Status.CANCELLED
    assert booking(state, CANCEL).status is Status.CANCELLED
    assert bytes(state.seats) == bytes(18)


def test_a_repeated_acceptance_is_answered_as_the_first_and_hands_nothing_on_twice() -> None:
    state = after(opened(), *PAID)
    request = Request("accept", SOME, "offer")
    first = execute(state, request, NOW)
    assert [step.record.event.type_name for step in first.steps] == ["reservation.handed_on", "reservation.taken_over"]
    after(state, hand_on("A-2", of="b2", by=BOB, to=EVE, as_="b3"))
    again = execute(state, request, NOW + DAY)
    assert (again.result, again.steps, again.repeated) == (first.result, (), True)


# --- and what they may do after it ------------------------------------------------------------------------------------
GIVER_HAS_NONE = Code.BOOKING_TRANSFERRED
# command: what it comes to after all was handed on, and after some was
AFTERWARDS: dict[str, tuple[c.AnyCommand, Code | Status, Code | Status]] = {
    "the giver pays": (c.RequestPayment("b1", ANN, "p2", "sandbox"), GIVER_HAS_NONE, Code.BOOKING_ALREADY_PAID),
    "the taker pays": (
        c.RequestPayment("b2", BOB, "p2", "sandbox"), Code.BOOKING_ALREADY_PAID, Code.BOOKING_ALREADY_PAID),
    "the giver extends": (c.Extend("b1", ANN), GIVER_HAS_NONE, Code.BOOKING_NOT_CHANGEABLE),
    "the taker extends": (c.Extend("b2", BOB), Code.BOOKING_NOT_CHANGEABLE, Code.BOOKING_NOT_CHANGEABLE),
    "the giver changes what is left": (c.Change("b1", ANN, ("A-3", "B-2", "pit")), GIVER_HAS_NONE, Status.CONFIRMED),
    "the giver changes to the taker's seat": (
        c.Change("b1", ANN, ("A-2", "B-1", "pit")), GIVER_HAS_NONE, Code.SEATS_UNAVAILABLE),
    "the giver changes the taker's": (
        c.Change("b2", ANN, ("A-3", "pit")), Code.BOOKING_NOT_FOUND, Code.BOOKING_NOT_FOUND),
    "the taker changes to the same prices": (
        c.Change("b2", BOB, ("A-3", "pit")), Code.BOOKING_NOT_CHANGEABLE, Status.CONFIRMED),
    "the taker changes to more": (
        c.Change("b2", BOB, ("A-3", "A-4", "A-5", "A-6", "B-2")), Code.BOOKING_NOT_CHANGEABLE,
        Code.BOOKING_NOT_CHANGEABLE),
    "the giver cancels": (CANCEL, GIVER_HAS_NONE, Code.BOOKING_PAID),
    "the taker cancels": (c.Cancel("b2", "x2", BOB), Code.BOOKING_PAID, Code.BOOKING_PAID),
    "the giver cancels the taker's": (c.Cancel("b2", "x2", ANN), Code.BOOKING_NOT_FOUND, Code.BOOKING_NOT_FOUND),
    "the giver confirms": (c.Confirm("b1", ANN), GIVER_HAS_NONE, Code.BOOKING_ALREADY_PAID),
    "the taker confirms": (c.Confirm("b2", BOB), Code.BOOKING_ALREADY_PAID, Code.BOOKING_ALREADY_PAID),
    "the giver gives back": (WHOLE, Code.NOT_REFUNDABLE, Status.REFUNDED),
    "the giver gives back one": (
        c.Refund("b1", ANN, "f1", "p1", ("A-1",)), Code.NOT_REFUNDABLE, Status.PARTIALLY_REFUNDED),
    "the giver gives back what they handed on": (
        c.Refund("b1", ANN, "f1", "p1", ("A-2",)), Code.NOT_REFUNDABLE, Code.NOT_REFUNDABLE),
    "who paid gives the taker's back": (
        c.Refund("b2", ANN, "f1", "p1"), Code.BOOKING_NOT_FOUND, Code.BOOKING_NOT_FOUND),
    "the taker gives back": (c.Refund("b2", BOB, "f1", "p1"), Code.NOT_REFUNDABLE, Code.NOT_REFUNDABLE),
    "the taker gives back for no fee": (
        c.Refund("b2", BOB, "f1", "p1", fee_percent=0), Code.NOT_REFUNDABLE, Code.NOT_REFUNDABLE),
    "an admin gives the taker's back": (c.Refund("b2", "", "f1", "p1", by="admin"), Status.REFUNDED, Status.REFUNDED),
    "the money is approved again": (APPROVE, Code.PAYMENT_NOT_FOUND, Code.PAYMENT_ALREADY_SETTLED),
    "the money is approved for the taker": (
        c.ApprovePayment("b2", "p1", "ref"), Code.PAYMENT_ALREADY_SETTLED, Code.PAYMENT_ALREADY_SETTLED),
    "the money is declined": (DECLINE, Code.PAYMENT_NOT_FOUND, Code.PAYMENT_ALREADY_SETTLED),
    "the money is returned as late": (
        c.ReturnPayment("b1", ANN, "p1", AMOUNT, "KRW", "sandbox", "ref", "f9"), Code.PAYMENT_ALREADY_SETTLED,
        Code.PAYMENT_ALREADY_SETTLED),
    "the money is returned as late, of the taker's": (
        c.ReturnPayment("b2", BOB, "p1", AMOUNT, "KRW", "sandbox", "ref", "f9"), Code.PAYMENT_ALREADY_SETTLED,
        Code.PAYMENT_ALREADY_SETTLED),
    "the giver hands on": (hand_on(to=EVE, as_="b3"), GIVER_HAS_NONE, Status.CONFIRMED),
    "the taker hands on": (hand_on(of="b2", by=BOB, to=EVE, as_="b3"), Status.CONFIRMED, Status.CONFIRMED),
    "the taker hands back": (hand_on(of="b2", by=BOB, to=ANN, as_="b3"), Status.CONFIRMED, Status.CONFIRMED),
    "somebody wants the seat": (c.HoldSeats("b9", EVE, ("A-2",)), Code.SEATS_UNAVAILABLE, Code.SEATS_UNAVAILABLE),
}  # fmt: skip


@pytest.mark.parametrize("some", [False, True], ids=["all", "some"])
@pytest.mark.parametrize("name", AFTERWARDS)
def test_after_seats_were_handed_on(name: str, some: bool) -> None:
    command, *expected = AFTERWARDS[name]
    state = after(opened(), *PAID, SOME if some else ALL)
    result = do(state, command)
    assert isinstance(result, Booking | Refusal)
    assert (result.status if isinstance(result, Booking) else result.code) is expected[some]


# --- the money --------------------------------------------------------------------------------------------------------
def family() -> ScheduleState:
    """Paid for by Ann; Bob has two of the places, Eve one that he handed on."""
    return after(opened(), *PAID, hand_on("A-2", "pit", "B-1"), hand_on("B-1", of="b2", by=BOB, to=EVE, as_="b3"))


def again(state: ScheduleState) -> ScheduleState:
    """The same from a snapshot: what is derived is derived anew."""
    restored = decode(state.plan, encode(capture(state)))
    assert state_hash(restored) == state_hash(state)
    return restored


@pytest.mark.parametrize("order", [*itertools.permutations(("b1", "b2", "b3"))], ids="-".join)
@pytest.mark.parametrize("restored", [False, True], ids=["in memory", "from a snapshot"])
def test_a_payment_is_refunded_with_the_last_seats_in_whatever_order_and_not_a_won_more(
    order: tuple[str, ...], restored: bool
) -> None:
    state = family()
    given_back = 0
    for number, name in enumerate(order):
        state = again(state) if restored else state
        done = booking(state, c.Refund(name, "", f"f-{name}", "p1", fee_percent=0, by="organizer"))
        given_back += done.refunds[-1].amount
        assert done.payment is not None
        last = number == len(order) - 1
        assert done.payment.status is (PaymentStatus.REFUNDED if last else PaymentStatus.PARTIALLY_REFUNDED)
        assert {each.payment for each in state.bookings.values()} <= {done.payment}
    assert given_back == AMOUNT
    assert (state.bookings, bytes(state.seats), state.areas) == ({}, bytes(18), [[10, 0, 0, 0]])
    assert set(state.pending_refunds) == {"f-b1", "f-b2", "f-b3"}


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_cancelled_schedule_gives_all_of_it_back_batch_by_batch(batch: int) -> None:
    state = after(family(), END)
    for number in range(3):
        after(state, c.EndBookings(tuple(f"e{number}-{each}" for each in range(batch))))
    assert {key: (each.status, each.payer or each.customer_id) for key, each in state.ended.items()} == dict.fromkeys(
        ("b1", "b2", "b3"), (Status.REFUNDED, ANN)
    )
    assert sum(refund.amount for each in state.ended.values() for refund in each.refunds) == AMOUNT
    statuses = [each.payment.status for each in state.ended.values() if each.payment is not None]
    assert statuses.count(PaymentStatus.REFUNDED) == 1, "with the last of them"


def test_whoever_has_their_own_seats_back_can_give_them_back() -> None:
    state = after(opened(), *PAID, ALL, hand_on(of="b2", by=BOB, to=ANN, as_="b3"))
    done = booking(state, c.Refund("b3", ANN, "f1", "p1"))
    assert (done.status, done.refunds[0].amount, done.refunds[0].fee) == (Status.REFUNDED, AMOUNT, 0)
    assert done.payment is not None
    assert done.payment.status is PaymentStatus.REFUNDED


def test_the_refund_that_was_asked_for_before_is_confirmed_although_the_rest_was_handed_on() -> None:
    state = after(opened(), *PAID, c.Refund("b1", ANN, "f1", "p1", ("A-1",)), ALL)
    done = booking(state, c.CompleteRefund("f1", "p1", 150_000, "KRW", "back-1"))
    assert (done.id, done.status, state.pending_refunds) == ("b1", Status.TRANSFERRED, {})
    assert booking(state, c.Refund("b2", "", "f2", "p1", fee_percent=0)).refunds[-1].amount == AMOUNT - 150_000


def test_money_for_what_was_handed_on_long_ago_is_still_one_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_state, "ENDED_REMEMBERED", 1)
    state = after(opened(), *PAID, ALL, c.HoldSeats("b9", EVE, ("C-1",)), c.Cancel("b9", "x9", EVE))
    assert state.find("b1") is None
    after(state, hand_on("A-1", of="b2", by=BOB, to=EVE, as_="b3"))
    part = booking(state, c.Refund("b3", "", "f3", "p1", fee_percent=0))
    rest = booking(state, c.Refund("b2", "", "f2", "p1", fee_percent=0))
    assert part.refunds[0].amount + rest.refunds[0].amount == AMOUNT
    assert rest.payment is not None
    assert rest.payment.status is PaymentStatus.REFUNDED
