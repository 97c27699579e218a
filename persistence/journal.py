"""The journal of schedules on Postgres: what happened, in order, and the head row that fences it.

Guarantee: `append` makes a whole batch durable or nothing of it, together with the current tables, and only for the
owner that holds the newest epoch at the expected position. Whoever is told `Deposed` has changed nothing, nor ever
will.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import asyncpg
import msgspec
from msgspec import Struct

from engine import events
from engine.booking import Booking
from engine.events import Record, decode_event, encode_event
from engine.seating_plan import SeatingPlan
from engine.turn import Step


class Deposed(Exception):
    """Another owner has claimed the schedule; this one must stop."""


class JournalUnavailable(Exception):
    """The database did not confirm: the outcome is unknown until the journal has been read again."""


class UnknownSchedule(LookupError):
    """No such schedule."""


class Claim(Struct, frozen=True):
    """Ownership of a schedule, and how far things stood when it was taken."""

    schedule_id: str
    epoch: int
    seq: int
    published_seq: int
    snapshot_seq: int


class Batch(Struct):
    """The steps of many turns, made durable together."""

    steps: list[Step]
    next_deadline_ms: int | None = None
    oldest_payment_ms: int | None = None
    published_seq: int = 0


class Journal(Protocol):
    """What a schedule's owner needs of the durable world. Every method may raise `JournalUnavailable`."""

    async def plan(self, schedule_id: str) -> SeatingPlan:
        """The plan the schedule is sold by. Raises `UnknownSchedule`."""

    async def claim(self, schedule_id: str) -> Claim:
        """Takes ownership: from here on every earlier owner is deposed. Raises `UnknownSchedule`."""

    async def append(self, claim: Claim, plan: SeatingPlan, batch: Batch) -> None:
        """Makes the batch durable. Raises `Deposed`; after `JournalUnavailable` the outcome is unknown."""

    async def read(self, schedule_id: str, after_seq: int, limit: int) -> list[Record]:
        """Up to `limit` records after a position, in order."""

    async def snapshot(self, schedule_id: str, at_most: int) -> tuple[int, bytes] | None:
        """The newest snapshot at or before a position."""

    async def save_snapshot(self, claim: Claim, seq: int, payload: bytes) -> None:
        """Keeps a snapshot, and of the older ones the newest that publishing may still need. Raises `Deposed`."""

    async def save_published(self, claim: Claim, seq: int) -> None:
        """Moves the publishing watermark forward. Raises `Deposed`."""


def moment(ms: int) -> datetime:
    """Milliseconds since the epoch as an aware UTC datetime, exactly."""
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


JOURNAL_COLUMNS = ("schedule_id", "seq", "at_ms", "type", "booking_id", "request_id", "fingerprint", "payload")
BOOKING_COLUMNS = (
    "id",
    "schedule_id",
    "customer_id",
    "status",
    "seats",
    "prices",
    "amount",
    "currency",
    "version",
    "created_at",
    "expires_at",
    "payment_id",
)

MOVE_HEAD = """
UPDATE schedule_heads
   SET seq = $4, next_deadline_ms = $5, oldest_payment_ms = $6, published_seq = greatest(published_seq, $7),
       updated_at = now()
 WHERE schedule_id = $1 AND epoch = $2 AND seq = $3
"""
UPDATE_BOOKINGS = """
UPDATE bookings AS b
   SET status = n.status, seats = string_to_array(n.seats, E'\\x1f'), prices = string_to_array(n.prices, ',')::bigint[],
       amount = n.amount, version = n.version, expires_at = n.expires_at, payment_id = n.payment_id
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[], $8::uuid[])
    AS n(id, status, seats, prices, amount, version, expires_at, payment_id)
 WHERE b.id = n.id
"""
UPSERT_PAYMENTS = """
INSERT INTO payments (id, booking_id, schedule_id, customer_id, status, amount, currency, provider, reference, reason,
                      requested_at, settled_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::text[], $8::text[],
                     $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[])
ON CONFLICT (id) DO UPDATE
   SET status = excluded.status, reference = excluded.reference, reason = excluded.reason,
       settled_at = excluded.settled_at
"""
INSERT_CANCELLATIONS = """
INSERT INTO cancellations (id, booking_id, schedule_id, customer_id, reason, by, cancelled_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[])
"""
UPDATE_TERMS = """
UPDATE schedules
   SET currency = $2, prices = $3::jsonb, starts_at = $4, sale_opens_at = $5, sale_closes_at = $6,
       max_seats_per_customer = $7, hold_seconds = $8, updated_at = $9
 WHERE id = $1
"""


