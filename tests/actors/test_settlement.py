"""Settlement against a real journal and a schedule's owner without Ray: what it concludes, when, and only once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.clock import SystemClock
from actors.gateway import Gateway, Unavailable
from actors.schedule import Schedule
from actors.settlement import OVERDUE_AFTER_MS, Settlement, record_outcome
from actors.wire import decode_requests, encode_replies
from engine.booking import Booking, PaymentStatus, Status
from engine.commands import AnyCommand, Cancel, HoldSeats, RequestPayment
from engine.events import Opened, Terms
from engine.refusals import Code, Refusal
from engine.seating_plan import SeatingPlan
from engine.state import Answer
from persistence import tables
from persistence.bookings import PaymentRow, find_booking, find_payment, timestamp
from persistence.catalogue import open_schedule
from persistence.database import create_engine
from persistence.journal import PostgresJournal
from persistence.providers.provider import (
    NEVER_CHARGED_AFTER_MS,
    Approved,
    ChargeRequest,
    Declined,
    Outcome,
    Unknown,
    WebhookEvent,
)
from persistence.providers.sandbox import SandboxProvider
from persistence.seat_cache import MemorySeatCache
from tests.api.sale import small_plan

HOLD_MS = 600_000


class MovableClock(SystemClock):
    """The machine's clock, set forward at will."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class ScriptedProvider:
    """Answers look-ups as it is told to; a payment it was told nothing about it has never seen."""

    name = "sandbox"

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.asked: list[str] = []

    async def charge(self, request: ChargeRequest) -> Outcome:
        raise AssertionError("settlement never charges")

    async def look_up(self, payment_id: str) -> Outcome | None:
        self.asked.append(payment_id)
        return self.outcomes.get(payment_id)

    def parse_webhook(self, headers: Mapping[str, str], raw_body: bytes) -> WebhookEvent:
        raise AssertionError("settlement reads no webhooks")

    async def close(self) -> None:
        return None


