"""A schedule's owner and its journal as readers can tell, and how they read: an in-memory cache, and a dictionary."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping

from actors.seats.seat_views import SeatViews
from engine.plan_document import read_plan
from engine.seating_plan import SeatingPlan
from persistence.journal.journal import JournalUnavailable
from persistence.seats.cache import AreaCounts, MemorySeatCache, SeatDelta, SeatView
from tests.support.clocks import ManualSeconds
from tests.support.waiting import PATIENCE_SECONDS, soon

SIZE = 6
DOCUMENT = {
    "name": "A small house",
    "categories": [{"name": "R", "color": "#f00"}, {"name": "S", "color": "#00f"}, {"name": "Floor", "color": "#0f0"}],
    "zones": [
        {
            "name": "Hall",
            "rows": [
                {
                    "row_number": "1",
                    "seats": [
                        {
                            "seat_guid": f"1-{n}",
                            "seat_number": str(n),
                            "position": {"x": n * 10, "y": 0},
                            "category": "R" if n < 2 else "S",
                        }
                        for n in range(SIZE)
                    ],
                }
            ],
            "general_admission": [{"guid": "floor", "name": "Floor", "category": "Floor", "capacity": 100}],
        }
    ],
}
PLAN = read_plan(DOCUMENT)


class World:
    """A schedule's owner and its journal, as far as readers can tell."""

    def __init__(self) -> None:
        self.cache = MemorySeatCache()
        self.clock = ManualSeconds()
        self.journal: dict[str, SeatView] = {}
        self.loads = 0
        self.compared = 0
        self.gate = asyncio.Event()  # closed: loading waits
        self.gate.set()
        self.journal_available = True

    async def load(self, schedule_id: str) -> SeatView | None:
        self.loads += 1
        await self.gate.wait()
        if not self.journal_available:
            raise JournalUnavailable("the database is away")
        return self.journal.get(schedule_id)

    async def plan_of(self, schedule_id: str, number: int) -> SeatingPlan:
        return PLAN

    async def journaled(self, schedule_ids: Collection[str]) -> Mapping[str, int]:
        self.compared += 1
        if not self.journal_available:
            raise JournalUnavailable("the database is away")
        return {each: self.journal[each].version for each in schedule_ids if each in self.journal}

    def opened(self, schedule_id: str, version: int = 1) -> SeatView:
        self.journal[schedule_id] = SeatView(schedule_id, version, bytes(SIZE), (AreaCounts(100, 0, 0, 0),))
        return self.journal[schedule_id]

    def commit(self, schedule_id: str, index: int, state: int) -> SeatDelta:
        """One more fact in the journal; nobody has been told yet."""
        view = self.journal[schedule_id]
        delta = SeatDelta(schedule_id, view.version, view.version + 1, ((index, state),), ())
        self.journal[schedule_id] = view.after(delta)
        return delta

    async def publish(self, schedule_id: str, index: int, state: int) -> SeatDelta:
        delta = self.commit(schedule_id, index, state)
        await self.cache.publish(self.journal[schedule_id], delta)
        return delta


@contextlib.asynccontextmanager
async def reading(world: World, capacity: int = 256, compare_seconds: float = 60.0) -> AsyncIterator[SeatViews]:
    views = SeatViews(
        world.cache,
        world.load,
        world.plan_of,
        world.journaled,
        capacity=capacity,
        mind_seconds=0.005,
        compare_seconds=compare_seconds,
        now=world.clock,
    )
    await views.start()
    try:
        yield views
    finally:
        await views.stop()


@contextlib.asynccontextmanager
async def interrupted(world: World) -> AsyncIterator[None]:
    """The cache is away in the block; afterwards somebody listens again."""
    lost = set(world.cache._listeners)
    world.cache.available = False
    await soon(lambda: not lost & world.cache._listeners)
    yield
    world.cache.available = True
    await soon(lambda: bool(world.cache._listeners))


async def version_becomes(views: SeatViews, schedule_id: str, version: int) -> SeatView:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (view := await views.view(schedule_id)).version < version:
            await asyncio.sleep(0)
    return view


async def next_change(changes: AsyncIterator[SeatView | SeatDelta]) -> SeatView | SeatDelta:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(changes)
