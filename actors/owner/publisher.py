"""Publishes a schedule's durable events in order, and remembers how far it came.

Survives a crash: the watermark in the head row says where to go on; events between it and the crash are published
again, which at-least-once allows and consumers drop by version. Memory is bounded: while the log is away, steps
beyond `QUEUE_LIMIT` are let go and read again from the journal, which is the real buffer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from engine.seating_plan import SeatingPlan
from engine.state import ScheduleState
from engine.turn import Step
from persistence.database.away import Outage
from persistence.events.cloud_events import render
from persistence.events.log import EventLog, LogUnavailable
from persistence.journal import history
from persistence.journal.journal import Claim, Deposed, Journal, JournalUnavailable

QUEUE_LIMIT = 20_000  # steps kept for publishing, about 20 MB
CHUNK = 500  # events sent at a time
RENDERED_AT_ONCE = 50  # events, in 0.8 ms: nothing else happens in the owner's process meanwhile
# So that under load one message carries the events of many commits: it costs as much for one event as for hundreds,
# here, at the broker and at every consumer. All schedules of a process publish at the same moments, so many seconds
# apart, for the same reason.
LINGER_SECONDS = 0.25
SAVE_SECONDS = 0.5  # how long the watermark waits for a group commit to take it along, before it is saved by itself
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)

logger = logging.getLogger(__name__)


class Publisher:
    """One schedule's way out. `offer` never waits; `run` does the work until cancelled."""

    def __init__(
        self,
        claim: Claim,
        plan: SeatingPlan,
        journal: Journal,
        log: EventLog,
        *,
        opened_with: SeatingPlan | None = None,
    ) -> None:
        """`plan` is the one in force, `opened_with` the first one, if that is another."""
        self._claim = claim
        self._plan = plan
        self._opened_with = opened_with or plan
        self._journal = journal
        self._log = log
        self._queue: deque[Step] = deque()
        self._offered_seq = claim.seq  # the newest durable event
        self._wake = asyncio.Event()
        self.published_seq = claim.published_seq
        self._saved_seq = claim.published_seq
        if claim.published_seq < claim.seq:
            self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether everything durable is published and the watermark says so."""
        return self._saved_seq >= self._offered_seq

    def offer(self, steps: list[Step]) -> None:
        """Takes steps that have just become durable, in order."""
        self._offered_seq = steps[-1].record.seq
        self._queue.extend(steps)
        if len(self._queue) > QUEUE_LIMIT:
            self._queue.clear()
        self._wake.set()

    def saved(self, seq: int) -> None:
        """A group commit has taken the watermark along."""
        self._saved_seq = max(self._saved_seq, seq)

    async def run(self) -> None:
        """Publishes whatever is due, for ever. The log being away delays, and changes nothing else; so does what nobody
        foresaw, for no sale ends for want of a message. Raises `Deposed`."""
        outage = Outage(f"publishing of schedule {self._claim.schedule_id}", logger)
        while True:
            try:
                if await self._something_due():
                    await self._drain()
                else:
                    await self._save()
                outage.over()
            except Deposed:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, it is told, and tried again
                pause = RETRY_SECONDS[min(outage.failed, len(RETRY_SECONDS) - 1)]
                outage.met(error, foreseen=isinstance(error, LogUnavailable | JournalUnavailable))
                await asyncio.sleep(pause)
                self._wake.set()

    async def _something_due(self) -> bool:
        """Waits for events; False where there are none for a while and the watermark is still to be saved."""
        try:
            async with asyncio.timeout(SAVE_SECONDS if self._saved_seq < self.published_seq else None):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        await asyncio.sleep(LINGER_SECONDS - asyncio.get_running_loop().time() % LINGER_SECONDS)
        return True

    async def _save(self) -> None:
        await self._journal.save_published(self._claim, self.published_seq)
        self.saved(self.published_seq)

    async def _drain(self) -> None:
        while self.published_seq < self._offered_seq:
            while self._queue and self._queue[0].record.seq <= self.published_seq:
                self._queue.popleft()
            if not self._queue or self._queue[0].record.seq != self.published_seq + 1:
                await self._catch_up()
                continue
            await self._publish([self._queue[i] for i in range(min(CHUNK, len(self._queue)))], self._plan)

    async def _catch_up(self) -> None:
        """Publishes from the journal what is no longer (or was never) in memory, up to where memory goes on."""
        await self._log.start()  # reading the journal costs bookings time: not for a log that is away
        until = self._queue[0].record.seq - 1 if self._queue else self._offered_seq
        schedule_id = self._claim.schedule_id
        state: ScheduleState = await history.state_at(self._journal, schedule_id, self._opened_with, self.published_seq)
        async for steps in history.steps_after(self._journal, schedule_id, state, until):
            for start in range(0, len(steps), CHUNK):
                await self._publish(steps[start : start + CHUNK], state.plan)
            await self._save()

    async def _publish(self, steps: list[Step], plan: SeatingPlan) -> None:
        schedule_id = self._claim.schedule_id
        values: list[bytes] = []
        for start in range(0, len(steps), RENDERED_AT_ONCE):
            part = steps[start : start + RENDERED_AT_ONCE]
            values += [render(schedule_id, step.record, step.booking, plan) for step in part]
            await asyncio.sleep(0)
        await self._log.publish(schedule_id, values)
        self.published_seq = steps[-1].record.seq