class PostgresJournal:
    """`Journal` over a pool of asyncpg connections."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def plan(self, schedule_id: str) -> SeatingPlan:
        document = await self._fetchval(
            "SELECT v.seating_plan FROM schedules s JOIN venues v ON v.id = s.venue_id WHERE s.id = $1", schedule_id
        )
        if document is None:
            raise UnknownSchedule(schedule_id)
        # A large house takes a fifth of a second: not on the loop.
        return await asyncio.to_thread(lambda: SeatingPlan.parse(msgspec.json.decode(document)))

    async def claim(self, schedule_id: str) -> Claim:
        row = await self._fetchrow(
            "UPDATE schedule_heads SET epoch = epoch + 1 WHERE schedule_id = $1"
            " RETURNING epoch, seq, published_seq, snapshot_seq",
            schedule_id,
        )
        if row is None:
            raise UnknownSchedule(schedule_id)
        return Claim(schedule_id, row["epoch"], row["seq"], row["published_seq"], row["snapshot_seq"])

    async def append(self, claim: Claim, plan: SeatingPlan, batch: Batch) -> None:
        first, last = batch.steps[0].record.seq, batch.steps[-1].record.seq
        # Rendered before the transaction begins: while it is open it holds the head row.
        rows = Rows.of(claim.schedule_id, plan, batch.steps)
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                moved = await connection.execute(
                    MOVE_HEAD,
                    claim.schedule_id,
                    claim.epoch,
                    first - 1,
                    last,
                    batch.next_deadline_ms,
                    batch.oldest_payment_ms,
                    batch.published_seq,
                )
                if moved != "UPDATE 1":
                    raise Deposed(claim.schedule_id)
                await rows.write(connection)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise JournalUnavailable(str(error)) from error

    async def read(self, schedule_id: str, after_seq: int, limit: int) -> list[Record]:
        rows = await self._fetch(
            "SELECT seq, at_ms, payload, request_id, fingerprint FROM journal"
            " WHERE schedule_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            schedule_id,
            after_seq,
            limit,
        )
        return [Record(seq, at_ms, decode_event(payload), rid, fp) for seq, at_ms, payload, rid, fp in rows]

    async def snapshot(self, schedule_id: str, at_most: int) -> tuple[int, bytes] | None:
        row = await self._fetchrow(
            "SELECT seq, payload FROM snapshots WHERE schedule_id = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1",
            schedule_id,
            at_most,
        )
        return None if row is None else (row["seq"], row["payload"])

    async def save_snapshot(self, claim: Claim, seq: int, payload: bytes) -> None:
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                published_seq = await connection.fetchval(
                    "UPDATE schedule_heads SET snapshot_seq = $3 WHERE schedule_id = $1 AND epoch = $2 AND seq >= $3"
                    " RETURNING published_seq",
                    claim.schedule_id,
                    claim.epoch,
                    seq,
                )
                if published_seq is None:
                    raise Deposed(claim.schedule_id)
                await connection.execute(
                    "INSERT INTO snapshots (schedule_id, seq, payload) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                    claim.schedule_id,
                    seq,
                    payload,
                )
                await connection.execute(
                    "DELETE FROM snapshots WHERE schedule_id = $1 AND seq < $2 AND seq <> coalesce("
                    "(SELECT max(seq) FROM snapshots WHERE schedule_id = $1 AND seq <= $3), 0)",
                    claim.schedule_id,
                    seq,
                    published_seq,
                )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise JournalUnavailable(str(error)) from error

    async def save_published(self, claim: Claim, seq: int) -> None:
        row = await self._fetchrow(
            "UPDATE schedule_heads SET published_seq = greatest(published_seq, $3)"
            " WHERE schedule_id = $1 AND epoch = $2 RETURNING 1",
            claim.schedule_id,
            claim.epoch,
            seq,
        )
        if row is None:
            raise Deposed(claim.schedule_id)

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            return await self._pool.fetch(query, *arguments)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise JournalUnavailable(str(error)) from error

    async def _fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
        rows = await self._fetch(query, *arguments)
        return rows[0] if rows else None

    async def _fetchval(self, query: str, *arguments: object) -> Any:
        row = await self._fetchrow(query, *arguments)
        return None if row is None else row[0]


class Rows(Struct):
    """A batch as rows of the journal and of the current tables."""

    schedule_id: str
    journal: list[tuple[object, ...]]
    new_bookings: list[tuple[object, ...]]
    changed_bookings: list[tuple[object, ...]]
    payments: list[tuple[object, ...]]
    cancellations: list[tuple[object, ...]]
    terms: tuple[object, ...] | None = None

    @classmethod
    def of(cls, schedule_id: str, plan: SeatingPlan, steps: Sequence[Step]) -> Rows:
        rows = cls(schedule_id, [], [], [], [], [])
        new: set[str] = set()
        latest: dict[str, Booking] = {}
        paying: dict[str, tuple[object, ...]] = {}
        for step in steps:
            record, booking, event = step.record, step.booking, step.record.event
            rows.journal.append(
                (
                    schedule_id,
                    record.seq,
                    record.at_ms,
                    event.type_name,
                    None if booking is None else booking.id,
                    record.request_id,
                    record.fingerprint,
                    encode_event(event),
                )
            )
            if booking is None:
                if isinstance(event, events.TermsChanged | events.Opened):
                    rows.terms = _terms_row(schedule_id, event.terms, record.at_ms)
                continue
            latest[booking.id] = booking
            if isinstance(event, events.Held):
                new.add(booking.id)
            elif isinstance(event, events.PaymentRequested | events.PaymentApproved | events.PaymentDeclined):
                paying[event.payment_id] = _payment_row(schedule_id, booking)
            elif isinstance(event, events.Cancelled):
                rows.cancellations.append(_cancellation_row(schedule_id, booking))
        for booking in latest.values():
            if booking.id in new:
                rows.new_bookings.append(_booking_row(schedule_id, plan, booking))
            else:
                rows.changed_bookings.append(_booking_change(plan, booking))
        rows.payments = list(paying.values())
        return rows

    async def write(self, connection: Any) -> None:
        """Sends the rows, in the caller's transaction. COPY beats INSERT from about eight rows up."""
        await connection.copy_records_to_table("journal", records=self.journal, columns=JOURNAL_COLUMNS)
        if self.new_bookings:
            await connection.copy_records_to_table("bookings", records=self.new_bookings, columns=BOOKING_COLUMNS)
        if self.changed_bookings:
            await connection.execute(UPDATE_BOOKINGS, *zip(*self.changed_bookings, strict=True))
        if self.payments:
            await connection.execute(UPSERT_PAYMENTS, *zip(*self.payments, strict=True))
        if self.cancellations:
            await connection.execute(INSERT_CANCELLATIONS, *zip(*self.cancellations, strict=True))
        if self.terms is not None:
            await connection.execute(UPDATE_TERMS, *self.terms)


