"""Listens to the feed for the receiving services, right through any outage, and repairs what the feed leaves out.

What becomes of an event is `taker.py`'s: taken once, in order, whatever is told twice, whoever dies. A gap, a broker
that came back empty, a topic whose retention is over: all are read from the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from actors.process.rounds import every
from actors.receivers.hearing import Hearing
from persistence.database.away import Outage, is_away
from persistence.events.feed import BATCH, EventFeed
from persistence.events.log import LogUnavailable, Message

POLL_SECONDS = 1.0
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
REPAIR_SECONDS = 5.0  # how often what the feed has left out is looked for
REPAIR_RESTING_SECONDS = 600.0  # the same where schedules rest, of which there are more every evening
# Where the feed has no more for now, more is waited for: a schedule's transaction and a commit of offsets cost as much
# for one event as for hundreds, and nobody who looks at figures or mails sees the difference.
GATHER_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Receiver:
    """Listens for those who hear together."""

    def __init__(self, hearing: Hearing, feed: EventFeed) -> None:
        self._hearing = hearing
        self._feed = feed

    async def run(self, stop: asyncio.Event) -> None:
        """Has events taken until `stop` is set."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(stop))
                for taker in self._hearing.takers:
                    repair, resting, what = taker.repair, taker.repair_resting, f"repair of {taker.service.name}"
                    group.create_task(every(REPAIR_SECONDS, stop, repair, what))
                    group.create_task(every(REPAIR_RESTING_SECONDS, stop, resting, f"{what} where all rests"))
        finally:
            await self._hearing.close()
        await self._feed.close()

    async def _told(self, stop: asyncio.Event) -> list[Message]:
        """What the feed tells next; nothing as soon as `stop` is set. What it was about to tell, it tells again."""
        telling = asyncio.create_task(self._feed.next(POLL_SECONDS))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({telling, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return await telling if telling.done() else []
        finally:
            telling.cancel()
            stopping.cancel()
            await asyncio.wait({telling, stopping})

    async def _listen(self, stop: asyncio.Event) -> None:
        outage = Outage("receiving", logger)
        while not stop.is_set():
            try:
                messages = await self._told(stop)
                await self._hearing.receive(messages)
                if messages:
                    await self._feed.done()
                    if len(messages) < BATCH:
                        await _pause(stop, GATHER_SECONDS)
                outage.over()
            except Exception as error:
                if not (isinstance(error, LogUnavailable) or is_away(error)):
                    raise  # a bug: the process ends loudly, and is started again where it stood
                pause = RETRY_SECONDS[min(outage.failed, len(RETRY_SECONDS) - 1)]
                outage.met(error)
                await self._feed.close()  # what was handed over and not taken is told again
                await _pause(stop, pause)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
