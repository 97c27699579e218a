"""Who changed what: one entry for every change an organizer or admin makes, in the same transaction as the change.

The entries are a chain. Each is numbered (1, 2, 3 … without gaps) and carries the SHA-256 of its number, its content
and the hash of the entry before it; `audit_head` names the last. Writers take turns at that row, so that entries are in
the order in which they were committed, and their times never go back.

What that is good for: whoever changes, removes or reorders an entry in the database breaks the chain, and
`persistence.audit.verification` names the entry. Whoever computes the whole chain anew after a change is found by the
heads exported before it (`actors/reconciliation/audit_heads.py`). What no chain can show is an entry that was made up
and appended in order, or a change undone before its head was exported.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Raw, Struct
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from persistence.database.tables import audit_head, audit_log

GENESIS = bytes(32)  # stands for the hash of the entry before the first
CHUNK = 200  # entries in memory at a time; one that blocks a whole stand has 100 kB
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class ChainHead(Struct, frozen=True):
    """How far the log goes: the last entry's number, hash and time. An empty log has `seq` 0."""

    seq: int
    hash: bytes
    at: datetime


class Entry(Struct, frozen=True, kw_only=True):
    """One change, as it is shown. `before` and `after` are JSON as the database has it; `hash` is in hex."""

    seq: int
    id: str
    at: str
    account_id: str
    action: str
    subject: str
    before: Raw | None
    after: Raw | None
    hash: str


class StoredEntry(Struct, frozen=True, kw_only=True):
    """A row of the log as PostgreSQL writes it: reading it fails at nothing, whatever somebody has put there."""

    seq: int
    id: str
    at: str
    account_id: str
    action: str
    subject: str
    before: str | None
    after: str | None
    previous_hash: bytes
    hash: bytes


_COLUMNS = tuple(
    sa.cast(audit_log.c[name], sa.Text).label(name) if name in ("at", "before", "after") else audit_log.c[name]
    for name in StoredEntry.__struct_fields__
)


def entry_hash(entry: StoredEntry, *, seq: int | None = None, previous_hash: bytes | None = None) -> bytes:
    """The hash that the entry should have, or would have with another number or predecessor.

    SHA-256 of the JSON array `[seq, id, at, account_id, action, subject, before, after, previous hash in hex]` with
    `at` in microseconds since 1970, keys sorted, no spaces, non-ASCII characters escaped. Raises `ValueError` or
    `RecursionError` for content that `write` cannot have written.
    """
    before, after = (None if text is None else json.loads(text) for text in (entry.before, entry.after))
    fields: list[Any] = [
        entry.seq if seq is None else seq,
        entry.id,
        (datetime.fromisoformat(entry.at) - EPOCH) // MICROSECOND,
        entry.account_id,
        entry.action,
        entry.subject,
        before,
        after,
        (entry.previous_hash if previous_hash is None else previous_hash).hex(),
    ]
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).digest()


