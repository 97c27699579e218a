"""What bookings are of, for their views: read anew for whoever reads, kept for some seconds for whoever books.

The answer to a hold is on the hottest way there is, and nothing is looked up for it that was looked up a moment before;
what several schedules miss at the same time is looked up together. It never fails for want of a title: what cannot be
read is left out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from api.office.together import Together
from persistence.bookings.booked_schedules import BookedSchedule, booked_schedules
from persistence.database.asked_once import AskedOnce
from persistence.database.away import is_away

KEPT_SECONDS = 5.0
PATIENCE_SECONDS = 1.0  # for news of what is known: a hold asks twice, and its owner may need all the time there is
KEPT = 2_000  # about 4 MB

logger = logging.getLogger(__name__)


class BookedSchedules:
    """Schedules by id, and when they were read."""

    def __init__(self, database: AsyncEngine, *, now: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._known: AskedOnce[BookedSchedule | None] = AskedOnce(KEPT, now=now)
        self._missed: set[str] = set()
        self._reading: Together[dict[str, BookedSchedule]] = Together()

    async def read(self, ids: Collection[str]) -> dict[str, BookedSchedule]:
        """These schedules as they are now."""
        async with self._database.connect() as connection:
            return await booked_schedules(connection, list(dict.fromkeys(ids)))

    async def known(self, schedule_id: str) -> BookedSchedule | None:
        """The schedule as it was some seconds ago at most; where it cannot be read, as it was last, or None."""
        return await self._known.ask(schedule_id, partial(self._renew, schedule_id), within_seconds=KEPT_SECONDS)

    async def _renew(self, schedule_id: str) -> BookedSchedule | None:
        self._missed.add(schedule_id)
        before = self._known.last(schedule_id)
        try:
            async with asyncio.timeout(None if before is None else PATIENCE_SECONDS):
                return (await self._reading.ask("missed", self._read_missed)).get(schedule_id)
        except Exception as error:
            if not is_away(error):
                raise
            logger.warning("what schedule %s is cannot be read: %r", schedule_id, error)
            return before

    async def _read_missed(self) -> dict[str, BookedSchedule]:
        missed, self._missed = self._missed, set()
        return await self.read(missed)
