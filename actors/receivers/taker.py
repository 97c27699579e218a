"""Takes events into a service's data, each once and in order, from whoever hands them over: a feed, a topic read again,
the journal.

How far a service has come stands per schedule in the transaction that also writes its rows. What is missing before an
event is read from the journal; an event that the service cannot digest is parked with the error and does not hold up
the others. A database that is away raises, and nothing has moved.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from typing import Any, Protocol

import asyncpg
from msgspec import Struct
from prometheus_client import Counter, Gauge

from persistence.database.pools import Connection, is_away
from persistence.events import positions
from persistence.events.cloud_events import EventEnvelope, EventError, decode
from persistence.events.from_journal import JournalFeed
from persistence.events.log import Message
from persistence.journal.journal import Journal

BEHIND_SECONDS = 10.0  # a schedule published for so long and not heard of is read from the journal
CHUNK = 500  # events per transaction

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
        except Exception as error:
            if is_away(error):
                raise
            await positions.park(connection, service.name, event, repr(error))
            return Retried(False, repr(error)[:2000])
    return Retried(True, None)


class Taker:
    """Feeds one service. Everything it knows is in the database."""

    def __init__(self, service: Service, pool: asyncpg.Pool[Any], journal: Journal) -> None:
        self._service = service
        self._pool = pool
        self._journal = JournalFeed(journal)

    @property
    def service(self) -> Service:
        return self._service

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
        """Takes those of the events that are new, and whatever is missing before and between them."""
        name = self._service.name
        async with self._pool.acquire() as connection, connection.transaction():
            position = await positions.lock(connection, name, schedule_id)
            fresh = _fresh(events, position)
            if not fresh:
                return 0
            missing = fresh[-1].data.version - position - len(fresh)
            if missing + len(fresh) <= CHUNK or not missing:
                if missing:
                    fresh = await self._complete(schedule_id, position, fresh)
                await self._digest(connection, fresh)
                await positions.move(connection, name, schedule_id, fresh[-1].data.version)
                TAKEN.labels(name, source).inc(len(fresh))
                return len(fresh)
        # More than a transaction should hold: the journal has all of it, and is read chunk by chunk.
        return await self.catch_up(schedule_id, fresh[-1].data.version)

    async def _digest(self, connection: asyncpg.pool.PoolConnectionProxy[Any], events: Sequence[EventEnvelope]) -> None:
        """Gives the events to the service; where it fails, one by one, and parks what it cannot digest."""
        try:
            async with connection.transaction():
                await self._service.take(connection, events)
        except Exception as error:
            if is_away(error):
                raise
            logger.warning("%s takes %d events one by one: %r", self._service.name, len(events), error)
            for event in events:
                await self._take_or_park(connection, event)

    async def _take_or_park(self, connection: asyncpg.pool.PoolConnectionProxy[Any], event: EventEnvelope) -> None:
        try:
            async with connection.transaction():
                await self._service.take(connection, [event])
        except Exception as error:
            if is_away(error):
                raise
            logger.exception("%s parks event %s", self._service.name, event.id)
            PARKED.labels(self._service.name).inc()
            await positions.park(connection, self._service.name, event, repr(error))

    async def _complete(self, schedule_id: str, position: int, fresh: list[EventEnvelope]) -> list[EventEnvelope]:
        """The events with what is missing before and between them, from the journal."""
        until = fresh[-1].data.version
        return [event async for events in self._journal.events(schedule_id, position, until) for event in events]


def _fresh(events: Sequence[EventEnvelope], position: int) -> list[EventEnvelope]:
    """Those past the position, each once, in order."""
    by_version = {event.data.version: event for event in events if event.data.version > position}
    return [by_version[version] for version in sorted(by_version)]


def _place(service: Service, message: Message) -> tuple[str, int, int]:
    return service.name, message.partition, message.offset
