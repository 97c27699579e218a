"""Makes a receiving service's data again from the journal, schedule by schedule, while the service goes on.

A schedule's data is thrown away and its position set back in one transaction; then its events are taken again in order.
The live service, should it hear of a newer event meanwhile, waits for the position and finds nothing left to do. What
is done is remembered, so that a replay that was broken off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncpg

from actors.receiver import Receiver, Service
from persistence import consumer_positions as positions
from persistence.event_feed import EventFeed
from persistence.journal import Journal


class Replay:
    """One service's replay."""

    def __init__(self, pool: asyncpg.Pool[Any], journal: Journal, service: Service, feed: EventFeed) -> None:
        self._pool = pool
        self._service = service
        self._receiver = Receiver(service, pool, journal, feed)
        self._mark = f"{service.name}/replay"

    async def left(self, schedule_id: str | None = None) -> list[tuple[str, int]]:
        """The schedules still to be done with their newest versions; all of them where no replay was broken off."""
        rows = await self._pool.fetch(
            "SELECT h.schedule_id::text, h.seq FROM schedule_heads h"
            " LEFT JOIN consumer_positions p ON p.schedule_id = h.schedule_id AND p.consumer = $1"
            " WHERE p.consumer IS NULL AND ($2::uuid IS NULL OR h.schedule_id = $2) ORDER BY 1",
            self._mark,
            schedule_id,
        )
        return [(row[0], row[1]) for row in rows]

    async def run(self, schedule_id: str | None, done: Callable[[int], None]) -> int:
        """Does what is left; `done` is told of every schedule's events. Returns how many events were taken."""
        taken = 0
        for each, until in await self.left(schedule_id):
            async with self._pool.acquire() as connection, connection.transaction():
                await positions.lock(connection, self._service.name, each)
                await self._service.forget(connection, each)
                await positions.forget(connection, self._service.name, each)
            taken += await self._receiver.catch_up(each, until)
            async with self._pool.acquire() as connection, connection.transaction():
                await positions.lock(connection, self._mark, each)
                await positions.move(connection, self._mark, each, until)
            done(until)
        await self.finish()
        return taken

    async def finish(self) -> None:
        """Forgets what was done: the next replay does everything again."""
        await positions.forget(self._pool, self._mark)
