"""What readers may see of a schedule: durable seat states only, told soon after each commit.

Turns run ahead of the journal; a reader who saw a turn that was undone later would have been lied to. So the board
keeps its own copy, moved forward by commits alone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from engine.state import BLOCKED, FREE, HELD, SOLD, ScheduleState
from persistence.database.away import Outage
from persistence.seats.cache import AreaCounts, CacheUnavailable, SeatDelta, SeatView

SHOW_SECONDS = 0.05  # how often readers are told, at most
RETRY_SECONDS = 1.0  # how long to leave an unreachable cache alone

logger = logging.getLogger(__name__)


class Readers(Protocol):
    """Where readers are told; as much of `SeatCache` as that takes."""

    async def publish(self, view: SeatView, delta: SeatDelta) -> None:
        """Stores the view and announces the delta. Raises `CacheUnavailable`."""


Places = dict[int, int | AreaCounts]


class SeatBoard:
    """The durable copy of one schedule's seat states, and its way to the cache."""

    def __init__(self, schedule_id: str, cache: Readers) -> None:
        self._id = schedule_id
        self._cache = cache
        self._seats = bytearray()
        self._areas: list[AreaCounts] = []
        self._withdrawn = False
        self._plan_number = 0
        self._version = 0
        self._told_version = 0
        self._changed: set[int] = set()
        self._news = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether readers have been told everything."""
        return self._told_version == self._version

    def reset(self, state: ScheduleState) -> None:
        """Takes over a state that is durable as a whole."""
        self._seats = bytearray(state.seats)
        self._areas = [_counts(each) for each in state.areas]
        self._withdrawn = state.withdrawn is not None
        self._plan_number = state.plan.number
        self._version = state.seq
        self._changed = set()
        self._told_version = 0  # readers may have anything: their next delta does not fit, so they read the view
        state.dirty.clear()
        self._news.set()

    @staticmethod
    def take(state: ScheduleState) -> Places:
        """The places changed since the last call, as they are now; to be `show`n once durable."""
        size, dirty = state.plan.size, state.dirty
        state.dirty = set()
        return {i: state.seats[i] if i < size else _counts(state.areas[i - size]) for i in dirty}

    def show(self, version: int, places: Places) -> None:
        """Makes a commit visible."""
        size = len(self._seats)
        for index, now in places.items():
            if isinstance(now, int):
                self._seats[index] = now
            else:
                self._areas[index - size] = now
        self._changed.update(places)
        self._version = version
        self._news.set()

    async def run(self) -> None:
        """Tells the cache, for ever. The cache being away costs readers freshness and nothing else."""
        outage = Outage(f"telling readers of schedule {self._id}", logger)
        while True:
            await self._news.wait()
            self._news.clear()
            size = len(self._seats)
            changed, self._changed = self._changed, set()
            states = (bytes(self._seats), tuple(self._areas))
            view = SeatView(self._id, self._version, *states, self._withdrawn, self._plan_number)
            seats = tuple((i, self._seats[i]) for i in sorted(changed) if i < size)
            areas = tuple((i - size, self._areas[i - size]) for i in sorted(changed) if i >= size)
            try:
                await self._cache.publish(view, SeatDelta(self._id, self._told_version, view.version, seats, areas))
                self._told_version = view.version
                outage.over()
            except CacheUnavailable as error:
                outage.met(error)
                self._changed |= changed
                self._news.set()
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(SHOW_SECONDS)


def _counts(area: list[int]) -> AreaCounts:
    return AreaCounts(area[FREE], area[HELD], area[SOLD], area[BLOCKED])
