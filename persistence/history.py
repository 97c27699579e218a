"""A schedule's state read back from its history: the newest usable snapshot, then the journal's tail.

Who recovers, publishes after an outage, audits or shows a house nobody has asked for today reads it through here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from engine.seating_plan import SeatingPlan
from engine.snapshot import decode
from engine.state import BLOCKED, FREE, HELD, SOLD, ScheduleState, apply
from engine.turn import Step
from persistence.journal import Journal, UnknownSchedule
from persistence.seat_cache import AreaCounts, SeatView

CHUNK = 2_000  # records read at a time: about 1 MB


async def steps_after(
    journal: Journal, schedule_id: str, state: ScheduleState, until: int
) -> AsyncIterator[list[Step]]:
    """Advances `state` to position `until`, giving the steps chunk by chunk."""
    while state.seq < until:
        records = await journal.read(schedule_id, state.seq, min(CHUNK, until - state.seq))
        if not records:
            raise AssertionError(f"schedule {schedule_id}: the journal ends at {state.seq}, its head says {until}")
        yield [Step(record, apply(state, record)) for record in records]


async def state_at(journal: Journal, schedule_id: str, plan: SeatingPlan, seq: int) -> ScheduleState:
    """The state as it was at position `seq`."""
    stored = await journal.snapshot(schedule_id, seq)
    state = ScheduleState(plan) if stored is None else decode(plan, stored[1])
    async for _ in steps_after(journal, schedule_id, state, seq):
        pass
    return state


async def latest(journal: Journal, schedule_id: str) -> ScheduleState | None:
    """The newest durable state, without claiming the schedule; None if there is no such schedule."""
    try:
        plan = await journal.plan(schedule_id)
    except UnknownSchedule:
        return None
    stored = await journal.snapshot(schedule_id, 2**62)
    state = ScheduleState(plan) if stored is None else decode(plan, stored[1])
    while records := await journal.read(schedule_id, state.seq, CHUNK):
        for record in records:
            apply(state, record)
    state.dirty.clear()
    return state


def view_of(schedule_id: str, state: ScheduleState) -> SeatView:
    """What readers see of a state."""
    areas = tuple(AreaCounts(each[FREE], each[HELD], each[SOLD], each[BLOCKED]) for each in state.areas)
    return SeatView(schedule_id, state.seq, bytes(state.seats), areas)


async def load_view(journal: Journal, schedule_id: str) -> SeatView | None:
    """The newest durable seat states; None if there is no such schedule."""
    state = await latest(journal, schedule_id)
    return None if state is None else view_of(schedule_id, state)
