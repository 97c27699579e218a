"""What the queries over bookings, payments and cancellations find, and in which order, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import SystemClock
from engine.booking import Booking, Status
from engine.payment import Payment, PaymentStatus
from engine.plan_document import read_plan
from persistence.bookings import bookings as queries
from persistence.bookings import cancellations, payments
from persistence.bookings.bookings import Whereabouts
from persistence.database import tables
from persistence.database.connection import create_engine
from persistence.database.moments import moment
from tests.support.sale import small_plan

CLOCK = SystemClock()
NOW = 1_790_000_000_000
LIMIT = 50


class Planted:
    """One organizer, two performances with a schedule each, and rows put in by hand, as an owner would."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.customer, self.stranger = CLOCK.new_id(), CLOCK.new_id()
        self.performances = [CLOCK.new_id(), CLOCK.new_id()]
        self.schedules = [CLOCK.new_id(), CLOCK.new_id()]

    async def open(self) -> None:
        organizer, venue = CLOCK.new_id(), CLOCK.new_id()
        await self.insert(
            tables.accounts, id=organizer, email=f"{organizer}@example.com", password_hash="-", role="organizer"
        )
        await self.insert(
            tables.venues, id=venue, organizer_id=organizer, name="-", seating_plan={}, plan_digest="-", capacity=1
        )
        for performance, schedule in zip(self.performances, self.schedules, strict=True):
            await self.insert(tables.performances, id=performance, organizer_id=organizer, title=performance)
            await self.insert(
                tables.schedules,
                id=schedule,
                performance_id=performance,
                venue_id=venue,
                starts_at=moment(NOW),
                currency="KRW",
                prices={},
                hold_seconds=600,
            )

    async def insert(self, table: sa.Table, **values: Any) -> str:
        async with self.engine.begin() as connection:
            await connection.execute(table.insert().values(**values))
        return str(values["id"])

    async def book(self, status: str = "held", schedule: int = 0, **changes: Any) -> str:
        values: dict[str, Any] = {
            "id": CLOCK.new_id(),
            "schedule_id": self.schedules[schedule],
            "customer_id": self.customer,
            "status": status,
            "seats": ["A-1", "A-2"],
            "prices": [150_000, 150_000],
            "amount": 300_000,
            "currency": "KRW",
            "version": 7,
            "created_at": moment(NOW - 1000),
            "expires_at": None if status == "confirmed" else moment(NOW + 600_000),
        }
        return await self.insert(tables.bookings, **(values | changes))

    async def pay(self, booking_id: str, status: str = "requested", requested_ms: int = NOW, **changes: Any) -> str:
        values: dict[str, Any] = {
            "id": CLOCK.new_id(),
            "booking_id": booking_id,
            "schedule_id": self.schedules[0],
            "customer_id": self.customer,
            "status": status,
            "amount": 300_000,
            "currency": "KRW",
            "provider": "sandbox",
            "requested_at": moment(requested_ms),
        }
        return await self.insert(tables.payments, **(values | changes))

    async def cancel(self, booking_id: str, **changes: Any) -> str:
        values: dict[str, Any] = {
            "id": CLOCK.new_id(),
            "booking_id": booking_id,
            "schedule_id": self.schedules[0],
            "customer_id": self.customer,
            "reason": "cannot come",
            "by": "customer",
            "cancelled_at": moment(NOW),
        }
        return await self.insert(tables.cancellations, **(values | changes))

    async def list(self, **filters: Any) -> list[str]:
        wanted: dict[str, Any] = {"customer_id": self.customer, "now_ms": NOW, "limit": LIMIT} | filters
        return [row.id for row in await queries.list_bookings(self.engine, **wanted)]


@pytest.fixture
async def planted(database_url: str) -> AsyncIterator[Planted]:
    engine = create_engine(database_url, pool_size=2)
    planted = Planted(engine)
    await planted.open()
    yield planted
    await engine.dispose()


async def test_booking_is_read_back_as_the_engine_wrote_it(planted: Planted) -> None:
    payment_id = CLOCK.new_id()
    booking_id = await planted.book("confirmed", payment_id=payment_id)
    await planted.pay(
        booking_id, "approved", id=payment_id, reference="sbx_1", settled_at=moment(NOW + 5), requested_ms=NOW + 3
    )
    row = await queries.find_booking(planted.engine, booking_id, planted.customer)
    assert row is not None
    assert (row.schedule_id, row.performance_id) == (planted.schedules[0], planted.performances[0])
    assert row.booking(read_plan(small_plan())) == Booking(
        id=booking_id,
        customer_id=planted.customer,
        status=Status.CONFIRMED,
        seats=(0, 1),
        prices=(150_000, 150_000),
        currency="KRW",
        created_ms=NOW - 1000,
        expires_ms=0,
        version=7,
        payment=Payment(payment_id, 300_000, PaymentStatus.APPROVED, NOW + 3, "sandbox", NOW + 5, "sbx_1"),
    )


async def test_foreign_and_unknown_bookings_are_not_found(planted: Planted) -> None:
    booking_id = await planted.book()
    assert await queries.find_booking(planted.engine, booking_id, planted.stranger) is None
    assert await queries.find_booking(planted.engine, CLOCK.new_id(), planted.customer) is None
    assert await queries.find_booking(planted.engine, booking_id, None) is not None
    assert await queries.whereabouts(planted.engine, booking_id) == Whereabouts(planted.schedules[0], False)
    assert await queries.whereabouts(planted.engine, CLOCK.new_id()) is None


