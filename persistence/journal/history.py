"""A schedule's state read back from its history: the newest snapshot, then the journal's tail; without a snapshot that
can be read, all of the journal.

Who recovers, publishes after an outage, audits or shows a house nobody has asked for today reads it through here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence

from engine.events import PlanChanged, Record
from engine.seating_plan import SeatingPlan
from engine.snapshot import SnapshotError, decode
from engine.state import ScheduleState, apply
from engine.turn import Step
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
