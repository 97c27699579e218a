"""Performances: what is on. A title is unique among an organizer's own.

Reading is for everybody; changing is for the performance's organizer and for admins, and everybody else is told that
there is no such performance.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from api.http.dependencies import HouseOf, Organizer
from api.http.idempotency import TAKES_KEY, once
from api.http.models import (
    Description,
    Input,
    Output,
    PerformanceId,
    RawText,
    Timestamp,
    Title,
    UuidText,
    Word,
    in_range,
    not_null,
    uuid_or_none,
)
from api.http.office import House
from api.http.paging import (
    Cursor,
    Fields,
    Limit,
    chosen,
    decode_cursor,
    encode_cursor,
    json_answer,
    malformed_cursor,
    page_answer,
)
from api.http.problems import Problem, invalid, responses
from api.http.tokens import Account
from api.selling.terms import end_sales
from persistence.audit import chain
from persistence.catalogue import performances, schedules, venues

router = APIRouter(prefix="/v1/performances", tags=["performances"])

MAX_DURATION_MINUTES = 24 * 60
EXAMPLE: dict[str, str | int] = {
    "title": "호두까기 인형",
    "description": "연말을 여는 발레",
    "category": "ballet",
    "duration_minutes": 130,
}


class PerformanceInput(Input):
    """A performance as its organizer describes it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**EXAMPLE}]})

    title: Title
    description: Description | None = None
    category: Word | None = None
    duration_minutes: Annotated[int, Field(strict=True, ge=1, le=MAX_DURATION_MINUTES)] | None = None
    venue_id: UuidText | None = None


