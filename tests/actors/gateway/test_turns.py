"""Whose turn it is to be opened."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from actors.gateway.requests import Queue, Unavailable, Waiting
from actors.gateway.turns import Turns
from engine import commands
from engine.turn import Request


def queue_of(size: int) -> Queue:
    queue = Queue(f"s{size}")
    for number in range(size):
        queue.waiting.append(Waiting(Request(f"r{number}", commands.Expire()), deadline=1e9))
    return queue


class Opening:
    """Takes turns that last until they are let end."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.had: list[str] = []
        self.go_on = asyncio.Event()

    async def open(self, queue: Queue) -> None:
        async with self._turns.turn(queue):
            self.had.append(queue.schedule_id)
            await self.go_on.wait()

    async def start(self, *sizes: int) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.open(queue_of(size))) for size in sizes]
        await asyncio.sleep(0)  # each has asked for its turn
        return tasks


@pytest.fixture(autouse=True)
def one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.gateway.turns.AT_ONCE", 1)


async def test_the_schedule_with_the_most_waiting_comes_first_and_among_equals_the_earlier() -> None:
    opening = Opening(Turns(patience_seconds=60))
    tasks = await opening.start(0, 1, 2, 5, 3, 5)
    opening.go_on.set()
    await asyncio.gather(*tasks)
    assert opening.had == ["s0", "s5", "s5", "s3", "s2", "s1"]


async def test_whoever_would_wait_too_long_is_told_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.gateway.turns.EXPECTED_SECONDS", 1.0)
    opening = Opening(Turns(patience_seconds=2.5))
    tasks = await opening.start(1, 1, 1, 1, 1)
    told = [task.exception() for task in tasks if task.done()]
    assert [each.retry_after_seconds for each in told if isinstance(each, Unavailable)] == [3, 3]
    opening.go_on.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(opening.had) == 3


async def test_whoever_leaves_the_line_keeps_nobody_from_a_turn() -> None:
    opening = Opening(Turns(patience_seconds=60))
    first, leaving, last = await opening.start(1, 9, 2)
    leaving.cancel()
    opening.go_on.set()
    await asyncio.gather(first, last)
    assert opening.had == ["s1", "s2"]


async def test_how_long_an_opening_takes_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("actors.gateway.turns.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr("actors.gateway.turns.NEWEST_SHARE", 1.0)
    turns = Turns(patience_seconds=60)
    async with turns.turn(queue_of(1)):
        now = 7.0
    async with turns.turn(queue_of(1)):
        assert turns.expected_seconds == 7.0
