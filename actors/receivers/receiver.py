"""A service that keeps data of its own from the events, right through any outage.

How far it has come stands per schedule in the transaction that also writes its rows: an event is taken once, in order,
whatever is told twice, whoever dies. What the feed leaves out (a gap, a broker that came back empty, a topic whose
retention is over) is read from the journal. An event that the service cannot digest is parked with the error and does
not hold up the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Container, Sequence
from typing import Any, Protocol

import asyncpg
from msgspec import Struct
from prometheus_client import Counter, Gauge

from actors.process import garbage
from actors.process.rounds import every
from actors.process.settings import Settings
from persistence.database.pools import Connection, open_pool
from persistence.events import positions
from persistence.events.cloud_events import EventEnvelope, EventError, decode
from persistence.events.feed import EventFeed, KafkaEventFeed
from persistence.events.from_journal import JournalFeed
from persistence.events.log import LogUnavailable, Message
from persistence.journal.journal import Journal, PostgresJournal

POLL_SECONDS = 1.0
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
REPAIR_SECONDS = 5.0  # how often what the feed has left out is looked for
BEHIND_SECONDS = 10.0  # a schedule published for so long and not heard of is read from the journal
CHUNK = 500  # events per transaction
# After few events more are waited for: a transaction and a commit of offsets cost as much for one as for hundreds, and
# nobody who looks at figures or mails sees the difference.
GATHER_SECONDS = 1.0

TAKEN = Counter("boxoffice_events_taken_total", "Events a receiving service has taken", ("service", "source"))
PARKED = Counter("boxoffice_events_parked_total", "Events a receiving service could not digest", ("service",))
LAG = Gauge(
    "boxoffice_consumer_lag_events",
    "Events in the journal that a receiving service has not taken",
    ("service",),
    multiprocess_mode="mostrecent",
)

logger = logging.getLogger(__name__)


class Service(Protocol):
    """What a receiving service does with events."""

    @property
    def name(self) -> str:
        """Names its position; never change it."""

    @property
    def wanted(self) -> Container[str]:
        """The types of events it looks into; of others it is told the version and no more."""

    async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
        """Writes what follows from the next events of one schedule, in the caller's transaction.

        They come in order, without gaps, each once. Raises for an event it cannot digest: it is then parked.
        """

    async def forget(self, connection: Connection, schedule_id: str) -> None:
        """Throws away what was written for a schedule, to be made again from its first event."""


class Retried(Struct, frozen=True):
    """What came of trying a parked event again."""

    taken: bool
    error: str | None


async def retry(pool: asyncpg.Pool[Any], service: Service, schedule_id: str, version: int) -> Retried | None:
    """Gives a parked event to its service again; None if it is not parked. What fails is parked again."""
    async with pool.acquire() as connection, connection.transaction():
        await positions.lock(connection, service.name, schedule_id)
        value = await positions.unpark(connection, service.name, schedule_id, version)
        if value is None:
            return None
        event = decode(value)
        try:
            async with connection.transaction():
                await service.take(connection, [event])
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever it still cannot digest
            await positions.park(connection, service.name, event, repr(error))
            return Retried(False, repr(error)[:2000])
    return Retried(True, None)


class Receiver:
    """Feeds one service. Everything it knows is in the database."""

    def __init__(self, service: Service, pool: asyncpg.Pool[Any], journal: Journal, feed: EventFeed) -> None:
        self._service = service
        self._pool = pool
        self._journal = JournalFeed(journal)
        self._feed = feed

    async def run(self, stop: asyncio.Event) -> None:
        """Takes events until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(stop))
            group.create_task(every(REPAIR_SECONDS, stop, self.repair, f"repair of {self._service.name}"))
        await self._feed.close()

    async def _listen(self, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            try:
                messages = await self._feed.next(POLL_SECONDS)
                await self.receive(messages)
                if messages:
                    await self._feed.done()
                    if len(messages) < CHUNK:
                        await _pause(stop, GATHER_SECONDS)
                failures = 0
            except (LogUnavailable, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if not failures:
                    logger.warning("%s waits: %r", self._service.name, error)
                await self._feed.close()  # what was handed over and not taken is told again
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                await _pause(stop, pause)

    async def receive(self, messages: Sequence[Message], source: str = "feed") -> int:
        """Takes what the feed has told. Returns how many events were new."""
        by_schedule: dict[str, list[EventEnvelope]] = {}
        for message in messages:
            try:
                event = decode(message.value, self._service.wanted)
            except EventError as error:
                # Not from us, or damaged: nothing can be done with it, and its version will be missed and repaired.
                logger.error("%s cannot read what is at %d/%d: %s", *_place(self._service, message), error)
                continue
            by_schedule.setdefault(event.data.schedule_id, []).append(event)
        taken = 0
        for schedule_id, events in by_schedule.items():
            for start in range(0, len(events), CHUNK):
                taken += await self._take(schedule_id, events[start : start + CHUNK], source)
        return taken

    async def repair(self) -> int:
        """Takes from the journal what the feed has left out, and counts how far the service is behind."""
        taken = 0
        for gap in await positions.behind(self._pool, self._service.name, older_than_seconds=BEHIND_SECONDS):
            logger.info("%s reads schedule %s from the journal", self._service.name, gap.schedule_id)
            taken += await self.catch_up(gap.schedule_id, gap.published)
        LAG.labels(self._service.name).set(await positions.lag(self._pool, self._service.name))
        return taken

    async def catch_up(self, schedule_id: str, until: int) -> int:
        """Takes a schedule's events from the journal up to a version."""
        taken = 0
        position = await positions.of(self._pool, self._service.name, schedule_id)
        async for events in self._journal.events(schedule_id, position, until):
            for start in range(0, len(events), CHUNK):
                taken += await self._take(schedule_id, events[start : start + CHUNK], "journal")
        return taken

    async def _take(self, schedule_id: str, events: Sequence[EventEnvelope], source: str) -> int:
        """Takes those of the events that are new, and whatever is missing before them."""
        name = self._service.name
        async with self._pool.acquire() as connection, connection.transaction():
            position = await positions.lock(connection, name, schedule_id)
            fresh = _fresh(events, position)
            if (fresh and fresh[0].data.version > position + 1) or _has_gap(fresh):
                fresh = await self._complete(schedule_id, position, fresh)
            if not fresh:
                return 0
            try:
                async with connection.transaction():
                    await self._service.take(connection, fresh)
            except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError):
                raise
            except Exception as error:  # noqa: BLE001  # whatever a service cannot digest is parked, one by one
                logger.warning("%s takes %d events one by one: %r", name, len(fresh), error)
                for event in fresh:
                    await self._take_or_park(connection, event)
            await positions.move(connection, name, schedule_id, fresh[-1].data.version)
        TAKEN.labels(name, source).inc(len(fresh))
        return len(fresh)

    async def _take_or_park(self, connection: asyncpg.pool.PoolConnectionProxy[Any], event: EventEnvelope) -> None:
        try:
            async with connection.transaction():
                await self._service.take(connection, [event])
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError):
            raise
        except Exception as error:
            logger.exception("%s parks event %s", self._service.name, event.id)
            PARKED.labels(self._service.name).inc()
            await positions.park(connection, self._service.name, event, repr(error))

    async def _complete(self, schedule_id: str, position: int, fresh: list[EventEnvelope]) -> list[EventEnvelope]:
        """The events with what is missing before and between them, from the journal."""
        until = fresh[-1].data.version
        return [event async for events in self._journal.events(schedule_id, position, until) for event in events]


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def _fresh(events: Sequence[EventEnvelope], position: int) -> list[EventEnvelope]:
    """Those past the position, each once, in order."""
    by_version = {event.data.version: event for event in events if event.data.version > position}
    return [by_version[version] for version in sorted(by_version)]


def _has_gap(events: Sequence[EventEnvelope]) -> bool:
    return bool(events) and events[-1].data.version - events[0].data.version + 1 != len(events)


def _place(service: Service, message: Message) -> tuple[str, int, int]:
    return service.name, message.partition, message.offset


async def run_service(service: Service, settings: Settings) -> None:
    """A receiving service's process: works until SIGINT or SIGTERM."""
    assert settings.database_url is not None
    assert settings.kafka is not None
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_pool(settings.database_url, 3) as pool:
        feed = KafkaEventFeed(settings.kafka, service.name)
        logger.info("%s follows %s", service.name, settings.topic)
        garbage.spare_what_is_here()
        await Receiver(service, pool, PostgresJournal(pool), feed).run(stop)
