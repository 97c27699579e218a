"""Background work is done by whoever has the lease, and by nobody else for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from actors.background.turns import DatabaseLease, in_turn
from persistence.journal.journal import JournalUnavailable
from tests.support.waiting import until


class Lease:
    """A lease in memory, which may be away."""

    def __init__(self) -> None:
        self.ours = True
        self.away = False
        self.let_gos = 0

    async def hold(self) -> bool:
        if self.away:
            raise JournalUnavailable("away")
        return self.ours

    async def let_go(self) -> None:
        self.let_gos += 1


class Work:
    """Begins, and ends when it is told to."""

    def __init__(self) -> None:
        self.running = 0
        self.begun = 0

    async def __call__(self, over: asyncio.Event) -> None:
        self.begun += 1
        self.running += 1
        await over.wait()
        self.running -= 1


class World:
    def __init__(self) -> None:
        self.lease, self.work, self.stop = Lease(), Work(), asyncio.Event()
        self.task = asyncio.create_task(
            in_turn(self.lease, self.stop, self.work, renew_seconds=0.005, lease_seconds=0.05)
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    world.stop.set()
    await world.task
    assert not world.work.running


async def test_work_is_done_while_the_lease_is_ours(world: World) -> None:
    await until(lambda: world.work.running == 1)
    world.lease.ours = False
    await until(lambda: world.work.running == 0)
    begun, world.lease.ours = world.work.begun, True
    await until(lambda: world.work.begun > begun)


async def test_work_ends_when_the_lease_could_not_be_renewed_until_it_is_over(world: World) -> None:
    await until(lambda: world.work.running == 1)
    world.lease.away = True
    await until(lambda: world.work.running == 0)
    begun, world.lease.away = world.work.begun, False
    await until(lambda: world.work.begun > begun)


async def test_whoever_stops_lets_the_next_begin_at_once(world: World) -> None:
    await until(lambda: world.work.running == 1)
    world.stop.set()
    await world.task
    assert world.lease.let_gos == 1


async def test_one_of_two_machines_works_and_the_other_when_that_one_is_to_be_left_alone(database_url: str) -> None:
    async with asyncpg.create_pool(database_url, min_size=0, max_size=2) as pool:
        unwanted = {"a": False, "b": False}
        works, stop = {"a": Work(), "b": Work()}, asyncio.Event()

        def begin(name: str) -> asyncio.Task[None]:
            lease = DatabaseLease(pool, name, lambda: unwanted[name])
            return asyncio.create_task(in_turn(lease, stop, works[name], renew_seconds=0.01))

        first = begin("a")
        await until(lambda: works["a"].running == 1)
        second = begin("b")
        unwanted["a"] = True
        await until(lambda: works["b"].running == 1)
        assert works["a"].running == 0
        stop.set()
        await asyncio.gather(first, second)