# --- writing ----------------------------------------------------------------------------------------------------------
async def write(
    connection: AsyncConnection,
    *,
    entry_id: str,
    account_id: str,
    action: str,
    subject: str,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> bool:
    """Records a change. `subject` is `noun:id`; `before`, `after`: the fields that matter, no secrets.

    Times, structs and whatever else msgspec can write may occur in them. An id that is in the log already is not
    written again, so that a repeated request leaves one entry; returns whether it was new. Other writers wait from here
    to the end of the transaction: let this be its last step, and lock nothing after it.
    """
    # What is hashed is what PostgreSQL makes of the JSON, because that is what will be read back.
    as_stored = [
        sa.cast(sa.cast(sa.literal(_json(part), sa.Text), JSONB), sa.Text).label(name)
        for name, part in (("before", before), ("after", after))
    ]
    # A clock that was set back, or read before waiting for the lock, must not turn the order around.
    now = sa.func.greatest(sa.func.clock_timestamp(), audit_head.c.at).label("at")
    locked = sa.select(audit_head.c.seq, audit_head.c.hash, now, *as_stored).where(audit_head.c.id == 1)
    head = (await connection.execute(locked.with_for_update())).one()
    unhashed = StoredEntry(
        seq=head.seq + 1,
        id=str(uuid.UUID(entry_id)),
        at=head.at.isoformat(),
        account_id=str(uuid.UUID(account_id)),
        action=action,
        subject=subject,
        before=head.before,
        after=head.after,
        previous_hash=head.hash,
        hash=b"",
    )
    entry = msgspec.structs.replace(unhashed, hash=entry_hash(unhashed))
    values: dict[str, Any] = msgspec.structs.asdict(entry) | {
        "at": head.at,
        "before": sa.cast(sa.literal(entry.before, sa.Text), JSONB),
        "after": sa.cast(sa.literal(entry.after, sa.Text), JSONB),
    }
    new = insert(audit_log).values(values).on_conflict_do_nothing(index_elements=["id"]).returning(audit_log.c.seq)
    if (await connection.execute(new)).one_or_none() is None:
        return False
    await connection.execute(audit_head.update().values(seq=entry.seq, hash=entry.hash, at=head.at))
    return True


def _json(part: Mapping[str, object] | None) -> str | None:
    return None if part is None else msgspec.json.encode(part).decode()


# --- reading ----------------------------------------------------------------------------------------------------------
async def read_head(connection: AsyncConnection) -> ChainHead | None:
    """The head row; None if somebody has removed it."""
    query = sa.select(audit_head.c.seq, audit_head.c.hash, audit_head.c.at).where(audit_head.c.id == 1)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else ChainHead(*row)


async def entries(
    database: AsyncEngine,
    *,
    account_id: str | None = None,
    subject: str | None = None,
    action: str | None = None,
    before_seq: int | None = None,
    limit: int,
) -> list[Entry]:
    """Up to `limit` entries, newest first."""
    query = sa.select(*_COLUMNS).order_by(audit_log.c.seq.desc()).limit(limit)
    for column, wanted in (("account_id", account_id), ("subject", subject), ("action", action)):
        if wanted is not None:
            query = query.where(audit_log.c[column] == wanted)
    if before_seq is not None:
        query = query.where(audit_log.c.seq < before_seq)
    async with database.connect() as connection:
        return [shown(StoredEntry(**row._mapping)) for row in await connection.execute(query)]


def shown(entry: StoredEntry) -> Entry:
    """The entry as clients and exports see it; its time in RFC 3339, to the microsecond that was hashed."""
    try:
        at = datetime.fromisoformat(entry.at).isoformat(timespec="microseconds")
    except ValueError:
        at = entry.at  # PostgreSQL knows times that are none, such as infinity
    return Entry(
        seq=entry.seq,
        id=entry.id,
        at=at,
        account_id=entry.account_id,
        action=entry.action,
        subject=entry.subject,
        before=None if entry.before is None else Raw(entry.before.encode()),
        after=None if entry.after is None else Raw(entry.after.encode()),
        hash=entry.hash.hex(),
    )


async def chunks(connection: AsyncConnection) -> AsyncIterator[Sequence[StoredEntry]]:
    """All entries in order, some at a time."""
    query = sa.select(*_COLUMNS).order_by(audit_log.c.seq).limit(CHUNK)
    following = query
    while rows := (await connection.execute(following)).all():
        yield [StoredEntry(**row._mapping) for row in rows]
        following = query.where(audit_log.c.seq > rows[-1].seq)


async def snapshot(connection: AsyncConnection) -> None:
    """From here on the connection's one transaction sees the log as it is now, and changes nothing."""
    await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


async def export(database: AsyncEngine) -> AsyncIterator[Entry | ChainHead]:
    """All entries in order, then the head they lead to, as they were at one moment."""
    async with database.connect() as connection:
        await snapshot(connection)
        async for chunk in chunks(connection):
            for entry in chunk:
                yield shown(entry)
        head = await read_head(connection)
        if head is not None:
            yield head
