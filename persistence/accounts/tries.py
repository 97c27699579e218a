"""How often something was tried: counted in buckets that empty after a while, for all workers together.

A try is counted in all of its buckets, or, if one of them is full, in none. Whoever succeeds is forgiven: then only
failures count. `MemoryTries` does the same for one process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

from msgspec import Struct

from persistence.database.held import holds_none
from persistence.database.redis_clients import redis_client

PREFIX = "boxoffice:tries:"
TIMEOUT_SECONDS = 0.5
KEPT_IN_MEMORY = 100_000
COUNTING = "counting tries in Redis"


class Bucket(Struct, frozen=True):
    """Holds so many tries; empty again so long after the first."""

    key: str  # what is counted, and whose: nothing that says who they are
    limit: int
    seconds: int


class Tries(Protocol):
    """Where tries are counted."""

    async def count(self, buckets: Sequence[Bucket]) -> int:
        """Counts a try and gives 0; or counts nothing, and gives the seconds until the last full bucket is empty."""

    async def forgive(self, buckets: Sequence[Bucket]) -> None:
        """Takes a try back."""

    async def remember(self, key: str, seconds: int) -> None:
        """Remembers a key for so long from now on."""

    async def knows(self, key: str) -> bool:
        """Whether a key is remembered."""

    async def close(self) -> None:
        """Lets go of connections."""


COUNT = """
local wait = 0
for i, key in ipairs(KEYS) do
    if tonumber(redis.call('GET', key) or 0) >= tonumber(ARGV[2 * i - 1]) then
        wait = math.max(wait, redis.call('TTL', key), 1)
    end
end
if wait == 0 then
    for i, key in ipairs(KEYS) do
        if redis.call('INCR', key) == 1 then redis.call('EXPIRE', key, ARGV[2 * i]) end
    end
end
return wait
"""
FORGIVE = """
for _, key in ipairs(KEYS) do
    if tonumber(redis.call('GET', key) or 0) > 0 then redis.call('DECR', key) end
end
"""


class RedisTries:
    """Tries counted in Redis. Every method raises `RedisError` or `OSError` while it is away."""

    def __init__(self, url: str) -> None:
        self._redis = redis_client(url, timeout_seconds=TIMEOUT_SECONDS, retries=1)
        self._count = self._redis.register_script(COUNT)
        self._forgive = self._redis.register_script(FORGIVE)

    async def count(self, buckets: Sequence[Bucket]) -> int:
        holds_none(COUNTING)
        arguments = [number for bucket in buckets for number in (bucket.limit, bucket.seconds)]
        return int(cast(int, await self._count(keys=_keys(buckets), args=arguments)))

    async def forgive(self, buckets: Sequence[Bucket]) -> None:
        holds_none(COUNTING)
        await self._forgive(keys=_keys(buckets))

    async def remember(self, key: str, seconds: int) -> None:
        holds_none(COUNTING)
        await self._redis.set(f"{PREFIX}known:{key}", 1, ex=seconds)

    async def knows(self, key: str) -> bool:
        holds_none(COUNTING)
        return bool(await self._redis.exists(f"{PREFIX}known:{key}"))

    async def close(self) -> None:
        await self._redis.aclose()


def _keys(buckets: Iterable[Bucket]) -> list[str]:
    # The time belongs to the key: one thing may be counted by the minute and by the day.
    return [f"{PREFIX}{bucket.key}:{bucket.seconds}" for bucket in buckets]


class MemoryTries:
    """Tries counted in this process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._counted: dict[str, tuple[int, float]] = {}  # key → (tries, when it is empty again)
        self._known: dict[str, float] = {}  # key → until when

    async def count(self, buckets: Sequence[Bucket]) -> int:
        now = self._now()
        found = [(key, bucket, *self._at(key, now)) for key, bucket in zip(_keys(buckets), buckets, strict=True)]
        wait = max((ends - now for _, bucket, tries, ends in found if tries >= bucket.limit), default=0.0)
        if wait > 0:
            return max(1, round(wait))
        for key, bucket, tries, ends in found:
            self._counted[key] = (tries + 1, ends if tries else now + bucket.seconds)
        if len(self._counted) > KEPT_IN_MEMORY:
            self._counted = {key: value for key, value in self._counted.items() if value[1] > now}
        return 0

    async def forgive(self, buckets: Sequence[Bucket]) -> None:
        now = self._now()
        for key in _keys(buckets):
            tries, ends = self._at(key, now)
            if tries > 0:
                self._counted[key] = (tries - 1, ends)

    async def remember(self, key: str, seconds: int) -> None:
        now = self._now()
        self._known = {each: until for each, until in self._known.items() if until > now}
        self._known[key] = now + seconds

    async def knows(self, key: str) -> bool:
        return self._known.get(key, 0.0) > self._now()

    async def close(self) -> None:
        return None

    def _at(self, key: str, now: float) -> tuple[int, float]:
        tries, ends = self._counted.get(key, (0, 0.0))
        return (tries, ends) if ends > now else (0, 0.0)
