"""What readers see of a schedule's seats, and the cache and channel it travels through.

A schedule's actor publishes after its commits; API processes read and listen. Guarantees: a version never replaces a
newer one; `publish` stores before it announces, so whoever hears of a version finds at least that version stored; a
listener that may have missed an announcement is told so by `CacheUnavailable`. Nothing here is the truth: all of it can
be rebuilt from the journal, and losing it costs time only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.typing import EncodableT

logger = logging.getLogger(__name__)


class AreaCounts(Struct, frozen=True, array_like=True):
    """How many places of a standing area are in which state; together they are its capacity."""

    left: int
    held: int
    sold: int
    blocked: int


class SeatDelta(Struct, frozen=True, array_like=True):
    """What changed after `from_version` up to `version`. States and counts are absolute, as they are at `version`."""

    schedule_id: str
    from_version: int
    version: int
    seats: tuple[tuple[int, int], ...]  # (plan index, new state)
    areas: tuple[tuple[int, AreaCounts], ...]  # (position in `SeatView.areas`, new counts)


class SeatView(Struct, frozen=True, array_like=True):
    """Every seat's state at one version of a schedule's journal."""

    schedule_id: str
    version: int  # the journal's sequence number
    states: bytes  # one byte per numbered seat, in plan order: FREE, HELD, SOLD or BLOCKED of `engine.state`
    areas: tuple[AreaCounts, ...]  # in plan order

    def after(self, delta: SeatDelta) -> SeatView:
        """This view with `delta` applied.

        Right for every `delta.from_version <= self.version <= delta.version`, because deltas carry absolute states:
        what changed before `self.version` and not since is repeated, not applied twice.
        """
        assert delta.from_version <= self.version <= delta.version, "a delta that does not follow this view"
        states = bytearray(self.states)
        for index, state in delta.seats:
            states[index] = state
        areas = list(self.areas)
        for position, counts in delta.areas:
            areas[position] = counts
        return SeatView(self.schedule_id, delta.version, bytes(states), tuple(areas))

    def since(self, older: SeatView) -> SeatDelta:
        """What leads from `older` to this view."""
        assert len(older.states) == len(self.states), "views of different plans"
        seats: list[tuple[int, int]] = []
        # Whole blocks are compared in C; only the few that differ are looked at seat by seat.
        for start in range(0, len(self.states), BLOCK):
            was, now = older.states[start : start + BLOCK], self.states[start : start + BLOCK]
            if was != now:
                seats.extend((start + i, b) for i, (a, b) in enumerate(zip(was, now, strict=True)) if a != b)
        pairs = zip(older.areas, self.areas, strict=True)
        areas = tuple((position, b) for position, (a, b) in enumerate(pairs) if a != b)
        return SeatDelta(self.schedule_id, older.version, self.version, tuple(seats), areas)


BLOCK = 256  # seats compared at once; a 50,000-seat house takes ~200 comparisons


def merge(deltas: Iterable[SeatDelta]) -> SeatDelta:
    """One delta that does what these do one after another. Raises ValueError when there are none."""
    seats: dict[int, int] = {}
    areas: dict[int, AreaCounts] = {}
    first: SeatDelta | None = None
    last: SeatDelta | None = None
    for last in deltas:
        first = first or last
        seats.update(last.seats)
        areas.update(last.areas)
    if first is None or last is None:
        raise ValueError("nothing to merge")
    if first is last:
        return first
    return SeatDelta(
        first.schedule_id, first.from_version, last.version, tuple(sorted(seats.items())), tuple(sorted(areas.items()))
    )


class CacheUnavailable(Exception):
    """The seat cache cannot be reached, or a subscription may have missed something."""


class SeatCache(Protocol):
    """Where seat views are kept and announced. Every method raises `CacheUnavailable` when it cannot do its work."""

    async def put(self, view: SeatView) -> None:
        """Stores `view` unless the same or a newer version is there."""

    async def announce(self, delta: SeatDelta) -> None:
        """Tells every listener."""

    async def publish(self, view: SeatView, delta: SeatDelta) -> None:
        """`put`, then `announce`, in one round trip.

        After a failure publish again until it succeeds, with the `from_version` of the delta that failed.
        """

    async def get(self, schedule_id: str) -> SeatView | None:
        """The stored view; None when there is none."""

    def deltas(self) -> AbstractAsyncContextManager[AsyncIterator[SeatDelta]]:
        """Listens to every announcement. Entered means subscribed: from then on nothing is missed in silence."""

    async def close(self) -> None:
        """Lets go of connections."""


encode_view = msgspec.msgpack.Encoder().encode
decode_view = msgspec.msgpack.Decoder(SeatView).decode
encode_delta = msgspec.msgpack.Encoder().encode
decode_delta = msgspec.msgpack.Decoder(SeatDelta).decode

# The number is the format's: two releases running side by side do not read each other's bytes.
KEY = "boxoffice:seats:1:"
CHANNEL = "boxoffice:seats:1"
TTL_SECONDS = 24 * 60 * 60  # an actor rewrites its schedule as long as anybody buys; a quiet one is loaded once a day
TIMEOUT_SECONDS = 1.0  # a reader would rather ask the journal than wait longer
SILENCE_SECONDS = 5.0  # a subscription silent for so long is pinged, and given up after as long again

# KEYS: the view. ARGV: version, encoded view, TTL in seconds, channel, encoded delta (empty: none).
PUBLISH_SCRIPT = """
local stored = tonumber(redis.call('HGET', KEYS[1], 'version') or '-1')
if tonumber(ARGV[1]) > stored then
  redis.call('HSET', KEYS[1], 'version', ARGV[1], 'view', ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
if ARGV[5] ~= '' then
  redis.call('PUBLISH', ARGV[4], ARGV[5])
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
        self._redis: Redis = Redis.from_url(
            redis_url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        # No retry at all: a subscription that reconnects by itself would lose what was announced meanwhile in silence.
        self._listener: Redis = Redis.from_url(
            redis_url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._publish = self._redis.register_script(PUBLISH_SCRIPT)

    async def put(self, view: SeatView) -> None:
        await self._store(view, b"")

    async def announce(self, delta: SeatDelta) -> None:
        try:
            await self._redis.publish(CHANNEL, encode_delta(delta))
        except (RedisError, OSError) as error:
            raise CacheUnavailable(f"cannot announce: {error}") from error

    async def publish(self, view: SeatView, delta: SeatDelta) -> None:
        await self._store(view, encode_delta(delta))

    async def _store(self, view: SeatView, announcement: bytes) -> None:
        arguments: list[EncodableT] = [view.version, encode_view(view), TTL_SECONDS, CHANNEL, announcement]
        try:
            await self._publish(keys=[KEY + view.schedule_id], args=arguments)
        except (RedisError, OSError) as error:
            raise CacheUnavailable(f"cannot store: {error}") from error

    async def get(self, schedule_id: str) -> SeatView | None:
        key = KEY + schedule_id
        try:
            payload = await self._redis.hget(key, "view")
            if payload is None:
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
            await pubsub.aclose()  # type: ignore[no-untyped-call]

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
                yield decode_delta(message["data"])
            except msgspec.MsgspecError as error:
                raise CacheUnavailable(f"an unreadable announcement: {error}") from error
        elif message["type"] == "subscribe":
            raise CacheUnavailable("the subscription was renewed: announcements may be missing")


class MemorySeatCache:
    """The same contract within one process, for tests and simulation. `available = False` is Redis being away."""

    def __init__(self) -> None:
        self._available = True
        self._views: dict[str, bytes] = {}
        self._listeners: set[asyncio.Queue[bytes | None]] = set()
        self.reads = 0  # how often `get` was asked

    @property
    def available(self) -> bool:
        return self._available

    @available.setter
    def available(self, value: bool) -> None:
        self._available = value
        if not value:
            self.drop_subscriptions()

    def drop_subscriptions(self) -> None:
        """Every listener loses its connection."""
        for queue in self._listeners:
            queue.put_nowait(None)

    def forget(self) -> None:
        """Everything stored is lost."""
        self._views.clear()

    def _check(self) -> None:
        if not self._available:
            raise CacheUnavailable("the cache is switched off")

    async def put(self, view: SeatView) -> None:
        self._check()
        stored = self._views.get(view.schedule_id)
        if stored is None or decode_view(stored).version < view.version:
            self._views[view.schedule_id] = encode_view(view)

    async def announce(self, delta: SeatDelta) -> None:
        self._check()
        for queue in self._listeners:
            queue.put_nowait(encode_delta(delta))

    async def publish(self, view: SeatView, delta: SeatDelta) -> None:
        await self.put(view)
        await self.announce(delta)

    async def get(self, schedule_id: str) -> SeatView | None:
        self.reads += 1
        self._check()
        stored = self._views.get(schedule_id)
        return None if stored is None else decode_view(stored)

    @asynccontextmanager
    async def deltas(self) -> AsyncIterator[AsyncIterator[SeatDelta]]:
        self._check()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield _queued(queue)
        finally:
            self._listeners.discard(queue)

    async def close(self) -> None:
        self.drop_subscriptions()


async def _queued(queue: asyncio.Queue[bytes | None]) -> AsyncIterator[SeatDelta]:
    while (payload := await queue.get()) is not None:
        yield decode_delta(payload)
    raise CacheUnavailable("the subscription was lost")
