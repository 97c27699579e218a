"""Row locks: lock the seats in one order, look whether all are free, mark them, write booking and event, commit.

The usual answer. Whoever wants the same seats waits in line for the lock, and then learns that it came too late.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from loadtest.baselines.app import Hold, Seat, SeatsTaken
from loadtest.baselines.postgres import book, seats_of

LOCK = "SELECT id, state FROM seats WHERE schedule_id = $1 AND id = ANY ($2) ORDER BY id FOR UPDATE"
TAKE = "UPDATE seats SET state = 'held', booking_id = $3 WHERE schedule_id = $1 AND id = ANY ($2)"


class RowLocks:
    """Two seats are locked in the order of their ids, so no two requests wait for each other."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def seats(self, schedule_id: str) -> dict[str, Seat]:
        return await seats_of(self._pool, schedule_id)

    async def hold(self, hold: Hold) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetch(LOCK, hold.schedule_id, hold.seats)
            if taken := [row["id"] for row in found if row["state"] != "free"]:
                raise SeatsTaken(taken)
            await connection.execute(TAKE, hold.schedule_id, hold.seats, hold.id)
            await book(connection, hold)
