"""The guard that ends everything of this instance once the supervisor is gone. It is kept: nobody else misses it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from persistence.embedded import outside
from persistence.embedded.instance import INSTANCE_VARIABLE

GUARD = Path(outside.__file__).with_name("guard.py")
PAUSE_SECONDS = 0.1  # before another one, should one end

logger = logging.getLogger(__name__)


class Guarding:
    """One guard at a time, of an instance. `on_failure` is called if there can be none any more (Linux only)."""

    def __init__(self, instance: str, on_failure: Callable[[BaseException], None]) -> None:
        self._instance = instance
        self._on_failure = on_failure
        self._guard: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Starts it, and another whenever one has ended."""
        self._guard = await self._started()
        self._keeping = asyncio.create_task(self._keep(self._guard), name="keep the guard")
        self._keeping.add_done_callback(self._ended)

    async def leave(self) -> None:
        """Minds no longer whether it ends: whoever ends everything else ends it, too."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})

    async def ended(self) -> None:
        """Waits until it has."""
        if self._guard is not None:
            await self._guard.wait()

    async def _keep(self, guard: asyncio.subprocess.Process) -> None:
        while True:
            code = await guard.wait()
            logger.error("the guard (pid %d) has ended with code %d, starting another", guard.pid, code)
            await asyncio.sleep(PAUSE_SECONDS)
            guard = self._guard = await self._started()

    async def _started(self) -> asyncio.subprocess.Process:
        """It waits for the end of its standard input, of which only we hold the other end."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(GUARD), self._instance),
            stdin=asyncio.subprocess.PIPE,
            env={INSTANCE_VARIABLE: self._instance},
            start_new_session=True,
        )

    def _ended(self, keeping: asyncio.Task[None]) -> None:
        if not keeping.cancelled() and (error := keeping.exception()) is not None:
            self._on_failure(error)
