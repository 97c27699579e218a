"""Every rule of the sale, one row a case: what came before, the command, and what it leads to."""

from __future__ import annotations

import itertools

import pytest

from engine import commands as c
from engine.booking import Booking, Status
from engine.payment import PaymentStatus
from engine.refusals import Code, Refusal, Why
from engine.state import BLOCKED, FREE, HELD, SOLD, Done, ScheduleState
from engine.turn import Request, execute
from tests.engine.plans.houses import ANN, BOB, DAY, NOW, opened

REQUESTS = itertools.count()
HOLD_MS = 600_000
HOLD = c.HoldSeats("b1", ANN, ("A-1", "A-2"))
FREE_HOLD = c.HoldSeats("b1", ANN, ("C-1",))
PAY = c.RequestPayment("b1", ANN, "p1", "sandbox")
APPROVE = c.ApprovePayment("b1", "p1", "ref")
DECLINE = c.DeclinePayment("b1", "p1", "lost_card")
CANCEL = c.Cancel("b1", "x1", ANN)
PAID = (HOLD, PAY, APPROVE)

REFUSALS = [
    # name, what came before, command, refusal
    ("an unknown seat", (), c.HoldSeats("b", BOB, ("A-1", "Z-9")), Refusal(Code.UNKNOWN_SEAT, seats=("Z-9",))),
    ("the same seat twice", (), c.HoldSeats("b", BOB, ("A-1", "A-1")), Refusal(Code.DUPLICATE_SEAT, seats=("A-1",))),
    ("no seat at all", (), c.HoldSeats("b", BOB, ()), Refusal(Code.INVALID_QUANTITY, limit=100)),
    ("101 places", (), c.HoldSeats("b", BOB, ("pit",) * 101), Refusal(Code.INVALID_QUANTITY, limit=100)),
    ("quantity zero", (), c.HoldBest("b", BOB, 0), Refusal(Code.INVALID_QUANTITY, limit=100)),
    ("quantity below zero", (), c.HoldBest("b", BOB, -1), Refusal(Code.INVALID_QUANTITY, limit=100)),
    ("a taken seat, all or none", (HOLD,), c.HoldSeats("b", BOB, ("A-2", "A-3")),
     Refusal(Code.SEATS_UNAVAILABLE, seats=("A-2",))),
    ("more standing room than is left", (), c.HoldSeats("b", BOB, ("pit",) * 11),
     Refusal(Code.SEATS_UNAVAILABLE, seats=("pit",))),
    ("more than the house has", (), c.HoldBest("b", BOB, 19), Refusal(Code.NOT_ENOUGH_SEATS, available=18)),
    ("more side by side than a row has", (), c.HoldBest("b", BOB, 7, category="VIP", adjacent=True),
     Refusal(Code.NOT_ENOUGH_SEATS, available=6)),
    ("more than a category has", (HOLD,), c.HoldBest("b", BOB, 5, category="VIP"),
     Refusal(Code.NOT_ENOUGH_SEATS, available=4)),
    ("an unknown category", (), c.HoldBest("b", BOB, 1, category="S"), Refusal(Code.UNKNOWN_CATEGORY)),
    ("an unknown zone", (), c.HoldBest("b", BOB, 1, zone="Moon"), Refusal(Code.UNKNOWN_ZONE)),
    ("more than is left besides what is excluded", (), c.HoldBest("b", BOB, 5, category="VIP", exclude=("A-1", "A-2")),
     Refusal(Code.NOT_ENOUGH_SEATS, available=4)),
    ("more than there is, its own seats among it", (HOLD,), c.ChangeBest("b1", ANN, 7),
     Refusal(Code.NOT_ENOUGH_SEATS, available=6)),
    ("others than its own, where there are none", (HOLD,), c.ChangeBest("b1", ANN, 5, exclude=("A-1", "A-2")),
     Refusal(Code.NOT_ENOUGH_SEATS, available=4)),
    ("changing how many another has", (HOLD,), c.ChangeBest("b1", BOB, 1), Refusal(Code.BOOKING_NOT_FOUND)),
    ("changing to none", (HOLD,), c.ChangeBest("b1", ANN, 0), Refusal(Code.INVALID_QUANTITY, limit=100)),
    ("changing to an unknown category", (HOLD,), c.ChangeBest("b1", ANN, 1, category="S"),
     Refusal(Code.UNKNOWN_CATEGORY)),
    ("changing to an unknown zone", (HOLD,), c.ChangeBest("b1", ANN, 1, zone="Moon"), Refusal(Code.UNKNOWN_ZONE)),
    ("changing how many while paying", (HOLD, PAY), c.ChangeBest("b1", ANN, 1), Refusal(Code.PAYMENT_IN_PROGRESS)),
    ("changing what is paid to another price", PAID, c.ChangeBest("b1", ANN, 3),
     Refusal(Code.BOOKING_NOT_CHANGEABLE, reason=Why.OTHER_PRICE)),
    ("another's booking", (HOLD,), c.Cancel("b1", "x", BOB), Refusal(Code.BOOKING_NOT_FOUND)),
    ("an unknown booking", (), CANCEL, Refusal(Code.BOOKING_NOT_FOUND)),
    ("cancelled already", (HOLD, CANCEL), c.Cancel("b1", "x2", ANN), Refusal(Code.BOOKING_ALREADY_CANCELLED)),
    ("paying for a cancelled one", (HOLD, CANCEL), PAY, Refusal(Code.BOOKING_ALREADY_CANCELLED)),
    ("cancelling a paid one", PAID, CANCEL, Refusal(Code.BOOKING_PAID)),
    ("cancelling while paying", (HOLD, PAY), CANCEL, Refusal(Code.PAYMENT_IN_PROGRESS)),
    ("paying twice at once", (HOLD, PAY), c.RequestPayment("b1", ANN, "p2", "sandbox"),
     Refusal(Code.PAYMENT_IN_PROGRESS)),
    ("paying again", PAID, c.RequestPayment("b1", ANN, "p2", "sandbox"), Refusal(Code.BOOKING_ALREADY_PAID)),
    ("settling twice", PAID, APPROVE, Refusal(Code.PAYMENT_ALREADY_SETTLED)),
    ("a decline after approval", PAID, DECLINE, Refusal(Code.PAYMENT_ALREADY_SETTLED)),
    ("settling an unknown payment", (HOLD,), APPROVE, Refusal(Code.PAYMENT_NOT_FOUND)),
    ("settling an earlier attempt", (HOLD, PAY, DECLINE, c.RequestPayment("b1", ANN, "p2", "sandbox")), APPROVE,
     Refusal(Code.PAYMENT_NOT_FOUND)),
    ("confirming what costs something", (HOLD,), c.Confirm("b1", ANN), Refusal(Code.PAYMENT_REQUIRED)),
    ("changing to a taken seat", (HOLD, c.HoldSeats("b2", BOB, ("A-3",))), c.Change("b1", ANN, ("A-2", "A-3")),
     Refusal(Code.SEATS_UNAVAILABLE, seats=("A-3",))),
    ("changing a paid one to other prices", PAID, c.Change("b1", ANN, ("B-1", "B-2")),
     Refusal(Code.BOOKING_NOT_CHANGEABLE, reason=Why.OTHER_PRICE)),
    ("changing while paying", (HOLD, PAY), c.Change("b1", ANN, ("B-1",)), Refusal(Code.PAYMENT_IN_PROGRESS)),
    ("extending a paid one", PAID, c.Extend("b1", ANN), Refusal(Code.BOOKING_NOT_CHANGEABLE, reason=Why.PAID)),
    ("blocking a seat twice", (), c.Block(("A-1", "pit", "A-3", "pit", "A-1"), "camera", "o"),
     Refusal(Code.DUPLICATE_SEAT, seats=("A-1",))),
    ("blocking a taken seat", (HOLD,), c.Block(("A-1", "A-3"), "camera", "o"),
     Refusal(Code.SEATS_UNAVAILABLE, seats=("A-1",))),
    ("holding a blocked seat", (c.Block(("A-1",), "camera", "o"),), HOLD,
     Refusal(Code.SEATS_UNAVAILABLE, seats=("A-1",))),
    ("unblocking an unknown seat", (), c.Unblock(("Z-1",), "o"), Refusal(Code.UNKNOWN_SEAT, seats=("Z-1",))),
]  # fmt: skip


