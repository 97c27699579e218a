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


class House:
    """One organizer, two performances with a schedule each, and rows put in by hand, as the actor would."""

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
async def house(database_url: str) -> AsyncIterator[House]:
    engine = create_engine(database_url, pool_size=2)
    house = House(engine)
    await house.open()
    yield house
    await engine.dispose()


async def test_booking_is_read_back_as_the_engine_wrote_it(house: House) -> None:
    payment_id = CLOCK.new_id()
    booking_id = await house.book("confirmed", payment_id=payment_id)
    await house.pay(
        booking_id, "approved", id=payment_id, reference="sbx_1", settled_at=moment(NOW + 5), requested_ms=NOW + 3
    )
    row = await queries.find_booking(house.engine, booking_id, house.customer)
    assert row is not None
    assert (row.schedule_id, row.performance_id) == (house.schedules[0], house.performances[0])
    assert row.booking(read_plan(small_plan())) == Booking(
        id=booking_id,
        customer_id=house.customer,
        status=Status.CONFIRMED,
        seats=(0, 1),
        prices=(150_000, 150_000),
        currency="KRW",
        created_ms=NOW - 1000,
        expires_ms=0,
        version=7,
        payment=Payment(payment_id, 300_000, PaymentStatus.APPROVED, NOW + 3, "sandbox", NOW + 5, "sbx_1"),
    )


async def test_foreign_and_unknown_bookings_are_not_found(house: House) -> None:
    booking_id = await house.book()
    assert await queries.find_booking(house.engine, booking_id, house.stranger) is None
    assert await queries.find_booking(house.engine, CLOCK.new_id(), house.customer) is None
    assert await queries.find_booking(house.engine, booking_id, None) is not None
    assert await queries.whereabouts(house.engine, booking_id) == Whereabouts(house.schedules[0], False)
    assert await queries.whereabouts(house.engine, CLOCK.new_id()) is None


async def test_list_is_the_customer_s_own_newest_first_page_by_page(house: House) -> None:
    mine = [await house.book() for _ in range(5)]
    await house.book(customer_id=house.stranger)
    assert await house.list() == mine[::-1]
    assert await house.list(limit=2) == [mine[4], mine[3]]
    assert await house.list(limit=2, before_id=mine[3]) == [mine[2], mine[1]]
    assert await house.list(before_id=mine[0]) == []


async def test_list_filters_by_performance_and_schedule(house: House) -> None:
    first, second = await house.book(schedule=0), await house.book(schedule=1)
    assert await house.list(performance_id=house.performances[1]) == [second]
    assert await house.list(schedule_id=house.schedules[0]) == [first]
    assert await house.list(schedule_id=house.schedules[0], performance_id=house.performances[1]) == []


async def test_hold_past_its_time_counts_as_expired_before_the_sweeper_comes_unless_money_is_under_way(
    house: House,
) -> None:
    over: dict[str, Any] = {"expires_at": moment(NOW)}
    held, confirmed = await house.book(), await house.book("confirmed")
    cancelled, expired, unswept = await house.book("cancelled"), await house.book("expired"), await house.book(**over)
    paying = CLOCK.new_id()
    in_doubt = await house.book(payment_id=paying, **over)
    await house.pay(in_doubt, id=paying)
    assert await house.list(status=Status.HELD) == [in_doubt, held]
    assert await house.list(status=Status.EXPIRED) == [unswept, expired]
    assert await house.list(status=Status.CONFIRMED) == [confirmed]
    assert await house.list(status=Status.CANCELLED) == [cancelled]


async def test_payments_are_found_and_listed_by_owner_booking_and_status(house: House) -> None:
    booking_id = await house.book()
    declined = await house.pay(booking_id, "declined", reason="lost_card")
    approved = await house.pay(booking_id, "approved", reference="sbx_2")
    other = await house.pay(await house.book(), customer_id=house.stranger)
    row = await payments.find_payment(house.engine, declined, house.customer)
    assert row is not None
    assert (row.payment.status, row.payment.reason, row.currency) == (PaymentStatus.DECLINED, "lost_card", "KRW")
    assert await payments.find_payment(house.engine, other, house.customer) is None
    assert await payments.find_payment(house.engine, other, None) is not None

    async def listed(**filters: Any) -> list[str]:
        rows = await payments.list_payments(house.engine, customer_id=house.customer, limit=LIMIT, **filters)
        return [row.payment.id for row in rows]

    assert await listed() == [approved, declined]
    assert await listed(status=PaymentStatus.DECLINED) == [declined]
    assert await listed(booking_id=CLOCK.new_id()) == []
    assert await listed(before_id=approved) == [declined]


async def test_unsettled_payments_come_oldest_first_and_only_the_overdue_of_the_provider(house: House) -> None:
    booking_id = await house.book()
    late = await house.pay(booking_id, requested_ms=NOW - 20_000)
    later = await house.pay(booking_id, requested_ms=NOW - 30_000)
    await house.pay(booking_id, requested_ms=NOW - 1)
    await house.pay(booking_id, "approved", requested_ms=NOW - 60_000)
    await house.pay(booking_id, requested_ms=NOW - 60_000, provider="other")

    async def overdue(after: tuple[int, str], limit: int) -> list[payments.PaymentRow]:
        return await payments.unsettled_payments(
            house.engine, requested_before_ms=NOW - 10_000, provider="sandbox", after=after, limit=limit
        )

    first = await overdue((0, "00000000-0000-0000-0000-000000000000"), 1)
    assert [row.payment.id for row in first] == [later]
    rest = await overdue((first[0].payment.requested_ms, later), LIMIT)
    assert [row.payment.id for row in rest] == [late]


async def test_cancellation_is_its_owner_s_to_read_and_reword(house: House) -> None:
    booking_id = await house.book("cancelled")
    cancellation_id = await house.cancel(booking_id)
    row = await cancellations.find_cancellation(house.engine, booking_id, house.customer)
    assert row is not None
    assert (row.id, row.reason, row.by, row.cancelled_ms) == (cancellation_id, "cannot come", "customer", NOW)
    assert await cancellations.find_cancellation(house.engine, booking_id, house.stranger) is None
    assert await cancellations.reword_cancellation(house.engine, booking_id, house.stranger, "mine now") is None
    assert await cancellations.reword_cancellation(house.engine, booking_id, house.customer, "ill") is not None
    listed = await cancellations.list_cancellations(house.engine, customer_id=house.customer, limit=LIMIT)
    assert [(row.id, row.reason) for row in listed] == [(cancellation_id, "ill")]
    assert await cancellations.list_cancellations(house.engine, customer_id=house.stranger, limit=LIMIT) == []


def test_times_keep_their_milliseconds_both_ways() -> None:
    for milliseconds in (1, 999, NOW + 1, NOW + 999):
        assert queries.milliseconds(moment(milliseconds)) == milliseconds
    assert queries.milliseconds(None) == 0
