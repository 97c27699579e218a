"""A schedule's events read from its journal, saying the very things that are published.

Whoever reads on where it stopped finds the schedule's state still here, and pays for the new records alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container

from cachetools import LRUCache

from engine.state import ScheduleState
from persistence.database.asked_once import latest_within
from persistence.events.cloud_events import event_of, unrendered
from persistence.events.event_data import EventEnvelope
from persistence.journal import history
from persistence.journal.journal import Journal

# What is kept between two readings, counted in the places of the houses: 13 of the largest, a hundred of 2,000 seats.
PLACES_KEPT = 200_000


class JournalFeed:
    """What the topic says, from the source."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._states: LRUCache[str, ScheduleState] = latest_within(PLACES_KEPT, lambda state: state.plan.size)

    async def events(
        self, schedule_id: str, after: int, until: int, wanted: Container[str] | None = None
    ) -> AsyncIterator[list[EventEnvelope]]:
        """The events past a version, up to another, some thousand at a time. Raises `UnknownSchedule`.

        Of types that are not wanted they say no more than their place.
        """
        state = self._states.pop(schedule_id, None)  # nobody else goes on with it meanwhile
        if state is None or state.seq != after:
            plan = await self._journal.plan(schedule_id)
            state = await history.state_at(self._journal, schedule_id, plan, after)
        async for steps in history.steps_after(self._journal, schedule_id, state, until):
            yield [
                event_of(schedule_id, step.record, step.booking, state.plan)
                if wanted is None or step.record.event.type_name in wanted
                else unrendered(schedule_id, step.record)
                for step in steps
            ]
        state.dirty.clear()  # nobody shows it
        self._states[schedule_id] = state
