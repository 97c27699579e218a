"""Seating plans as a worker keeps them: which one a schedule is sold by, and which one its records name places by."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from engine.seating_plan import SeatingPlan
from engine.stored_plan import plan_of
from persistence.catalogue import schedules, venues
from persistence.database.asked_once import AskedOnce
from persistence.journal.history import plan_changes
from persistence.journal.journal import UnknownSchedule

PLANS_BYTES = 256 * 1024 * 1024  # of plans that a worker keeps: twenty houses of 50,000 places
PLACE_BYTES, CHARACTER_BYTES = 192, 2  # what a place of a plan takes in memory, and a character of its id (measured)
PLACES_KEPT = 100_000
PLAN_SECONDS = 0.25  # how long a worker goes on with what it knows of a schedule before it looks again


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
        self._plans: AskedOnce[SeatingPlan] = AskedOnce(limit_bytes, held_bytes)
        self._places: AskedOnce[schedules.Place] = AskedOnce(PLACES_KEPT)
        self._numbers: AskedOnce[int] = AskedOnce(PLACES_KEPT)

    async def get(self, venue_id: str, number: int) -> SeatingPlan:
        """One of the venue's plans, read once however many ask. Raises `UnknownVenue`."""
        return await self._plans.ask((venue_id, number), partial(self._load, venue_id, number))

    async def newest(self, venue_id: str) -> SeatingPlan:
        """The plan that the venue has now. Raises `UnknownVenue`."""
        async with self._database.connect() as connection:
            number = await venues.plan_number(connection, venue_id)
        if number is None:
            raise UnknownVenue(venue_id)
        return await self.get(venue_id, number)

    async def place_of(self, schedule_id: str) -> schedules.Place:
        """The schedule's performance and venue, deleted or not. Raises `UnknownSchedule`."""
        return await self._places.ask(schedule_id, partial(self._read_place, schedule_id))

    async def of_schedule(self, schedule_id: str, seats: Collection[str] = ()) -> SeatingPlan:
        """The plan a schedule is sold by, and that knows these seats. Raises `UnknownSchedule`."""
        venue_id = (await self.place_of(schedule_id)).venue_id
        plan = await self.get(venue_id, await self._number_of(schedule_id))
        if not all(seat in plan.index for seat in seats) and not set(plan.ids).issuperset(seats):
            # They are from after it was corrected.
            plan = await self.get(venue_id, await self._number_of(schedule_id, within_seconds=0.0))
        return plan

    async def numbered(self, schedule_id: str, number: int) -> SeatingPlan:
        """One of the plans of the schedule's venue. Raises `UnknownSchedule`."""
        return await self.get((await self.place_of(schedule_id)).venue_id, number)

    async def opened_with(self, schedule_id: str) -> SeatingPlan:
        """The plan that a schedule's journal begins with, which leads on to the one it is sold by at this moment."""
        place, number = await self.place_of(schedule_id), await self._number_of(schedule_id, within_seconds=0.0)
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

    async def _number_of(self, schedule_id: str, within_seconds: float = PLAN_SECONDS) -> int:
        read = partial(self._read_number, schedule_id)
        return await self._numbers.ask(schedule_id, read, within_seconds=within_seconds)

    async def _read_place(self, schedule_id: str) -> schedules.Place:
        async with self._database.connect() as connection:
            place = await schedules.place_of(connection, schedule_id)
        if place is None:
            raise UnknownSchedule(schedule_id)
        return place

    async def _read_number(self, schedule_id: str) -> int:
        async with self._database.connect() as connection:
            number = await schedules.plan_number_of(connection, schedule_id)
        if number is None:
            raise UnknownSchedule(schedule_id)
        return number

    async def _load(self, venue_id: str, number: int) -> SeatingPlan:
        async with self._database.connect() as connection:
            stored = await venues.stored_plan(connection, venue_id, number)
        if stored is None:
            raise UnknownVenue(venue_id)
        # In a thread: a document of a large house takes half a second.
        return replace(await asyncio.to_thread(plan_of, *stored), number=number)
