"""The seat cache in Redis. See `persistence.seats.cache` for what it promises."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import msgspec
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError
from redis.typing import EncodableT

from persistence.database.held import holds_none
from persistence.database.redis_clients import redis_client
from persistence.seats.cache import (
    CacheUnavailable,
    News,
    SeatDelta,
    SeatView,
    decode_deltas,
    decode_view,
    encode_deltas,
    encode_view,
    looking_anew,
)

logger = logging.getLogger(__name__)

# The number is the format's: two releases running side by side do not read each other's bytes.
KEY = "boxoffice:seats:1:"
CHANNEL = "boxoffice:seats:2"  # each message carries deltas of any number of schedules
CALL = "a call to Redis"
TTL_SECONDS = 24 * 60 * 60  # an owner rewrites its schedule as long as anybody buys; a quiet one is loaded once a day
TIMEOUT_SECONDS = 1.0  # a reader would rather ask the journal than wait longer
SILENCE_SECONDS = 5.0  # a subscription silent for so long is pinged, and given up after as long again

# KEYS: views. ARGV: TTL in seconds, channel, encoded deltas (empty: none); then for each view its version and itself
# encoded.
PUBLISH_SCRIPT = """
for number, key in ipairs(KEYS) do
  local version, view = unpack(ARGV, 2 * number + 2, 2 * number + 3)
  local stored = tonumber(redis.call('HGET', key, 'version') or '-1')
  if tonumber(version) > stored then
    redis.call('HSET', key, 'version', version, 'view', view)
    redis.call('EXPIRE', key, ARGV[1])
  end
end
if ARGV[3] ~= '' then
  redis.call('PUBLISH', ARGV[2], ARGV[3])
end
return 1
"""


class RedisSeatCache:
    """The seat cache in Redis: a hash per schedule and one channel for all.

    After restoring the database to an earlier time remove the keys `boxoffice:seats:*`: they would count as newer.
    """

    def __init__(self, redis_url: str) -> None:
        # One retry without a wait: after a restart of Redis every pooled connection is dead once. Nothing more, because
        # readers have the journal to fall back on and must not queue up here.
        self._redis = redis_client(redis_url, timeout_seconds=TIMEOUT_SECONDS, retries=1)
        # No retry at all: a subscription that reconnects by itself would lose what was announced meanwhile in silence.
        self._listener = redis_client(redis_url, timeout_seconds=TIMEOUT_SECONDS, retries=0)
        self._publish = self._redis.register_script(PUBLISH_SCRIPT)

    async def put(self, view: SeatView) -> None:
        await self._store([view], b"")

    async def announce(self, delta: SeatDelta) -> None:
        holds_none(CALL)
        try:
            await self._redis.publish(CHANNEL, encode_deltas([delta]))
        except (RedisError, OSError) as error:
            raise CacheUnavailable(f"cannot announce: {error}") from error

    async def outdate(self, schedule_id: str, version: int) -> None:
        # An empty view from just before the version: older ones do not take its place, that one does.
        announcement = encode_deltas([looking_anew(schedule_id, version)])
        try:
            await self._publish(
                keys=[KEY + schedule_id], args=[TTL_SECONDS, CHANNEL, announcement, f"{version - 1}.5", b""]
            )
        except (RedisError, OSError) as error:
            raise CacheUnavailable(f"cannot store: {error}") from error

    async def publish(self, view: SeatView, delta: SeatDelta) -> None:
        await self.publish_together([(view, delta)])

    async def publish_together(self, news: Sequence[News]) -> None:
        """`publish` for many schedules in one round trip: all of it or, as far as can be known, nothing."""
        await self._store([view for view, _ in news], encode_deltas([delta for _, delta in news]))

    async def _store(self, views: Sequence[SeatView], announcement: bytes) -> None:
        holds_none(CALL)
        arguments: list[EncodableT] = [TTL_SECONDS, CHANNEL, announcement]
        for view in views:
            arguments += [view.version, encode_view(view)]
        try:
            await self._publish(keys=[KEY + view.schedule_id for view in views], args=arguments)
        except (RedisError, OSError) as error:
            raise CacheUnavailable(f"cannot store: {error}") from error

    async def get(self, schedule_id: str) -> SeatView | None:
        holds_none(CALL)
        key = KEY + schedule_id
        try:
            payload = await self._redis.hget(key, "view")
            if not payload:
                return None
            try:
                return decode_view(cast(bytes, payload))  # the client does not decode responses
            except msgspec.MsgspecError:
                # Not ours, or damaged. Removed, because its version could keep a good view from being stored.
                logger.warning("removing an unreadable seat view: %s", key)
                await self._redis.delete(key)
                return None
        except (RedisError, OSError) as error:
            raise CacheUnavailable(f"cannot read: {error}") from error

    async def forget(self, schedule_id: str) -> None:
        holds_none(CALL)
        try:
            await self._redis.delete(KEY + schedule_id)
        except (RedisError, OSError) as error:
            raise CacheUnavailable(f"cannot remove: {error}") from error

    @asynccontextmanager
    async def deltas(self) -> AsyncIterator[AsyncIterator[SeatDelta]]:
        pubsub = self._listener.pubsub()
        try:
            try:
                await pubsub.subscribe(CHANNEL)
                confirmation = await pubsub.get_message(timeout=TIMEOUT_SECONDS)
            except (RedisError, OSError) as error:
                raise CacheUnavailable(f"cannot subscribe: {error}") from error
            if confirmation is None or confirmation["type"] != "subscribe":
                raise CacheUnavailable(f"cannot subscribe: {confirmation!r}")
            yield _received(pubsub)
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis has no types here

    async def close(self) -> None:
        await self._redis.aclose()
        await self._listener.aclose()


async def _received(pubsub: PubSub) -> AsyncIterator[SeatDelta]:
    pinged = False
    while True:
        try:
            message = await pubsub.get_message(timeout=SILENCE_SECONDS)
            if message is None:
                if pinged:
                    raise CacheUnavailable("the subscription does not answer")
                await pubsub.ping()
                pinged = True
                continue
        except (RedisError, OSError) as error:
            raise CacheUnavailable(f"the subscription was lost: {error}") from error
        pinged = False
        if message["type"] == "message":
            try:
                deltas = decode_deltas(message["data"])
            except msgspec.MsgspecError as error:
                raise CacheUnavailable(f"an unreadable announcement: {error}") from error
            for delta in deltas:
                yield delta
        elif message["type"] == "subscribe":
            raise CacheUnavailable("the subscription was renewed: announcements may be missing")
