"""Which seats can be had: the whole house, counts per category, and a stream of changes. Reads only, never an owner."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from pydantic import Field

from api.http.addresses import address_of, place_of
from api.http.codings import FROM_BYTES, coding_for
from api.http.models import Output, ScheduleId, Timestamp, rfc3339
from api.http.problems import responses
from api.office.office import Office
from api.views.kept import Page, matches
from api.views.seat_forms import Offer, Terms
from api.views.seats import SeatPages
from persistence.catalogue import schedules
from persistence.journal.journal import UnknownSchedule


@asynccontextmanager
async def closing_pages(app: FastAPI) -> AsyncIterator[None]:
    """The part of the application's lifespan that is this noun's own."""
    yield
    end_streams(app)
    for streams in STREAMS:
        if hasattr(app.state, streams):
            delattr(app.state, streams)


STREAMS = ("seat_pages", "overviews", "queue_streams")  # of the application's state, by the name of what serves them


def end_streams(app: FastAPI) -> None:
    """Ends every stream of this worker, which a server that stops would wait for."""
    for streams in STREAMS:
        if hasattr(app.state, streams):
            getattr(app.state, streams).stop()


router = APIRouter(tags=["seats"], lifespan=closing_pages)


async def read_offer(office: Office, schedule_id: str, plan_number: int | None = None) -> Offer:
    """What the schedule sells; by a plan of before, if that is asked for. Raises `UnknownSchedule`."""
    async with office.reading.connect() as connection:
        row = await schedules.schedule(connection, schedule_id)
    if row is None:
        raise UnknownSchedule(schedule_id)
    terms = Terms(
        max_seats_per_customer=row.max_seats_per_customer,
        hold_seconds=row.hold_seconds,
        starts_at=rfc3339(row.starts_at),
        sale_opens_at=None if row.sale_opens_at is None else rfc3339(row.sale_opens_at),
        sale_closes_at=rfc3339(row.closes_at),
        waiting_room=row.waiting_room,
        cancelled=row.cancelled_at is not None,
    )
    plan = await office.plans.get(row.venue_id, row.plan_number if plan_number is None else plan_number)
    return Offer.of(plan, row.currency, row.prices, terms)


async def seat_pages(request: Request) -> SeatPages:
    """This worker's pages."""
    state = request.app.state
    if not hasattr(state, "seat_pages"):
        office: Office = state.office
        state.seat_pages = SeatPages(office.seat_views, partial(read_offer, office), fair=office.settings.fair_use)
    pages: SeatPages = state.seat_pages
    return pages


async def _answer(request: Request, page: Page | str, cached: str = "no-cache") -> Response:
    etag = page if isinstance(page, str) else page.etag
    headers = {"ETag": etag, "Cache-Control": cached, "Vary": "Accept-Encoding"}
    if isinstance(page, str):
        return Response(status_code=304, headers=headers)
    coding = coding_for(request.headers.get("accept-encoding", ""), page.codings)
    if len(page.body) < FROM_BYTES or coding is None:
        return Response(page.body, headers=headers, media_type="application/json")
    headers["Content-Encoding"] = coding
    return Response(await page.compressed(coding), headers=headers, media_type="application/json")


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


class LayoutCategory(Output):
    """A price category, and the colour the plan draws it in."""

    name: Annotated[str, Field(examples=["R"])]
    color: Annotated[str, Field(examples=["#e53935"])]


class LayoutZone(Output):
    """A section of the house."""

    id: Annotated[str, Field(examples=["1F-A"])]
    name: Annotated[str, Field(examples=["1층 A"])]


class LayoutFloor(Output):
    """Zones that belong together; numbers into `zones`."""

    name: Annotated[str, Field(examples=["1층"])]
    zones: Annotated[list[int], Field(examples=[[0, 1, 2, 3, 4, 5]])]


class LayoutRows(Output):
    """Rows as columns. Their seats follow one another: row 0 has the first `count[0]` seats, row 1 those after it."""

    zone: Annotated[list[int], Field(examples=[[0, 0, 1]])]
    label: Annotated[list[str], Field(examples=[["1", "2", "1"]])]
    count: Annotated[list[int], Field(examples=[[24, 25, 22]])]


