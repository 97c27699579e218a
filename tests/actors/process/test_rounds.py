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


@pytest.mark.parametrize(("again_seconds", "said"), [(60.0, 1), (0.0, 3)])
async def test_an_outage_is_said_when_it_begins_and_when_it_is_over_and_between_not_with_every_round(
    again_seconds: float, said: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("persistence.database.away.SAID_AGAIN_SECONDS", again_seconds)
    stop, rounds = asyncio.Event(), iter([True, False, False, False, True, False, True])

    async def work() -> None:
        served = next(rounds, None)
        if served is None:
            stop.set()
        elif not served:
            raise ConnectionRefusedError("the database is away")

    await asyncio.wait_for(every(0.0, stop, work, "mails"), PATIENCE_SECONDS)
    first, second = caplog.messages[: said + 1], caplog.messages[said + 1 :]
    assert [each.startswith("mails put off") for each in first] == [True] * said + [False]
    assert [first[-1], second[-1]] == [f"mails goes on; put off {count} times" for count in (3, 1)]
    assert len(second) == 2, "the next outage is news again"


async def test_any_other_error_ends_the_rounds() -> None:
    async def work() -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        await every(0.0, asyncio.Event(), work, "work")
