"""Has the process that the next schedule will live in there before anybody asks for it: a newcomer's first hold then
takes milliseconds, not the two seconds of a start.

Never more than one process ahead of need, and none beyond those that owners may share.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Protocol

from actors.gateway.gateway import OwnerLost
from actors.process.rounds import every
from persistence.journal.journal import JournalUnavailable

# After the start of everything, which needs the cores itself; and from one look to the next.
FIRST_SECONDS, ROUND_SECONDS = 5.0, 5.0

logger = logging.getLogger(__name__)


class Next(Protocol):
    """Who knows where the next schedule will go (`persistence.journal.placement.Placement`)."""

    async def next(self) -> str: ...


class Prepares(Protocol):
    """Who brings processes up (`actors.gateway.gateway.Gateway`)."""

    async def prepare(self, name: str) -> None: ...


class Ahead:
    """Looks at the places again and again."""

    def __init__(self, placement: Next, gateway: Prepares) -> None:
        self._placement = placement
        self._gateway = gateway

    async def run(self, stop: asyncio.Event) -> None:
        """A look every few seconds until `stop` is set."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), FIRST_SECONDS)
        await every(ROUND_SECONDS, stop, self.run_once, "preparing a process of owners")

    async def run_once(self) -> str | None:
        """Prepares the next process; returns its name, or None where that has to wait for the next round."""
        try:
            name = await self._placement.next()
            await self._gateway.prepare(name)
        except (JournalUnavailable, OwnerLost) as error:
            logger.info("no process of owners is prepared: %s", error)
            return None
        return name
