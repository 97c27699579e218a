"""The journal of schedules on Postgres: what happened, in order, and the head row that fences it.

Guarantee: `append` makes a whole batch durable or nothing of it, together with the current tables, and only for the
owner that holds the newest epoch at the expected position. Whoever is told `Deposed` has changed nothing, nor ever
will. `append_together` does so for the batches of many schedules, each for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import asyncpg
from cramjam import DecompressionError, zstd
from msgspec import Struct

from engine.events import Record, decode_event
from engine.seating_plan import SeatingPlan
from engine.snapshot import SnapshotError
from engine.stored_plan import plan_of
from engine.turn import Step
from persistence.database.away import FAILURES, is_away
from persistence.database.pools import Connection
from persistence.journal.group_commit import group_commit, group_commit_of_many
from persistence.journal.plans import SharedPlans
from persistence.journal.rows import Rows


class Deposed(Exception):
    """Another owner has claimed the schedule; this one must stop."""


class Elsewhere(Deposed):
    """The schedule is another process's to own."""


class JournalUnavailable(Exception):
    """The database did not confirm: the outcome is unknown until the journal has been read again."""


class Locked(JournalUnavailable):
    """Somebody else holds the head row for now. Nothing has happened yet."""


class BatchRefused(Exception):
    """The database will not have what is in the batch, however often it is tried. Nothing of it is durable."""


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


class Commit(Struct):
    """One schedule's batch on its way into the journal."""

    claim: Claim
    plan: SeatingPlan
    batch: Batch


class Journal(Protocol):
    """What a schedule's owner needs of the durable world.

    Every method may raise `JournalUnavailable`. What is no outage, and nobody foresaw, is raised as it comes.
    """

    async def plan(self, schedule_id: str) -> SeatingPlan:
        """The plan the schedule was opened with, which leads on to those after it. Raises `UnknownSchedule`."""

    async def claim(self, schedule_id: str) -> Claim:
        """Takes ownership: from here on every earlier owner is deposed. Raises `UnknownSchedule` or `Elsewhere`."""

    async def append(self, claim: Claim, plan: SeatingPlan, batch: Batch) -> None:
        """Makes the batch durable. Raises `Deposed` or `BatchRefused`; after `JournalUnavailable` it may be durable."""

    async def append_together(self, commits: Sequence[Commit]) -> list[bool]:
        """Makes the batches of different schedules durable at once, as far as that goes; says of each whether it is.

        What is not has changed nothing, and `append` says why, or makes it durable by itself.
        """

    async def read(self, schedule_id: str, after_seq: int, limit: int) -> list[Record]:
        """Up to `limit` records after a position, in order."""

    async def snapshot(self, schedule_id: str, at_most: int) -> tuple[int, bytes] | None:
        """The newest snapshot at or before a position. Raises `SnapshotError` if it is damaged."""

    async def save_snapshot(self, claim: Claim, seq: int, payload: bytes) -> None:
        """Keeps a snapshot, and of the older ones the newest that publishing may still need. Raises `Deposed`."""

    async def save_published(self, claim: Claim, seq: int) -> None:
        """Moves the publishing watermark forward. Raises `Deposed`."""


READ = """
SELECT seq, at_ms, payload, request_id, fingerprint
  FROM journal WHERE schedule_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
"""

# A schedule's plans, the newest first: the house's own, and those that it took the place of.
PLANS = """
SELECT v.plan_number AS number, v.packed_plan, CASE WHEN v.packed_plan IS NULL THEN v.seating_plan END
  FROM schedules s JOIN venues v ON v.id = s.venue_id WHERE s.id = $1
UNION ALL
SELECT f.number, f.packed_plan, CASE WHEN f.packed_plan IS NULL THEN f.seating_plan END
  FROM schedules s JOIN former_plans f ON f.venue_id = s.venue_id AND f.number >= s.first_plan WHERE s.id = $1
 ORDER BY number DESC
"""

# What the database says of rows that it will never take, and of statements that stood in each other's way.
REFUSALS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
CONTENTION = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)

ZSTD = b"\x28\xb5\x2f\xfd"  # how a Zstandard frame begins (RFC 8878)


