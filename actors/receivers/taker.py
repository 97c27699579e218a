"""Takes events into a service's data, each once and in order.

How far a service has come stands per schedule in the transaction that also writes its rows. An event that the service
cannot digest is parked with the error and does not hold up the others. A database that is away raises, and nothing has
moved. What has been missed, however that came about, is read from the journal.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Protocol

import asyncpg
from msgspec import Struct
from prometheus_client import Counter, Gauge

from persistence.database.away import is_away
from persistence.database.pools import Connection
from persistence.events import positions
from persistence.events.cloud_events import decode
from persistence.events.event_data import EventEnvelope
from persistence.events.from_journal import JournalFeed
from persistence.journal.journal import Journal

BEHIND_SECONDS = 10.0  # a schedule published for so long and not heard of is read from the journal
CHUNK = 500  # events per transaction

TAKEN = Counter("boxoffice_events_taken_total", "Events a receiving service has taken", ("service", "source"))
PARKED = Counter("boxoffice_events_parked_total", "Events a receiving service could not digest", ("service",))
SUSPECT = Counter(
    "boxoffice_events_suspect_total",
    "Events a receiving service was told of that its journal does not say",
    ("service",),
)
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
    def wanted(self) -> Collection[str]:
        """The types of events it looks into; of others it need be told the version and no more."""

    async def begin(self, connection: Connection) -> None:
        """Notes what it has to know of its beginning: in a transaction of its own, each time its process begins."""

    async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
        """Writes what follows from the next events of one schedule, in the caller's transaction.

        They come in order, without gaps, each once. Raises for an event it cannot digest: it is then parked.
        """

    async def forget(self, connection: Connection, schedule_id: str) -> None:
        """Throws away what was written for a schedule, to be made again from its first event."""


# How events of one schedule are taken, in the caller's transaction.
Take = Callable[["asyncpg.pool.PoolConnectionProxy[Any]", Sequence[EventEnvelope]], Awaitable[None]]


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
        self._begun = False

    @property
    def service(self) -> Service:
        return self._service

    async def repair(self) -> int:
        """Takes from the journal what the feed has left out, and counts how far the service is behind.

        The first time has the service begin.
        """
        await self._begin()
        taken = await self._close_gaps(resting=False)
        LAG.labels(self._service.name).set(await positions.lag(self._pool, self._service.name))
        return taken

    async def _begin(self) -> None:
        if self._begun:
            return
        async with self._pool.acquire() as connection, connection.transaction():
            await self._service.begin(connection)
        self._begun = True  # and not before that is durable

    async def repair_resting(self) -> int:
        """The same where schedules rest: one is behind there if its data was thrown away and not made again since."""
        taken = 0
        while more := await self._close_gaps(resting=True):
            taken += more
        return taken

    async def _close_gaps(self, *, resting: bool) -> int:
        taken, name = 0, self._service.name
        for gap in await positions.behind(self._pool, name, older_than_seconds=BEHIND_SECONDS, resting=resting):
            logger.info("%s reads schedule %s from the journal", name, gap.schedule_id)
            taken += await self.catch_up(gap.schedule_id, gap.published)
        return taken

    async def catch_up(self, schedule_id: str, until: int) -> int:
        """Takes a schedule's events from the journal up to a version."""
        position, taken = await positions.of(self._pool, self._service.name, schedule_id), 0
        async for events in self._journal.events(schedule_id, position, until, self._service.wanted):
            for start in range(0, len(events), CHUNK):
                taken += await self.take(schedule_id, events[start : start + CHUNK], "journal")
        return taken

    async def take(self, schedule_id: str, events: Sequence[EventEnvelope], source: str) -> int:
        """Takes those of the next events, without gaps, that nobody has taken meanwhile; where the service cannot
        digest them, one by one. Returns how many were new."""
        name = self._service.name
        first, last = events[0].data.version, events[-1].data.version
        if not any(event.type in self._service.wanted for event in events) and await positions.pass_by(
            self._pool, name, schedule_id, first, last
        ):
            TAKEN.labels(name, source).inc(len(events))
            return len(events)
        try:
            taken = await self._digested(schedule_id, events, self._service.take)
        except Exception as error:
            if is_away(error):
                raise
            logger.warning("%s takes %d events one by one: %r", name, len(events), error)
            taken = await self._digested(schedule_id, events, self._take_or_park)
        TAKEN.labels(name, source).inc(taken)
        return taken

    async def _digested(self, schedule_id: str, events: Sequence[EventEnvelope], take: Take) -> int:
        name = self._service.name
        async with self._pool.acquire() as connection, connection.transaction():
            position = await positions.lock(connection, name, schedule_id)
            fresh = [event for event in events if event.data.version > position]
            if not fresh or fresh[0].data.version > position + 1:  # begun anew: whoever did that goes on from there
                return 0
            await take(connection, fresh)
            await positions.move(connection, name, schedule_id, fresh[-1].data.version)
        return len(fresh)

    async def _take_or_park(
        self, connection: asyncpg.pool.PoolConnectionProxy[Any], events: Sequence[EventEnvelope]
    ) -> None:
        """Gives the events to the service one by one, and parks what it cannot digest."""
        for event in events:
            try:
                async with connection.transaction():
                    await self._service.take(connection, [event])
            except Exception as error:
                if is_away(error):
                    raise
                logger.exception("%s parks event %s", self._service.name, event.id)
                PARKED.labels(self._service.name).inc()
                await positions.park(connection, self._service.name, event, repr(error))

    async def suspect(self, event: EventEnvelope, why: str) -> None:
        """Puts an event aside that the feed has told of and that is not believed."""
        logger.error("%s does not believe event %.100s (%.50s): %s", self._service.name, event.id, event.type, why)
        SUSPECT.labels(self._service.name).inc()
        await positions.suspect(self._pool, self._service.name, event, why)
