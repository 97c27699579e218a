"""Seating plans, one of each house however many of its schedules are open in a process.

None ever changes: a house whose plan is corrected gets another."""

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

    async def get(self, which: str, read: Callable[[], Awaitable[SeatingPlan]]) -> SeatingPlan:
        """The plans of a house from one on; raises whatever `read` raises, and is read anew the next time."""
        async with self._reading.setdefault(which, asyncio.Lock()):
            plan = self._plans.get(which)
            if plan is None:
                plan = self._plans[which] = await read()
                self._let_go(which)
            self._plans.move_to_end(which)
            return plan

    def _let_go(self, newest: str) -> None:
        places = sum(_places(plan) for plan in self._plans.values())
        while places > PLACES_KEPT and next(iter(self._plans)) != newest:
            former, plan = self._plans.popitem(last=False)
            self._reading.pop(former, None)
            places -= _places(plan)


def _places(plan: SeatingPlan | None) -> int:
    """Of a plan and of those after it."""
    places = 0
    while plan is not None:
        places, plan = places + len(plan.ids), plan.successor
    return places
