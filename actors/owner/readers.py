"""One way to readers for all schedules of a process: what gathers in a while is told in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from actors.owner.seat_board import SHOW_SECONDS
from persistence.seats.cache import CacheUnavailable, News, SeatDelta, SeatView

TOLD_AT_ONCE = 100  # schedules: nobody else reaches Redis meanwhile


class TakesNews(Protocol):
    """Where readers of many schedules are told; as much of `RedisSeatCache` as that takes."""

    async def publish_together(self, news: Sequence[News]) -> None:
        """Stores the views and announces the deltas. Raises `CacheUnavailable`."""


class SharedReaders:
    """What each schedule's board takes for its own `Readers`."""

    def __init__(self, cache: TakesNews) -> None:
        self._cache = cache
        self._waiting: list[tuple[News, asyncio.Future[None]]] = []
        self._telling: asyncio.Task[None] | None = None
        self._told_at = 0.0  # on the loop's clock

    async def publish(self, view: SeatView, delta: SeatDelta) -> None:
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(((view, delta), told))
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell())
        await told

    async def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await asyncio.sleep(self._told_at + SHOW_SECONDS - loop.time())  # at once, where that is past
                told, self._waiting = self._waiting[:TOLD_AT_ONCE], self._waiting[TOLD_AT_ONCE:]
                self._told_at = loop.time()
                try:
                    await self._cache.publish_together([news for news, _ in told])
                except CacheUnavailable as error:
                    _end(told, error)
                except BaseException as error:  # raised again: nobody is left waiting, those not told of yet included
                    _end((*told, *self._waiting), CacheUnavailable(type(error).__name__))
                    self._waiting = []
                    raise
                else:
                    _end(told)
        finally:
            self._telling = None


def _end(told: Sequence[tuple[News, asyncio.Future[None]]], error: Exception | None = None) -> None:
    for _, done in told:
        if done.done():
            continue  # its schedule has gone
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
