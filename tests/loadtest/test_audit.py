"""The auditor finds what it is there to find: each kind of damage, planted into a sale that is otherwise right."""

from __future__ import annotations

from typing import Any

import pytest

from engine import events
from engine.booking import Booking
from engine.events import Record, Terms
from engine.payment import PaymentStatus
from engine.plan_document import read_plan
from engine.snapshot import capture, encode
from engine.state import ScheduleState, apply
from loadtest import audit
from loadtest.audit import Check, Replay
from loadtest.buyers import Ledger, Promise
from persistence.events.cloud_events import render
from persistence.events.log import Message
from persistence.journal.memory import MemoryJournal
from tests.support.sale import small_plan

SCHEDULE = "01980000-0000-7000-8000-00000000000a"
CUSTOMER = "01980000-0000-7000-8000-00000000000c"
PAID, HELD, CANCELLED, REFUNDED, PARTLY = (f"01980000-0000-7000-8000-0000000000b{number}" for number in range(5))
PAYMENT, PAYMENT_2, PAYMENT_3 = (f"01980000-0000-7000-8000-0000000000d{number}" for number in range(3))
REFUND, REFUND_2 = (f"01980000-0000-7000-8000-0000000000e{number}" for number in range(2))
PLAN = read_plan(small_plan(rows=2, seats_per_row=5, standing=2))
FRONT = PLAN.ids[:2]
AREA = PLAN.areas[0].id
TERMS = Terms("KRW", dict.fromkeys(PLAN.categories, 1_000), 2_000, 0, 2_000, 0, 600)


def sale() -> Replay:
    """Two seats and a standing place paid; one seat held; one booking cancelled, one given back, one in part."""
    seats, area = (0, 1, PLAN.size), (2,)
    story: list[events.AnyEvent] = [
        events.Opened(PLAN.digest, TERMS),
        events.Held(PAID, CUSTOMER, seats, (1_000, 1_000, 1_000), "KRW", 600),
        events.PaymentRequested(PAID, PAYMENT, 3_000, "sandbox"),
        events.PaymentApproved(PAID, PAYMENT, "reference"),
        events.Confirmed(PAID),
        events.Held(HELD, CUSTOMER, area, (1_000,), "KRW", 600),
        events.Held(CANCELLED, CUSTOMER, (3,), (1_000,), "KRW", 600),
        events.Cancelled(CANCELLED, PAYMENT, "", "customer"),
        *bought(REFUNDED, PAYMENT_2, (4,)),
        events.RefundRequested(REFUNDED, REFUND, PAYMENT_2, (4,), 900, 100, "KRW", "", "customer", (1_000,), (100,)),
        events.Refunded(REFUNDED, REFUND, PAYMENT_2, 900, "KRW", "back-1"),
        *bought(PARTLY, PAYMENT_3, (5, 6)),
        events.RefundRequested(PARTLY, REFUND_2, PAYMENT_3, (5,), 1_000, 0, "KRW", "", "customer", (1_000,), (0,)),
        events.Refunded(PARTLY, REFUND_2, PAYMENT_3, 1_000, "KRW", "back-2"),
    ]
    replay = Replay(ScheduleState(PLAN), {}, [])
    for seq, event in enumerate(story, 1):
        record = Record(seq, seq, event)
        booking = apply(replay.state, record)
        if booking is not None:
            replay.bookings[booking.id] = booking
        replay.events.append(render(SCHEDULE, record, booking, PLAN))
    return replay


def bought(booking_id: str, payment_id: str, seats: tuple[int, ...]) -> list[events.AnyEvent]:
    prices = (1_000,) * len(seats)
    return [
        events.Held(booking_id, CUSTOMER, seats, prices, "KRW", 600),
        events.PaymentRequested(booking_id, payment_id, sum(prices), "sandbox"),
        events.PaymentApproved(booking_id, payment_id, "reference"),
        events.Confirmed(booking_id),
    ]


def row_of(booking: Booking) -> dict[str, Any]:
    return {
        "id": booking.id,
        "customer_id": booking.customer_id,
        "status": booking.status.name.lower(),
        "seats": [PLAN.ids[index] for index in booking.seats],
        "prices": list(booking.prices),
        "amount": booking.amount,
        "currency": booking.currency,
        "version": booking.version,
    }


