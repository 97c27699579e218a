"""Tells a schedule's owner and its readers of what was written past the owner (`persistence/journal/overruling.py`).

An owner that was deposed does not know it before its next commit, and would go on refusing by what it remembers; so its
process ends, and whoever asks next gets one that has read the journal. Readers are told that there is something newer.
May be done any number of times. Who wrote the record does it at once; what is left undone by one who died, `Telling`
does in the background process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol

import asyncpg

from actors.process.rounds import every
from persistence.journal import overruling
from persistence.journal.journal import JournalUnavailable
from persistence.journal.overruling import Overruled
from persistence.seats.cache import CacheUnavailable

INTERVAL_SECONDS = 1.0
OVERDUE_SECONDS = 3.0  # whoever wrote has told by then, or is gone
AT_ONCE = 8
RETIRE_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Retires(Protocol):
    """As much of `Gateway` as telling takes."""

    async def retire(self, schedule_id: str) -> None: ...


class Announces(Protocol):
    """As much of `SeatCache` as telling takes."""

    async def outdate(self, schedule_id: str, version: int) -> None: ...


async def tell(gateway: Retires, cache: Announces, database: asyncpg.Pool[Any], overruled: Sequence[Overruled]) -> None:
    """Ends the owners of these schedules, has their readers look anew, and notes that they were told."""
    places = asyncio.Semaphore(AT_ONCE)

    async def told(each: Overruled) -> bool:
        async with places:
            try:
                if each.owned:
                    async with asyncio.timeout(RETIRE_SECONDS):
                        await gateway.retire(each.schedule_id)
                # After the owner has ended, which may have left its last news untold.
                await cache.outdate(each.schedule_id, each.seq)
            except (TimeoutError, JournalUnavailable) as error:
                logger.warning("schedule %s is told later of version %d: %r", each.schedule_id, each.seq, error)
                return False
            except CacheUnavailable as error:  # its readers read the journal, until it is back
                logger.info("readers of schedule %s are not told: %s", each.schedule_id, error)
            return True

    done = await asyncio.gather(*(told(each) for each in overruled))
    await overruling.told(database, [each for each, was_told in zip(overruled, done, strict=True) if was_told])


class Telling:
    """Tells what somebody should have told."""

    def __init__(self, database: asyncpg.Pool[Any], gateway: Retires, cache: Announces) -> None:
        self._database = database
        self._gateway = gateway
        self._cache = cache

    async def run(self, stop: asyncio.Event) -> None:
        """A round every second until `stop` is set."""
        await every(INTERVAL_SECONDS, stop, self.run_once, "telling owners what was written past them")

    async def run_once(self, older_than_seconds: float = OVERDUE_SECONDS) -> int:
        """Tells what is overdue; returns how many schedules that concerned."""
        overdue = await overruling.untold(self._database, older_than_seconds=older_than_seconds)
        if overdue:
            await tell(self._gateway, self._cache, self._database, overdue)
        return len(overdue)
