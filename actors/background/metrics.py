"""Tells Prometheus how this machine's processes of owners do: what they say of themselves anyway, once a second.

They may have no directory in common with whoever answers `/metrics`, so it is read where they say it, in Redis. While
that is away the figures stay as they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from prometheus_client import Gauge

from actors.process.clock import Clock
from actors.process.rounds import every
from persistence.operations.vitals import ProcessVitals, Vitals

INTERVAL_SECONDS = 5.0

OPEN = Gauge("boxoffice_schedules_open", "Schedules in this machine's memory", multiprocess_mode="mostrecent")
UNPUBLISHED = Gauge(
    "boxoffice_events_unpublished",
    "Events of open schedules that are durable and not on Kafka yet",
    multiprocess_mode="mostrecent",
)
UNSAVED = Gauge(
    "boxoffice_events_unsaved",
    "The most events of an open schedule since its newest snapshot, which a recovery replays",
    multiprocess_mode="mostrecent",
)
FAILING = Gauge(
    "boxoffice_snapshots_failing",
    "Open schedules whose last snapshot could not be saved",
    multiprocess_mode="mostrecent",
)


class Said(Protocol):
    """What processes say (`persistence.operations.board.VitalsBoard`)."""

    async def read(self, now_ms: int) -> list[Vitals] | None: ...


class OwnersMetrics:
    """Those of the processes of owners with these names."""

    def __init__(self, said: Said, names: Collection[str], clock: Clock) -> None:
        self._said = said
        self._names = names
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """A round every five seconds until `stop` is set."""
        await every(INTERVAL_SECONDS, stop, self.run_once, "metrics of owners")

    async def run_once(self) -> None:
        """Tells what is said now."""
        said = await self._said.read(self._clock.now_ms())
        if said is None:
            return
        ours = [each for each in said if isinstance(each, ProcessVitals) and each.name in self._names]
        OPEN.set(sum(each.open for each in ours))
        UNPUBLISHED.set(sum(each.unpublished for each in ours))
        UNSAVED.set(max((each.unsaved for each in ours), default=0))
        FAILING.set(sum(each.failing_snapshots for each in ours))
