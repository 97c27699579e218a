"""The one place where tests wait: for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout_seconds: float = 20.0) -> None:
    """Waits until the condition holds; raises `TimeoutError` if it does not in time."""
    async with asyncio.timeout(timeout_seconds):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(0.005)