@pytest.fixture
def replay() -> Replay:
    return sale()


@pytest.fixture
def tables(replay: Replay) -> dict[str, list[Any]]:
    payments = [
        {"id": PAYMENT, "booking_id": PAID, "status": "approved", "amount": 3_000},
        {"id": PAYMENT_2, "booking_id": REFUNDED, "status": "refunded", "amount": 1_000},
        {"id": PAYMENT_3, "booking_id": PARTLY, "status": "partially_refunded", "amount": 2_000},
    ]
    refunds = [
        {"id": REFUND, "booking_id": REFUNDED, "status": "completed", "amount": 900, "fee": 100},
        {"id": REFUND_2, "booking_id": PARTLY, "status": "completed", "amount": 1_000, "fee": 0},
    ]
    rows = [row_of(booking) for booking in replay.bookings.values()]
    return {"bookings": rows, "payments": payments, "refunds": refunds}


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    for promise in (
        Promise(PAID, (*FRONT, AREA), 3_000, "confirmed", PAYMENT),
        Promise(HELD, (PLAN.ids[2],), 1_000, "held"),
        Promise(CANCELLED, (PLAN.ids[3],), 1_000, "cancelled"),
        Promise(REFUNDED, (PLAN.ids[4],), 1_000, "refunded", PAYMENT_2, 900),
        Promise(PARTLY, (PLAN.ids[6],), 1_000, "partially_refunded", PAYMENT_3, 1_000),
    ):
        ledger.promises[promise.booking_id] = promise
    return ledger


def failing(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.holds]


def booking(tables: dict[str, list[Any]], booking_id: str) -> dict[str, Any]:
    return next(row for row in tables["bookings"] if row["id"] == booking_id)


def test_a_right_sale_passes_every_check(replay: Replay, tables: dict[str, list[Any]], ledger: Ledger) -> None:
    checks = [
        *audit.check_ownership(replay, tables["bookings"]),
        *audit.check_promises(ledger, tables),
        *audit.check_money(tables),
        audit.check_bookings(replay, tables["bookings"]),
        *audit.check_events(replay, messages(replay.events)),
    ]
    assert failing(checks) == []


def test_a_seat_with_two_owners_in_the_tables_is_found(replay: Replay, tables: dict[str, list[Any]]) -> None:
    booking(tables, HELD)["seats"] = [FRONT[0]]
    checks = audit.check_ownership(replay, tables["bookings"])
    assert failing(checks) == ["seats sold twice (tables)"]
    assert FRONT[0] in checks[1].offenders[0]


def test_standing_room_may_be_shared_up_to_its_capacity_only(replay: Replay, tables: dict[str, list[Any]]) -> None:
    booking(tables, HELD)["seats"] = [AREA]
    assert failing(audit.check_ownership(replay, tables["bookings"])) == []
    booking(tables, HELD)["seats"] = [AREA, AREA]
    assert failing(audit.check_ownership(replay, tables["bookings"])) == ["seats sold twice (tables)"]


def test_a_lost_booking_is_found(ledger: Ledger, tables: dict[str, list[Any]]) -> None:
    tables["bookings"].remove(booking(tables, HELD))
    assert failing(audit.check_promises(ledger, tables)) == ["acknowledged holds lost"]


@pytest.mark.parametrize("status", ["held", "expired", "cancelled"])
def test_a_paid_booking_without_its_seats_is_found(ledger: Ledger, tables: dict[str, list[Any]], status: str) -> None:
    booking(tables, PAID)["status"] = status
    assert failing(audit.check_promises(ledger, tables)) == ["paid bookings without their seats"]


def test_a_paid_booking_without_its_payment_is_found(ledger: Ledger, tables: dict[str, list[Any]]) -> None:
    tables["payments"][0]["status"] = "declined"
    assert failing(audit.check_promises(ledger, tables)) == ["paid bookings without their seats"]
    assert failing(audit.check_money(tables)) == ["paid bookings whose money is not what their seats cost"]