def records_of(rows: Sequence[asyncpg.Record]) -> list[Record]:
    """What `READ` has found."""
    return [Record(seq, at_ms, decode_event(payload), rid, fp) for seq, at_ms, payload, rid, fp in rows]


async def read_plans(connection: Connection, schedule_id: str) -> SeatingPlan:
    """As `Journal.plan`, in the caller's transaction."""
    return await _plans(schedule_id, await connection.fetch(PLANS, schedule_id))


async def _plans(schedule_id: str, rows: Sequence[asyncpg.Record]) -> SeatingPlan:
    if not rows:
        raise UnknownSchedule(schedule_id)
    return await asyncio.to_thread(_succession, rows)  # a document of a large house takes half a second


def _succession(rows: Sequence[asyncpg.Record]) -> SeatingPlan:
    """The oldest of these plans, which leads on to the others."""
    plan: SeatingPlan | None = None
    for number, packed, document in rows:
        plan = replace(plan_of(packed, document), number=number, successor=plan)
    assert plan is not None, "a house has a plan"
    return plan


def _rows(plan: SeatingPlan, batch: Batch) -> Rows:
    """The batch as rows. Raises `BatchRefused` where it cannot be put into rows at all."""
    try:
        return Rows.of(plan, batch.steps)
    except Exception as error:  # whatever it is, it is in this batch and must not spoil another
        raise BatchRefused(f"{type(error).__name__}: {error}") from error


@contextlib.contextmanager
def outages_told() -> Iterator[None]:
    """A database in trouble is `JournalUnavailable`. What would fail again however often it is tried is raised as it
    is: whoever waited for that to pass would wait for ever."""
    try:
        yield
    except FAILURES as error:
        if not is_away(error):
            raise
        raise JournalUnavailable(str(error)) from error


def _failure(error: Exception) -> Exception | None:
    """What a commit that failed so is to be called; None where that is something nobody foresaw."""
    if isinstance(error, asyncpg.LockNotAvailableError):
        return Locked(str(error))
    if _is_refusal(error):
        return BatchRefused(str(error))
    return JournalUnavailable(str(error)) if is_away(error) else None


def _is_refusal(error: Exception) -> bool:
    """Whether the fault is in the rows, so that they will be refused again."""
    return isinstance(error, REFUSALS) or (isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError))


def _head(claim: Claim, batch: Batch) -> tuple[object, ...]:
    """What a group commit says of the head, in the order of its parameters."""
    first, last = batch.steps[0].record.seq, batch.steps[-1].record.seq
    marks = (batch.next_deadline_ms, batch.oldest_payment_ms, batch.published_seq)
    return (claim.schedule_id, claim.epoch, first - 1, last, *marks)


def compressed(snapshot: bytes) -> bytes:
    """A snapshot as it is stored. PostgreSQL would compress it, too: ten times as slowly, and half as far."""
    return bytes(zstd.compress(snapshot, level=1))


def decompressed(stored: bytes) -> bytes:
    """A snapshot as it was made. Raises `SnapshotError` if it is damaged."""
    if not stored.startswith(ZSTD):
        return stored  # made by a release that did not compress
    try:
        return bytes(zstd.decompress(stored))
    except DecompressionError as error:
        raise SnapshotError(str(error)) from error


