"""What bookings are of, for their views: read anew for whoever reads, kept for some seconds for whoever books.

The answer to a hold is on the hottest way there is, and nothing is looked up for it that was looked up a moment before.
It never fails for want of a title: what cannot be read is left out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection

from sqlalchemy.ext.asyncio import AsyncEngine

from api.office.under_way import shared
from persistence.bookings.booked_schedules import BookedSchedule, booked_schedules
from persistence.database.connection import is_unavailable

KEPT_SECONDS = 5.0
KEPT = 2_000  # about 4 MB

logger = logging.getLogger(__name__)


class BookedSchedules:
    """Schedules by id, and when they were read."""

    def __init__(self, database: AsyncEngine, *, now: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._now = now
        self._known: OrderedDict[str, tuple[float, BookedSchedule | None]] = OrderedDict()
        self._reading: dict[str, asyncio.Task[BookedSchedule | None]] = {}

    async def read(self, ids: Collection[str]) -> dict[str, BookedSchedule]:
        """These schedules as they are now."""
        async with self._database.connect() as connection:
            return await booked_schedules(connection, list(dict.fromkeys(ids)))

    async def known(self, schedule_id: str) -> BookedSchedule | None:
        """The schedule as it was some seconds ago at most; None where it cannot be read."""
        known = self._known.get(schedule_id)
        if known is not None and self._now() - known[0] < KEPT_SECONDS:
            return known[1]
        task = self._reading.get(schedule_id)
        if task is None:
            task = self._reading[schedule_id] = asyncio.create_task(self._renew(schedule_id))
        return await shared(task)

    async def _renew(self, schedule_id: str) -> BookedSchedule | None:
        schedule: BookedSchedule | None = None
        try:
            schedule = (await self.read([schedule_id])).get(schedule_id)
        except Exception as error:
            if not is_unavailable(error):
                raise
            logger.warning("what schedule %s is cannot be read: %r", schedule_id, error)
        finally:
            del self._reading[schedule_id]
        self._known[schedule_id] = (self._now(), schedule)
        self._known.move_to_end(schedule_id)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return schedule
