"""Ending tasks that do not always listen."""

from __future__ import annotations

import asyncio

import pytest

from persistence.database import ending_tasks
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending_tasks, "AGAIN_SECONDS", 0.01)


async def forever(swallowed: int) -> None:
    """Takes so many cancellations for something else."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if not swallowed:
                raise
            swallowed -= 1


async def test_a_task_that_takes_a_cancellation_for_something_else_is_ended_all_the_same() -> None:
    tasks = [asyncio.create_task(forever(swallowed)) for swallowed in (0, 1, 3)]
    await asyncio.sleep(0)
    await asyncio.wait_for(ending_tasks.end(tasks), PATIENCE_SECONDS)
    assert all(task.cancelled() for task in tasks)


async def test_what_has_ended_or_fails_meanwhile_is_no_trouble() -> None:
    async def fail() -> None:
        raise ValueError("by itself")

    async def last_words() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("on the way out")

    tasks = [asyncio.create_task(fail()), asyncio.create_task(last_words())]
    await asyncio.sleep(0)
    await ending_tasks.end(tasks)
    assert all(task.done() for task in tasks)
    await ending_tasks.end([])
