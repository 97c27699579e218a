"""What organizers have sold: figures that the service `sales` keeps from the events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse

from actors.receivers.names import SALES
from api.http.models import PerformanceId, ScheduleId, Time, rfc3339
from api.http.paging import json_answer
from api.http.problems import responses
from api.http.spreadsheet import Cell, clock, csv_answer
from api.office.dependencies import OfficeOf, Organizer
from api.office.office import Office
from api.office.tokens import Account
from api.routes.catalogue.performances import own_performance
from api.routes.catalogue.schedules import own_schedule
from api.views.booking import described
from persistence.providers.minor_units import to_major
from persistence.sales import figures
from persistence.sales.figures import FIGURES, Figures, ScheduleSales
from persistence.seats.line import LineUnavailable

router = APIRouter(prefix="/v1/organizer", tags=["organizer"])

MONEY = ("revenue", "fees")  # among the figures


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
    time_zone: str  # the venue's: its hours and days are those below
    currency: str
    cancelled: bool
    version: int
    up_to_version: int
    total: FiguresView
    by_category: dict[str, FiguresView]
    by_hour: list[dict[str, Any]]  # hour, category and the figures, oldest first
    by_day: list[dict[str, Any]]  # the same by day (2026-11-22)
    by_minute: list[dict[str, Any]] | None  # the same by minute, where asked for


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
            "starts_at": "2026-12-24T10:30:00.000+00:00",
            "time_zone": "Asia/Seoul",
            "currency": "KRW",
            "cancelled": False,
            "version": 57,
            "up_to_version": 57,
            "total": FIGURES_EXAMPLE,
            "by_category": {"VIP": FIGURES_EXAMPLE},
            "by_hour": [{"hour": "2026-11-22T14:00:00.000+00:00", "category": "VIP", **FIGURES_EXAMPLE}],
            "by_day": [{"day": "2026-11-22", "category": "VIP", **FIGURES_EXAMPLE}],
            "by_minute": None,
        }
    ],
}


Since = Annotated[Time | None, Query(alias="from", description="Rows from this moment on; totals are of all.")]
CSV: dict[int | str, dict[str, Any]] = {
    200: {"description": "CSV in UTF-8.", "content": {"text/csv": {"schema": {"type": "string"}}}}
}


@router.get(
    "/performances/{performance_id}/sales",
    summary="What has been sold",
    responses=described(200, SalesView, EXAMPLE, "Every schedule of the performance, by start.")
    | responses("unauthenticated", "forbidden", "performance_not_found"),
)
async def get_sales(
    performance_id: PerformanceId,
    account: Organizer,
    office: OfficeOf,
    by: Annotated[Literal["hour", "minute"], Query(description="`minute` adds `by_minute`.")] = "hour",
    since: Since = None,
) -> Response:
    """Places held, sold and given back, and the money, by schedule, category and hour. Follows the events within a
    second or so; `up_to_version` tells how far it has come."""
    await _own(office, account, performance_id)
    schedules = await figures.of_performance(office.pool, performance_id, SALES)
    views = [sales_view(each, since, by_minute=by == "minute") for each in schedules]
    return json_answer({"performance_id": performance_id, "schedules": views})


@router.get(
    "/performances/{performance_id}/sales.csv",
    summary="What has been sold, as a table",
    response_class=StreamingResponse,
    responses=CSV | responses("unauthenticated", "forbidden", "performance_not_found"),
)
async def get_sales_csv(performance_id: PerformanceId, account: Organizer, office: OfficeOf) -> Response:
    """One line per schedule, minute and category, with the figures in the order of the document. Money is in whole
    units of the currency, times are what clocks at the venue show."""
    await _own(office, account, performance_id)
    schedules = await figures.of_performance(office.pool, performance_id, SALES)

    async def lines() -> AsyncIterator[Sequence[Cell]]:
        for each in schedules:
            for row in each.rows:
                times = [clock(at, each.time_zone) for at in (each.starts_at, row.minute)]
                yield (each.schedule_id, *times, row.category, *_cells(row.figures, each.currency), each.currency)

    header = ("schedule_id", "starts_at", "minute", "category", *FIGURES, "currency")
    return csv_answer("sales.csv", header, lines())


class SoldRow(FiguresView, frozen=True, kw_only=True):
    """What happened to a category's places in a minute, hour or day, told by when that began."""

    at: str
    category: str


class QueueFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The line before a schedule with a waiting room: who stands in it, and who is in and holds no seats yet."""

    waiting: int
    shopping: int


class ScheduleFiguresView(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule's sales over time. `up_to_version` = `version`: nothing is on its way. `queue` is null without a
    waiting room, and while its line cannot be reached."""

    schedule_id: str
    currency: str
    time_zone: str
    queue: QueueFigures | None
    capacity: dict[str, int]  # places of each category, blocked ones among them
    version: int
    up_to_version: int
    total: FiguresView
    by_category: dict[str, FiguresView]
    by: figures.Unit
    rows: list[SoldRow]  # oldest first; a time in which nothing happened has none


SCHEDULE_EXAMPLE = {
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "currency": "KRW",
    "time_zone": "Asia/Seoul",
    "queue": {"waiting": 9_206, "shopping": 1_000},
    "capacity": {"VIP": 120},
    "version": 57,
    "up_to_version": 57,
    "total": FIGURES_EXAMPLE,
    "by_category": {"VIP": FIGURES_EXAMPLE},
    "by": "minute",
    "rows": [{"at": "2026-11-22T14:05:00.000+00:00", "category": "VIP", **FIGURES_EXAMPLE}],
}
By = Annotated[figures.Unit, Query(description="Hours and days are the venue's.")]


