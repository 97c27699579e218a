"""The journal of schedules on Postgres: what happened, in order, and the head row that fences it.

Guarantee: `append` makes a whole batch durable or nothing of it, together with the current tables, and only for the
owner that holds the newest epoch at the expected position. Whoever is told `Deposed` has changed nothing, nor ever
will.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import asyncpg
from msgspec import Struct

from engine.events import Record, decode_event
from engine.seating_plan import SeatingPlan
from engine.stored_plan import plan_of
from engine.turn import Step
from persistence.journal_rows import Rows


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


# A whole batch is one statement: it is a transaction by itself, takes one round trip, and holds the head row no longer
# than Postgres needs. Where the head is not as expected, `moved` is empty and so is everything that follows from it.
# Lists of seats and prices travel as text, because unnest flattens arrays of arrays.
APPEND = """
WITH moved AS (
    UPDATE schedule_heads
       SET seq = $4, next_deadline_ms = $5, oldest_payment_ms = $6, published_seq = greatest(published_seq, $7),
           updated_at = now()
     WHERE schedule_id = $1 AND epoch = $2 AND seq = $3
    RETURNING schedule_id
), recorded AS (
    INSERT INTO journal (schedule_id, seq, at_ms, type, booking_id, request_id, fingerprint, payload)
    SELECT moved.schedule_id, r.* FROM moved,
           unnest($8::bigint[], $9::bigint[], $10::text[], $11::uuid[], $12::text[], $13::text[], $14::bytea[]) AS r
), booked AS (
    INSERT INTO bookings (schedule_id, id, customer_id, currency, created_at,
                          status, seats, prices, amount, version, expires_at, payment_id)
    SELECT moved.schedule_id, n.id, n.customer_id, n.currency, n.created_at, n.status,
           string_to_array(n.seats, E'\\x1f'), string_to_array(n.prices, ',')::bigint[], n.amount, n.version,
           n.expires_at, n.payment_id
      FROM moved,
           unnest($15::uuid[], $16::uuid[], $17::text[], $18::timestamptz[], $19::text[], $20::text[], $21::text[],
                  $22::bigint[], $23::bigint[], $24::timestamptz[], $25::uuid[])
        AS n(id, customer_id, currency, created_at, status, seats, prices, amount, version, expires_at, payment_id)
), changed AS (
    UPDATE bookings AS b
       SET status = n.status, seats = string_to_array(n.seats, E'\\x1f'),
           prices = string_to_array(n.prices, ',')::bigint[], amount = n.amount, version = n.version,
           expires_at = n.expires_at, payment_id = n.payment_id
      FROM moved,
           unnest($26::uuid[], $27::text[], $28::text[], $29::text[], $30::bigint[], $31::bigint[], $32::timestamptz[],
                  $33::uuid[])
        AS n(id, status, seats, prices, amount, version, expires_at, payment_id)
     WHERE b.id = n.id
), paid AS (
    INSERT INTO payments (schedule_id, id, booking_id, customer_id, status, amount, currency, provider, reference,
                          reason, requested_at, settled_at)
    SELECT moved.schedule_id, p.* FROM moved,
           unnest($34::uuid[], $35::uuid[], $36::uuid[], $37::text[], $38::bigint[], $39::text[], $40::text[],
                  $41::text[], $42::text[], $43::timestamptz[], $44::timestamptz[]) AS p
    ON CONFLICT (id) DO UPDATE
       SET status = excluded.status, reference = excluded.reference, reason = excluded.reason,
           settled_at = excluded.settled_at
), cancelled AS (
    INSERT INTO cancellations (schedule_id, id, booking_id, customer_id, reason, by, cancelled_at)
    SELECT moved.schedule_id, c.* FROM moved,
           unnest($45::uuid[], $46::uuid[], $47::uuid[], $48::text[], $49::text[], $50::timestamptz[]) AS c
), refunded AS (
    INSERT INTO refunds (schedule_id, id, payment_id, booking_id, customer_id, amount, fee, currency, provider, seats,
                         reason, by, requested_at, status, reference, settled_at)
    SELECT moved.schedule_id, r.id, r.payment_id, r.booking_id, r.customer_id, r.amount, r.fee, r.currency, r.provider,
           string_to_array(r.seats, E'\\x1f'), r.reason, r.by, r.requested_at, r.status, r.reference, r.settled_at
      FROM moved,
           unnest($51::uuid[], $52::uuid[], $53::uuid[], $54::uuid[], $55::bigint[], $56::bigint[], $57::text[],
                  $58::text[], $59::text[], $60::text[], $61::text[], $62::timestamptz[], $63::text[], $64::text[],
                  $65::timestamptz[])
        AS r(id, payment_id, booking_id, customer_id, amount, fee, currency, provider, seats, reason, by, requested_at,
             status, reference, settled_at)
    ON CONFLICT (id) DO NOTHING
), completed AS (
    UPDATE refunds AS r
       SET status = 'completed', reference = n.reference, settled_at = n.settled_at
      FROM moved, unnest($66::uuid[], $67::text[], $68::timestamptz[]) AS n(id, reference, settled_at)
     WHERE r.id = n.id
)
SELECT count(*) FROM moved
"""


READ = """
SELECT seq, at_ms, payload, request_id, fingerprint
  FROM journal WHERE schedule_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
