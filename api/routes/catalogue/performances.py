"""Performances: what is on. A title is unique among an organizer's own.

Reading is for everybody; changing is for the performance's organizer and for admins, and everybody else is told that
there is no such performance.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Query
from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from actors.seats.seats_left import NONE
from api.http.models import (
    DayOrTime,
    Description,
    Input,
    Line,
    PerformanceId,
    RawText,
    Title,
    UuidText,
    Word,
    not_null,
)
from api.http.paging import Cursor, Fields, Limit, chosen, encode_cursor, id_in, json_answer, page_answer
from api.http.problems import Problem, responses
from api.office.dependencies import OfficeOf, Organizer
from api.office.idempotency import TAKES_KEY, once
from api.office.office import Office
from api.office.tokens import Account
from api.selling.audit_trail import record_in
from api.selling.venue_use import check_venue_is_theirs
from api.selling.withdrawal import announce, withdraw
from api.views.performance import FacetsView, PerformancePage, PerformanceView, performance_view
from persistence.catalogue import performances, schedules, venues
from persistence.catalogue.overview import facets, overviews

FACETS_SECONDS = 10.0  # they are counted over the whole catalogue: 90 ms for 10,000 performances

router = APIRouter(prefix="/v1/performances", tags=["performances"])

EXAMPLE: dict[str, str | int] = {
    "title": "호두까기 인형",
    "title_en": "The Nutcracker",
    "description": "연말을 여는 발레",
    "description_en": "A ballet to open the holidays",
    "category": "ballet",
    "duration_minutes": 130,
}


ENGLISH = Field(description="The same for those who read English; null where there is none.")
PICTURE = Field(
    description="Where a picture is, over https. Pages show it if the operator has named its host "
    "(`BOXOFFICE_PICTURE_HOSTS`), and draw a tile otherwise."
)


def _https(text: str) -> str:
    try:
        address = urlsplit(text)
        whole = bool(address.hostname) and address.username is None and address.port != 0
    except ValueError:  # a host in brackets that is none, or a port
        whole = False
    if not whole or not text.startswith("https://") or not text.isascii() or " " in text:
        raise PydanticCustomError("malformed_url", "must be an address that begins with https://")
    return text


PictureUrl = Annotated[Line, Field(max_length=2_000), AfterValidator(_https)]


class PerformanceInput(Input):
    """A performance as its organizer describes it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**EXAMPLE}]})

    title: Title
    title_en: Annotated[Title | None, ENGLISH] = None
    description: Description | None = None
    description_en: Annotated[Description | None, ENGLISH] = None
    category: Word | None = None
    picture_url: Annotated[PictureUrl | None, PICTURE] = None
    duration_minutes: Annotated[int, Field(strict=True, ge=1, le=performances.MAX_DURATION_MINUTES)] | None = None
    venue_id: UuidText | None = None


