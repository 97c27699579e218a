"""Has the process that the next schedule will live in there before anybody asks for it: a newcomer's first hold then
takes milliseconds, not the two seconds of a start.

Never more than one process ahead of need, and none beyond those that owners may share.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from actors.gateway.gateway import OwnerLost
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
        """Works until told to stop; what is away is tried again in the next round."""
        pause = FIRST_SECONDS
        while not await _stopped(stop, pause):
            pause = ROUND_SECONDS
            try:
                await self.run_once()
            except (JournalUnavailable, OwnerLost) as error:
                logger.info("no process of owners is prepared: %s", error)

    async def run_once(self) -> str:
        """Prepares the next process; returns its name."""
        name = await self._placement.next()
        await self._gateway.prepare(name)
        return name


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
