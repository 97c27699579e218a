"""The head rows and the journal as an admin reads them: how far each schedule stands, and what happened, in order."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.events import PlanChanged, Record, decode_event
from persistence.database.tables import journal, schedule_heads


class Head(Struct, frozen=True):
    """How far a schedule stands. `published_seq` < `seq`: events are on their way to Kafka. `host` is the process that
    its owner lives in, if it has one."""

    schedule_id: str
    epoch: int  # how often the schedule has had a new owner
    seq: int
    published_seq: int
    snapshot_seq: int
    next_deadline_ms: int | None
    oldest_payment_ms: int | None
    host: str | None


class PlanChange(Struct, frozen=True):
    """From which version on a schedule's places are numbered by which of its house's plans."""

    version: int
    number: int


async def plan_changes(connection: AsyncConnection, schedule_id: str) -> list[PlanChange]:
    """When the plan of a schedule was corrected, oldest first."""
    query = (
        sa.select(journal.c.seq, journal.c.payload)
        .where(journal.c.schedule_id == schedule_id, journal.c.type == PlanChanged.__struct_config__.tag)
        .order_by(journal.c.seq)
    )
    told = [(seq, decode_event(payload)) for seq, payload in await connection.execute(query)]
    return [PlanChange(seq, event.plan_number) for seq, event in told if isinstance(event, PlanChanged)]


async def list_heads(database: AsyncEngine, *, after_id: str | None, limit: int) -> list[Head]:
    """The heads in the order of their schedules' ids."""
    columns = [schedule_heads.c[name] for name in Head.__struct_fields__]
    query = sa.select(*columns).order_by(schedule_heads.c.schedule_id).limit(limit)
    if after_id is not None:
        query = query.where(schedule_heads.c.schedule_id > after_id)
    async with database.connect() as connection:
        return [Head(*row) for row in await connection.execute(query)]


async def read_journal(
    database: AsyncEngine, schedule_id: str, *, from_version: int, booking_id: str | None, limit: int
) -> Sequence[Record] | None:
    """Up to `limit` records from a version on, of one booking if asked; None if there is no such schedule."""
    query = (
        sa.select(journal.c.seq, journal.c.at_ms, journal.c.payload, journal.c.request_id, journal.c.fingerprint)
        .where(journal.c.schedule_id == schedule_id, journal.c.seq >= from_version)
        .order_by(journal.c.seq)
        .limit(limit)
    )
    if booking_id is not None:
        query = query.where(journal.c.booking_id == booking_id)
    known = sa.select(sa.exists().where(schedule_heads.c.schedule_id == schedule_id))
    async with database.connect() as connection:
        if not await connection.scalar(known):
            return None
        rows = await connection.execute(query)
        return [Record(seq, at_ms, decode_event(payload), rid, fp) for seq, at_ms, payload, rid, fp in rows]
