"""A small sale for tests of what moves money: a real journal, an owner without Ray, a provider that does as told."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.background.endings import Endings
from actors.gateway.gateway import Gateway, Unavailable
from actors.money.refunding import Refunding
from actors.money.settlement import OVERDUE_AFTER_MS, Sends, Settlement
from actors.owner.schedule import Schedule
from engine.booking import Booking, Status
from engine.commands import AnyCommand, ApprovePayment, DeclinePayment, HoldSeats, Refund, RequestPayment
from engine.events import Terms
from engine.payment import PaymentStatus
from engine.refund_policy import DAY_MS
from engine.refusals import Refusal
from engine.state import Answer
from persistence.bookings import refunds
from persistence.bookings.bookings import find_booking
from persistence.bookings.payments import PaymentRow, find_payment
from persistence.bookings.refunds import RefundRow
from persistence.database import tables
from persistence.database.connection import create_engine
from persistence.journal.journal import PostgresJournal
from persistence.providers.provider import (
    ChargeRequest,
    KnownPayment,
    Outcome,
    PaymentRef,
    Refunded,
    RefundOutcome,
    RefundRequest,
    Unknown,
    WebhookEvent,
)
from persistence.seats.cache import MemorySeatCache
from tests.support.clocks import MovableClock
from tests.support.local_owners import LocalOwner, LocalOwners, OneHost
from tests.support.on_sale import put_on_sale
from tests.support.sale import small_plan

HOLD_MS = 600_000
VIP = 150_000
STARTS_IN_DAYS = 5  # giving a seat up costs 20 % then
FEE = VIP // 5

# In a script of refunds: the provider gives the money back, and nobody hears of it.
LOST = Unknown("the answer is lost")


class ScriptedProvider:
    """Does as it is told. A payment it was told nothing about it has never seen; refunds it simply carries out."""

    name = "sandbox"

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}  # payment → what it says of it
        self.asked: list[str] = []  # payments it was asked about
        self.refunding: dict[str, list[RefundOutcome]] = defaultdict(list)  # payment → its next answers to refunds
        self.refund_requests: list[RefundRequest] = []
        self.given_back: dict[str, RefundRequest] = {}  # by refund

    async def charge(self, request: ChargeRequest) -> Outcome:
        raise AssertionError("nothing here charges")

    async def look_up(self, payment: PaymentRef) -> Outcome | None:
        self.asked.append(payment.payment_id)
        return self.outcomes.get(payment.payment_id)

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        self.refund_requests.append(request)
        script = self.refunding[request.payment.payment_id]
        answer: RefundOutcome = script.pop(0) if script else Refunded(f"given_{request.refund_id}")
        if isinstance(answer, Refunded) or answer is LOST:
            first = self.given_back.setdefault(request.refund_id, request)
            assert first == request, "one refund, asked for in two ways"
        return answer

    def payments(self, since_ms: int, until_ms: int) -> AsyncIterator[KnownPayment]:
        raise AssertionError("nobody compares books here")

    def parse_webhook(self, headers: Mapping[str, str], raw_body: bytes) -> WebhookEvent:
        raise AssertionError("nobody reads webhooks here")

    async def close(self) -> None:
        return None


class Away:
    """A gateway whose schedules cannot be reached."""

    async def send(
        self, schedule_id: str, command: AnyCommand, *, request_id: str, fingerprint: str = ""
    ) -> Answer | Refusal:
        raise Unavailable("away")


class LosesAnswers:
    """A gateway that brings commands to the owner, and for `times` of them loses the answer."""

    def __init__(self, gateway: Sends, times: int = 1) -> None:
        self._gateway = gateway
        self._times = times

    async def send(
        self, schedule_id: str, command: AnyCommand, *, request_id: str, fingerprint: str = ""
    ) -> Answer | Refusal:
        answer = await self._gateway.send(schedule_id, command, request_id=request_id, fingerprint=fingerprint)
        if self._times:
            self._times -= 1
            raise Unavailable("the answer is lost")
        return answer


class Till:
    """One schedule on sale, its gateway, and everything that moves money behind the customers' backs."""

    def __init__(
        self,
        engine: AsyncEngine,
        gateway: Gateway[LocalOwner],
        owners: LocalOwners,
        clock: MovableClock,
        schedule_id: str,
    ) -> None:
        self.engine = engine
        self.gateway = gateway
        self.owners = owners
        self.clock = clock
        self.schedule_id = schedule_id
        self.provider = ScriptedProvider()
        self.settlement = Settlement(engine, gateway, self.provider, clock)
        self.refunding = Refunding(engine, gateway, self.provider, clock)
        self.endings = Endings(engine, gateway, clock)
        self.customer = clock.new_id()

    async def send(self, command: AnyCommand) -> Answer | Refusal:
        return await self.gateway.send(self.schedule_id, command, request_id=self.clock.new_id())

    async def booked(self, command: AnyCommand) -> Booking:
        """The booking that the command, which must be accepted, has made or changed."""
        booking = await self.send(command)
        assert isinstance(booking, Booking), booking
        return booking

    # --- bookings and payments ----------------------------------------------------------------------------------------
    async def hold(self, *seats: str) -> Booking:
        return await self.booked(HoldSeats(self.clock.new_id(), self.customer, seats))

    async def request(self, booking: Booking) -> str:
        """A payment of which only the journal knows; its id."""
        payment_id = self.clock.new_id()
        await self.booked(RequestPayment(booking.id, self.customer, payment_id, "sandbox"))
        return payment_id

    async def in_doubt(self, seat: str, age_ms: int = OVERDUE_AFTER_MS + 1) -> tuple[Booking, str]:
        """A booking whose payment nobody has heard of since `age_ms`."""
        booking = await self.hold(seat)
        payment_id = await self.request(booking)
        self.clock.ahead_ms += age_ms
        return booking, payment_id

    async def given_up(self, seat: str) -> tuple[Booking, str]:
        """A held booking whose payment was given up as not charged."""
        booking = await self.hold(seat)
        payment_id = await self.request(booking)
        return await self.booked(DeclinePayment(booking.id, payment_id, "not_charged")), payment_id

    async def pay(self, booking: Booking) -> str:
        """Pays for the booking; gives the payment's id."""
        payment_id = await self.request(booking)
        await self.booked(ApprovePayment(booking.id, payment_id, f"paid_{payment_id}"))
        return payment_id

    async def paid(self, *seats: str) -> tuple[Booking, str]:
        booking = await self.hold(*seats)
        return booking, await self.pay(booking)

    async def owe(self, seat: str) -> tuple[Booking, str]:
        """A booking whose seat was given back, and the refund that is owed for it."""
        booking, payment_id = await self.paid(seat)
        refunded = await self.booked(Refund(booking.id, self.customer, self.clock.new_id(), payment_id))
        return refunded, refunded.refunds[-1].id

    # --- what the tables and the journal say --------------------------------------------------------------------------
    async def payment(self, payment_id: str) -> PaymentRow:
        row = await find_payment(self.engine, payment_id, None)
        assert row is not None
        return row

    async def payment_status(self, payment_id: str) -> PaymentStatus:
        return (await self.payment(payment_id)).payment.status

    async def status(self, booking: Booking) -> Status:
        row = await find_booking(self.engine, booking.id, self.customer)
        assert row is not None
        return row.status

    async def refund(self, refund_id: str) -> RefundRow:
        row = await refunds.find(self.engine, refund_id)
        assert row is not None
        return row

    async def refunds_of(self, payment_id: str) -> list[RefundRow]:
        return await refunds.list_refunds(self.engine, payment_id=payment_id, limit=100)

    async def journal(self, booking_id: str | None = None) -> list[tuple[str, str]]:
        """Type and request id of each event, of one booking or of all."""
        journal = tables.journal
        query = sa.select(journal.c.type, journal.c.request_id).order_by(journal.c.seq)
        if booking_id is not None:
            query = query.where(journal.c.booking_id == booking_id)
        async with self.engine.connect() as connection:
            return [(row.type, row.request_id) for row in await connection.execute(query)]

    async def events(self, booking: Booking) -> list[str]:
        return [type_ for type_, _ in await self.journal(booking.id)]


async def open_sale(engine: AsyncEngine, clock: MovableClock) -> str:
    """A schedule on sale; its id."""
    # A minute more, so that the fee is still that of the day when a test looks.
    starts_at_ms = clock.now_ms() + STARTS_IN_DAYS * DAY_MS + 60_000
    terms = Terms("KRW", {"VIP": VIP, "Standard": 55_000}, starts_at_ms, 0, starts_at_ms, 0, HOLD_MS)
    return await put_on_sale(engine, clock, small_plan(), terms)


@contextlib.asynccontextmanager
async def open_till(database_url: str) -> AsyncIterator[Till]:
    """A sale on a migrated database of its own."""
    clock = MovableClock()
    engine = create_engine(database_url, pool_size=4)
    schedule_id = await open_sale(engine, clock)
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
        journal = PostgresJournal(pool)
        owners = LocalOwners(lambda id_: Schedule(id_, journal=journal, cache=MemorySeatCache(), log=None, clock=clock))

        async def exists(id_: str) -> bool:
            return id_ == schedule_id

        gateway = Gateway(owners, OneHost(exists))
        yield Till(engine, gateway, owners, clock, schedule_id)
        await gateway.close()
        await owners.crash()
    await engine.dispose()
