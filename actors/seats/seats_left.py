"""How many seats are left of what performances have on sale, for lists: a few seconds old, bounded in what it costs.

A schedule itself, and its map, say exactly what is left. A catalogue of hundreds of schedules would fetch hundreds of
houses for one page, so what was counted is kept for some seconds, and no page counts more than so many.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from cachetools import LRUCache

from actors.seats.copies import Availability
from persistence.catalogue.overview import COUNTED, OnSale, Overview
from persistence.database.asked_once import latest_within
from persistence.database.held import holds_none

PATIENCE_SECONDS = 5.0
KEPT = 20_000  # counts of schedules: about 3 MB
AT_ONCE = 8
PER_PAGE = 200  # looked up for one page; what is beyond is counted for a later one

logger = logging.getLogger(__name__)


class SeatsLeft:
    """Counts by schedule. `availability` is asked for what is not known, or not any more."""

    def __init__(
        self, availability: Callable[[str], Awaitable[Availability]], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._availability = availability
        self._now = now
        # When it was counted, and what.
        self._known: LRUCache[str, tuple[float, int | None]] = latest_within(KEPT)

    async def of(self, overviews: Mapping[str, Overview]) -> dict[str, int | None]:
        """The sum by performance: 0 where nothing is on sale, None where not all of it could be counted."""
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
        count: int | None = None
        async with places:
            try:
                found = (await self._availability(schedule.id)).by_category
                count = sum(each.free for name, each in found.items() if name not in schedule.not_for_sale)
            except Exception as error:  # noqa: BLE001  # a list is worth more than a count
                logger.info("the seats of schedule %s are not counted: %r", schedule.id, error)
        self._known[schedule.id] = (self._now(), count)

    def _sum(self, overview: Overview) -> int | None:
        if overview.on_sale_count > COUNTED:
            return None
        total = 0
        for schedule in overview.on_sale:
            count = self._known.get(schedule.id, (0.0, None))[1] if schedule.untouched is None else schedule.untouched
            if count is None:
                return None
            total += count
        return total
