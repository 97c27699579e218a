"""A machine of a cluster has its processes of owners there, whoever asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.background import keeping
from actors.background.keeping import Keeping
from actors.gateway.gateway import OwnerLost
from tests.support.waiting import until


class Process:
    def __init__(self) -> None:
        self.gone = self.silent = self.closed = False

    async def submit(self, data: bytes) -> bytes:
        raise AssertionError("nothing is asked of schedules")

    async def inspect(self, schedule_id: str) -> bytes | None:
        if self.silent:
            await asyncio.Event().wait()
        if self.gone:
            raise OwnerLost("gone")
        return None

    async def retire(self, schedule_id: str) -> None:
        raise AssertionError("nothing is asked of schedules")

    def close(self) -> None:
        self.closed = True


class Local:
    def __init__(self) -> None:
        self.found: dict[str, list[Process]] = {}
        self.replaced: list[Process] = []
        self.failures = 1

    async def find(self, name: str) -> Process:
        if self.failures:
            self.failures -= 1
            raise OwnerLost("not yet")
        self.found.setdefault(name, []).append(Process())
        return self.found[name][-1]

    async def replace(self, name: str, owner: Process) -> None:
        self.replaced.append(owner)


@pytest.fixture
async def local(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Local]:
    monkeypatch.setattr(keeping, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(keeping, "AGAIN_SECONDS", 0.001)
    local, stop = Local(), asyncio.Event()
    running = asyncio.create_task(Keeping(local, ("one", "two"), silent_seconds=0.02).run(stop))
    await until(lambda: len(local.found) == 2)
    yield local
    stop.set()
    await running
    assert all(each.closed for processes in local.found.values() for each in processes)


async def test_one_that_is_gone_is_found_anew_and_the_others_are_left(local: Local) -> None:
    local.found["one"][0].gone = True
    await until(lambda: len(local.found["one"]) == 2)
    assert len(local.found["two"]) == 1
    assert local.replaced == []


async def test_one_that_is_silent_is_replaced(local: Local) -> None:
    local.found["two"][0].silent = True
    await until(lambda: len(local.found["two"]) == 2)
    assert local.replaced == local.found["two"][:1]