def _expires_at(booking: Booking) -> datetime | None:
    return moment(booking.expires_ms) if booking.expires_ms else None


def _booking_row(schedule_id: str, plan: SeatingPlan, booking: Booking) -> tuple[object, ...]:
    return (
        booking.id,
        schedule_id,
        booking.customer_id,
        booking.status.name.lower(),
        [plan.ids[index] for index in booking.seats],
        list(booking.prices),
        booking.amount,
        booking.currency,
        booking.version,
        moment(booking.created_ms),
        _expires_at(booking),
        None if booking.payment is None else booking.payment.id,
    )


def _booking_change(plan: SeatingPlan, booking: Booking) -> tuple[object, ...]:
    return (
        booking.id,
        booking.status.name.lower(),
        "\x1f".join([plan.ids[index] for index in booking.seats]),
        ",".join(map(str, booking.prices)),
        booking.amount,
        booking.version,
        _expires_at(booking),
        None if booking.payment is None else booking.payment.id,
    )


def _payment_row(schedule_id: str, booking: Booking) -> tuple[object, ...]:
    payment = booking.payment
    assert payment is not None, "a payment event without a payment"
    return (
        payment.id,
        booking.id,
        schedule_id,
        booking.customer_id,
        payment.status.name.lower(),
        payment.amount,
        booking.currency,
        payment.provider,
        payment.reference or None,
        payment.reason or None,
        moment(payment.requested_ms),
        moment(payment.settled_ms) if payment.settled_ms else None,
    )


def _cancellation_row(schedule_id: str, booking: Booking) -> tuple[object, ...]:
    ending = booking.ending
    assert ending is not None, "a cancellation without an end"
    return (
        ending.id,
        booking.id,
        schedule_id,
        booking.customer_id,
        ending.reason or None,
        ending.by,
        moment(ending.at_ms),
    )


def _terms_row(schedule_id: str, terms: events.Terms, at_ms: int) -> tuple[object, ...]:
    return (
        schedule_id,
        terms.currency,
        msgspec.json.encode(terms.prices).decode(),
        moment(terms.starts_at_ms),
        moment(terms.sale_opens_at_ms) if terms.sale_opens_at_ms else None,
        moment(terms.sale_closes_at_ms) if terms.sale_closes_at_ms != terms.starts_at_ms else None,
        terms.max_seats_per_customer or None,
        terms.hold_ms // 1000,
        moment(at_ms),
    )
