"""Hashing keeps its promises under any load: it is done soon or refused soon, and what nobody waits for is not done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from api.http.problems import Problem
from api.office import passwords
from api.office.passwords import THREADS, Passwords
from tests.support.waiting import PATIENCE_SECONDS, until


@pytest.fixture
def pool() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


class Slow:
    """Takes as long as it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun = 0

    def __call__(self) -> None:
        self.begun += 1
        self.go_on.wait(PATIENCE_SECONDS)


async def begun(slow: Slow, count: int) -> None:
    await until(lambda: slow.begun >= count)


async def test_who_would_wait_too_long_is_refused_while_others_still_run(
    pool: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "MAX_WAIT_SECONDS", 0.05)
    slow = Slow()
    running = [asyncio.create_task(pool._run(slow)) for _ in range(THREADS)]
    await begun(slow, THREADS)
    with pytest.raises(Problem, match="overloaded") as refused:
        await pool._run(slow)
    assert refused.value.headers["Retry-After"] == "2"
    assert slow.begun == THREADS, "what was refused is not done"
    slow.go_on.set()
    await asyncio.gather(*running)


async def test_a_queue_that_would_take_too_long_is_not_joined(pool: Passwords) -> None:
    pool._usual_seconds = passwords.MAX_WAIT_SECONDS  # beside a sale that takes both cores
    slow = Slow()
    running = [asyncio.create_task(pool._run(slow)) for _ in range(THREADS)]
    await begun(slow, THREADS)
    waiting = asyncio.create_task(pool._run(slow))
    await asyncio.sleep(0)
    with pytest.raises(Problem, match="overloaded"):
        await asyncio.wait_for(pool._run(slow), PATIENCE_SECONDS / 2)
    slow.go_on.set()
    await asyncio.gather(*running, waiting)


async def test_what_nobody_waits_for_any_more_is_not_done(pool: Passwords) -> None:
    slow = Slow()
    running = [asyncio.create_task(pool._run(slow)) for _ in range(THREADS)]
    await begun(slow, THREADS)
    gone = asyncio.create_task(pool._run(slow))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({gone})
    slow.go_on.set()
    await asyncio.gather(*running)
    assert not await pool.matches("a password", None)
    assert slow.begun == THREADS


async def test_the_usual_time_follows_what_hashes_take() -> None:
    now = 0.0
    pool = Passwords(lambda: now)

    def work() -> None:
        nonlocal now
        now += 1.0

    for _ in range(50):
        await pool._run(work)
    assert pool._usual_seconds == pytest.approx(1.0, rel=0.01)
    pool.close()
