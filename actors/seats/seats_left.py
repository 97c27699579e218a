"""How many seats are left of what performances have on sale, and of how many, for lists: a few seconds old, bounded in
what it costs.

A schedule itself, and its map, say exactly what is left. A catalogue of hundreds of schedules would fetch hundreds of
houses for one page, so what was counted is kept for some seconds, and no page counts more than so many.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from cachetools import LRUCache
from msgspec import Struct

from actors.seats.copies import Availability
from persistence.catalogue.overview import COUNTED, OnSale, Overview
from persistence.database.asked_once import latest_within
from persistence.database.held import holds_none

PATIENCE_SECONDS = 5.0
KEPT = 20_000  # counts of schedules: about 3 MB
AT_ONCE = 8
PER_PAGE = 200  # looked up for one page; what is beyond is counted for a later one

logger = logging.getLogger(__name__)


class Places(Struct, frozen=True):
    """Places that are for sale: how many are left, and how many there are, taken or not."""

    left: int
    capacity: int


NONE = Places(0, 0)


class SeatsLeft:
    """Counts by schedule. `availability` is asked for what is not known, or not any more."""

    def __init__(
        self, availability: Callable[[str], Awaitable[Availability]], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._availability = availability
        self._now = now
        # When it was counted, and what.
        self._known: LRUCache[str, tuple[float, Places | None]] = latest_within(KEPT)

    async def of(self, overviews: Mapping[str, Overview]) -> dict[str, Places | None]:
        """The sum by performance: none where nothing is on sale, None where not all of it could be counted."""
        holds_none("counting what is left of many schedules")
        since = self._now() - PATIENCE_SECONDS
        wanted = [
            schedule
            for each in overviews.values()
            if each.on_sale_count <= COUNTED
            for schedule in each.on_sale
            if schedule.untouched is None and self._known.get(schedule.id, (since, None))[0] <= since
        ]
        places = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._look(schedule, places) for schedule in wanted[:PER_PAGE]))
        return {performance_id: self._sum(each) for performance_id, each in overviews.items()}

    async def _look(self, schedule: OnSale, places: asyncio.Semaphore) -> None:
        found: Places | None = None
        async with places:
            try:
                counts = (await self._availability(schedule.id)).by_category
                for_sale = [each for name, each in counts.items() if name not in schedule.not_for_sale]
                found = Places(sum(each.free for each in for_sale), sum(each.capacity for each in for_sale))
            except Exception as error:  # noqa: BLE001  # a list is worth more than a count
                logger.info("the seats of schedule %s are not counted: %r", schedule.id, error)
        self._known[schedule.id] = (self._now(), found)

    def _sum(self, overview: Overview) -> Places | None:
        if overview.on_sale_count > COUNTED:
            return None
        total = NONE
        for schedule in overview.on_sale:
            if schedule.untouched is not None:
                found: Places | None = Places(schedule.untouched, schedule.untouched)
            else:
                found = self._known.get(schedule.id, (0.0, None))[1]
            if found is None:
                return None
            total = Places(total.left + found.left, total.capacity + found.capacity)
        return total
