"""One way to readers for all schedules of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from actors.owner.readers import SharedReaders
from persistence.seats.cache import CacheUnavailable, News, SeatDelta, SeatView
from tests.support.waiting import PATIENCE_SECONDS


class Cache:
    """Remembers what it was told in each round trip, and is away when a test wants it."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.away = False

    async def publish_together(self, news: Sequence[News]) -> None:
        self.told.append([view.schedule_id for view, _ in news])
        if self.away:
            raise CacheUnavailable("away")


def publish(readers: SharedReaders, name: str) -> asyncio.Task[None]:
    return asyncio.create_task(readers.publish(SeatView(name, 2, b"", ()), SeatDelta(name, 1, 2, (), ())))


async def test_news_of_many_schedules_share_a_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.owner.readers.TOLD_AT_ONCE", 3)
    cache = Cache()
    readers = SharedReaders(cache)
    await asyncio.gather(*(publish(readers, name) for name in "abcde"))
    await publish(readers, "f")
    assert cache.told == [["a", "b", "c"], ["d", "e"], ["f"]]


async def test_a_cache_that_is_away_is_away_for_each_and_tried_again() -> None:
    cache = Cache()
    readers = SharedReaders(cache)
    cache.away = True
    told = await asyncio.gather(publish(readers, "a"), publish(readers, "b"), return_exceptions=True)
    assert [type(each) for each in told] == [CacheUnavailable] * 2
    cache.away = False
    await publish(readers, "a")
    assert cache.told == [["a", "b"], ["a"]]


async def test_a_schedule_that_has_gone_disturbs_no_other() -> None:
    readers = SharedReaders(Cache())
    gone, stays = publish(readers, "a"), publish(readers, "b")
    await asyncio.sleep(0)
    gone.cancel()
    await stays


async def test_an_error_nobody_foresaw_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Cache):
        async def publish_together(self, news: Sequence[News]) -> None:
            raise LookupError("a bug")

    monkeypatch.setattr("actors.owner.readers.TOLD_AT_ONCE", 1)
    readers = SharedReaders(Broken())
    async with asyncio.timeout(PATIENCE_SECONDS):
        told = await asyncio.gather(*(publish(readers, name) for name in "ab"), return_exceptions=True)
    assert [type(each) for each in told] == [CacheUnavailable] * 2