class PerformanceChange(Input):
    """What is to be different; what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "연말을 여는 발레, 새 연출"}]})

    title: Annotated[Title | None, not_null] = None
    description: Description | None = None
    category: Word | None = None
    duration_minutes: Annotated[int, Field(strict=True, ge=1, le=MAX_DURATION_MINUTES)] | None = None
    venue_id: UuidText | None = None


class PerformanceView(Output):
    """A performance."""

    id: str
    organizer_id: str
    venue_id: str | None
    title: str
    description: str | None
    category: str | None
    duration_minutes: int | None
    created_at: Timestamp
    updated_at: Timestamp


class PerformancePage(Output):
    """One page of performances, newest first."""

    items: list[PerformanceView]
    next_cursor: str | None


def _day_or_time(text: str, *, end: bool) -> datetime:
    """A plain date means the whole day in UTC; a time needs its offset."""
    try:
        if len(text) == len("2026-12-24"):
            return in_range(datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC) + timedelta(days=end))
        # A plus sign that was not percent-encoded arrives as a space.
        time = datetime.fromisoformat(text.replace(" ", "+"))
    except (ValueError, OverflowError):
        raise PydanticCustomError("malformed_time", "must be a date or a time (RFC 3339)") from None
    if time.tzinfo is None:
        raise PydanticCustomError("timezone_aware", "must have a time zone offset")
    return in_range(time)


def _from(text: str) -> str:
    return _day_or_time(text, end=False).isoformat()


def _to(text: str) -> str:
    return _day_or_time(text, end=True).isoformat()


DateFrom = Annotated[
    str | None,
    Query(description="From this date (UTC) or time on.", examples=["2026-12-01"]),
    AfterValidator(lambda text: None if text is None else _from(text)),
]
DateTo = Annotated[
    str | None,
    Query(description="Up to and including this date (UTC), or before this time.", examples=["2026-12-31"]),
    AfterValidator(lambda text: None if text is None else _to(text)),
]


def view(row: performances.PerformanceRow) -> PerformanceView:
    return PerformanceView(**{name: getattr(row, name) for name in PerformanceView.model_fields})


async def own_performance(
    connection: AsyncConnection, performance_id: str, account: Account
) -> performances.PerformanceRow:
    """The performance, locked, if the account may change it. Raises `Problem("performance_not_found")`."""
    row = await performances.performance(connection, performance_id, lock=True)
    if row is None or (row.organizer_id != account.id and account.role != "admin"):
        raise Problem("performance_not_found")
    return row


async def _check_venue(connection: AsyncConnection, values: dict[str, Any]) -> None:
    venue_id = values.get("venue_id")
    if venue_id is not None and await venues.venue(connection, venue_id) is None:
        raise invalid("venue_id", "there is no such venue", "없는 공연장입니다")


@router.post(
    "",
    status_code=201,
    response_model=PerformanceView,
    summary="Register a performance",
    responses=responses("unauthenticated", "forbidden", "performance_title_taken"),
    dependencies=[TAKES_KEY],
)
async def create_performance(new: PerformanceInput, request: Request, account: Organizer, house: HouseOf) -> Response:
    async def create(connection: AsyncConnection) -> PerformanceView:
        values = new.model_dump()
        await _check_venue(connection, values)
        try:
            row = await performances.create_performance(
                connection, performance_id=house.clock.new_id(), organizer_id=account.id, values=values
            )
        except performances.TitleTaken:
            raise Problem("performance_title_taken") from None
        await _audit(connection, house, account, "performance.created", row.id, None, values)
        return view(row)

    return await once(house, request, account.id, create, "/v1/performances/{id}")


@router.get(
    "", response_model=PerformancePage, summary="Performances, newest first", responses=responses("catalogue_empty")
)
async def list_performances(
    house: HouseOf,
    q: Annotated[RawText | None, Query(max_length=200, description="Words in the title or description.")] = None,
    category: Annotated[RawText | None, Query(max_length=100)] = None,
    date_from: DateFrom = None,
    date_to: DateTo = None,
    fields: Fields = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    names = chosen(fields, PerformanceView)
    after = decode_cursor(cursor, 1)
    if after is not None and uuid_or_none(after[0]) is None:
        raise malformed_cursor()

    async def read() -> Response:
        async with house.database.connect() as connection:
            rows = await performances.list_performances(
                connection,
                search=q,
                category=category,
                starts_from=None if date_from is None else datetime.fromisoformat(date_from),
                starts_before=None if date_to is None else datetime.fromisoformat(date_to),
                before_id=None if after is None else after[0],
                limit=limit + 1,
            )
            if not rows and not await performances.any_performance(connection):
                raise Problem("catalogue_empty")
        next_cursor = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
        return page_answer([view(row) for row in rows[:limit]], next_cursor, names)

    question = (q, category, date_from, date_to, fields, limit, cursor)
    page = await house.catalogue_pages.ask(question, read)
    return Response(page.body, media_type=page.media_type)


@router.get(
    "/{performance_id}",
    response_model=PerformanceView,
    summary="A performance",
    responses=responses("performance_not_found"),
)
async def get_performance(performance_id: PerformanceId, house: HouseOf, fields: Fields = None) -> Response:
    names = chosen(fields, PerformanceView)
    async with house.database.connect() as connection:
        row = await performances.performance(connection, performance_id)
    if row is None:
        raise Problem("performance_not_found")
    return json_answer(view(row).model_dump(mode="json", include=names))


CHANGE_REFUSALS = responses("unauthenticated", "forbidden", "performance_not_found", "performance_title_taken")


@router.put("/{performance_id}", summary="Describe a performance anew", responses=CHANGE_REFUSALS)
async def replace_performance(
    performance_id: PerformanceId, new: PerformanceInput, account: Organizer, house: HouseOf
) -> PerformanceView:
    return await _change(house, account, performance_id, new.model_dump())


@router.patch("/{performance_id}", summary="Change a performance", responses=CHANGE_REFUSALS)
async def change_performance(
    performance_id: PerformanceId, change: PerformanceChange, account: Organizer, house: HouseOf
) -> PerformanceView:
    return await _change(house, account, performance_id, change.model_dump(exclude_unset=True))


async def _change(house: House, account: Account, performance_id: str, values: dict[str, Any]) -> PerformanceView:
    async with house.database.begin() as connection:
        before = await own_performance(connection, performance_id, account)
        await _check_venue(connection, values)
        try:
            row = await performances.change_performance(connection, performance_id, values)
        except performances.TitleTaken:
            raise Problem("performance_title_taken") from None
        old = {name: getattr(before, name) for name in values}
        await _audit(connection, house, account, "performance.changed", performance_id, old, values)
    return view(row)


@router.delete(
    "/{performance_id}",
    status_code=204,
    summary="Take a performance and its schedules out of the catalogue",
    responses=responses(
        "unauthenticated", "forbidden", "performance_not_found", "performance_has_bookings", "overloaded"
    ),
)
async def delete_performance(performance_id: PerformanceId, account: Organizer, house: HouseOf) -> None:
    async with house.database.begin() as connection:
        # The lock keeps new schedules out until the performance is gone.
        row = await own_performance(connection, performance_id, account)
        if await schedules.has_live_bookings(connection, performance_id=performance_id):
            raise Problem("performance_has_bookings")
        running = await schedules.list_schedules(connection, performance_id, limit=MAX_SCHEDULES)
        async with end_sales(house, running, refusal="performance_has_bookings"):
            await performances.delete_performance(connection, performance_id, house.now())
            old = {"title": row.title}
            await _audit(connection, house, account, "performance.deleted", performance_id, old, None)


MAX_SCHEDULES = 100_000  # all of them


async def _audit(
    connection: AsyncConnection,
    house: House,
    account: Account,
    action: str,
    performance_id: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    await chain.write(
        connection,
        entry_id=house.clock.new_id(),
        account_id=account.id,
        action=action,
        subject=f"performance:{performance_id}",
        before=before,
        after=after,
    )
