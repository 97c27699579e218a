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
    its owner lives in, if it has one; `dedicated` or `hot`: it is to have that to itself, because an administrator says
    so, or because it is found to keep it busy."""

    schedule_id: str
    epoch: int  # how often the schedule has had a new owner
    seq: int
    published_seq: int
    snapshot_seq: int
    next_deadline_ms: int | None
    oldest_payment_ms: int | None
    host: str | None
    dedicated: bool
    hot: bool


_MARKS = {name: schedule_heads.c[f"{name}_at"].is_not(None).label(name) for name in ("dedicated", "hot")}
_COLUMNS = [_MARKS[name] if name in _MARKS else schedule_heads.c[name] for name in Head.__struct_fields__]


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
    query = sa.select(*_COLUMNS).order_by(schedule_heads.c.schedule_id).limit(limit)
    if after_id is not None:
        query = query.where(schedule_heads.c.schedule_id > after_id)
    async with database.connect() as connection:
        return [Head(*row) for row in await connection.execute(query)]


async def locked(connection: AsyncConnection, schedule_id: str) -> Head | None:
    """The head, kept to this transaction until it ends; None if there is no such schedule."""
    query = sa.select(*_COLUMNS).where(schedule_heads.c.schedule_id == schedule_id).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else Head(*row)


async def dedicate(connection: AsyncConnection, schedule_id: str, dedicated: bool) -> None:
    """Has the schedule keep a process to itself, or share one like others."""
    at = sa.func.clock_timestamp() if dedicated else None
    statement = schedule_heads.update().where(schedule_heads.c.schedule_id == schedule_id)
    await connection.execute(statement.values(dedicated_at=at))


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
