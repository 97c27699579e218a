"""How processes of ours that answer nobody are entered: told to end they come to it, and what they raise is seen."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from actors.process import entry
from actors.process.entry import serve
from actors.process.settings import Settings


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the log was set up for; this process's own stays as it is."""
    found: list[str] = []
    monkeypatch.setattr(entry.telemetry, "configure", lambda settings, process: found.append(process))
    return found


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Whoever handled signals before does so afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_work_that_is_asked_to_end_puts_its_things_away_first(number: int, named: list[str]) -> None:
    done: list[str] = []

    async def work(settings: Settings, stop: asyncio.Event) -> None:
        os.kill(os.getpid(), number)
        await stop.wait()
        done.append("put away")

    serve("a program", work)
    assert (named, done) == (["a program"], ["put away"])


def test_what_work_raises_ends_the_process() -> None:
    async def work(settings: Settings, stop: asyncio.Event) -> None:
        raise ConnectionRefusedError("the database is away")

    with pytest.raises(ConnectionRefusedError, match="the database is away"):
        serve("a program", work)
