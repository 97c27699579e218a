"""A schedule's history read back: its records, and the state that they lead to.

The state is the newest snapshot's, then the journal's tail; without a snapshot that can be read, all of the journal.
Who recovers, publishes after an outage, audits or shows a house nobody has asked for today reads it through here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.events import PlanChanged, Record, decode_event
from engine.seating_plan import SeatingPlan
from engine.snapshot import SnapshotError, decode
from engine.state import ScheduleState, apply
from engine.turn import Step
from persistence.database.tables import journal as written
from persistence.database.tables import schedule_heads
from persistence.journal.journal import Journal, UnknownSchedule

logger = logging.getLogger(__name__)

CHUNK = 2_000  # records read at a time: about 1 MB


async def steps_after(
    journal: Journal, schedule_id: str, state: ScheduleState, until: int
) -> AsyncIterator[list[Step]]:
    """Advances `state` to position `until`, giving the steps chunk by chunk, each under one plan: the state's."""
    while state.seq < until:
        records = await journal.read(schedule_id, state.seq, min(CHUNK, until - state.seq))
        if not records:
            raise AssertionError(f"schedule {schedule_id}: the journal ends at {state.seq}, its head says {until}")
        await know_plans(journal, schedule_id, state, records)
        for part in by_plan(records):
            yield [Step(record, apply(state, record)) for record in part]


def by_plan(records: Sequence[Record]) -> list[Sequence[Record]]:
    """The records in parts, each of which names its places by the numbers of one plan."""
    starts = [place for place, record in enumerate(records) if place and isinstance(record.event, PlanChanged)]
    return [records[start:end] for start, end in zip([0, *starts], [*starts, len(records)], strict=True)]


async def know_plans(journal: Journal, schedule_id: str, state: ScheduleState, records: Sequence[Record]) -> None:
    """Reads the house's plans again, where these records go on by one that was made after the state's were read."""
    last = max((each.event.plan_number for each in records if isinstance(each.event, PlanChanged)), default=0)
    if last and not state.plan.leads_to(last):
        state.plan = (await journal.plan(schedule_id)).numbered(state.plan.number)


async def state_at(journal: Journal, schedule_id: str, plan: SeatingPlan, seq: int) -> ScheduleState:
    """The state as it was at position `seq`."""
    state = await _beginning(journal, schedule_id, plan, seq)
    async for _ in steps_after(journal, schedule_id, state, seq):
        pass
    return state


async def latest(journal: Journal, schedule_id: str) -> ScheduleState | None:
    """The newest durable state, without claiming the schedule; None if there is no such schedule."""
    try:
        plan = await journal.plan(schedule_id)
    except UnknownSchedule:
        return None
    state = await _beginning(journal, schedule_id, plan, 2**62)
    while records := await journal.read(schedule_id, state.seq, CHUNK):
        await know_plans(journal, schedule_id, state, records)
        for record in records:
            apply(state, record)
    state.dirty.clear()
    return state


async def _beginning(journal: Journal, schedule_id: str, plan: SeatingPlan, at_most: int) -> ScheduleState:
    """The state to begin with: the newest snapshot's, or that before the first record."""
    try:
        stored = await journal.snapshot(schedule_id, at_most)
        if stored is not None:
            return decode(plan, stored[1])
    except SnapshotError as error:  # slower, and no sale stops for it; reconciliation names it and drops it
        logger.error("schedule %s is read from its first record on, its snapshot is damaged: %s", schedule_id, error)
    return ScheduleState(plan)


# --- records ----------------------------------------------------------------------------------------------------------
class PlanChange(Struct, frozen=True):
    """From which version on a schedule's places are numbered by which of its house's plans."""

    version: int
    number: int


async def plan_changes(connection: AsyncConnection, schedule_id: str) -> list[PlanChange]:
    """When the plan of a schedule was corrected, oldest first."""
    query = (
        sa.select(written.c.seq, written.c.payload)
        .where(written.c.schedule_id == schedule_id, written.c.type == PlanChanged.__struct_config__.tag)
        .order_by(written.c.seq)
    )
    told = [(seq, decode_event(payload)) for seq, payload in await connection.execute(query)]
    return [PlanChange(seq, event.plan_number) for seq, event in told if isinstance(event, PlanChanged)]


async def read_journal(
    database: AsyncEngine, schedule_id: str, *, from_version: int, booking_id: str | None, limit: int
) -> Sequence[Record] | None:
    """Up to `limit` records from a version on, of one booking if asked; None if there is no such schedule."""
    query = (
        sa.select(
            written.c.seq,
            written.c.at_ms,
            written.c.payload,
            written.c.request_id,
            written.c.fingerprint,
        )
        .where(written.c.schedule_id == schedule_id, written.c.seq >= from_version)
        .order_by(written.c.seq)
        .limit(limit)
    )
    if booking_id is not None:
        query = query.where(written.c.booking_id == booking_id)
    known = sa.select(sa.exists().where(schedule_heads.c.schedule_id == schedule_id))
    async with database.connect() as connection:
        if not await connection.scalar(known):
            return None
        rows = await connection.execute(query)
        return [Record(seq, at_ms, decode_event(payload), rid, fp) for seq, at_ms, payload, rid, fp in rows]
