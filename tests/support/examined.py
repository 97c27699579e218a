"""A schedule with a past, all that knows of it, and whoever examines and mends it: in one process, without Ray.

Database and journal are real; owners, seat cache, event log and provider live in this process, so that a test can
damage any of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.gateway.gateway import Gateway
from actors.owner.schedule import Schedule
from actors.reconciliation import event_check
from actors.reconciliation.checks import Check, Report
from actors.reconciliation.provider_books import with_books
from actors.reconciliation.reconciler import Reconciler
from actors.reconciliation.repair import Mended, Repair
from engine import commands as c
from engine.booking import Booking
from engine.events import Terms
from engine.plan_document import read_plan
from engine.refusals import Refusal
from engine.seating_plan import SeatingPlan
from engine.snapshot import capture, encode
from engine.state import Answer, Done, ScheduleState
from persistence.database.connection import create_engine
from persistence.events.log import MemoryEventLog
from persistence.journal.journal import PostgresJournal
from persistence.providers.provider import (
    Approved,
    ChargeRequest,
    KnownPayment,
    Outcome,
    PaymentRef,
    ProviderUnavailable,
    Refunded,
    RefundOutcome,
    RefundRequest,
    Unknown,
    WebhookEvent,
)
from persistence.seats.cache import MemorySeatCache
from tests.support.clocks import MovableClock
from tests.support.local_owners import LocalOwners, OneHost, publishing_at_once
from tests.support.on_sale import put_on_sale
from tests.support.sale import small_plan
from tests.support.waiting import until

HOLD_MS = 600_000
PRICES = {"VIP": 150_000, "Standard": 55_000, "Standing": 33_000}
TABLES = ("schedules", "schedule_heads", "journal", "snapshots", "bookings", "payments", "cancellations", "refunds")


class ProviderWithBooks:
    """A payment provider as far as comparing, settling and refunding need one."""

    def __init__(self, clock: MovableClock, name: str = "sandbox", *, knows_our_ids: bool = True) -> None:
        self.name = name
        self.away = False
        self.known: dict[str, KnownPayment] = {}  # by reference
        self.refunded: dict[str, int] = {}
        self._clock = clock
        self._knows_our_ids = knows_our_ids

    def take(self, payment_id: str, booking_id: str, amount: int, *, at_ms: int | None = None) -> str:
        """Takes money; gives the reference."""
        reference = f"ref-{payment_id}"
        self.known[reference] = KnownPayment(
            payment_id=payment_id if self._knows_our_ids else None,
            booking_id=booking_id,
            reference=reference,
            amount=amount,
            refunded=0,
            currency="KRW",
            created_ms=self._clock.now_ms() if at_ms is None else at_ms,
        )
        return reference

    def give_back(self, reference: str, amount: int) -> None:
        known = self.known[reference]
        self.known[reference] = msgspec.structs.replace(known, refunded=known.refunded + amount)

    async def charge(self, request: ChargeRequest) -> Outcome:
        raise AssertionError("a reconciliation never charges")

    async def look_up(self, payment: PaymentRef) -> Outcome | None:
        if self.away:
            return Unknown("away")
        reference = payment.reference or f"ref-{payment.payment_id}"
        return Approved(reference) if reference in self.known else None

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        if self.away:
            return Unknown("away")
        if request.refund_id not in self.refunded:
            self.refunded[request.refund_id] = request.amount
            self.give_back(request.payment.reference, request.amount)
        return Refunded(f"back-{request.refund_id}")

    async def payments(self, since_ms: int, until_ms: int) -> AsyncIterator[KnownPayment]:
        if self.away:
            raise ProviderUnavailable("away")
        for known in list(self.known.values()):
            if since_ms <= known.created_ms < until_ms:
                yield known

    def parse_webhook(self, headers: Mapping[str, str], raw_body: bytes) -> WebhookEvent:
        raise AssertionError("a reconciliation reads no webhooks")

    async def close(self) -> None:
        return None


class Examined:
    """The schedule, and everything that can be done to it."""

    def __init__(
        self, pool: asyncpg.Pool[Any], engine: AsyncEngine, clock: MovableClock, schedule_id: str, plan: SeatingPlan
    ) -> None:
        self.pool = pool
        self.engine = engine
        self.clock = clock
        self.schedule_id = schedule_id
        self.plan = plan
        self.journal = PostgresJournal(pool)
        self.cache = MemorySeatCache()
        self.log = MemoryEventLog()
        self.owners = LocalOwners(
            lambda id_: Schedule(id_, journal=self.journal, cache=self.cache, log=self.log, clock=clock)
        )
        self.gateway = Gateway(self.owners, OneHost(self._exists), call_timeout_seconds=1.0, deadline_seconds=3.0)
        self.provider = ProviderWithBooks(clock)
        self.reconciler = self.new_reconciler()
        self.customer = clock.new_id()

    async def _exists(self, schedule_id: str) -> bool:
        return schedule_id == self.schedule_id

    def new_reconciler(self, **options: Any) -> Reconciler:
        return Reconciler(self.pool, self.journal, self.gateway, self.cache, self.clock, publishing=True, **options)

    # --- the sale -----------------------------------------------------------------------------------------------------
    async def send(self, command: c.AnyCommand) -> Answer | Refusal:
        return await self.gateway.send(self.schedule_id, command, request_id=self.clock.new_id())

    async def hold(self, *seats: str) -> Booking:
        return booking_of(await self.send(c.HoldSeats(self.clock.new_id(), self.customer, seats)))

    async def request(self, booking: Booking) -> str:
        payment_id = self.clock.new_id()
        booking_of(await self.send(c.RequestPayment(booking.id, self.customer, payment_id, self.provider.name)))
        return payment_id

    async def approve(self, booking: Booking, payment_id: str) -> Booking:
        reference = self.provider.take(payment_id, booking.id, booking.amount)
        return booking_of(await self.send(c.ApprovePayment(booking.id, payment_id, reference)))

    async def paid(self, *seats: str) -> Booking:
        booking = await self.hold(*seats)
        return await self.approve(booking, await self.request(booking))

    async def declined(self, booking: Booking) -> str:
        payment_id = await self.request(booking)
        await self.send(c.DeclinePayment(booking.id, payment_id, "lost_card"))
        return payment_id

    async def refund(self, booking: Booking, *seats: str, pay_out: bool = True) -> str:
        assert booking.payment is not None
        refund_id, payment = self.clock.new_id(), booking.payment
        after = booking_of(await self.send(c.Refund(booking.id, self.customer, refund_id, payment.id, seats)))
        if pay_out:
            amount = after.refunds[-1].amount
            self.provider.give_back(payment.reference, amount)
            done = c.CompleteRefund(refund_id, payment.id, amount, "KRW", f"back-{refund_id}")
            assert not isinstance(await self.send(done), Refusal)
        return refund_id

    async def a_past(self) -> Past:
        """Something of everything, all of it at its end."""
        paid = await self.paid("A-1", "A-2", "floor")
        part = await self.paid("A-3", "A-4")
        await self.refund(part, "A-4")
        whole = await self.paid("B-1")
        await self.refund(whole)
        held = await self.hold("B-2", "B-3")
        declined = await self.declined(held)
        gone = await self.hold("C-1")
        booking_of(await self.send(c.Cancel(gone.id, self.clock.new_id(), self.customer, "마음이 바뀜")))
        assert isinstance(await self.send(c.Block(("C-2",), "camera", "organizer")), Done)
        await self.at_rest()
        return Past(paid, part, whole, held, gone, declined)

    async def at_rest(self) -> None:
        """Until everything is durable, published and shown."""

        async def rests() -> bool:
            seq, published = await self.head()
            return published == seq

        await until(rests)
        await self.shown()

    async def shown(self) -> None:
        """Until readers are shown everything."""

        async def shows() -> bool:
            view = await self.cache.get(self.schedule_id)
            return view is not None and view.version == (await self.head())[0]

        await until(shows)

    async def save_snapshot(self) -> None:
        """What the owner does every few thousand records."""
        seq, _ = await self.head()
        payload = encode(capture(self.state))
        await self.sql(
            "INSERT INTO snapshots (schedule_id, seq, payload) VALUES ($1, $2, $3)", self.schedule_id, seq, payload
        )
        await self.sql("UPDATE schedule_heads SET snapshot_seq = $1", seq)

    # --- looking and damaging -----------------------------------------------------------------------------------------
    @property
    def state(self) -> ScheduleState:
        """The owner's memory."""
        assert self.owners.schedule is not None
        return self.owners.schedule._state

    async def head(self) -> tuple[int, int]:
        row = await self.pool.fetchrow("SELECT seq, published_seq FROM schedule_heads")
        assert row is not None
        return row["seq"], row["published_seq"]

    async def sql(self, statement: str, *arguments: object) -> None:
        """What somebody does who can do everything to the database, and changes exactly one row."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")  # no trigger refuses it
            assert (await connection.execute(statement, *arguments)).split()[-1] == "1", statement

    async def dump(self) -> dict[str, list[Any]]:
        """All that the database holds of the schedule."""
        found = {}
        for table in TABLES:
            rows = await self.pool.fetch(f"SELECT to_jsonb(t)::text FROM {table} t ORDER BY 1")
            found[table] = [row[0] for row in rows]
        return found

    async def retire(self) -> None:
        """Ends the owner."""
        await self.gateway.retire(self.schedule_id)

    # --- examining and mending ----------------------------------------------------------------------------------------
    async def examine(self, *, events: bool = False) -> Report:
        report = await self.reconciler.examine(self.schedule_id)
        report = await with_books(report, self.pool, self.reconciler, [self.provider])
        if events:
            report = await event_check.with_events(report, self.pool, self.reconciler, self.log)
        return report

    async def mend(self, report: Report, *, dry_run: bool = False, log: bool = True) -> list[Mended]:
        return await self.repair(log=log).mend(report, dry_run=dry_run)

    def repair(self, *, log: bool = True) -> Repair:
        providers = {self.provider.name: self.provider}
        return Repair(self.pool, self.engine, self.gateway, self.reconciler, providers, self.log if log else None)

    async def dry_run(self, report: Report) -> list[Mended]:
        """A dry run, which must change nothing."""
        before, owner = await self.dump(), self.owners.schedule
        actions = await self.mend(report, dry_run=True)
        assert not any(each.done for each in actions)
        assert {each.check for each in actions} == report.failing
        assert (await self.dump(), self.owners.schedule) == (before, owner)
        return actions


class Past(msgspec.Struct, frozen=True):
    """What `a_past` has left."""

    paid: Booking  # and a standing place
    part: Booking  # A-3; A-4 was given back
    whole: Booking  # B-1, given back
    held: Booking  # B-2, B-3
    gone: Booking  # C-1, cancelled
    declined: str  # a payment of `held`


def booking_of(answer: Answer | Refusal) -> Booking:
    assert isinstance(answer, Booking), answer
    return answer


def check(report: Report, name: str) -> Check:
    """The one check of this name."""
    (found,) = [each for each in report.checks if each.name == name]
    return found


def named(report: Report, name: str, offender: str) -> None:
    """Asserts that the check does not hold and that this is among those to blame."""
    found = check(report, name)
    assert not found.holds, found
    assert any(offender in each for each in found.offenders), found


def told(actions: Sequence[Mended], name: str) -> str:
    """What was said about a check."""
    return "\n".join(each.action for each in actions if each.check == name)


@asynccontextmanager
async def examined_schedule(database_url: str, document: Mapping[str, Any] | None = None) -> AsyncIterator[Examined]:
    """A schedule on sale in a fresh database."""
    async with AsyncExitStack() as stack:
        stack.enter_context(publishing_at_once())
        clock = MovableClock()
        engine = create_engine(database_url, pool_size=4)
        stack.push_async_callback(engine.dispose)
        pool = await stack.enter_async_context(asyncpg.create_pool(database_url, min_size=1, max_size=5))
        document = small_plan(standing=20) if document is None else document
        plan, closes_ms = read_plan(document), clock.now_ms() + 10**10
        prices = {name: PRICES.get(name, 55_000) for name in plan.categories}
        terms = Terms("KRW", prices, closes_ms, 0, closes_ms, 0, HOLD_MS)
        schedule_id = await put_on_sale(engine, clock, document, terms)
        examined = Examined(pool, engine, clock, schedule_id, plan)
        try:
            yield examined
        finally:
            await examined.gateway.close()
            await examined.retire()
