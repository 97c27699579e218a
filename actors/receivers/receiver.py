"""A receiving service's process: listens to the feed, right through any outage, and repairs what the feed leaves out.

What becomes of an event is `taker.py`'s: taken once, in order, whatever is told twice, whoever dies. A gap, a broker
that came back empty, a topic whose retention is over: all are read from the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal

from actors.process import garbage
from actors.process.rounds import every
from actors.process.settings import Settings
from actors.receivers.taker import Service, Taker
from persistence.database.pools import is_away, open_pool
from persistence.events.feed import BATCH, EventFeed, KafkaEventFeed
from persistence.events.log import LogUnavailable, Message
from persistence.journal.journal import PostgresJournal

POLL_SECONDS = 1.0
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
REPAIR_SECONDS = 5.0  # how often what the feed has left out is looked for
REPAIR_RESTING_SECONDS = 600.0  # the same where schedules rest, of which there are more every evening
# Where the feed has no more for now, more is waited for: a schedule's transaction and a commit of offsets cost as much
# for one event as for hundreds, and nobody who looks at figures or mails sees the difference.
GATHER_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Receiver:
    """Listens for one service."""

    def __init__(self, taker: Taker, feed: EventFeed) -> None:
        self._taker = taker
        self._name = taker.service.name
        self._feed = feed

    async def run(self, stop: asyncio.Event) -> None:
        """Takes events until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(stop))
            repair, resting = self._taker.repair, self._taker.repair_resting
            group.create_task(every(REPAIR_SECONDS, stop, repair, f"repair of {self._name}"))
            group.create_task(every(REPAIR_RESTING_SECONDS, stop, resting, f"repair of {self._name} where all rests"))
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
        failures = 0
        while not stop.is_set():
            try:
                messages = await self._told(stop)
                await self._taker.receive(messages)
                if messages:
                    await self._feed.done()
                    if len(messages) < BATCH:
                        await _pause(stop, GATHER_SECONDS)
                failures = 0
            except Exception as error:
                if not (isinstance(error, LogUnavailable) or is_away(error)):
                    raise  # a bug: the process ends loudly, and is started again where it stood
                if not failures:
                    told = " ".join(str(error).split()) or type(error).__name__  # some have several lines, some none
                    logger.warning("%s waits: %s", self._name, told)
                await self._feed.close()  # what was handed over and not taken is told again
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                await _pause(stop, pause)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def run_service(service: Service, settings: Settings) -> None:
    """A receiving service's process: works until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_pool(settings.database, 3) as pool:
        feed = KafkaEventFeed(settings.broker, service.name)
        logger.info("%s follows %s", service.name, settings.topic)
        garbage.spare_what_is_here()
        await Receiver(Taker(service, pool, PostgresJournal(pool)), feed).run(stop)
