"""The database, the broker and the cache as owners and gateways find them: away, slow, locked, or losing answers, as a
simulation wants it. All in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg

from engine.seating_plan import SeatingPlan
from persistence.events.log import MemoryEventLog
from persistence.journal.journal import Batch, Claim, Commit, JournalUnavailable, Locked
from persistence.journal.memory import MemoryJournal
from persistence.journal.own_process import MARKED
from persistence.journal.placement import FIND, LOADS, PLACED, TAKE, VACATE
from persistence.seats.cache import CacheUnavailable, MemorySeatCache, News
from tests.support.waiting import turns


class Weather:
    """What the database, the cache and the broker are like at the moment."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.away = self.slow = self.loses_answers = False
        self.cache_away = False
        self.locked: set[str] = set()  # schedules whose head rows somebody holds
        self.log = MemoryEventLog()

    def clears_up(self) -> None:
        self.away = self.slow = self.loses_answers = self.cache_away = False
        self.locked.clear()
        self.log.available = True

    async def way(self) -> None:
        await turns(self.chance.randrange(4))
        if self.slow and self.chance.random() < 0.5:
            await asyncio.sleep(self.chance.uniform(0, 2.5))
        if self.away:
            await asyncio.sleep(self.chance.choice([0, 0.1, 1.0]))
            raise JournalUnavailable("away")

    async def way_back(self) -> None:
        await turns(self.chance.randrange(3))
        if self.loses_answers and self.chance.random() < 0.3:
            raise JournalUnavailable("the answer is lost")


class Database(MemoryJournal):
    """One process's way to the journal that all share."""

    def __init__(self, weather: Weather, schedules: dict[str, Any], host: str) -> None:
        super().__init__(host=host)
        self._weather = weather
        self.schedules = schedules

    async def plan(self, schedule_id: str) -> SeatingPlan:
        await self._weather.way()
        return await super().plan(schedule_id)

    async def claim(self, schedule_id: str) -> Claim:
        await self._weather.way()
        claim = await super().claim(schedule_id)
        await self._weather.way_back()
        return claim

    async def append(self, claim: Claim, plan: SeatingPlan, batch: Batch) -> None:
        await self._weather.way()
        if claim.schedule_id in self._weather.locked:
            await asyncio.sleep(0.2)
            raise Locked("somebody holds it")
        await super().append(claim, plan, batch)
        await self._weather.way_back()

    async def append_together(self, commits: Sequence[Commit]) -> list[bool]:
        await self._weather.way()
        free = [commit for commit in commits if commit.claim.schedule_id not in self._weather.locked]
        durable = iter(await super().append_together(free))
        await self._weather.way_back()
        return [commit.claim.schedule_id not in self._weather.locked and next(durable) for commit in commits]

    async def read(self, schedule_id: str, after_seq: int, limit: int) -> list[Any]:
        await self._weather.way()
        return await super().read(schedule_id, after_seq, limit)

    async def save_snapshot(self, claim: Claim, seq: int, payload: bytes) -> None:
        await self._weather.way()
        await super().save_snapshot(claim, seq, payload)

    async def save_published(self, claim: Claim, seq: int) -> None:
        await self._weather.way()
        await super().save_published(claim, seq)


class HeadRows:
    """The pool by which places are looked up and given."""

    def __init__(self, weather: Weather, schedules: dict[str, Any]) -> None:
        self._weather = weather
        self._rows = schedules
        self._answers: dict[str, Callable[..., list[tuple[object, ...]]]] = {
            FIND: self._find,
            LOADS: self._loads,
            TAKE: self._take,
            PLACED: lambda host: [(key, row.epoch) for key, row in self._rows.items() if row.host == host],
            VACATE: self._vacate,
            MARKED: list,
        }

    async def fetch(self, query: str, *arguments: Any) -> list[tuple[object, ...]]:
        try:
            await self._weather.way()
        except JournalUnavailable as error:
            raise asyncpg.ConnectionDoesNotExistError(str(error)) from error
        answer = self._answers[query](*arguments)
        await turns(self._weather.chance.randrange(3))
        return answer

    def _find(self, ids: Sequence[str]) -> list[tuple[object, ...]]:
        return [(key, self._rows[key].host) for key in ids if key in self._rows]

    def _loads(self) -> list[tuple[object, ...]]:
        hosts = [row.host for row in self._rows.values() if row.host is not None]
        return [(host, hosts.count(host)) for host in set(hosts)]

    def _take(self, ids: Sequence[str], former: Sequence[str], wanted: Sequence[str]) -> list[tuple[object, ...]]:
        taken = [each for each in zip(ids, former, wanted, strict=True) if self._rows[each[0]].host == each[1]]
        for key, _, host in taken:
            self._rows[key].host = host
        return [(key, host) for key, _, host in taken]

    def _vacate(self, host: str, ids: Sequence[str], epochs: Sequence[int]) -> list[tuple[object, ...]]:
        for key, epoch in zip(ids, epochs, strict=True):
            if (self._rows[key].host, self._rows[key].epoch) == (host, epoch):
                self._rows[key].host = None
        return []


class Cache(MemorySeatCache):
    """The cache, as owners reach it."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self._weather = weather

    async def publish_together(self, news: Sequence[News]) -> None:
        await turns(self._weather.chance.randrange(3))
        if self._weather.cache_away:
            raise CacheUnavailable("away")
        for view, delta in news:
            await self.publish(view, delta)
