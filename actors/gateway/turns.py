"""Whose turn it is to be opened: the schedule's with the most waiting; what could not be opened in time is told so."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.gateway.requests import Queue, Unavailable

AT_ONCE = 4  # schedules being opened in one process of owners, for one process that asks
EXPECTED_SECONDS = 0.05  # an opening, before any was seen
NEWEST_SHARE = 0.2  # of the newest opening in what the next is expected to take


class Turns:
    """The line before one process of owners."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._free = AT_ONCE
        self._line: dict[asyncio.Future[None], Queue] = {}
        self._seconds = EXPECTED_SECONDS

    @property
    def expected_seconds(self) -> float:
        """How long whoever joins the line now would wait."""
        return 0.0 if self._free else (len(self._line) + 1) * self._seconds / AT_ONCE

    @asynccontextmanager
    async def turn(self, queue: Queue) -> AsyncIterator[None]:
        """One schedule's turn. Raises `Unavailable`, with the time to come again, if it would come too late."""
        expected = self.expected_seconds
        if expected > self._patience:
            raise Unavailable("too many schedules are being opened", retry_after_seconds=math.ceil(expected))
        if self._free:
            self._free -= 1
        else:
            called = asyncio.get_running_loop().create_future()
            self._line[called] = queue
            try:
                await called
            except asyncio.CancelledError:
                if self._line.pop(called, None) is None:  # called and leaving at the same time
                    self._call_next()
                raise
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds += NEWEST_SHARE * (time.monotonic() - began - self._seconds)
            self._call_next()

    def _call_next(self) -> None:
        """The longest queue; among equals, the one that came first."""
        if not self._line:
            self._free += 1
            return
        called = max(self._line, key=lambda each: len(self._line[each]))
        del self._line[called]
        called.set_result(None)
