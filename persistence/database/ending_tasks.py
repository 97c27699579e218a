"""Tasks that run until somebody ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

AGAIN_SECONDS = 0.5


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancels the tasks until they have ended.

    Once is not always enough: a client library that is just connecting or reading may take the cancellation for a
    time-out of its own and report that instead (seen with redis-py), whereupon the task goes on.
    """
    while running := {task for task in tasks if not task.done()}:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=AGAIN_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at, or asyncio complains of it
