"""Work that comes round keeps to its share of the time, and goes on after a service was away."""

from __future__ import annotations

import asyncio

import pytest

from actors.process.rounds import every, pause_after
from tests.support.waiting import PATIENCE_SECONDS


@pytest.mark.parametrize(
    ("took", "share", "pause"),
    [(0.0, 1.0, 10.0), (60.0, 1.0, 10.0), (0.1, 0.05, 10.0), (1.0, 0.05, 19.0), (3.0, 0.1, 27.0)],
)
def test_work_that_takes_long_is_followed_by_a_long_pause(took: float, share: float, pause: float) -> None:
    assert pause_after(took, 10.0, share) == pytest.approx(pause)


async def test_a_round_that_fails_for_want_of_a_service_is_followed_by_another() -> None:
    stop, done = asyncio.Event(), 0

    async def work() -> None:
        nonlocal done
        done += 1
        if done == 3:
            stop.set()
        raise ConnectionRefusedError("the database is away")

    await asyncio.wait_for(every(0.0, stop, work, "work"), PATIENCE_SECONDS)
    assert done == 3


async def test_any_other_error_ends_the_rounds() -> None:
    async def work() -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        await every(0.0, asyncio.Event(), work, "work")