class LocalOwner:
    """A schedule's owner in this process."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    async def submit(self, data: bytes) -> bytes:
        return encode_replies(await self.schedule.submit(decode_requests(data)))

    async def inspect(self) -> bytes:
        raise AssertionError("nobody asks")


class LocalOwners:
    """Brings the one owner up on first use."""

    def __init__(self, start: Callable[[str], Schedule]) -> None:
        self._start = start
        self.owner: LocalOwner | None = None

    async def find(self, schedule_id: str) -> LocalOwner:
        if self.owner is None:
            schedule = self._start(schedule_id)
            await schedule.activate()
            self.owner = LocalOwner(schedule)
        return self.owner

    async def replace(self, schedule_id: str, owner: LocalOwner) -> None:
        raise AssertionError("the owner fell silent")


class House:
    """One schedule on sale, its gateway, and a settlement over a provider that does as it is told."""

    def __init__(
        self, engine: AsyncEngine, gateway: Gateway[LocalOwner], clock: MovableClock, schedule_id: str
    ) -> None:
        self.engine = engine
        self.gateway = gateway
        self.clock = clock
        self.schedule_id = schedule_id
        self.provider = ScriptedProvider()
        self.settlement = Settlement(engine, gateway, self.provider, clock)
        self.customer = clock.new_id()

    async def send(self, command: AnyCommand) -> Answer | Refusal:
        return await self.gateway.send(self.schedule_id, command, request_id=self.clock.new_id())

    async def hold(self, seat: str) -> Booking:
        booking = await self.send(HoldSeats(self.clock.new_id(), self.customer, (seat,)))
        assert isinstance(booking, Booking), booking
        return booking

    async def request(self, booking: Booking) -> str:
        payment_id = self.clock.new_id()
        answer = await self.send(RequestPayment(booking.id, self.customer, payment_id, "sandbox"))
        assert isinstance(answer, Booking), answer
        return payment_id

    async def in_doubt(self, seat: str, age_ms: int = OVERDUE_AFTER_MS + 1) -> tuple[Booking, str]:
        """A booking whose payment nobody has heard of since `age_ms`."""
        booking = await self.hold(seat)
        payment_id = await self.request(booking)
        self.clock.ahead_ms += age_ms
        return booking, payment_id

    async def payment(self, payment_id: str) -> PaymentRow:
        row = await find_payment(self.engine, payment_id, None)
        assert row is not None
        return row

    async def status(self, booking: Booking) -> Status:
        row = await find_booking(self.engine, booking.id, self.customer)
        assert row is not None
        return row.status


async def open_house(engine: AsyncEngine, clock: MovableClock) -> str:
    """An organizer, a venue, a performance and a schedule with its first journal record."""
    organizer, venue, performance, schedule = (clock.new_id() for _ in range(4))
    document = small_plan()
    plan = SeatingPlan.parse(document)
    now_ms = clock.now_ms()
    terms = Terms("KRW", {"VIP": 150_000, "Standard": 55_000}, now_ms + 10**9, 0, now_ms + 10**9, 0, HOLD_MS)
    async with engine.begin() as connection:
        await connection.execute(
            tables.accounts.insert().values(id=organizer, email="o@example.com", password_hash="-", role="organizer")
        )
        await connection.execute(
            tables.venues.insert().values(
                id=venue,
                organizer_id=organizer,
                name="-",
                seating_plan=json.loads(json.dumps(document)),
                plan_digest=plan.digest,
                capacity=plan.capacity,
            )
        )
        await connection.execute(
            tables.performances.insert().values(id=performance, organizer_id=organizer, title="-", venue_id=venue)
        )
        await connection.execute(
            tables.schedules.insert().values(
                id=schedule,
                performance_id=performance,
                venue_id=venue,
                starts_at=timestamp(terms.starts_at_ms),
                currency=terms.currency,
                prices=terms.prices,
                hold_seconds=HOLD_MS // 1000,
            )
        )
        await open_schedule(connection, schedule, now_ms, Opened(plan.digest, terms))
    return schedule


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    clock = MovableClock()
    engine = create_engine(database_url, pool_size=4)
    schedule_id = await open_house(engine, clock)
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
        journal = PostgresJournal(pool)
        owners = LocalOwners(lambda id_: Schedule(id_, journal=journal, cache=MemorySeatCache(), log=None, clock=clock))

        async def exists(id_: str) -> bool:
            return id_ == schedule_id

        gateway = Gateway(owners, exists)
        yield House(engine, gateway, clock, schedule_id)
        await gateway.close()
        if owners.owner is not None:
            await owners.owner.schedule.stop()
    await engine.dispose()


async def test_charged_payment_confirms_its_booking(house: House) -> None:
    booking, payment_id = await house.in_doubt("A-1")
    house.provider.outcomes[payment_id] = Approved("sbx_1")
    assert await house.settlement.run_once() == 1
    assert await house.status(booking) is Status.CONFIRMED
    payment = (await house.payment(payment_id)).payment
    assert (payment.status, payment.reference) == (PaymentStatus.APPROVED, "sbx_1")


async def test_declined_payment_leaves_the_hold_as_it_was(house: House) -> None:
    booking, payment_id = await house.in_doubt("A-1")
    house.provider.outcomes[payment_id] = Declined("lost_card")
    assert await house.settlement.run_once() == 1
    assert await house.status(booking) is Status.HELD
    payment = (await house.payment(payment_id)).payment
    assert (payment.status, payment.reason) == (PaymentStatus.DECLINED, "lost_card")
    assert await house.request(booking) != payment_id, "a second attempt is possible"


@pytest.mark.parametrize("silence", [Unknown("status 500"), None])
async def test_uncertain_outcome_moves_nothing_and_the_hold_does_not_expire_under_it(
    house: House, silence: Outcome | None
) -> None:
    booking, payment_id = await house.in_doubt("A-1")
    if silence is not None:
        house.provider.outcomes[payment_id] = silence
        house.clock.ahead_ms += 2 * HOLD_MS
    assert await house.settlement.run_once() == 0
    assert (await house.payment(payment_id)).payment.status is PaymentStatus.REQUESTED
    assert await house.status(booking) is Status.HELD
    other = await house.send(HoldSeats(house.clock.new_id(), house.clock.new_id(), ("A-1",)))
    assert other == Refusal(Code.SEATS_UNAVAILABLE, seats=("A-1",))


async def test_never_seen_becomes_certain_only_after_the_grace(house: House) -> None:
    booking, payment_id = await house.in_doubt("A-1", NEVER_CHARGED_AFTER_MS - 2_000)
    assert await house.settlement.run_once() == 0
    house.clock.ahead_ms += 2_001
    assert await house.settlement.run_once() == 1
    payment = (await house.payment(payment_id)).payment
    assert (payment.status, payment.reason) == (PaymentStatus.DECLINED, "not_charged")
    assert await house.status(booking) is Status.HELD


async def test_payment_just_requested_is_left_to_its_worker(house: House) -> None:
    await house.in_doubt("A-1", 0)
    assert await house.settlement.run_once() == 0
    assert house.provider.asked == []


async def test_second_round_finds_nothing_left_to_do(house: House) -> None:
    _, payment_id = await house.in_doubt("A-1")
    house.provider.outcomes[payment_id] = Approved("sbx_1")
    await house.settlement.run_once()
    assert await house.settlement.run_once() == 0
    assert house.provider.asked == [payment_id]


async def test_several_settling_at_once_confirm_once(house: House) -> None:
    booking, payment_id = await house.in_doubt("A-1")
    house.provider.outcomes[payment_id] = Approved("sbx_1")
    rounds = [Settlement(house.engine, house.gateway, house.provider, house.clock).run_once() for _ in range(8)]
    assert max(await asyncio.gather(*rounds)) == 1
    row = await find_booking(house.engine, booking.id, house.customer)
    assert row is not None
    # opened, held, requested, approved + confirmed: nothing was written twice
    assert (row.status, row.version) == (Status.CONFIRMED, 5)


async def test_one_payment_s_trouble_is_not_the_next_one_s(house: House) -> None:
    _, unclear = await house.in_doubt("A-1")
    booking, clear = await house.in_doubt("A-2")
    house.provider.outcomes |= {unclear: Unknown(), clear: Approved("sbx_2")}
    assert await house.settlement.run_once() == 1
    assert await house.status(booking) is Status.CONFIRMED


async def test_more_payments_than_a_batch_are_all_settled(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.settlement.BATCH", 2)
    for number in range(1, 6):
        booking = await house.hold(f"A-{number}")
        house.provider.outcomes[await house.request(booking)] = Approved(f"sbx_{number}")
    house.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await house.settlement.run_once() == 5


async def test_unavailable_schedule_is_put_off_to_the_next_round(house: House) -> None:
    booking, payment_id = await house.in_doubt("A-1")
    house.provider.outcomes[payment_id] = Approved("sbx_1")

    class Away:
        async def send(
            self, schedule_id: str, command: AnyCommand, *, request_id: str, fingerprint: str = ""
        ) -> Answer | Refusal:
            raise Unavailable("away")

    assert await Settlement(house.engine, Away(), house.provider, house.clock).run_once() == 0
    assert await house.settlement.run_once() == 1
    assert await house.status(booking) is Status.CONFIRMED


async def test_money_for_a_payment_already_declined_is_reported_and_moves_nothing(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    booking, payment_id = await house.in_doubt("A-1")
    house.provider.outcomes[payment_id] = Approved("sbx_late")
    declined = await record_outcome(house.gateway, house.schedule_id, booking.id, payment_id, Declined("not_charged"))
    assert isinstance(declined, Booking)
    assert isinstance(await house.send(Cancel(booking.id, house.clock.new_id(), house.customer)), Booking)

    class LateRow(Settlement):
        """A round that read the table before the decline was there."""

        async def late(self, row: PaymentRow) -> bool:
            return await self._one(asyncio.Semaphore(1), row)

    row = await house.payment(payment_id)
    late = LateRow(house.engine, house.gateway, house.provider, house.clock)
    with caplog.at_level(logging.CRITICAL):
        assert await late.late(row)
    assert f"payment {payment_id}" in caplog.text
    assert await house.status(booking) is Status.CANCELLED
    assert (await house.payment(payment_id)).payment.status is PaymentStatus.DECLINED


async def test_run_goes_on_after_a_database_failure_and_stops_when_told(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("actors.settlement.INTERVAL_SECONDS", 0.01)
    stop = asyncio.Event()
    rounds = 0

    async def failing_round(self: Settlement) -> int:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise ConnectionRefusedError("no database")
        stop.set()
        return 0

    monkeypatch.setattr(Settlement, "run_once", failing_round)
    async with asyncio.timeout(5):
        await house.settlement.run(stop)
    assert rounds == 2
    assert "ConnectionRefusedError" in caplog.text


async def test_settles_through_the_sandbox_client_too(house: House) -> None:
    booking, payment_id = await house.in_doubt("A-1")
    told: dict[str, Any] = {
        "id": payment_id,
        "booking_id": booking.id,
        "status": "approved",
        "amount": booking.amount,
        "currency": "KRW",
        "created_ms": house.clock.now_ms(),
        "reference": "sbx_9",
    }
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=told))
    provider = SandboxProvider("http://sandbox", "secret", house.clock.now_ms, transport=transport)
    assert await Settlement(house.engine, house.gateway, provider, house.clock).run_once() == 1
    assert await house.status(booking) is Status.CONFIRMED
    await provider.close()
