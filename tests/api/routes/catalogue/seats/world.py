"""One schedule on sale as readers see it, and how its pages and streams are read: no actor, no database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import InterfaceError
from starlette.types import Lifespan

from actors.seats.seat_views import SeatViews
from api.http.problems import Problem, answer
from api.routes.catalogue.seats import router
from api.server.door import Rescue
from api.views.seat_forms import Offer
from api.views.seats import SeatPages
from engine.plan_document import read_plan
from engine.seating_plan import SeatingPlan
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import AreaCounts, MemorySeatCache, SeatDelta, SeatView
from tests.support.waiting import PATIENCE_SECONDS

PRICES = {"R": 150_000, "S": 90_000}  # the floor is not for sale


def document(rows: int, seats_per_row: int) -> dict[str, Any]:
    return {
        "name": "A house",
        "categories": [{"name": name, "color": "#f00"} for name in ("R", "S", "Floor")],
        "zones": [
            {
                "name": "1층",
                "rows": [
                    {
                        "row_number": str(row),
                        "seats": [
                            {
                                "seat_guid": f"{row}-{number}",
                                "seat_number": str(number),
                                "position": {"x": number * 10, "y": row * 10},
                                "category": "R" if row == 0 else "S",
                            }
                            for number in range(seats_per_row)
                        ],
                    }
                    for row in range(rows)
                ],
                "general_admission": [{"guid": "floor", "name": "Floor", "category": "Floor", "capacity": 100}],
            }
        ],
    }


PLAN = read_plan(document(rows=3, seats_per_row=20))


class World:
    """One schedule on sale, its journal and its terms."""

    def __init__(self) -> None:
        self.schedule_id = str(uuid4())
        self.cache = MemorySeatCache()
        self.newest: SeatView | None = SeatView(self.schedule_id, 1, bytes(PLAN.size), (AreaCounts(100, 0, 0, 0),))
        self.prices = dict(PRICES)
        self.journal_available = True
        self.database_available = True
        self.terms_read = 0
        self.views = SeatViews(self.cache, self.load, self.plan_of, self.journaled)
        self.pages = SeatPages(self.views, self.read_offer)
        self.app = application()
        self.app.state.seat_pages = self.pages

    @property
    def url(self) -> str:
        return f"/v1/schedules/{self.schedule_id}"

    async def journaled(self, schedule_ids: Collection[str]) -> Mapping[str, int]:
        return {}  # nothing that is not announced

    async def load(self, schedule_id: str) -> SeatView | None:
        if not self.journal_available:
            raise JournalUnavailable("the database is away")
        return self.newest if schedule_id == self.schedule_id else None

    async def plan_of(self, schedule_id: str, number: int) -> SeatingPlan:
        return PLAN

    async def read_offer(self, schedule_id: str, plan_number: int | None = None) -> Offer:
        self.terms_read += 1
        if not self.database_available:
            raise InterfaceError("SELECT", None, OSError("the database is away"))
        if schedule_id != self.schedule_id:
            raise UnknownSchedule(schedule_id)
        return Offer.of(PLAN, "KRW", dict(self.prices))

    async def publish(self, *changes: tuple[str, int], area: AreaCounts | None = None) -> int:
        before = self.newest
        assert before is not None
        delta = SeatDelta(
            self.schedule_id,
            before.version,
            before.version + 1,
            tuple((PLAN.index[seat], state) for seat, state in changes),
            () if area is None else ((0, area),),
        )
        self.newest = before.after(delta)
        await self.cache.publish(self.newest, delta)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await self.views.view(self.schedule_id)).version < delta.version:
                await asyncio.sleep(0)
        return delta.version


def application(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.add_exception_handler(Problem, lambda request, problem: answer(problem, request))
    app.add_middleware(Rescue)
    app.include_router(router)
    return app


class Events:
    """Reads a stream as a browser would."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The next block's fields; a comment is the field ''."""
        block: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while line := await anext(self._lines):
                name, _, value = line.partition(":")
                block[name] = value.removeprefix(" ")
        return block

    async def ends(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(StopAsyncIteration):
                await self.next()


@contextlib.asynccontextmanager
async def streaming(client: httpx.AsyncClient, url: str, **headers: str) -> AsyncIterator[Events]:
    async with client.stream(
        "GET", url, headers={name.replace("_", "-"): headers[name] for name in headers}
    ) as response:
        assert response.status_code == 200, await response.aread()
        events = Events(response)
        assert await events.next() == {"retry": "2000"}
        yield events