class PostgresJournal:
    """`Journal` over a pool of asyncpg connections.

    `host` is the process whose schedules it claims; without one it claims any. `plans` shares the plan of a house
    between its schedules.
    """

    def __init__(self, pool: asyncpg.Pool[Any], *, host: str | None = None, plans: SharedPlans | None = None) -> None:
        self._pool = pool
        self._host = host
        self._plans = plans

    async def plan(self, schedule_id: str) -> SeatingPlan:
        if self._plans is None:
            return await self._read_plan(schedule_id)
        which = await self._fetchval(
            "SELECT concat_ws(' ', v.id, s.first_plan, v.plan_number)"
            " FROM schedules s JOIN venues v ON v.id = s.venue_id WHERE s.id = $1",
            schedule_id,
        )
        if which is None:
            raise UnknownSchedule(schedule_id)
        return await self._plans.get(which, lambda: self._read_plan(schedule_id))

    async def _read_plan(self, schedule_id: str) -> SeatingPlan:
        return await _plans(schedule_id, await self._fetch(PLANS, schedule_id))

    async def claim(self, schedule_id: str) -> Claim:
        row = await self._fetchrow(
            "UPDATE schedule_heads SET epoch = epoch + 1, updated_at = now()"
            " WHERE schedule_id = $1 AND ($2::text IS NULL OR host = $2)"
            " RETURNING epoch, seq, published_seq, snapshot_seq",
            schedule_id,
            self._host,
        )
        if row is None:
            if await self._fetch("SELECT 1 FROM schedule_heads WHERE schedule_id = $1", schedule_id):
                raise Elsewhere(schedule_id)
            raise UnknownSchedule(schedule_id)
        return Claim(schedule_id, row["epoch"], row["seq"], row["published_seq"], row["snapshot_seq"])

    async def append(self, claim: Claim, plan: SeatingPlan, batch: Batch) -> None:
        rows = _rows(plan, batch)
        statement, columns = group_commit(rows)
        head = _head(claim, batch)
        try:
            async with self._pool.acquire() as connection:
                if not rows.schedule:
                    moved = await connection.fetchval(statement, *head, *columns)
                else:  # rare: an organizer has changed the terms of sale, or cancelled the performance
                    async with connection.transaction():
                        moved = await connection.fetchval(statement, *head, *columns)
                        for change, row in rows.schedule if moved else ():
                            await connection.execute(change, claim.schedule_id, *row)
        except FAILURES as error:
            if (failure := _failure(error)) is None:
                raise
            raise failure from error
        if not moved:
            raise Deposed(claim.schedule_id)

    async def append_together(self, commits: Sequence[Commit]) -> list[bool]:
        durable = [False] * len(commits)
        taken: list[tuple[int, Rows]] = []
        for place, commit in enumerate(commits):
            with contextlib.suppress(BatchRefused):  # `append` says so
                rows = _rows(commit.plan, commit.batch)
                if not rows.schedule:  # statements of its own, in a transaction of its own
                    taken.append((place, rows))
        if not taken:
            return durable
        statement, columns = group_commit_of_many([rows for _, rows in taken])
        heads = zip(*(_head(commits[place].claim, commits[place].batch) for place, _ in taken), strict=True)
        try:
            moved = await self._pool.fetch(statement, *map(list, heads), *columns)
        except FAILURES as error:
            if is_away(error) and not isinstance(error, CONTENTION):
                raise JournalUnavailable(str(error)) from error
            return durable  # one of them is at fault, or all: each is tried by itself, and hears it
        for (head,) in moved:
            durable[taken[head - 1][0]] = True
        return durable

    async def read(self, schedule_id: str, after_seq: int, limit: int) -> list[Record]:
        return records_of(await self._fetch(READ, schedule_id, after_seq, limit))

    async def snapshot(self, schedule_id: str, at_most: int) -> tuple[int, bytes] | None:
        row = await self._fetchrow(
            "SELECT seq, payload FROM snapshots WHERE schedule_id = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1",
            schedule_id,
            at_most,
        )
        return None if row is None else (row["seq"], await asyncio.to_thread(decompressed, row["payload"]))

    async def save_snapshot(self, claim: Claim, seq: int, payload: bytes) -> None:
        # Three transactions: much is written before the head row is locked, for which group commits would wait,
        # and old ones go afterwards. A snapshot is of durable records, so one that the head does not name yet is true,
        # too. The weakest of locks lets commits pass, and holds up `heads.drop_snapshots`, so that it sees this one.
        stored = await asyncio.to_thread(compressed, payload)
        with outages_told():
            async with self._pool.acquire() as connection:
                await connection.execute(
                    "INSERT INTO snapshots (schedule_id, seq, payload) SELECT schedule_id, $3, $4::bytea"
                    " FROM schedule_heads WHERE schedule_id = $1 AND epoch = $2 AND seq >= $3 FOR KEY SHARE"
                    " ON CONFLICT DO NOTHING",
                    claim.schedule_id,
                    claim.epoch,
                    seq,
                    stored,
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
        with outages_told():
            return await self._pool.fetch(query, *arguments)

    async def _fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
        rows = await self._fetch(query, *arguments)
        return rows[0] if rows else None

    async def _fetchval(self, query: str, *arguments: object) -> Any:
        row = await self._fetchrow(query, *arguments)
        return None if row is None else row[0]
