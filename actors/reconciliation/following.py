"""A schedule's journal followed from its first record on, into what everything else is held against.

What cannot be followed is told by its version: a record that is missing, that says something else than it is entered
as, or that does not fit what was before it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import asyncpg
import msgspec

from actors.process.rounds import pause_after
from engine.events import PlanChanged, Record, decode_event
from persistence.database.moments import moment
from persistence.database.pools import Connection
from persistence.journal.heads import Head
from persistence.journal.journal import read_plans
from persistence.reconciliation.sales_mirror import SalesMirror
from persistence.reconciliation.table_mirror import Mirror
from persistence.reconciliation.told import NOTHING, Told, say

CHUNK = 1_000  # records replayed at a time: about 10 ms

READ = """
SELECT seq, at_ms, payload, request_id, fingerprint, type, booking_id::text
  FROM journal WHERE schedule_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
"""
PLAN_CHANGED = str(PlanChanged.__struct_config__.tag)
# What replaying cannot survive: a record that does not fit what was before it, or is none of ours.
UNFIT = (AssertionError, LookupError, ValueError, ArithmeticError, TypeError, OSError, msgspec.MsgspecError)


class BrokenJournal(Exception):
    """The journal cannot be replayed; the message names the version where it ends to make sense."""


class Followed:
    """A schedule's mirror, its sales beside it, and what has been made sure of on the way."""

    def __init__(self, mirror: Mirror, since_ms: int) -> None:
        self.mirror = mirror
        self.sales = SalesMirror(mirror.state.plan)
        self.since_ms = since_ms
        self.snapshot = (0, b"")  # position and digest of the newest one that was compared and found right


async def count(connection: Connection, schedule_id: str, head: Head) -> Told:
    """Which versions are missing or too many, also among those replayed before."""
    found = await connection.fetchrow(
        "SELECT count(*), coalesce(min(seq), 0), coalesce(max(seq), 0) FROM journal WHERE schedule_id = $1", schedule_id
    )
    assert found is not None
    if tuple(found) == (head.seq, 1, head.seq):
        return NOTHING
    wrong = await connection.fetch(
        "SELECT v, j.seq IS NULL FROM generate_series(1, $2::bigint) AS v"
        " FULL JOIN (SELECT seq FROM journal WHERE schedule_id = $1) AS j ON j.seq = v"
        " WHERE v IS NULL OR j.seq IS NULL ORDER BY coalesce(v, j.seq) LIMIT 1",
        schedule_id,
        head.seq,
    )
    version, missing = wrong[0]
    return say("version_missing", version=version) if missing else say("version_beyond_head", version=found[2])


async def advance(
    connection: Connection,
    schedule_id: str,
    mirror: Mirror,
    until: int,
    sales: SalesMirror | None = None,
    share: float = 1.0,
) -> Told:
    """Replays up to a version; says what is wrong with the journal, if it cannot be replayed."""
    while mirror.seq < until:
        started = time.monotonic()
        rows = await connection.fetch(READ, schedule_id, mirror.seq, min(CHUNK, until - mirror.seq))
        if any(row["type"] == PLAN_CHANGED for row in rows):
            plan = await read_plans(connection, schedule_id)
            for each in (mirror, *([sales] if sales is not None else ())):
                each.know(plan)
        broken = await asyncio.to_thread(_take_in, mirror, rows, sales)
        if broken:
            return broken
        if mirror.seq < until:
            await asyncio.sleep(pause_after(time.monotonic() - started, 0.0, share))
    return NOTHING


def _take_in(mirror: Mirror, rows: Sequence[asyncpg.Record], sales: SalesMirror | None) -> Told:
    """Follows the records; what is wrong with them, if they cannot be followed."""
    records: list[Record] = []
    for seq, at_ms, payload, request_id, fingerprint, type_name, booking_id in rows:
        if seq != mirror.seq + len(records) + 1:
            break
        try:
            event = decode_event(payload)
            moment(at_ms)
        except UNFIT as error:
            return say("version_unreadable", version=seq, error=error)
        if (event.type_name, getattr(event, "booking_id", None)) != (type_name, booking_id):
            return say("version_entered_otherwise", version=seq, type=type_name, booking=booking_id)
        records.append(Record(seq, at_ms, event, request_id, fingerprint))
    if not records or len(records) < len(rows):
        return say("version_missing", version=mirror.seq + len(records) + 1)
    try:
        mirror.follow(records)
        if sales is not None:
            sales.follow(records)
    except UNFIT as error:
        return say("version_unfit", version=mirror.seq, error=repr(error))
    return NOTHING
