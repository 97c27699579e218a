"""What readers see of a schedule, made from its journal: where the cache has nothing."""

from __future__ import annotations

from engine.state import BLOCKED, FREE, HELD, SOLD, ScheduleState
from persistence.journal import history
from persistence.journal.journal import Journal
from persistence.seats.cache import AreaCounts, SeatView


def view_of(schedule_id: str, state: ScheduleState) -> SeatView:
    """What readers see of a state."""
    areas = tuple(AreaCounts(each[FREE], each[HELD], each[SOLD], each[BLOCKED]) for each in state.areas)
    return SeatView(schedule_id, state.seq, bytes(state.seats), areas, state.withdrawn is not None, state.plan.number)


async def load_view(journal: Journal, schedule_id: str) -> SeatView | None:
    """The newest durable seat states; None if there is no such schedule."""
    state = await history.latest(journal, schedule_id)
    return None if state is None else view_of(schedule_id, state)