"""


def records_of(rows: Sequence[asyncpg.Record]) -> list[Record]:
    """What `READ` has found."""
    return [Record(seq, at_ms, decode_event(payload), rid, fp) for seq, at_ms, payload, rid, fp in rows]


class PostgresJournal:
    """`Journal` over a pool of asyncpg connections."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def plan(self, schedule_id: str) -> SeatingPlan:
        row = await self._fetchrow(
            "SELECT v.packed_plan, CASE WHEN v.packed_plan IS NULL THEN v.seating_plan END"
            " FROM schedules s JOIN venues v ON v.id = s.venue_id WHERE s.id = $1",
            schedule_id,
        )
        if row is None:
            raise UnknownSchedule(schedule_id)
        return await asyncio.to_thread(plan_of, *row)  # a document of a large house takes half a second

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
        rows = Rows.of(plan, batch.steps)
        head = (claim.schedule_id, claim.epoch, first - 1, last)
        marks = (batch.next_deadline_ms, batch.oldest_payment_ms, batch.published_seq)
        try:
            async with self._pool.acquire() as connection:
                if not rows.schedule:
                    moved = await connection.fetchval(APPEND, *head, *marks, *rows.columns())
                else:  # rare: an organizer has changed the terms of sale, or cancelled the performance
                    async with connection.transaction():
                        moved = await connection.fetchval(APPEND, *head, *marks, *rows.columns())
                        for statement, row in rows.schedule if moved else ():
                            await connection.execute(statement, claim.schedule_id, *row)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise JournalUnavailable(str(error)) from error
        if not moved:
            raise Deposed(claim.schedule_id)

    async def read(self, schedule_id: str, after_seq: int, limit: int) -> list[Record]:
        return records_of(await self._fetch(READ, schedule_id, after_seq, limit))

    async def snapshot(self, schedule_id: str, at_most: int) -> tuple[int, bytes] | None:
        row = await self._fetchrow(
            "SELECT seq, payload FROM snapshots WHERE schedule_id = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1",
            schedule_id,
            at_most,
        )
        return None if row is None else (row["seq"], row["payload"])

    async def save_snapshot(self, claim: Claim, seq: int, payload: bytes) -> None:
        # Three transactions: megabytes are written before the head row is locked, for which group commits would wait,
        # and old ones go afterwards. A snapshot is of durable records, so one that the head does not name yet is true,
        # too. The weakest of locks lets commits pass, and holds up `drop_snapshots`, so that it sees this one.
        try:
            async with self._pool.acquire() as connection:
                await connection.execute(
                    "INSERT INTO snapshots (schedule_id, seq, payload) SELECT schedule_id, $3, $4::bytea"
                    " FROM schedule_heads WHERE schedule_id = $1 AND epoch = $2 AND seq >= $3 FOR KEY SHARE"
                    " ON CONFLICT DO NOTHING",
                    claim.schedule_id,
                    claim.epoch,
                    seq,
                    payload,
                )
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


async def drop_snapshots(
    connection: asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any], schedule_id: str
) -> None:
    """Drops all of a schedule, in the caller's transaction. Its owner, which may have made them wrong, is deposed."""
    await connection.execute("SELECT 1 FROM schedule_heads WHERE schedule_id = $1 FOR UPDATE", schedule_id)
    await connection.execute(
        "UPDATE schedule_heads SET snapshot_seq = 0, epoch = epoch + 1 WHERE schedule_id = $1", schedule_id
    )
    await connection.execute("DELETE FROM snapshots WHERE schedule_id = $1", schedule_id)
