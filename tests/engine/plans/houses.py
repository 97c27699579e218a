"""Small houses and their journals, for the tests of every layer."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from engine.events import Opened, Record, Terms
from engine.plan_document import read_plan
from engine.seating_plan import SeatingPlan, successor
from engine.state import ScheduleState, apply

NOW = 1_800_000_000_000
DAY = 86_400_000
ANN, BOB, EVE = (f"00000000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))


def plan_document(rows: int = 3, seats: int = 6, standing: int = 10) -> dict[str, object]:
    """`rows` × `seats` numbered seats `A-1`…, the first row VIP, and a standing area `pit`."""
    return {
        "name": "Small house",
        "categories": [{"name": "VIP", "color": "#aa0000"}, {"name": "R", "color": "#00aa00"}],
        "zones": [
            {
                "name": "Stalls",
                "position": {"x": 0, "y": 0},
                "rows": [
                    {
                        "row_number": chr(65 + row),
                        "position": {"x": 0, "y": 30 * row},
                        "seats": [
                            {
                                "seat_guid": f"{chr(65 + row)}-{seat + 1}",
                                "seat_number": str(seat + 1),
                                "position": {"x": 25 * seat, "y": 0},
                                "category": "VIP" if row == 0 else "R",
                            }
                            for seat in range(seats)
                        ],
                    }
                    for row in range(rows)
                ],
                "general_admission": [{"guid": "pit", "name": "Pit", "category": "R", "capacity": standing}]
                if standing
                else [],
            }
        ],
    }


def terms(**changes: object) -> Terms:
    """VIP ₩150,000, R ₩90,000, on sale now, ten minutes a hold, no limit."""
    values: dict[str, object] = {
        "currency": "KRW",
        "prices": {"VIP": 150_000, "R": 90_000},
        "starts_at_ms": NOW + 30 * DAY,
        "sale_opens_at_ms": 0,
        "sale_closes_at_ms": NOW + 30 * DAY,
        "max_seats_per_customer": 0,
        "hold_ms": 600_000,
    }
    return Terms(**{**values, **changes})  # type: ignore[arg-type]  # any field, by its name


def opened(plan: SeatingPlan | None = None, **changes: object) -> ScheduleState:
    """The state of a schedule that has just been opened."""
    state = ScheduleState(plan or read_plan(plan_document()))
    apply(state, Record(1, NOW, Opened(state.plan.digest, terms(**changes))))
    return state


def corrected(document: dict[str, object], *, back: bool = False) -> dict[str, object]:
    """The house as somebody has looked at it again: row C begins with a box, its fourth seat is called otherwise, the
    last one is not there, and the pit is larger. `back`: as it was, with the second row for VIPs and a smaller pit."""
    other = copy.deepcopy(document)
    zone: Any = other["zones"][0]  # type: ignore[index]  # a document of any shape
    if back:
        for seat in zone["rows"][1]["seats"]:
            seat["category"] = "VIP"
        zone["general_admission"][0]["capacity"] -= 1
        return other
    other["categories"].append({"name": "BOX", "color": "#0000aa"})  # type: ignore[attr-defined]  # a document of any shape
    row = zone["rows"][2]["seats"]
    row[3]["seat_number"] = "4a"
    del row[-1]
    row.insert(0, {**row[0], "seat_guid": "C-0", "seat_number": "0", "position": {"x": -25, "y": 0}, "category": "BOX"})
    zone["general_admission"][0]["capacity"] += 2
    return other


def succession(*documents: dict[str, object]) -> SeatingPlan:
    """A house's plans, each in the place of the one before; the first one, which leads on to the others."""
    plans = [read_plan(documents[0])]
    for document in documents[1:]:
        plans.append(successor(plans[-1], read_plan(document)))
    chain = plans[-1]
    for plan in reversed(plans[:-1]):
        chain = replace(plan, successor=chain)
    return chain