class PerformanceChange(Input):
    """What is to be different; what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "연말을 여는 발레, 새 연출"}]})

    title: Annotated[Title | None, not_null] = None
    title_en: Annotated[Title | None, ENGLISH] = None
    description: Description | None = None
    description_en: Annotated[Description | None, ENGLISH] = None
    category: Word | None = None
    picture_url: Annotated[PictureUrl | None, PICTURE] = None
    duration_minutes: Annotated[int, Field(strict=True, ge=1, le=performances.MAX_DURATION_MINUTES)] | None = None
    venue_id: UuidText | None = None


DateFrom = Annotated[
    DayOrTime | None,
    Query(description="From this day on, as it is where they are played, or from this time.", examples=["2026-12-01"]),
]
DateTo = Annotated[
    DayOrTime | None,
    Query(description="Up to the end of this day there, or before this time.", examples=["2026-12-31"]),
]


async def views(office: Office, rows: Sequence[performances.PerformanceRow]) -> list[PerformanceView]:
    """The performances with all that is said of them now."""
    async with office.reading.connect() as connection:
        found = await overviews(connection, [row.id for row in rows], office.now())
    places = await office.seats_left.of(found)
    return [performance_view(row, found[row.id], places[row.id]) for row in rows]


async def own_performance(
    connection: AsyncConnection, performance_id: str, account: Account, *, lock: bool = False
) -> performances.PerformanceRow:
    """The performance, if the account may change it; with `lock`, nobody else does until this transaction ends.

    Raises `Problem("performance_not_found")`.
    """
    row = await performances.performance(connection, performance_id, lock=lock)
    if row is None or (row.organizer_id != account.id and account.role != "admin"):
        raise Problem("performance_not_found")
    return row


async def _check_venue(
    connection: AsyncConnection, values: dict[str, Any], account: Account, organizer_id: str
) -> None:
    venue_id = values.get("venue_id")
    if venue_id is not None:
        await check_venue_is_theirs(connection, await venues.venue(connection, venue_id), account, organizer_id)


async def _check_duration(
    connection: AsyncConnection, office: Office, before: performances.PerformanceRow, values: dict[str, Any]
) -> None:
    """Who plays for longer must not play into what comes after in the same house."""
    usual = performances.DEFAULT_DURATION_MINUTES
    minutes = values.get("duration_minutes", before.duration_minutes) or usual
    if minutes <= (before.duration_minutes or usual):
        return
    await schedules.lock_venues_of(connection, before.id)
    taken = await schedules.in_the_way(connection, before.id, minutes, office.now())
    if taken:
        raise Problem("schedule_conflict", conflicts_with=taken)


@router.post(
    "",
    status_code=201,
    response_model=PerformanceView,
    summary="Register a performance",
    responses=responses("unauthenticated", "forbidden", "venue_not_shared", "performance_title_taken", "rate_limited"),
    dependencies=[TAKES_KEY],
)
async def create_performance(new: PerformanceInput, request: Request, account: Organizer, office: OfficeOf) -> Response:
    async def create(connection: AsyncConnection) -> PerformanceView:
        values = new.model_dump()
        await _check_venue(connection, values, account, account.id)
        try:
            row = await performances.create_performance(
                connection, performance_id=office.clock.new_id(), organizer_id=account.id, values=values
            )
        except performances.TitleTaken:
            raise Problem("performance_title_taken") from None
        await record_in(connection, office, account.id, "performance.created", f"performance:{row.id}", after=values)
        overview = (await overviews(connection, [row.id], office.now()))[row.id]
        return performance_view(row, overview, NONE)  # nothing is on sale yet

    begin = partial(office.writing.begin, account.id)
    return await once(office, request, account.id, create, "/v1/performances/{id}", begin=begin)


@router.get(
    "", response_model=PerformancePage, summary="Performances, newest first", responses=responses("catalogue_empty")
)
async def list_performances(
    office: OfficeOf,
    q: Annotated[
        RawText | None,
        Query(
            max_length=200,
            description="Words of title or description, or their beginnings, in any order and either language.",
        ),
    ] = None,
    category: Annotated[RawText | None, Query(max_length=100)] = None,
    city: Annotated[RawText | None, Query(max_length=100, description="Where a venue of it is.")] = None,
    date_from: DateFrom = None,
    date_to: DateTo = None,
    fields: Fields = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    names, before_id = chosen(fields, PerformanceView), id_in(cursor)

    async def read() -> Response:
        async with office.reading.connect() as connection:
            rows = await performances.list_performances(
                connection,
                search=q,
                category=category,
                city=city,
                starts_from=date_from,
                starts_before=date_to,
                before_id=before_id,
                limit=limit + 1,
            )
            if not rows and not await performances.any_performance(connection):
                raise Problem("catalogue_empty")
        items = await views(office, rows[:limit])
        next_cursor = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
        return page_answer([*items], next_cursor, names)

    question = (q, category, city, date_from, date_to, fields, limit, cursor)
    page = await office.catalogue_pages.ask(question, read)
    return Response(page.body, media_type=page.media_type)


@router.get("/facets", response_model=FacetsView, summary="What there is to choose from")
async def get_facets(office: OfficeOf) -> Response:
    """Categories, cities and months of what is still to be played, each with how many performances it leaves."""

    async def read() -> Response:
        async with office.reading.connect() as connection:
            found = await facets(connection, office.now())
        return json_answer(found)

    answer = await office.facets.ask("facets", read, within_seconds=FACETS_SECONDS)
    return Response(answer.body, media_type=answer.media_type, headers={"Cache-Control": "public, max-age=60"})


@router.get(
    "/{performance_id}",
    response_model=PerformanceView,
    summary="A performance",
    responses=responses("performance_not_found"),
)
async def get_performance(performance_id: PerformanceId, office: OfficeOf, fields: Fields = None) -> Response:
    names = chosen(fields, PerformanceView)
    async with office.reading.connect() as connection:
        row = await performances.performance(connection, performance_id)
    if row is None:
        raise Problem("performance_not_found")
    (view,) = await views(office, [row])
    return json_answer(view.model_dump(mode="json", include=names))


CHANGE_REFUSALS = responses(
    "unauthenticated",
    "forbidden",
    "venue_not_shared",
    "performance_not_found",
    "performance_title_taken",
    "schedule_conflict",
    "rate_limited",
)


@router.put("/{performance_id}", summary="Describe a performance anew", responses=CHANGE_REFUSALS)
async def replace_performance(
    performance_id: PerformanceId, new: PerformanceInput, account: Organizer, office: OfficeOf
) -> PerformanceView:
    return await _change(office, account, performance_id, new.model_dump())


@router.patch("/{performance_id}", summary="Change a performance", responses=CHANGE_REFUSALS)
async def change_performance(
    performance_id: PerformanceId, change: PerformanceChange, account: Organizer, office: OfficeOf
) -> PerformanceView:
    return await _change(office, account, performance_id, change.model_dump(exclude_unset=True))


async def _change(office: Office, account: Account, performance_id: str, values: dict[str, Any]) -> PerformanceView:
    async with office.writing.begin(account.id) as connection:
        before = await own_performance(connection, performance_id, account, lock=True)
        if values.get("venue_id") != before.venue_id:  # where it is said to be played already it may stay
            await _check_venue(connection, values, account, before.organizer_id)
        await _check_duration(connection, office, before, values)
        try:
            row = await performances.change_performance(connection, performance_id, values)
        except performances.TitleTaken:
            raise Problem("performance_title_taken") from None
        old = {name: getattr(before, name) for name in values}
        subject = f"performance:{performance_id}"
        await record_in(connection, office, account.id, "performance.changed", subject, before=old, after=values)
    (view,) = await views(office, [row])
    return view


@router.delete(
    "/{performance_id}",
    status_code=204,
    summary="Take a performance and its schedules out of the catalogue",
    responses=responses(
        "unauthenticated",
        "forbidden",
        "performance_not_found",
        "performance_has_bookings",
        "rate_limited",
        "overloaded",
    ),
)
async def delete_performance(performance_id: PerformanceId, account: Organizer, office: OfficeOf) -> None:
    """Withdraws all its schedules with it, in one transaction: all of it happens, or none."""
    async with office.writing.begin(account.id) as connection:
        # The lock keeps new schedules out until the performance is gone.
        row = await own_performance(connection, performance_id, account, lock=True)
        ids = await schedules.ids_of(connection, performance_id)
        withdrawn = await withdraw(connection, office, ids, by=account.role, refusal="performance_has_bookings")
        await performances.delete_performance(connection, performance_id, office.now())
        subject, before = f"performance:{performance_id}", {"title": row.title}
        await record_in(connection, office, account.id, "performance.deleted", subject, before=before)
    await announce(office, withdrawn)