def test_a_booking_with_other_seats_than_promised_is_found(ledger: Ledger, tables: dict[str, list[Any]]) -> None:
    booking(tables, HELD)["seats"] = [PLAN.ids[5]]
    name = "bookings with other seats or another amount than acknowledged"
    assert failing(audit.check_promises(ledger, tables)) == [name]


def test_a_cancelled_booking_that_lives_on_is_found(ledger: Ledger, tables: dict[str, list[Any]]) -> None:
    booking(tables, CANCELLED)["status"] = "held"
    assert failing(audit.check_promises(ledger, tables)) == ["cancelled or refunded bookings that live on"]


def test_a_booking_that_nobody_was_told_of_is_found(ledger: Ledger, tables: dict[str, list[Any]]) -> None:
    del ledger.promises[HELD]
    assert failing(audit.check_promises(ledger, tables)) == ["bookings nobody was told of"]


def test_a_hold_that_has_expired_since_is_no_broken_promise(ledger: Ledger, tables: dict[str, list[Any]]) -> None:
    booking(tables, HELD)["status"] = "expired"
    assert failing(audit.check_promises(ledger, tables)) == []


@pytest.mark.parametrize(
    ("payment", "found"),
    [
        ({"id": "p2", "booking_id": PAID, "status": "approved", "amount": 3_000},
         ["paid bookings whose money is not what their seats cost", "bookings paid more than once"]),
        ({"id": "p2", "booking_id": CANCELLED, "status": "approved", "amount": 1_000},
         ["money kept for bookings without seats"]),
        ({"id": "p2", "booking_id": HELD, "status": "requested", "amount": 1_000},
         ["payments and refunds without an outcome"]),
        ({"id": "p2", "booking_id": HELD, "status": "declined", "amount": 1_000}, []),
    ],
)  # fmt: skip
def test_money_that_does_not_add_up_is_found(
    tables: dict[str, list[Any]], payment: dict[str, Any], found: list[str]
) -> None:
    tables["payments"].append(payment)
    assert failing(audit.check_money(tables)) == found


def test_a_refund_of_another_amount_than_acknowledged_is_found(ledger: Ledger, tables: dict[str, list[Any]]) -> None:
    tables["refunds"][0]["amount"] = 901
    assert failing(audit.check_promises(ledger, tables)) == ["refunds of another amount than acknowledged"]
    assert failing(audit.check_money(tables)) == ["money kept for bookings without seats"]


def test_a_refund_that_is_still_owed_is_found(tables: dict[str, list[Any]]) -> None:
    tables["refunds"][1]["status"] = "requested"
    assert failing(audit.check_money(tables)) == ["payments and refunds without an outcome"]


def test_seats_given_back_belong_to_nobody(replay: Replay) -> None:
    owners = replay.owners()
    assert (owners.get(PLAN.ids[4]), owners.get(PLAN.ids[5]), owners[PLAN.ids[6]]) == (None, None, [PARTLY])


@pytest.mark.parametrize("column", ["status", "version", "amount", "customer_id", "currency"])
def test_a_row_that_differs_from_the_journal_is_found(
    replay: Replay, tables: dict[str, list[Any]], column: str
) -> None:
    booking(tables, HELD)[column] = "something else"
    check = audit.check_bookings(replay, tables["bookings"])
    assert not check.holds
    assert check.offenders == (HELD,)


def test_a_row_that_the_journal_does_not_know_is_found(replay: Replay, tables: dict[str, list[Any]]) -> None:
    tables["bookings"].append({**booking(tables, HELD), "id": "unheard-of"})
    assert audit.check_bookings(replay, tables["bookings"]).offenders == ("unheard-of",)


def test_an_unsold_house_is_found(replay: Replay) -> None:
    check = audit.check_sold_out(replay)
    assert (check.expected, check.actual, check.holds) == (str(PLAN.capacity), "4", False)


def messages(values: list[bytes]) -> list[Message]:
    return [Message(0, offset, SCHEDULE, value) for offset, value in enumerate(values)]


