"""What organizers have sold: figures that the service `sales` keeps from the events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi import APIRouter
from fastapi.responses import Response

from actors.receivers.sales import NAME
from api.http.dependencies import HouseOf, Organizer
from api.http.models import PerformanceId
from api.http.paging import json_answer
from api.http.problems import Problem, responses
from api.views.booking import described
from persistence.catalogue import performances
from persistence.sales import figures
from persistence.sales.figures import Figures, SalesRow, ScheduleSales

router = APIRouter(prefix="/v1/organizer", tags=["organizer"])


class FiguresView(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of places, and money in minor units. Sold now: `sold` - `refunded`; taken in: `revenue` + `fees`."""

    held: int
    expired: int
    cancelled: int
    sold: int
    refunded: int
    revenue: int
    fees: int


class ScheduleSalesView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule's sales. `up_to_version` = `version`: nothing is on its way."""

    schedule_id: str
    starts_at: str
    currency: str
    cancelled: bool
    version: int
    up_to_version: int
    total: FiguresView
    by_category: dict[str, FiguresView]
    by_hour: list[dict[str, Any]]  # hour, category and the figures, oldest first


class SalesView(msgspec.Struct, frozen=True, kw_only=True):
    """A performance's sales, schedule by schedule; currencies may differ, so nothing is added up over them."""

    performance_id: str
    schedules: list[ScheduleSalesView]


FIGURES_EXAMPLE = {
    "held": 14,
    "expired": 1,
    "cancelled": 1,
    "sold": 12,
    "refunded": 2,
    "revenue": 850_000,
    "fees": 17_000,
}
EXAMPLE = {
    "performance_id": "0199f39b-f0aa-7e44-9a57-2d8d9f3b6c90",
    "schedules": [
        {
            "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
            "starts_at": "2026-12-24T10:30:00+00:00",
            "currency": "KRW",
            "cancelled": False,
            "version": 57,
            "up_to_version": 57,
            "total": FIGURES_EXAMPLE,
            "by_category": {"VIP": FIGURES_EXAMPLE},
            "by_hour": [{"hour": "2026-11-22T14:00:00+00:00", "category": "VIP", **FIGURES_EXAMPLE}],
        }
    ],
}


@router.get(
    "/performances/{performance_id}/sales",
    summary="What has been sold",
    responses=described(200, SalesView, EXAMPLE, "Every schedule of the performance, by start.")
    | responses("unauthenticated", "forbidden", "performance_not_found"),
)
async def get_sales(performance_id: PerformanceId, account: Organizer, house: HouseOf) -> Response:
    """Places held, sold and given back, and the money, by schedule, category and hour. Follows the events within a
    second or so; `up_to_version` tells how far it has come."""
    async with house.database.connect() as connection:
        performance = await performances.performance(connection, performance_id)
    if performance is None or (performance.organizer_id != account.id and account.role != "admin"):
        raise Problem("performance_not_found")
    schedules = await figures.of_performance(house.pool, performance_id, NAME)
    return json_answer({"performance_id": performance_id, "schedules": [_view(each) for each in schedules]})


def _view(schedule: ScheduleSales) -> dict[str, Any]:
    by_category: dict[str, Figures] = {}
    for row in schedule.rows:
        by_category[row.category] = by_category.get(row.category, Figures()) + row.figures
    return {
        "schedule_id": schedule.schedule_id,
        "starts_at": schedule.starts_at,
        "currency": schedule.currency,
        "cancelled": schedule.cancelled,
        "version": schedule.version,
        "up_to_version": schedule.up_to_version,
        "total": _total(by_category.values()),
        "by_category": by_category,
        "by_hour": [_hour(row) for row in schedule.rows],
    }


def _total(figures: Iterable[Figures]) -> Figures:
    return sum(figures, Figures())


def _hour(row: SalesRow) -> dict[str, Any]:
    return {"hour": row.hour, "category": row.category, **msgspec.structs.asdict(row.figures)}
