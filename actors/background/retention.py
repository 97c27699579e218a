"""Drops, hour by hour, what nobody will ask for any more: see `persistence.accounts.erasure`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import Clock
from actors.process.rounds import every
from persistence.accounts import erasure
from persistence.database.moments import moment

ROUND_SECONDS = 3600.0

logger = logging.getLogger(__name__)


class Retention:
    """Keeps nothing longer than it is of use. Any number of processes may."""

    def __init__(self, database: AsyncEngine, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Purges now, and every hour until `stop` is set."""
        await every(ROUND_SECONDS, stop, self.purge, "purging")

    async def purge(self) -> Mapping[str, int]:
        """Drops what is too old. Returns how many rows of what."""
        async with self._database.begin() as connection:
            dropped = await erasure.purge(connection, moment(self._clock.now_ms()))
        told = ", ".join(f"{count} {what}" for what, count in dropped.items() if count)
        if told:
            logger.info("dropped what nobody will ask for: %s", told)
        return dropped
