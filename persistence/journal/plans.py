"""Seating plans, one of each house however many of its schedules are open in a process: they never change."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from engine.seating_plan import SeatingPlan

# Plans kept, by the places in them: about 0.7 KB each. A plan let go lives as long as schedules use it.
PLACES_KEPT = 200_000


class SharedPlans:
    """The plans last asked for, each read once however many ask at the same time."""

    def __init__(self) -> None:
        self._plans: OrderedDict[str, SeatingPlan] = OrderedDict()
        self._reading: dict[str, asyncio.Lock] = {}

    async def get(self, venue_id: str, read: Callable[[], Awaitable[SeatingPlan]]) -> SeatingPlan:
        """The house's plan; raises whatever `read` raises, and is read anew the next time."""
        async with self._reading.setdefault(venue_id, asyncio.Lock()):
            plan = self._plans.get(venue_id)
            if plan is None:
                plan = self._plans[venue_id] = await read()
                self._let_go(venue_id)
            self._plans.move_to_end(venue_id)
            return plan

    def _let_go(self, newest: str) -> None:
        places = sum(len(plan.ids) for plan in self._plans.values())
        while places > PLACES_KEPT and next(iter(self._plans)) != newest:
            former, plan = self._plans.popitem(last=False)
            self._reading.pop(former, None)
            places -= len(plan.ids)
