"""Seating plans as a worker keeps them: which one a schedule is sold by, and which one its records name places by."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from api.office.under_way import shared
from engine.seating_plan import SeatingPlan
from engine.stored_plan import plan_of
from persistence.catalogue import schedules, venues
from persistence.journal.heads import plan_changes
from persistence.journal.journal import UnknownSchedule

PLANS_BYTES = 256 * 1024 * 1024  # of plans that a worker keeps: twenty houses of 50,000 places
PLACE_BYTES, CHARACTER_BYTES = 192, 2  # what a place of a plan takes in memory, and a character of its id (measured)
PLACES_KEPT = 100_000
PLAN_SECONDS = 0.25  # how long a worker goes on with what it knows of a schedule before it looks again

WhichPlan = tuple[str, int]  # of which venue, and how often it has been replaced before


class UnknownVenue(LookupError):
    """No such venue."""


def held_bytes(plan: SeatingPlan) -> int:
    """What a plan takes in memory, about."""
    return PLACE_BYTES * plan.size + CHARACTER_BYTES * sum(map(len, plan.ids))


class PlanCache:
    """Seating plans and where schedules belong. Both never change, so what is here is right.

    Which of a venue's plans a schedule is sold by may change: that is known for as long as its terms are.
    """

    def __init__(self, database: AsyncEngine, limit_bytes: int = PLANS_BYTES) -> None:
        self._database = database
        self._limit_bytes = limit_bytes
        self._plans: OrderedDict[WhichPlan, asyncio.Task[SeatingPlan]] = OrderedDict()
        self._sizes: dict[WhichPlan, int] = {}  # of those that are loaded, in bytes
        self._places: OrderedDict[str, schedules.Place] = OrderedDict()
        self._numbers: OrderedDict[str, tuple[int, float]] = OrderedDict()  # by schedule, and when it was read

    async def get(self, venue_id: str, number: int) -> SeatingPlan:
        """One of the venue's plans, read once however many ask. Raises `UnknownVenue`."""
        which = (venue_id, number)
        task = self._plans.get(which)
        if task is None:
            task = self._plans[which] = asyncio.create_task(self._load(venue_id, number))
            task.add_done_callback(partial(self._loaded, which))
        self._plans.move_to_end(which)
        return await shared(task)

    async def newest(self, venue_id: str) -> SeatingPlan:
        """The plan that the venue has now. Raises `UnknownVenue`."""
        async with self._database.connect() as connection:
            number = await venues.plan_number(connection, venue_id)
        if number is None:
            raise UnknownVenue(venue_id)
        return await self.get(venue_id, number)

    def _loaded(self, which: WhichPlan, task: asyncio.Task[SeatingPlan]) -> None:
        """Keeps a plan and lets go of those not asked for the longest; of what is no plan nothing is kept."""
        if task.cancelled() or task.exception() is not None:
            del self._plans[which]
            return
        self._sizes[which] = held_bytes(task.result())
        for each in list(self._plans):
            if sum(self._sizes.values()) <= self._limit_bytes:
                break
            if each in self._sizes and each != which:
                del self._plans[each], self._sizes[each]

    async def place_of(self, schedule_id: str) -> schedules.Place:
        """The schedule's performance and venue, deleted or not. Raises `UnknownSchedule`."""
        place = self._places.get(schedule_id)
        if place is None:
            async with self._database.connect() as connection:
                place = await schedules.place_of(connection, schedule_id)
            if place is None:
                raise UnknownSchedule(schedule_id)
            self._places[schedule_id] = place
            if len(self._places) > PLACES_KEPT:
                self._places.popitem(last=False)
        return place

    async def of_schedule(self, schedule_id: str, seats: Collection[str] = ()) -> SeatingPlan:
        """The plan a schedule is sold by, and that knows these seats. Raises `UnknownSchedule`."""
        venue_id = (await self.place_of(schedule_id)).venue_id
        plan = await self.get(venue_id, await self._number_of(schedule_id))
        if not all(seat in plan.index for seat in seats) and not set(plan.ids).issuperset(seats):
            self._numbers.pop(schedule_id, None)  # they are from after it was corrected
            plan = await self.get(venue_id, await self._number_of(schedule_id))
        return plan

    async def numbered(self, schedule_id: str, number: int) -> SeatingPlan:
        """One of the plans of the schedule's venue. Raises `UnknownSchedule`."""
        return await self.get((await self.place_of(schedule_id)).venue_id, number)

    async def opened_with(self, schedule_id: str) -> SeatingPlan:
        """The plan that a schedule's journal begins with, which leads on to the one it is sold by at this moment."""
        self._numbers.pop(schedule_id, None)
        place, number = await self.place_of(schedule_id), await self._number_of(schedule_id)
        plan: SeatingPlan | None = None
        for each in range(number, place.first_plan - 1, -1):
            plan = replace(await self.get(place.venue_id, each), successor=plan)
        assert plan is not None, "a schedule has a plan"
        return plan

    async def at_version(self, schedule_id: str) -> Callable[[int], SeatingPlan]:
        """By which plan a record of a schedule's journal names places, by its version."""
        only = await self.opened_with(schedule_id)
        if only.successor is None:
            return lambda version: only
        async with self._database.connect() as connection:
            changes = await plan_changes(connection, schedule_id)
        first = await self.opened_with(schedule_id)  # once more: it may have been corrected again meanwhile
        plans = [first, *(first.numbered(change.number) for change in changes)]
        return lambda version: plans[bisect_right([change.version for change in changes], version)]

    async def _number_of(self, schedule_id: str) -> int:
        known = self._numbers.get(schedule_id)
        if known is not None and time.monotonic() - known[1] < PLAN_SECONDS:
            return known[0]
        started = time.monotonic()
        async with self._database.connect() as connection:
            number = await schedules.plan_number_of(connection, schedule_id)
        if number is None:
            raise UnknownSchedule(schedule_id)
        self._numbers[schedule_id] = (number, started)
        if len(self._numbers) > PLACES_KEPT:
            self._numbers.popitem(last=False)
        return number

    async def _load(self, venue_id: str, number: int) -> SeatingPlan:
        async with self._database.connect() as connection:
            stored = await venues.stored_plan(connection, venue_id, number)
        if stored is None:
            raise UnknownVenue(venue_id)
        # In a thread: a document of a large house takes half a second.
        return replace(await asyncio.to_thread(plan_of, *stored), number=number)