class LayoutSeats(Output):
    """Seats as columns."""

    id: Annotated[list[str], Field(examples=[["1F-A-1-1", "1F-A-1-2"]])]
    number: Annotated[list[str], Field(examples=[["1", "2"]])]
    category: Annotated[list[int], Field(description="Numbers into `categories`.", examples=[[0, 0]])]
    x: Annotated[list[int], Field(description="Steps from the seat before; the first from 0.", examples=[[410, 25]])]
    y: Annotated[list[int], Field(description="Steps from the seat before; the first from 0.", examples=[[980, 3]])]


class LayoutArea(Output):
    """Standing room. `box` is where to draw it, as `[left, top, right, bottom]`."""

    id: Annotated[str, Field(examples=["FLOOR-A"])]
    name: Annotated[str, Field(examples=["스탠딩 Standing A"])]
    zone: Annotated[int, Field(description="A number into `zones`.", examples=[0])]
    category: Annotated[int, Field(description="A number into `categories`.", examples=[4])]
    capacity: Annotated[int, Field(examples=[900])]
    box: Annotated[list[int], Field(examples=[[1984, 812, 3612, 2166]])]


class HouseLayout(Output):
    """A house to be drawn. Lengths are in steps, as a rule 25 from a seat to its neighbour; y grows from the top."""

    digest: Annotated[str, Field(description="Of all that follows.", examples=["d210d44b1fb828f67136e952701f937b"])]
    name: Annotated[str, Field(examples=["세종문화회관 대극장"])]
    bounds: Annotated[list[int], Field(description="`[left, top, right, bottom]`", examples=[[50, 50, 2361, 2999]])]
    stage: Annotated[list[int], Field(description="`[left, top, right, bottom]`", examples=[[755, 50, 1655, 450]])]
    categories: list[LayoutCategory]
    zones: list[LayoutZone]
    floors: Annotated[list[LayoutFloor], Field(description="Empty where the house has one.")]
    rows: LayoutRows
    runs: Annotated[
        list[int],
        Field(
            description="Seats side by side without an aisle between them, in the layout's order.", examples=[[12, 12]]
        ),
    ]
    seats: LayoutSeats
    areas: list[LayoutArea]


class States(Output):
    """How every place of the layout stands, and what is asked for it."""

    schedule_id: str
    layout: Annotated[str, Field(description="The layout's digest.", examples=["d210d44b1fb828f67136e952701f937b"])]
    version: Annotated[int, Field(examples=[57])]
    terms: Annotated[
        str,
        Field(description="The version of all from here to `cancelled`; see the stream.", examples=["9f3a6c01b2d4"]),
    ]
    currency: Annotated[str, Field(examples=["KRW"])]
    prices: Annotated[
        dict[str, int | None],
        Field(description="Minor units by category; null: not for sale.", examples=[{"R": 150000, "S": None}]),
    ]
    max_seats_per_customer: Annotated[int | None, Field(examples=[6])]
    hold_seconds: Annotated[int, Field(examples=[420])]
    starts_at: Timestamp | None
    sale_opens_at: Timestamp | None
    sale_closes_at: Timestamp | None
    waiting_room: bool
    cancelled: bool
    seats: Annotated[
        str,
        Field(
            description="Base64 of two bits a seat in the layout's order, the first seat of a byte in its lowest bits: "
            "0 free, 1 held, 2 sold, 3 blocked.",
            examples=["AAQBgA=="],
        ),
    ]
    areas: Annotated[
        list[list[int]],
        Field(description="`[free, held, sold, blocked]` of each standing area.", examples=[[[892, 8, 0, 0]]]),
    ]


Pages = Annotated[SeatPages, Depends(seat_pages)]


def _known_etags(
    request: Request,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of an earlier answer, or several.")] = None,
) -> list[str]:
    """All of them: the header may come more than once, which a document cannot say so that generators understand it."""
    return request.headers.getlist("if-none-match")


