"""Wakes the schedules that have something to do without any customer asking.

A hold to expire, an event not yet published, a sale about to open: the head row says so, whatever happened to the
owner's process. So a crash, or a restart of everything, forgets nothing. Several sweepers do no harm.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any, Generic

import asyncpg

from actors.gateway.gateway import Gateway, OwnerT, Unavailable, UnknownSchedule
from actors.process.clock import Clock
from actors.process.rounds import every
from actors.receivers.names import RECEIVERS
from engine.commands import Expire
from persistence.journal import heads

SWEEP_SECONDS = 1.0
# An owner that is alive expires its holds within a second of their time, and publishes within a few.
OVERDUE_MS = 2_000
REST_ROUND_SECONDS = 60.0  # how often schedules are let rest, so that what has been played is passed by
QUIET_SECONDS = 600.0  # twice as long as an owner stays that is not used
UNPUBLISHED = timedelta(seconds=10)
OPENS_WITHIN = timedelta(
    seconds=30
)  # a process of owners may take two seconds to start: have it there before the crowd
# Schedules woken per round. Each is read from the journal and stays in memory for a while, so a restart of everything
# does not read them all at once. Only the sweep is late: a hold past its time counts as expired anyway.
SWEEP_LIMIT = 50

logger = logging.getLogger(__name__)


class Sweeper(Generic[OwnerT]):
    """Looks at the head rows again and again, at those that do not rest."""

    def __init__(self, pool: asyncpg.Pool[Any], gateway: Gateway[OwnerT], clock: Clock, *, publishing: bool) -> None:
        self._pool = pool
        self._gateway = gateway
        self._clock = clock
        self._publishing = publishing

    async def run(self, stop: asyncio.Event) -> None:
        """Sweeps until told to stop; a database or owner that is away is tried again in the next round."""
        async with asyncio.TaskGroup() as group:
            group.create_task(every(SWEEP_SECONDS, stop, self.run_once, "the sweep"))
            group.create_task(every(REST_ROUND_SECONDS, stop, self.let_rest, "letting schedules rest"))

    async def let_rest(self) -> int:
        """Takes out of what is looked at where nothing is due; returns how many."""
        return await heads.let_rest(self._pool, RECEIVERS, quiet_seconds=QUIET_SECONDS)

    async def run_once(self) -> list[str]:
        """Wakes what is due now; returns the schedules."""
        due = await heads.due(
            self._pool,
            before_ms=self._clock.now_ms() - OVERDUE_MS,
            publishing=self._publishing,
            unpublished=UNPUBLISHED,
            opens_within=OPENS_WITHIN,
            limit=SWEEP_LIMIT,
        )
        await asyncio.gather(*(self._wake(schedule_id) for schedule_id in due))
        return due

    async def _wake(self, schedule_id: str) -> None:
        try:
            await self._gateway.send(schedule_id, Expire(), request_id="")
        except (Unavailable, UnknownSchedule) as error:
            logger.warning("schedule %s could not be woken: %r", schedule_id, error)