async def test_list_is_the_customer_s_own_newest_first_page_by_page(planted: Planted) -> None:
    mine = [await planted.book() for _ in range(5)]
    await planted.book(customer_id=planted.stranger)
    assert await planted.list() == mine[::-1]
    assert await planted.list(limit=2) == [mine[4], mine[3]]
    assert await planted.list(limit=2, before_id=mine[3]) == [mine[2], mine[1]]
    assert await planted.list(before_id=mine[0]) == []


async def test_list_filters_by_performance_and_schedule(planted: Planted) -> None:
    first, second = await planted.book(schedule=0), await planted.book(schedule=1)
    assert await planted.list(performance_id=planted.performances[1]) == [second]
    assert await planted.list(schedule_id=planted.schedules[0]) == [first]
    assert await planted.list(schedule_id=planted.schedules[0], performance_id=planted.performances[1]) == []


async def test_hold_past_its_time_counts_as_expired_before_the_sweeper_comes_unless_money_is_under_way(
    planted: Planted,
) -> None:
    over: dict[str, Any] = {"expires_at": moment(NOW)}
    held, confirmed = await planted.book(), await planted.book("confirmed")
    cancelled, expired, unswept = (
        await planted.book("cancelled"),
        await planted.book("expired"),
        await planted.book(**over),
    )
    paying = CLOCK.new_id()
    in_doubt = await planted.book(payment_id=paying, **over)
    await planted.pay(in_doubt, id=paying)
    assert await planted.list(status=Status.HELD) == [in_doubt, held]
    assert await planted.list(status=Status.EXPIRED) == [unswept, expired]
    assert await planted.list(status=Status.CONFIRMED) == [confirmed]
    assert await planted.list(status=Status.CANCELLED) == [cancelled]


async def test_payments_are_found_and_listed_by_owner_booking_and_status(planted: Planted) -> None:
    booking_id = await planted.book()
    declined = await planted.pay(booking_id, "declined", reason="lost_card")
    approved = await planted.pay(booking_id, "approved", reference="sbx_2")
    other = await planted.pay(await planted.book(), customer_id=planted.stranger)
    row = await payments.find_payment(planted.engine, declined, planted.customer)
    assert row is not None
    assert (row.payment.status, row.payment.reason, row.currency) == (PaymentStatus.DECLINED, "lost_card", "KRW")
    assert await payments.find_payment(planted.engine, other, planted.customer) is None
    assert await payments.find_payment(planted.engine, other, None) is not None

    async def listed(**filters: Any) -> list[str]:
        rows = await payments.list_payments(planted.engine, customer_id=planted.customer, limit=LIMIT, **filters)
        return [row.payment.id for row in rows]

    assert await listed() == [approved, declined]
    assert await listed(status=PaymentStatus.DECLINED) == [declined]
    assert await listed(booking_id=CLOCK.new_id()) == []
    assert await listed(before_id=approved) == [declined]


async def test_unsettled_payments_come_oldest_first_and_only_the_overdue_of_the_provider(planted: Planted) -> None:
    booking_id = await planted.book()
    late = await planted.pay(booking_id, requested_ms=NOW - 20_000)
    later = await planted.pay(booking_id, requested_ms=NOW - 30_000)
    await planted.pay(booking_id, requested_ms=NOW - 1)
    await planted.pay(booking_id, "approved", requested_ms=NOW - 60_000)
    await planted.pay(booking_id, requested_ms=NOW - 60_000, provider="other")

    async def overdue(after: tuple[int, str], limit: int) -> list[payments.PaymentRow]:
        return await payments.unsettled_payments(
            planted.engine, requested_before_ms=NOW - 10_000, provider="sandbox", after=after, limit=limit
        )

    first = await overdue((0, "00000000-0000-0000-0000-000000000000"), 1)
    assert [row.payment.id for row in first] == [later]
    rest = await overdue((first[0].payment.requested_ms, later), LIMIT)
    assert [row.payment.id for row in rest] == [late]


async def test_cancellation_is_its_owner_s_to_read_and_reword(planted: Planted) -> None:
    booking_id = await planted.book("cancelled")
    cancellation_id = await planted.cancel(booking_id)
    row = await cancellations.find_cancellation(planted.engine, booking_id, planted.customer)
    assert row is not None
    assert (row.id, row.reason, row.by, row.cancelled_ms) == (cancellation_id, "cannot come", "customer", NOW)
    assert await cancellations.find_cancellation(planted.engine, booking_id, planted.stranger) is None
    assert await cancellations.reword_cancellation(planted.engine, booking_id, planted.stranger, "mine now") is None
    assert await cancellations.reword_cancellation(planted.engine, booking_id, planted.customer, "ill") is not None
    listed = await cancellations.list_cancellations(planted.engine, customer_id=planted.customer, limit=LIMIT)
    assert [(row.id, row.reason) for row in listed] == [(cancellation_id, "ill")]
    assert await cancellations.list_cancellations(planted.engine, customer_id=planted.stranger, limit=LIMIT) == []


def test_times_keep_their_milliseconds_both_ways() -> None:
    for milliseconds in (1, 999, NOW + 1, NOW + 999):
        assert queries.milliseconds(moment(milliseconds)) == milliseconds
    assert queries.milliseconds(None) == 0