Known = Annotated[list[str] | None, Depends(_known_etags)]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Nothing has changed since."}}
STREAM_EXAMPLE = """\
retry: 2000

event: snapshot
id: 57
data: {"version":57,"seats":[{"id":"1F-A-12","state":"free"},…],"areas":[{"id":"floor","left":1312,…},…]}

event: seats
id: 58
data: {"version":58,"seats":[{"id":"1F-A-12","state":"held"}],"areas":[]}

event: terms
data: {"layout":"d210…","terms":"9f3a6c01b2d4","currency":"KRW","prices":{"R":160000,"S":null},"hold_seconds":420,…}
"""
PACKED_EXAMPLE = """\
retry: 2000

event: snapshot
id: 57
data: {"version":57,"seats":"AAQBgA==","areas":[[1312,8,680,0]]}

event: seats
id: 58
data: {"from":57,"version":58,"seats":[[11,1]],"areas":[]}
"""
EVENT_STREAM = {
    "description": "Ends only with its schedule. `snapshot` has every place, `seats` those that changed, `terms` "
    "what is asked for them from now on, and when it begins.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "examples": {"seats by id": {"value": STREAM_EXAMPLE}, "packed": {"value": PACKED_EXAMPLE}},
        }
    },
}
LASTING = "public, max-age=31536000, immutable"  # a year, the longest that means anything (RFC 9111 section 5.2.2.1)


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
    "/v1/schedules/{schedule_id}/layout",
    summary="Where the seats are",
    response_class=Response,
    responses={
        200: {"model": HouseLayout, "description": "The house, in columns."},
        **NOT_MODIFIED,
        **responses("schedule_not_found", "dependency_unavailable"),
    },
)
async def get_layout(
    request: Request,
    schedule_id: ScheduleId,
    pages: Pages,
    known: Known = None,
    digest: Annotated[
        str | None,
        Query(
            max_length=100,
            description="The digest that `/states` names: the answer is immutable and may be kept for good. Without it "
            "the address has another answer once the house's plan is corrected, and is asked for anew (304). A digest "
            "from before that is answered, too; any other by the layout there is.",
        ),
    ] = None,
) -> Response:
    """Where every seat is and what it is called; the same for every date in that house. `/states` goes with it."""
    page = await pages.layout(schedule_id, digest)
    return await _answer(
        request,
        page.etag if matches(",".join(known or ()), page.etag) else page,
        cached=LASTING if digest == page.digest else "no-cache",
    )


@router.get(
    "/v1/schedules/{schedule_id}/states",
    summary="How the seats of the layout stand",
    response_class=Response,
    responses={
        200: {"model": States, "description": "Two bits a seat."},
        **NOT_MODIFIED,
        **responses("schedule_not_found", "dependency_unavailable"),
    },
)
async def get_states(request: Request, schedule_id: ScheduleId, pages: Pages, known: Known = None) -> Response:
    """Every seat's state in a few kilobytes, with prices and terms. `/stream?packed=true` goes on from its version."""
    return await _answer(request, await pages.states(schedule_id, ",".join(known or ())))


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
        **responses("schedule_not_found", "rate_limited", "dependency_unavailable", "overloaded"),
    },
)
async def get_stream(
    schedule_id: ScheduleId,
    pages: Pages,
    request: Request,
    last_event_id: Annotated[str | None, Header(description="The last version received: resumes after it.")] = None,
    last_event_id_query: Annotated[
        str | None, Query(alias="last_event_id", description="The same, for clients that cannot set headers.")
    ] = None,
    packed: Annotated[bool, Query(description="Places by their number in the layout, states as in `/states`.")] = False,
    terms: Annotated[
        str, Query(max_length=100, description="The `terms` of `/states`: if others are in force, they come first.")
    ] = "",
) -> Response:
    """Server-Sent Events: a snapshot of all states, then what changes, at most ten times a second.

    Each event's `id` is a version. After `Last-Event-ID` only later changes are sent, or a new snapshot if they are no
    longer known. New terms of sale (prices, limits, times, a cancellation) are told when they are in force, by an event
    without `id`. It names the layout: where that is another than before, the house's plan was corrected, and places are
    numbered by the new one from there on. A comment every 15 seconds keeps the connection open.
    """
    text = last_event_id or last_event_id_query or ""
    after = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
    return await pages.stream(schedule_id, after, packed=packed, terms=terms, place=place_of(address_of(request)))
