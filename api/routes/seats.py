"""Which seats can be had: the whole house, counts per category, and a stream of changes. Reads only, never an actor."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from pydantic import Field

from api.http.models import Output, ScheduleId
from api.http.office import House
from api.http.problems import responses
from api.views.seats import GZIP_FROM_BYTES, Offer, Page, SeatPages, accepts_gzip
from persistence.catalogue import schedules
from persistence.journal.journal import UnknownSchedule


@asynccontextmanager
async def closing_pages(app: FastAPI) -> AsyncIterator[None]:
    """The part of the application's lifespan that is this noun's own."""
    yield
    if hasattr(app.state, "seat_pages"):
        app.state.seat_pages.close()
        del app.state.seat_pages


router = APIRouter(tags=["seats"], lifespan=closing_pages)


async def read_offer(house: House, schedule_id: str) -> Offer:
    """What the schedule sells. Raises `UnknownSchedule`."""
    async with house.database.connect() as connection:
        row = await schedules.schedule(connection, schedule_id)
    if row is None:
        raise UnknownSchedule(schedule_id)
    return Offer.of(await house.plans.get(row.venue_id), row.currency, row.prices)


async def seat_pages(request: Request) -> SeatPages:
    """This worker's pages."""
    state = request.app.state
    if not hasattr(state, "seat_pages"):
        state.seat_pages = SeatPages(state.house.seat_views, partial(read_offer, state.house))
    pages: SeatPages = state.seat_pages
    return pages


async def _answer(request: Request, page: Page | str) -> Response:
    etag = page if isinstance(page, str) else page.etag
    headers = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if isinstance(page, str):
        return Response(status_code=304, headers=headers)
    if len(page.body) < GZIP_FROM_BYTES or not accepts_gzip(request.headers.get("accept-encoding", "")):
        return Response(page.body, headers=headers, media_type="application/json")
    compressed = await page.compressed()
    return Response(compressed, headers=headers | {"Content-Encoding": "gzip"}, media_type="application/json")


class Seat(Output):
    """A numbered seat."""

    id: Annotated[str, Field(description="The `seat_guid` of the seating plan.", examples=["1F-A-12"])]
    zone: Annotated[str, Field(examples=["1F"])]
    row: Annotated[str, Field(examples=["A"])]
    number: Annotated[str, Field(examples=["12"])]
    category: Annotated[str, Field(examples=["R"])]
    price: Annotated[int | None, Field(description="Minor units; null: not for sale.", examples=[150000])]
    state: Annotated[Literal["free", "held", "sold", "blocked"], Field(examples=["free"])]


class StandingArea(Output):
    """Standing room: places that nobody can tell apart."""

    id: Annotated[str, Field(examples=["floor"])]
    name: Annotated[str, Field(examples=["Floor"])]
    zone: Annotated[str, Field(examples=["Arena"])]
    category: Annotated[str, Field(examples=["Standing"])]
    price: Annotated[int | None, Field(examples=[99000])]
    capacity: Annotated[int, Field(examples=[2000])]
    left: Annotated[int, Field(examples=[1312])]
    held: Annotated[int, Field(examples=[8])]
    sold: Annotated[int, Field(examples=[680])]
    blocked: Annotated[int, Field(examples=[0])]


class Seats(Output):
    """Every place of a schedule and how it stands."""

    schedule_id: str
    version: Annotated[int, Field(description="Rises with everything that happens to the schedule.", examples=[57])]
    currency: Annotated[str, Field(examples=["KRW"])]
    seats: list[Seat]
    areas: list[StandingArea]


class Category(Output):
    """Places of one category, seats and standing room together."""

    category: Annotated[str, Field(examples=["R"])]
    price: Annotated[int | None, Field(examples=[150000])]
    total: Annotated[int, Field(examples=[820])]
    free: Annotated[int, Field(examples=[301])]
    held: Annotated[int, Field(examples=[12])]
    sold: Annotated[int, Field(examples=[497])]
    blocked: Annotated[int, Field(examples=[10])]


class Counts(Output):
    """How many places of a schedule are left."""

    schedule_id: str
    version: Annotated[int, Field(examples=[57])]
    currency: Annotated[str, Field(examples=["KRW"])]
    categories: list[Category]


Pages = Annotated[SeatPages, Depends(seat_pages)]
Known = Annotated[list[str] | None, Header(alias="If-None-Match", description="The `ETag` of an earlier answer.")]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Nothing has changed since."}}
STREAM_EXAMPLE = """\
retry: 2000

event: snapshot
id: 57
data: {"version":57,"seats":[{"id":"1F-A-12","state":"free"},…],"areas":[{"id":"floor","left":1312,…},…]}

event: seats
id: 58
data: {"version":58,"seats":[{"id":"1F-A-12","state":"held"}],"areas":[]}
"""
EVENT_STREAM = {
    "description": "Never ends by itself. `snapshot` has every place, `seats` those that changed.",
    "content": {"text/event-stream": {"schema": {"type": "string"}, "example": STREAM_EXAMPLE}},
}


@router.get(
    "/v1/schedules/{schedule_id}/seats",
    summary="Every seat",
    response_class=Response,
    responses={
        200: {"model": Seats, "description": "Every seat, and standing areas with what is left."},
        **NOT_MODIFIED,
        **responses("schedule_not_found", "dependency_unavailable"),
    },
)
async def get_seats(request: Request, schedule_id: ScheduleId, pages: Pages, known: Known = None) -> Response:
    """Every seat with its place, price and state. Ask again with `If-None-Match`: unchanged costs next to nothing."""
    return await _answer(request, await pages.seats(schedule_id, ",".join(known or ())))


@router.get(
    "/v1/schedules/{schedule_id}/availability",
    summary="What is left, by category",
    response_class=Response,
    responses={
        200: {"model": Counts, "description": "Places per category and state."},
        **NOT_MODIFIED,
        **responses("schedule_not_found", "dependency_unavailable"),
    },
)
async def get_availability(request: Request, schedule_id: ScheduleId, pages: Pages, known: Known = None) -> Response:
    """How many places of each category are free, held, sold or blocked."""
    return await _answer(request, await pages.availability(schedule_id, ",".join(known or ())))


@router.get(
    "/v1/schedules/{schedule_id}/stream",
    summary="Seats as they change",
    response_class=Response,
    responses={
        200: EVENT_STREAM,
        **responses("schedule_not_found", "dependency_unavailable", "overloaded"),
    },
)
async def get_stream(
    schedule_id: ScheduleId,
    pages: Pages,
    last_event_id: Annotated[str | None, Header(description="The last version received: resumes after it.")] = None,
    last_event_id_query: Annotated[
        str | None, Query(alias="last_event_id", description="The same, for clients that cannot set headers.")
    ] = None,
) -> Response:
    """Server-Sent Events: a snapshot of all states, then what changes, at most ten times a second.

    Each event's `id` is a version. After `Last-Event-ID` only later changes are sent, or a new snapshot if they are no
    longer known. A comment every 15 seconds keeps the connection open.
    """
    text = last_event_id or last_event_id_query or ""
    after = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
    return await pages.stream(schedule_id, after)
