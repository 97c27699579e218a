"""Tries are counted in all of their buckets or in none: in Redis and in memory alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from persistence.accounts.tries import Bucket, MemoryTries, RedisTries, Tries


@pytest.fixture(params=["redis", "memory"])
async def tries(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Tries]:
    made: Tries = RedisTries(redis_url) if request.param == "redis" else MemoryTries()
    yield made
    await made.close()


@pytest.fixture
def key() -> str:
    return uuid4().hex


async def test_a_bucket_holds_so_many_tries_and_then_says_how_long_to_wait(tries: Tries, key: str) -> None:
    bucket = Bucket(key, 3, 60)
    assert [await tries.count([bucket]) for _ in range(3)] == [0, 0, 0]
    assert 1 <= await tries.count([bucket]) <= 60
    assert await tries.count([Bucket(uuid4().hex, 3, 60)]) == 0


async def test_of_several_full_buckets_the_last_to_empty_counts(tries: Tries, key: str) -> None:
    buckets = [Bucket(key, 1, 60), Bucket(key, 1, 3600)]
    await tries.count(buckets)
    assert 60 < await tries.count(buckets) <= 3600


async def test_a_refused_try_is_counted_nowhere(tries: Tries, key: str) -> None:
    full, other = Bucket(key, 1, 60), Bucket(f"{key}-other", 2, 60)
    await tries.count([full])
    for _ in range(5):
        assert await tries.count([other, full]) > 0
    assert [await tries.count([other]) for _ in range(2)] == [0, 0]


async def test_who_is_forgiven_has_not_tried(tries: Tries, key: str) -> None:
    buckets = [Bucket(key, 2, 60), Bucket(key, 3, 3600)]
    for _ in range(10):
        assert await tries.count(buckets) == 0
        await tries.forgive(buckets)
    await tries.forgive(buckets)
    assert [await tries.count(buckets) for _ in range(2)] == [0, 0], "nobody has more than none to their account"
    assert await tries.count(buckets) > 0


async def test_of_many_tries_at_once_no_more_than_the_bucket_holds_are_let_through(tries: Tries, key: str) -> None:
    waits = await asyncio.gather(*(tries.count([Bucket(key, 10, 60)]) for _ in range(50)))
    assert waits.count(0) == 10


async def test_keys_are_remembered(tries: Tries, key: str) -> None:
    assert not await tries.knows(key)
    await tries.remember(key, 60)
    assert await tries.knows(key)
    assert not await tries.knows(f"{key}-other")


async def test_a_bucket_is_empty_again_after_its_time() -> None:
    now = 0.0
    tries, bucket = MemoryTries(lambda: now), Bucket("a", 1, 60)
    assert await tries.count([bucket]) == 0
    now = 59.0
    assert await tries.count([bucket]) == 1
    now = 60.0
    assert await tries.count([bucket]) == 0
    await tries.remember("b", 10)
    now = 69.0
    assert await tries.knows("b")
    now = 70.0
    assert not await tries.knows("b")
