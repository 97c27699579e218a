"""Ends the bookings of cancelled schedules, batch by batch, whoever asked for the cancellation and whether or not they
are still there.

What is left to do stands in the tables, which the owner writes with the events: a batch is done as a whole or not at
all, and the next process goes on where this one died. A booking whose payment is under way is left until that payment
has its outcome. Money is given back by `refunding`.
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.gateway.gateway import Unavailable, UnknownSchedule
from actors.money.settlement import Sends
from actors.process.clock import Clock
from actors.process.rounds import every
from engine.commands import EndBookings
from engine.refusals import Refusal
from engine.state import Done
from persistence.bookings import cancelled_schedules as cancelled

INTERVAL_SECONDS = 1.0
BATCH = 200  # bookings ended by one command: a few milliseconds of the owner's time

logger = logging.getLogger(__name__)


class Endings:
    """Looks for cancelled schedules with live bookings again and again."""

    def __init__(self, database: AsyncEngine, gateway: Sends, clock: Clock) -> None:
        self._database = database
        self._gateway = gateway
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """A round every second until `stop` is set."""
        await every(INTERVAL_SECONDS, stop, self.run_once, "ending bookings")

    async def run_once(self) -> int:
        """Ends what can be ended now. Returns how many bookings that were."""
        ended = 0
        for schedule_id in await cancelled.with_live_bookings(self._database):
            try:
                ended += await self._end(schedule_id)
            except (Unavailable, UnknownSchedule) as error:
                logger.warning("bookings of schedule %s are ended later: %r", schedule_id, error)
        return ended

    async def _end(self, schedule_id: str) -> int:
        ended = 0
        while due := await cancelled.endable(self._database, schedule_id, BATCH):
            ids = tuple(self._clock.new_id() for _ in range(due))
            # Sent again after a lost answer it must not give the same ids to other bookings: so it has one of its own.
            answer = await self._gateway.send(schedule_id, EndBookings(ids), request_id=self._clock.new_id())
            if isinstance(answer, Refusal):
                logger.error(
                    "schedule %s is cancelled in the tables, but not for its owner: %s", schedule_id, answer.code
                )
                break
            if isinstance(answer, Done):  # it has nothing to end; a table that says otherwise is reconciliation's
                break
            ended += due
            logger.info("schedule %s: %d bookings ended", schedule_id, ended)
        return ended
