"""One contract for both seat caches, and what only Redis has to show: damage, restarts, lost connections."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from engine.state import BLOCKED, FREE, HELD, SOLD
from persistence.seats.cache import (
    AreaCounts,
    CacheUnavailable,
    MemorySeatCache,
    SeatCache,
    SeatDelta,
    SeatView,
    merge,
)
from persistence.seats.redis_cache import CHANNEL, KEY, RedisSeatCache

NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture(params=["redis", "memory"])
async def cache(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[SeatCache]:
    cache: SeatCache = MemorySeatCache() if request.param == "memory" else RedisSeatCache(redis_url)
    yield cache
    await cache.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def schedule_id() -> str:
    return str(uuid4())


def view(schedule_id: str, version: int, states: bytes = bytes(8)) -> SeatView:
    return SeatView(schedule_id, version, states, (AreaCounts(98, 2, 0, 0),))


def delta(schedule_id: str, from_version: int, version: int, *seats: tuple[int, int]) -> SeatDelta:
    return SeatDelta(schedule_id, from_version, version, seats, ())


async def test_a_stored_view_comes_back_as_it_was(cache: SeatCache, schedule_id: str) -> None:
    stored = view(schedule_id, 7, bytes([FREE, HELD, SOLD, BLOCKED]))
    await cache.put(stored)
    assert await cache.get(schedule_id) == stored


async def test_an_unknown_schedule_has_no_view(cache: SeatCache, schedule_id: str) -> None:
    assert await cache.get(schedule_id) is None


async def test_an_older_view_never_replaces_a_newer_one(cache: SeatCache, schedule_id: str) -> None:
    # Past 2^31 and of different length: versions are compared as numbers, not as text.
    await cache.put(view(schedule_id, 10_000_000_000))
    await cache.put(view(schedule_id, 9_999_999_999))
    stored = await cache.get(schedule_id)
    assert stored is not None
    assert stored.version == 10_000_000_000


async def test_a_version_stored_once_is_not_stored_again(cache: SeatCache, schedule_id: str) -> None:
    await cache.put(view(schedule_id, 5, b"\0"))
    await cache.put(view(schedule_id, 5, b"\1"))
    stored = await cache.get(schedule_id)
    assert stored is not None
    assert stored.states == b"\0"


async def test_what_is_outdated_is_shown_to_nobody_nor_what_comes_late(cache: SeatCache, schedule_id: str) -> None:
    await cache.put(view(schedule_id, 4))
    async with cache.deltas() as deltas:
        await cache.outdate(schedule_id, 6)
        told = await anext(deltas)
    assert (told.schedule_id, told.from_version, told.version) == (schedule_id, 0, 6)
    assert await cache.get(schedule_id) is None
    await cache.put(view(schedule_id, 5))
    assert await cache.get(schedule_id) is None
    await cache.put(view(schedule_id, 6))
    assert (stored := await cache.get(schedule_id)) is not None
    assert stored.version == 6
    await cache.outdate(schedule_id, 6)
    assert await cache.get(schedule_id) is not None


async def test_a_newer_view_replaces_an_older_one(cache: SeatCache, schedule_id: str) -> None:
    await cache.put(view(schedule_id, 9))
    await cache.put(view(schedule_id, 10))
    stored = await cache.get(schedule_id)
    assert stored is not None
    assert stored.version == 10


async def test_what_is_forgotten_is_gone_and_an_older_view_can_be_stored(cache: SeatCache, schedule_id: str) -> None:
    other = str(uuid4())
    await cache.put(view(schedule_id, 7))
    await cache.put(view(other, 7))
    await cache.forget(schedule_id)
    await cache.forget(schedule_id)
    assert await cache.get(schedule_id) is None
    assert await cache.get(other) is not None
    await cache.put(view(schedule_id, 3))
    assert await cache.get(schedule_id) == view(schedule_id, 3)


async def test_every_listener_hears_every_announcement_in_order(cache: SeatCache, schedule_id: str) -> None:
    announced = [delta(schedule_id, n, n + 1, (n, HELD)) for n in range(20)]
    async with cache.deltas() as first, cache.deltas() as second:
        for each in announced:
            await cache.announce(each)
        assert [await anext(first) for _ in announced] == announced
        assert [await anext(second) for _ in announced] == announced


async def test_published_means_stored_before_it_is_announced(cache: SeatCache, schedule_id: str) -> None:
    async with cache.deltas() as deltas:
        published = SeatDelta(schedule_id, 1, 2, ((0, HELD),), ((0, AreaCounts(97, 3, 0, 0)),))
        await cache.publish(view(schedule_id, 2), published)
        assert await anext(deltas) == published
        stored = await cache.get(schedule_id)
        assert stored is not None
        assert stored.version == 2


async def test_publishing_something_old_stores_nothing(cache: SeatCache, schedule_id: str) -> None:
    await cache.put(view(schedule_id, 9))
    await cache.publish(view(schedule_id, 8), delta(schedule_id, 7, 8))
    stored = await cache.get(schedule_id)
    assert stored is not None
    assert stored.version == 9


async def test_a_large_house_fits(cache: SeatCache, schedule_id: str) -> None:
    big = view(schedule_id, 1, bytes(itertools.islice(itertools.cycle(range(4)), 200_000)))
    async with cache.deltas() as deltas:
        everything = delta(schedule_id, 0, 1, *enumerate(big.states))
        await cache.publish(big, everything)
        assert await anext(deltas) == everything
        assert await cache.get(schedule_id) == big


# --- Redis alone ------------------------------------------------------------------------------------------------------
async def test_no_redis_is_one_exception_everywhere(schedule_id: str) -> None:
    cache = RedisSeatCache(NOWHERE)
    with pytest.raises(CacheUnavailable):
        await cache.get(schedule_id)
    with pytest.raises(CacheUnavailable):
        await cache.put(view(schedule_id, 1))
    with pytest.raises(CacheUnavailable):
        await cache.announce(delta(schedule_id, 0, 1))
    with pytest.raises(CacheUnavailable):
        await cache.publish(view(schedule_id, 1), delta(schedule_id, 0, 1))
    with pytest.raises(CacheUnavailable):
        async with cache.deltas():
            pass
    await cache.close()


async def test_views_expire(redis_url: str, redis: Redis, schedule_id: str) -> None:
    cache = RedisSeatCache(redis_url)
    await cache.put(view(schedule_id, 1))
    assert 0 < await redis.ttl(KEY + schedule_id) <= 24 * 60 * 60
    await cache.close()


async def test_a_damaged_view_counts_as_none_and_can_be_replaced(
    redis_url: str, redis: Redis, schedule_id: str
) -> None:
    cache = RedisSeatCache(redis_url)
    await redis.hset(KEY + schedule_id, mapping={"version": 99, "view": b"\xc1"})
    assert await cache.get(schedule_id) is None
    await cache.put(view(schedule_id, 1))
    assert await cache.get(schedule_id) == view(schedule_id, 1)
    await cache.close()


async def test_a_wrong_kind_of_key_is_unavailable_not_a_crash(redis_url: str, redis: Redis, schedule_id: str) -> None:
    cache = RedisSeatCache(redis_url)
    await redis.set(KEY + schedule_id, "somebody else's")
    with pytest.raises(CacheUnavailable):
        await cache.get(schedule_id)
    await cache.close()


async def test_a_script_flushed_by_a_restart_is_loaded_again(redis_url: str, redis: Redis, schedule_id: str) -> None:
    cache = RedisSeatCache(redis_url)
    await cache.put(view(schedule_id, 1))
    await redis.script_flush()
    await cache.put(view(schedule_id, 2))
    assert await cache.get(schedule_id) == view(schedule_id, 2)
    await cache.close()


async def test_commands_survive_a_cut_connection(redis_url: str, redis: Redis, schedule_id: str) -> None:
    cache = RedisSeatCache(redis_url)
    await cache.put(view(schedule_id, 1))
    await redis.client_kill_filter(_type="normal", skipme=True)
    assert await cache.get(schedule_id) == view(schedule_id, 1)
    await cache.close()


async def test_a_cut_subscription_says_so(redis_url: str, redis: Redis) -> None:
    cache = RedisSeatCache(redis_url)
    async with cache.deltas() as deltas:
        await redis.client_kill_filter(_type="pubsub")
        with pytest.raises(CacheUnavailable):
            await anext(deltas)
    await cache.close()


async def test_an_unreadable_announcement_ends_the_subscription(redis_url: str, redis: Redis) -> None:
    cache = RedisSeatCache(redis_url)
    async with cache.deltas() as deltas:
        await redis.publish(CHANNEL, b"\xc1")
        with pytest.raises(CacheUnavailable):
            await anext(deltas)
    await cache.close()


async def test_a_quiet_subscription_is_pinged_and_stays(
    redis_url: str, schedule_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.seats.redis_cache.SILENCE_SECONDS", 0.3)  # in which a ping must be answered, too
    cache = RedisSeatCache(redis_url)
    pings = 0
    async with cache.deltas() as deltas, Redis.from_url(redis_url) as client:
        waiting = asyncio.ensure_future(anext(deltas))
        before = (await client.info("commandstats")).get("cmdstat_ping", {"calls": 0})["calls"]
        while pings < 2:
            pings = (await client.info("commandstats")).get("cmdstat_ping", {"calls": 0})["calls"] - before
        assert not waiting.done()
        await cache.announce(delta(schedule_id, 0, 1))
        assert await waiting == delta(schedule_id, 0, 1)
    await cache.close()


async def test_a_subscription_that_no_longer_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persistence.seats.redis_cache.SILENCE_SECONDS", 0.01)

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.strip().upper() == b"SUBSCRIBE":
                channel = CHANNEL.encode()
                writer.write(b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n" % (len(channel), channel))
            elif line.strip().upper() in (b"CLIENT", b"SELECT"):
                writer.write(b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    cache = RedisSeatCache(f"redis://127.0.0.1:{port}?protocol=2")
    async with cache.deltas() as deltas:
        with pytest.raises(CacheUnavailable):
            await anext(deltas)
    await cache.close()
    server.close()
    await server.wait_closed()


async def test_a_listener_of_the_memory_cache_that_loses_its_connection_is_told() -> None:
    cache = MemorySeatCache()
    async with cache.deltas() as deltas:
        cache.available = False
        with pytest.raises(CacheUnavailable):
            await anext(deltas)
    with pytest.raises(CacheUnavailable):
        await cache.get("any")


# --- views and deltas -------------------------------------------------------------------------------------------------
houses = st.integers(0, 700).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=2))
places = st.tuples(*[st.integers(0, 3)] * 4).map(lambda counts: AreaCounts(*counts))


@given(houses)
def test_what_changed_since_a_view_leads_from_it_to_the_newer_one(states: list[bytes]) -> None:
    older, newer = SeatView("s", 1, states[0], ()), SeatView("s", 2, states[1], ())
    assert older.after(newer.since(older)) == newer
    assert len(newer.since(older).seats) == sum(a != b for a, b in zip(states[0], states[1], strict=True))


@given(houses, st.lists(places, min_size=2, max_size=2))
def test_merged_deltas_do_what_they_do_one_after_another(states: list[bytes], areas: list[AreaCounts]) -> None:
    views = [SeatView("s", n, each, (areas[n % 2],)) for n, each in enumerate(states)]
    deltas = [newer.since(older) for older, newer in itertools.pairwise(views)]
    assert views[0].after(merge(deltas)) == views[-1]


@given(houses, st.data())
def test_a_delta_that_starts_earlier_than_the_view_does_no_harm(states: list[bytes], data: st.DataObject) -> None:
    views = [SeatView("s", n, each, ()) for n, each in enumerate(states)]
    deltas = [newer.since(older) for older, newer in itertools.pairwise(views)]
    start = data.draw(st.integers(0, len(views) - 1))
    assert views[start].after(merge(deltas)) == views[-1]


def test_nothing_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="nothing"):
        merge([])


async def test_views_of_many_schedules_are_told_in_one_round_trip_each_for_itself(redis_url: str) -> None:
    cache = RedisSeatCache(redis_url)
    names = [str(uuid4()) for _ in range(3)]
    await cache.put(view(names[1], 9))
    async with cache.deltas() as deltas:
        await cache.publish_together([(view(name, 8), delta(name, 7, 8)) for name in names])
        assert [await anext(deltas) for _ in names] == [delta(name, 7, 8) for name in names]
    stored = [await cache.get(name) for name in names]
    assert [each and each.version for each in stored] == [8, 9, 8]
    await cache.close()