def after(state: ScheduleState, *before: c.AnyCommand, now_ms: int = NOW) -> ScheduleState:
    for command in before:
        result = do(state, command, now_ms)
        assert not isinstance(result, Refusal), f"{command} was refused: {result}"
    return state


def do(state: ScheduleState, command: c.AnyCommand, now_ms: int = NOW) -> Booking | Done | Refusal:
    return execute(state, Request(f"r{next(REQUESTS)}", command), now_ms).result


def booking(state: ScheduleState, command: c.AnyCommand, now_ms: int = NOW) -> Booking:
    result = do(state, command, now_ms)
    assert isinstance(result, Booking), result
    return result


@pytest.mark.parametrize(("before", "command", "refusal"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_a_refusal_names_its_reason_and_changes_nothing(
    before: tuple[c.AnyCommand, ...], command: c.AnyCommand, refusal: Refusal
) -> None:
    state = after(opened(), *before)
    seats, seq = bytes(state.seats), state.seq
    assert do(state, command) == refusal
    assert (bytes(state.seats), state.seq) == (seats, seq)


@pytest.mark.parametrize(
    ("opens", "closes", "at_ms", "code"),
    [
        (NOW + 1, NOW + DAY, NOW, Code.SALE_NOT_OPEN),
        (NOW, NOW + DAY, NOW, None),
        (0, NOW + 1, NOW, None),
        (0, NOW, NOW, Code.SALE_CLOSED),
    ],
)
def test_the_sale_opens_and_closes_to_the_millisecond(opens: int, closes: int, at_ms: int, code: Code | None) -> None:
    result = do(opened(sale_opens_at_ms=opens, sale_closes_at_ms=closes), HOLD, at_ms)
    assert (result.code if isinstance(result, Refusal) else None) == code


def test_a_hold_takes_the_seats_at_today_s_prices_for_its_time() -> None:
    state = opened()
    held = booking(state, c.HoldSeats("b1", ANN, ("A-1", "B-1", "pit", "pit")))
    assert (held.status, held.prices, held.amount) == (Status.HELD, (150_000, 90_000, 90_000, 90_000), 420_000)
    assert held.expires_ms == NOW + HOLD_MS
    assert (state.seats[0], state.seats[6], state.areas) == (HELD, HELD, [[8, 2, 0, 0]])


def test_the_start_of_the_performance_ends_a_hold() -> None:
    assert booking(opened(starts_at_ms=NOW + 1000), HOLD).expires_ms == NOW + 1000


@pytest.mark.parametrize(
    ("limit", "first", "second", "left"), [(4, 2, 2, None), (4, 2, 3, 2), (2, 2, 1, 0), (0, 9, 9, None)]
)
def test_the_customer_limit_counts_what_is_held_and_sold(limit: int, first: int, second: int, left: int | None) -> None:
    state = after(opened(max_seats_per_customer=limit), c.HoldBest("b1", ANN, first))
    result = do(state, c.HoldBest("b2", ANN, second))
    expected = None if left is None else Refusal(Code.CUSTOMER_LIMIT_REACHED, limit=limit, available=left)
    assert (result if isinstance(result, Refusal) else None) == expected


def test_the_limit_is_per_customer_and_given_back_with_the_seats() -> None:
    state = after(opened(max_seats_per_customer=2), HOLD, c.HoldBest("b2", BOB, 2), CANCEL)
    assert booking(state, c.HoldBest("b3", ANN, 2)).status is Status.HELD


def test_best_available_falls_back_to_standing_room_as_one_group() -> None:
    state = opened()
    assert booking(state, c.HoldBest("b1", ANN, 18)).seats == tuple(range(18))
    assert booking(state, c.HoldBest("b2", ANN, 10)).seats == (18,) * 10
    assert do(state, c.HoldBest("b3", ANN, 1)) == Refusal(Code.NOT_ENOUGH_SEATS, available=0)


def test_a_hold_expires_at_its_time_and_not_before() -> None:
    state = after(opened(), HOLD)
    assert isinstance(do(state, c.HoldSeats("b2", BOB, ("A-1",)), NOW + HOLD_MS - 1), Refusal)
    other = opened()
    after(other, HOLD)
    turn = execute(other, Request("r", c.HoldSeats("b2", BOB, ("A-1",))), NOW + HOLD_MS)
    assert [step.record.event.type_name for step in turn.steps] == ["reservation.expired", "reservation.held"]


def test_an_expired_hold_cannot_be_paid_for() -> None:
    assert do(after(opened(), HOLD), PAY, NOW + HOLD_MS) == Refusal(Code.BOOKING_EXPIRED)


def test_a_hold_does_not_expire_under_a_running_payment() -> None:
    state = after(opened(), HOLD, PAY)
    do(state, c.Expire(), NOW + DAY)
    assert booking(state, APPROVE, NOW + DAY).status is Status.CONFIRMED


def test_a_declined_payment_leaves_the_hold_as_it_was_and_may_be_tried_again() -> None:
    state = after(opened(), HOLD, PAY)
    declined = booking(state, DECLINE)
    assert declined.payment is not None
    assert (declined.status, declined.expires_ms) == (Status.HELD, NOW + HOLD_MS)
    assert (declined.payment.status, declined.payment.reason) == (PaymentStatus.DECLINED, "lost_card")
    paid = booking(after(state, c.RequestPayment("b1", ANN, "p2", "sandbox")), c.ApprovePayment("b1", "p2", "ref"))
    assert paid.status is Status.CONFIRMED


def test_a_hold_past_its_time_when_the_payment_is_declined_expires_then() -> None:
    state = after(opened(), HOLD, PAY)
    execute(state, Request("d", DECLINE), NOW + DAY)
    assert do(state, c.Expire(), NOW + DAY) == Done(state.seq)
    assert bytes(state.seats) == bytes(18)


def test_a_paid_booking_owns_its_seats_for_good() -> None:
    state = after(opened(), *PAID)
    do(state, c.Expire(), NOW + 40 * DAY)
    assert state.seats[:2] == bytes([SOLD, SOLD])
    assert state.bookings["b1"].expires_ms == 0


def test_what_costs_nothing_is_confirmed_without_a_payment_and_can_be_cancelled() -> None:
    state = after(opened(prices={"VIP": 1, "R": 0}), FREE_HOLD)
    assert booking(state, c.Confirm("b1", ANN)).status is Status.CONFIRMED
    assert booking(state, CANCEL).status is Status.CANCELLED
    assert bytes(state.seats) == bytes(18)


def test_cancelled_seats_are_free_at_once() -> None:
    state = after(opened(), HOLD, CANCEL)
    assert booking(state, c.HoldSeats("b2", BOB, ("A-1", "A-2"))).status is Status.HELD


def test_a_change_is_all_or_nothing_and_kept_seats_keep_their_price() -> None:
    state = after(opened(), HOLD)
    after(state, c.ChangeTerms(opened(prices={"VIP": 200_000, "R": 100_000}).on))
    changed = booking(state, c.Change("b1", ANN, ("A-2", "A-3", "B-1")))
    assert changed.prices == (150_000, 200_000, 100_000)
    assert [index for index, seat in enumerate(state.seats) if seat != FREE] == [1, 2, 6]


def test_a_paid_booking_changes_to_seats_of_the_same_price() -> None:
    state = after(opened(), *PAID)
    assert booking(state, c.Change("b1", ANN, ("A-5", "A-6"))).status is Status.CONFIRMED
    assert (state.seats[0], state.seats[4]) == (FREE, SOLD)


def test_a_hold_is_extended_up_to_twice_its_time() -> None:
    state = after(opened(), HOLD)
    assert booking(state, c.Extend("b1", ANN), NOW + 300_000).expires_ms == NOW + 900_000
    assert booking(state, c.Extend("b1", ANN), NOW + 800_000).expires_ms == NOW + 2 * HOLD_MS


def test_an_extension_that_gains_nothing_is_refused() -> None:
    state = after(opened(), HOLD)
    assert do(state, c.Extend("b1", ANN)) == Refusal(
        Code.BOOKING_NOT_CHANGEABLE, at_ms=NOW + HOLD_MS, reason=Why.LONGEST
    )


def test_blocking_takes_seats_and_places_out_and_unblocking_brings_back_what_was() -> None:
    state = after(opened(), c.Block(("A-1", "pit", "pit"), "camera", "o"))
    assert (state.seats[0], state.areas) == (BLOCKED, [[8, 0, 0, 2]])
    after(state, c.Unblock(("A-1", "A-2", "pit", "pit", "pit"), "o"))
    assert (bytes(state.seats), state.areas) == (bytes(18), [[10, 0, 0, 0]])


def test_terms_that_stay_the_same_leave_no_trace() -> None:
    state = opened()
    assert do(state, c.ChangeTerms(state.on)) == Done(1)


# --- so many instead of so many, and others ---------------------------------------------------------------------------
def test_how_many_is_changed_to_the_best_among_the_free_seats_and_its_own() -> None:
    state = after(opened(), HOLD)
    assert booking(state, c.ChangeBest("b1", ANN, 4)).seats == (
        0,
        1,
        2,
        3,
    )  # its own among them, and no seat left alone
    assert booking(state, c.ChangeBest("b1", ANN, 1)).seats == (2,)
    assert [state.seats[index] for index in range(6)].count(HELD) == 1
    moved = booking(state, c.ChangeBest("b1", ANN, 2, category="R"))
    assert (len(moved.seats), moved.amount) == (2, 180_000)


def test_others_are_any_but_those_excluded() -> None:
    state = after(opened(), c.HoldBest("b1", ANN, 2))
    seen = {state.bookings["b1"].seats}
    for _ in range(2):
        names = tuple(state.plan.ids[index] for seats in seen for index in seats)
        others = booking(state, c.ChangeBest("b1", ANN, 2, exclude=names)).seats
        assert not set(others) & {index for seats in seen for index in seats}
        seen.add(others)
    assert sum(state.seats[index] == HELD for index in range(state.plan.size)) == 2
    names = tuple(state.plan.ids[index] for index in state.bookings["b1"].seats)
    assert booking(state, c.HoldBest("b2", BOB, 2, exclude=(*names, "A-1", "of another house"))).seats


def test_standing_room_that_is_its_own_counts_as_free_and_can_be_excluded() -> None:
    state = after(opened(), c.HoldSeats("b0", BOB, ("pit",) * 7), c.HoldSeats("b1", ANN, ("pit",) * 3))
    assert booking(state, c.ChangeBest("b1", ANN, 2, category="R", zone=None, exclude=("pit",))).seats != (18, 18)
    state = after(opened(), *(c.HoldSeats(f"s{n}", BOB, (f"{row}-{n}",)) for row in "BC" for n in range(1, 7)))
    state = after(state, c.HoldSeats("b1", ANN, ("pit",) * 8))
    assert booking(state, c.ChangeBest("b1", ANN, 10)).seats == (18,) * 10
    assert do(state, c.ChangeBest("b1", ANN, 1, exclude=("pit",))) == Refusal(Code.NOT_ENOUGH_SEATS, available=0)
