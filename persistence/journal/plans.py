"""Seating plans, one of each house however many of its schedules are open in a process.

None ever changes: a house whose plan is corrected gets another."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from engine.seating_plan import SeatingPlan
from persistence.database.asked_once import AskedOnce

# Plans kept, by the places in them: about 0.7 KB each. A plan let go lives as long as schedules use it.
PLACES_KEPT = 200_000


class SharedPlans:
    """The plans last asked for, each read once however many ask at the same time."""

    def __init__(self) -> None:
        self._plans: AskedOnce[SeatingPlan] = AskedOnce(PLACES_KEPT, _places)

    async def get(self, which: str, read: Callable[[], Coroutine[Any, Any, SeatingPlan]]) -> SeatingPlan:
        """The plans of a house from one on; raises whatever `read` raises, and is read anew the next time."""
        return await self._plans.ask(which, read)


def _places(plan: SeatingPlan | None) -> int:
    """Of a plan and of those after it."""
    places = 0
    while plan is not None:
        places, plan = places + len(plan.ids), plan.successor
    return places
