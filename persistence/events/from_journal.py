"""A schedule's events read from its journal, in the very form in which they are published."""

from __future__ import annotations

from collections.abc import AsyncIterator

from persistence.events.cloud_events import EventEnvelope, decode, render
from persistence.journal import history
from persistence.journal.journal import Journal


class JournalFeed:
    """What the topic says, from the source."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def events(self, schedule_id: str, after: int, until: int) -> AsyncIterator[list[EventEnvelope]]:
        """The events past a version, up to another, some thousand at a time. Raises `UnknownSchedule`."""
        plan = await self._journal.plan(schedule_id)
        state = await history.state_at(self._journal, schedule_id, plan, after)
        async for steps in history.steps_after(self._journal, schedule_id, state, until):
            yield [decode(render(schedule_id, step.record, step.booking, plan)) for step in steps]