@router.get(
    "/schedules/{schedule_id}/sales",
    summary="What has been sold of a schedule",
    responses=described(200, ScheduleFiguresView, SCHEDULE_EXAMPLE, "Totals, and how they came about.")
    | responses("unauthenticated", "forbidden", "schedule_not_found"),
)
async def get_schedule_sales(
    schedule_id: ScheduleId, account: Organizer, office: OfficeOf, by: By = "hour", since: Since = None
) -> Response:
    """Follows the events within a second or so. What had been sold before the first row is the total less the rows."""
    async with office.reading.connect() as connection:
        schedule = await own_schedule(connection, schedule_id, account)
    curve = await figures.of_schedule(
        office.pool, schedule_id, SALES, unit=by, time_zone=schedule.time_zone, since=since
    )
    plan = await office.plans.of_schedule(schedule_id)
    return json_answer(
        ScheduleFiguresView(
            schedule_id=schedule_id,
            currency=schedule.currency,
            time_zone=schedule.time_zone,
            queue=await _queue(office, schedule_id) if schedule.waiting_room else None,
            capacity=plan.capacities(),
            version=curve.version,
            up_to_version=curve.up_to_version,
            total=_view(_total(curve.by_category.values())),
            by_category={category: _view(each) for category, each in curve.by_category.items()},
            by=by,
            rows=[
                SoldRow(at=rfc3339(row.minute), category=row.category, **msgspec.structs.asdict(row.figures))
                for row in curve.rows
            ],
        )
    )


async def _queue(office: Office, schedule_id: str) -> QueueFigures | None:
    with contextlib.suppress(LineUnavailable):
        counts = await office.line.counts(schedule_id)
        return QueueFigures(waiting=counts.waiting, shopping=counts.shopping)
    return None


@router.get(
    "/schedules/{schedule_id}/sales.csv",
    summary="What has been sold of a schedule, as a table",
    response_class=StreamingResponse,
    responses=CSV | responses("unauthenticated", "forbidden", "schedule_not_found"),
)
async def get_schedule_sales_csv(
    schedule_id: ScheduleId, account: Organizer, office: OfficeOf, by: By = "minute", since: Since = None
) -> Response:
    """One line per minute (or hour, or day) and category, with the figures in the order of the document. Money is in
    whole units of the currency, times are what clocks at the venue show."""
    async with office.reading.connect() as connection:
        schedule = await own_schedule(connection, schedule_id, account)
    curve = await figures.of_schedule(
        office.pool, schedule_id, SALES, unit=by, time_zone=schedule.time_zone, since=since
    )

    async def lines() -> AsyncIterator[Sequence[Cell]]:
        for row in curve.rows:
            at = clock(row.minute, schedule.time_zone)
            yield (at, row.category, *_cells(row.figures, schedule.currency), schedule.currency)

    return csv_answer("sales.csv", (by, "category", *FIGURES, "currency"), lines())


def _cells(counted: Figures, currency: str) -> Iterator[Cell]:
    """The figures of a line, in the order of the document."""
    for name in FIGURES:
        number: int = getattr(counted, name)
        yield to_major(number, currency) if name in MONEY else number


def _view(counted: Figures) -> FiguresView:
    return FiguresView(**msgspec.structs.asdict(counted))


async def _own(office: Office, account: Account, performance_id: str) -> None:
    """Raises `Problem("performance_not_found")` unless the performance is the caller's, or the caller an admin."""
    async with office.reading.connect() as connection:
        await own_performance(connection, performance_id, account)


def sales_view(schedule: ScheduleSales, since: datetime | None, *, by_minute: bool) -> dict[str, Any]:
    """A schedule's figures: totals of all time, and since then by minute, or by the venue's hours and days."""
    by_category: dict[str, Figures] = {}
    by_hour: dict[tuple[datetime, str], Figures] = {}
    by_day: dict[tuple[date, str], Figures] = {}
    zone = ZoneInfo(schedule.time_zone)
    recent = [row for row in schedule.rows if since is None or row.minute >= since]
    for row in schedule.rows:
        by_category[row.category] = by_category.get(row.category, Figures()) + row.figures
    for row in recent:
        there = row.minute.astimezone(zone)
        hour = (there.replace(minute=0).astimezone(UTC), row.category)
        by_hour[hour] = by_hour.get(hour, Figures()) + row.figures
        day = (there.date(), row.category)
        by_day[day] = by_day.get(day, Figures()) + row.figures
    return {
        "schedule_id": schedule.schedule_id,
        "starts_at": rfc3339(schedule.starts_at),
        "time_zone": schedule.time_zone,
        "currency": schedule.currency,
        "cancelled": schedule.cancelled,
        "version": schedule.version,
        "up_to_version": schedule.up_to_version,
        "total": _total(by_category.values()),
        "by_category": by_category,
        "by_hour": [_row("hour", hour, category, each) for (hour, category), each in by_hour.items()],
        "by_day": [_row("day", day, category, each) for (day, category), each in by_day.items()],
        "by_minute": [_row("minute", row.minute, row.category, row.figures) for row in recent] if by_minute else None,
    }


def _total(figures: Iterable[Figures]) -> Figures:
    return sum(figures, Figures())


def _row(unit: str, time: date, category: str, counted: Figures) -> dict[str, Any]:
    told = rfc3339(time) if isinstance(time, datetime) else time.isoformat()
    return {unit: told, "category": category, **msgspec.structs.asdict(counted)}
