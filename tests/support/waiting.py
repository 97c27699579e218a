"""The one place where tests wait: for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

# Between two looks: of the time waited so far, so that what comes soon is seen soon, and what takes long is not slowed
# down by being looked at.
SHARE, SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 0.005, 0.25

# What comes at once where nothing else runs, and must come at all: on a machine with twenty times too much to do, too.
# Only what never comes takes so long. Who has less patience gives a reason: `tests/architecture/test_waiting.py`.
PATIENCE_SECONDS = 120.0


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout_seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until the condition holds; raises `TimeoutError` if it does not in time."""
    time = asyncio.get_running_loop().time
    begun = time()
    async with asyncio.timeout(timeout_seconds):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, SHARE * (time() - begun))))


async def soon(condition: Callable[[], bool]) -> None:
    """Waits as long, and looks in every turn of the event loop: for what only this process has to do."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0)


async def turns(number: int) -> None:
    """So many turns of the event loop."""
    for _ in range(number):
        await asyncio.sleep(0)
