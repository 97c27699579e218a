"""Where processes say how they do, and others read it: a field each in one hash of Redis.

Nobody is asked for it, so looking on costs a sale the same whether nobody looks or a hundred do. What is older than
`LIFE_MS` was said by a process that is no more. Redis away means that nothing is known, and stops nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from persistence.database.held import holds_none
from persistence.database.redis_clients import redis_client
from persistence.operations.vitals import Vitals

LIFE_MS = 5_000
FORGOTTEN_SECONDS = 60  # after which Redis itself forgets what nobody says any more
GIVE_UP = 1.0  # seconds
CALL = "a call to Redis"
SHARED_MS = 1_000  # for so long an answer is everybody's

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Vitals).decode


class VitalsBoard:
    """The board of those who share a database."""

    def __init__(self, redis: Redis, database_url: str) -> None:
        self._redis = redis
        database = hashlib.sha256(database_url.partition("?")[0].encode()).hexdigest()[:8]  # whatever the role
        self._key = f"boxoffice:vitals:{database}"
        self._kept, self._turn = f"{self._key}:kept", f"{self._key}:turn"

    @classmethod
    def at(cls, redis_url: str, database_url: str) -> VitalsBoard:
        """On a connection of its own, which gives up soon: what is said late is of no use."""
        return cls(redis_client(redis_url, timeout_seconds=GIVE_UP, retries=0), database_url)

    async def close(self) -> None:
        """Lets go of the connection."""
        await self._redis.aclose()

    async def say(self, vitals: Vitals) -> None:
        """Replaces what the process said before."""
        holds_none(CALL)
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hset(self._key, vitals.name, cast(str, _encode(vitals)))
                pipe.expire(self._key, FORGOTTEN_SECONDS)
                await pipe.execute()
        except (RedisError, OSError):
            return  # said again in a second

    async def read(self, now_ms: int) -> list[Vitals] | None:
        """What all say now, by name; None while Redis is away."""
        holds_none(CALL)
        try:
            said = await cast(Awaitable[dict[bytes, bytes]], self._redis.hgetall(self._key))
            found = {name.decode(): _understood(text) for name, text in said.items()}
            there = {name: each for name, each in found.items() if each is not None and now_ms - each.at_ms <= LIFE_MS}
            if gone := found.keys() - there.keys():
                await self._redis.hdel(self._key, *gone)
        except (RedisError, OSError):
            return None
        return [there[name] for name in sorted(there)]

    async def shared(self, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `make` gave, made at most once a second by all processes together; by each for itself without Redis."""
        holds_none(CALL)
        if (kept := await self._answer()) is not None:
            return kept
        made = await make()
        try:
            await self._redis.set(self._kept, made, px=10 * SHARED_MS)
        except (RedisError, OSError):
            return made
        return made

    async def _answer(self) -> bytes | None:
        """The answer of this second; None for whoever is to make it."""
        try:
            if not await self._redis.set(self._turn, b"", nx=True, px=SHARED_MS):
                return cast("bytes | None", await self._redis.get(self._kept))
        except (RedisError, OSError):
            return None
        return None


def _understood(text: bytes) -> Vitals | None:
    """None for what a newer or older version says."""
    try:
        vitals: Vitals = _decode(text)
    except msgspec.DecodeError:
        return None
    return vitals