def test_duplicates_on_kafka_are_dropped(replay: Replay) -> None:
    repeated = [*replay.events[:5], *replay.events[2:]]
    checks = audit.check_events(replay, messages(repeated))
    assert failing(checks) == []
    assert "3 duplicates" in checks[0].name


def test_an_event_missing_on_kafka_is_found(replay: Replay) -> None:
    checks = audit.check_events(replay, messages([*replay.events[:3], *replay.events[4:]]))
    assert [check.offenders for check in checks if not check.holds] == [("4",)]


def test_a_missing_tail_on_kafka_is_found(replay: Replay) -> None:
    checks = audit.check_events(replay, messages(replay.events[:-1]))
    assert [(check.expected, check.actual) for check in checks if not check.holds] == [("1..20", "1..19")]


def test_events_out_of_order_on_kafka_are_found(replay: Replay) -> None:
    swapped = [*replay.events[:2], replay.events[3], replay.events[2], *replay.events[4:]]
    assert failing(audit.check_events(replay, messages(swapped))) == ["events on Kafka out of order"]


def test_an_event_that_says_something_else_is_found(replay: Replay) -> None:
    replay.events[5], right = replay.events[5].replace(b'"price":1000', b'"price":9'), replay.events[5]
    told = [*replay.events[:5], right, *replay.events[6:]]
    assert failing(audit.check_events(replay, messages(told))) == ["events on Kafka that differ from the journal"]


def test_bytes_on_kafka_that_are_no_event_are_found(replay: Replay) -> None:
    assert failing(audit.check_events(replay, messages([*replay.events, b"?"]))) == [
        "events on Kafka that differ from the journal"
    ]


def test_an_empty_log_is_found(replay: Replay) -> None:
    check = audit.check_events(replay, [])[0]
    assert (check.actual, check.holds) == ("nothing", False)


def test_the_planted_sale_is_what_it_says(replay: Replay) -> None:
    assert replay.owners()[FRONT[0]] == [PAID]
    payment = replay.bookings[PAID].payment
    assert payment is not None
    assert payment.status is PaymentStatus.APPROVED


async def test_a_snapshot_that_an_owner_would_do_without_is_found() -> None:
    journal = MemoryJournal()
    journal.open_schedule(SCHEDULE, PLAN, 1, events.Opened(PLAN.digest, TERMS))
    claim, replay = await journal.claim(SCHEDULE), await audit.replayed(journal, SCHEDULE)
    await journal.save_snapshot(claim, 1, encode(capture(replay.state)))
    assert (await audit.check_recovery(journal, SCHEDULE, replay)).holds
    await journal.save_snapshot(claim, 1, b"nonsense")
    found = await audit.check_recovery(journal, SCHEDULE, replay)
    assert not found.holds
    assert "cannot be read" in found.actual


def test_figures_that_a_seat_or_a_won_is_missing_from_are_found(replay: Replay) -> None:
    sold = [booking for booking in replay.bookings.values() if booking.sold]
    category = PLAN.categories[PLAN.category_of[sold[0].seats[0]]]
    places: dict[str, dict[str, int]] = {}
    for each in sold:
        for index, price in zip(each.seats, each.prices, strict=True):
            figures = places.setdefault(
                PLAN.categories[PLAN.category_of[index]], {"sold": 0, "refunded": 1, "revenue": 0}
            )
            figures["sold"] += 1
            figures["revenue"] += price
    for figures in places.values():
        figures["sold"] += figures["refunded"]
    fees = sum(refund.fee for each in replay.bookings.values() for refund in each.refunds)
    sales = {"up_to_version": replay.state.seq, "by_category": places}
    settled = {"net": sum(each.amount for each in sold) + fees}
    assert audit.compared_figures(replay, sales, settled).holds
    assert not audit.compared_figures(replay, sales, {"net": settled["net"] - 1}).holds
    assert not audit.compared_figures(replay, sales | {"up_to_version": replay.state.seq - 1}, settled).holds
    places[category]["sold"] -= 1
    places["another"] = {"sold": 1, "refunded": 0, "revenue": 0}
    assert set(audit.compared_figures(replay, sales, settled).offenders) == {"another", category}
