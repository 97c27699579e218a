"""Houses of any size, their sales, and the requests of a crowd, alike in every run."""

from __future__ import annotations

from functools import cache
from random import Random

from engine import commands as c
from engine.events import Opened, Record, Terms
from engine.plan_document import read_plan
from engine.seating_plan import SeatingPlan
from engine.state import ScheduleState, apply
from engine.turn import Request, execute
from tests.engine.plans.houses import DAY, NOW

SEATS_PER_ROW, ROWS_PER_ZONE = 50, 20
STANDING = 20_000
TERMS = Terms(
    currency="KRW",
    prices={"VIP": 150_000, "R": 90_000, "S": 60_000},
    starts_at_ms=NOW + 30 * DAY,
    sale_opens_at_ms=0,
    sale_closes_at_ms=NOW + 30 * DAY,
    max_seats_per_customer=0,
    hold_ms=600_000,
)


@cache
def plan(size: int) -> SeatingPlan:
    """Zones of 1,000 seats in rows of twice 25, the front rows VIP, and standing room in the first zone."""
    zones = []
    for zone in range(0, size, SEATS_PER_ROW * ROWS_PER_ZONE):
        number = zone // (SEATS_PER_ROW * ROWS_PER_ZONE)
        rows = min(ROWS_PER_ZONE, (size - zone) // SEATS_PER_ROW)
        zones.append(
            {
                "name": f"Zone {number}",
                "position": {"x": 1_500 * (number % 5), "y": 700 * (number // 5)},
                "rows": [_row(number, row) for row in range(rows)],
                "general_admission": []
                if number
                else [{"guid": "pit", "name": "Pit", "category": "S", "capacity": STANDING}],
            }
        )
    categories = [{"name": name, "color": "#000000"} for name in TERMS.prices]
    return read_plan({"name": "Large house", "categories": categories, "zones": zones})


def _row(zone: int, row: int) -> dict[str, object]:
    seats = [
        {
            "seat_guid": f"{zone}-{row}-{seat}",
            "seat_number": str(seat),
            "position": {"x": 25 * seat + (50 if seat >= SEATS_PER_ROW // 2 else 0), "y": 0},
            "category": "VIP" if row < 5 else "R" if row < 12 else "S",
        }
        for seat in range(SEATS_PER_ROW)
    ]
    return {"row_number": str(row), "position": {"x": 0, "y": 30 * row}, "seats": seats}


def opened(size: int) -> ScheduleState:
    """A sale that has just begun."""
    state = ScheduleState(plan(size))
    apply(state, Record(1, NOW, Opened(state.plan.digest, TERMS)))
    return state


def identity(number: int, kind: int) -> str:
    """An id as long as those in use."""
    return f"019a0000-{kind:04x}-7000-8000-{number:012x}"


def holds(size: int, count: int, each: int = 1) -> list[Request]:
    """Requests of `count` customers for `each` seats side by side, all over the house, none of them twice."""
    ids = plan(size).ids
    starts = Random(1).sample(range(0, size - each + 1, each), count)
    return [
        asked(number, c.HoldSeats(identity(number, 1), identity(number, 2), ids[start : start + each]))
        for number, start in enumerate(starts)
    ]


def asked(number: int, command: c.AnyCommand, kind: int = 0) -> Request:
    return Request(identity(number, kind), command, "0123456789abcdef")


def purchase(hold: Request, number: int) -> tuple[Request, Request, Request]:
    """The hold, its payment requested, and approved."""
    booking_id, customer_id = hold.command.booking_id, hold.command.customer_id  # type: ignore[union-attr]  # it holds seats
    payment_id = identity(number, 3)
    return (
        hold,
        asked(number, c.RequestPayment(booking_id, customer_id, payment_id, "sandbox"), 4),
        asked(number, c.ApprovePayment(booking_id, payment_id, "reference"), 5),
    )


def play(state: ScheduleState, requests: list[Request], now_ms: int = NOW) -> int:
    """What an owner does with requests; returns how many records that has led to."""
    return sum(len(execute(state, request, now_ms).steps) for request in requests)


@cache
def sold_out(size: int) -> ScheduleState:
    """Every seat sold by itself and paid: the largest state a house can have. For reading only."""
    state = opened(size)
    for number, hold in enumerate(holds(size, size)):
        play(state, list(purchase(hold, number)))
    return state
