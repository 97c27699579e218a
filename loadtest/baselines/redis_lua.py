"""Redis: one Lua script takes all of the seats or none, and stores the booking and its event.

Redis runs one script at a time, so nothing can come in between. How durable that is depends on the server's
`appendfsync`: `always` writes to disk before it answers, `everysec` loses up to a second of what was acknowledged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis

from loadtest.baselines.app import Hold, Seat, SeatsTaken

# A process's connections: each carries one command at a time, and a command is over in a fraction of a millisecond.
POOL_SIZE = 32

TAKE = """
local taken = {}
for i = 3, #ARGV do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then table.insert(taken, ARGV[i]) end
end
if #taken > 0 then return taken end
for i = 3, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], ARGV[1]) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('XADD', KEYS[3], '*', 'type', 'reservation.held', 'data', ARGV[2])
return taken
"""


def keys_of(schedule_id: str) -> tuple[str, str, str]:
    """Who has which seat; the bookings; the events."""
    return f"{{{schedule_id}}}:seats", f"{{{schedule_id}}}:bookings", f"{{{schedule_id}}}:outbox"


class RedisLua:
    """A store that holds seats by one script, whose answer is as durable as Redis' file."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._take = client.register_script(TAKE)

    async def seats(self, schedule_id: str) -> dict[str, Seat]:
        plan = await self._client.get(f"{{{schedule_id}}}:plan")
        return {seat.id: seat for seat in msgspec.json.decode(plan, type=list[Seat])} if plan else {}

    async def hold(self, hold: Hold) -> None:
        arguments: list[str | bytes] = [hold.id, msgspec.json.encode(hold), *hold.seats]
        if taken := await self._take(keys=keys_of(hold.schedule_id), args=arguments):
            raise SeatsTaken([seat.decode() for seat in taken])


def opening(redis_url: str) -> Callable[[], Any]:
    """What opens the store for as long as an application runs."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[RedisLua]:
        pool = BlockingConnectionPool.from_url(redis_url, max_connections=POOL_SIZE, timeout=20)
        async with Redis.from_pool(pool) as client:
            yield RedisLua(client)

    return opened


async def put_on_sale(client: Redis, schedule_id: str, seats: Iterable[Seat]) -> None:
    """A schedule's seats, all free."""
    await client.set(f"{{{schedule_id}}}:plan", msgspec.json.encode(list(seats)))


async def booked(client: Redis, schedule_ids: list[str]) -> dict[str, list[str]]:
    """What Redis says of these schedules: booking → its seats, those that are also marked as its own."""
    found: dict[str, list[str]] = {}
    for schedule_id in schedule_ids:
        seats_key, bookings_key, _ = keys_of(schedule_id)
        owners = await cast("Any", client.hgetall(seats_key))
        for booking_id in await cast("Any", client.hkeys(bookings_key)):
            found[booking_id.decode()] = []
        for seat, booking_id in owners.items():
            found.setdefault(booking_id.decode(), []).append(f"{schedule_id}/{seat.decode()}")
    return found
