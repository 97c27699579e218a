"""An event loop whose time passes only when nothing else can happen: minutes of it take milliseconds, and a program in
which nobody will ever do anything again is told so instead of waited for."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class Stuck(Exception):
    """Nothing is due, and nothing will ever be."""


class _Selector(selectors.SelectSelector):
    """Waits for nobody: no time passes while files are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        self.now += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0, in seconds."""

    def __init__(self) -> None:
        self._simulated = _Selector()
        super().__init__(self._simulated)
        self._clock_resolution = 1e-6  # times are added up, so they are not exact

    def time(self) -> float:
        return self._simulated.now


async def turns(number: int) -> None:
    """So many turns of the loop."""
    for _ in range(number):
        await asyncio.sleep(0)


def simulated(story: Coroutine[Any, Any, ResultT]) -> ResultT:
    """What the story comes to, in a loop of its own. Raises `Stuck`."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(story)


def others() -> list[asyncio.Task[Any]]:
    """The tasks there are beside this one."""
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
