"""What an organizer begins the day with: what needs attention, their shows with places sold and money, their venues."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response
from msgspec import Struct

from api.http.models import Output, RawText, rfc3339
from api.http.paging import (
    Cursor,
    Limit,
    decode_cursor,
    encode_cursor,
    id_in,
    json_answer,
    malformed_cursor,
    page_answer,
    time_and_id,
)
from api.http.problems import responses
from api.office.dependencies import OfficeOf, Organizer
from api.office.office import Office
from api.routes.catalogue.performances import views
from api.routes.catalogue.venues import VenuePage, VenueSummary, summary
from api.views.booking import Page, listed
from api.views.performance import PerformanceView
from persistence.catalogue import performances, venues
from persistence.sales import shows

router = APIRouter(prefix="/v1/organizer", tags=["organizer"])

REFUSALS = responses("unauthenticated", "forbidden")
URGENCY_FORM = re.compile("[1-9]")


class MoneyView(Output):
    """What was earned in one currency, in minor units: `net` = `gross` - `refunded`, as settlements have it."""

    currency: str
    gross: int
    refunded: int
    fees: int
    net: int


class ShowView(PerformanceView):
    """A performance of one's own, and how all its dates stand. What was cancelled counts for the money alone."""

    sold: int
    capacity: int
    money: list[MoneyView]
    next_schedule_id: str | None


class ShowPage(Output):
    """One page of one's own performances, newest first."""

    items: list[ShowView]
    next_cursor: str | None


@router.get("/performances", response_model=ShowPage, summary="My performances", responses=REFUSALS)
async def list_my_performances(
    account: Organizer,
    office: OfficeOf,
    q: Annotated[RawText | None, Query(max_length=200, description="Words of title or description.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The caller's own performances, newest first, with places sold and money; an empty list if there is none."""
    async with office.reading.connect() as connection:
        rows = await performances.list_performances(
            connection, search=q, organizer_id=account.id, before_id=id_in(cursor), limit=limit + 1
        )
    seen = await views(office, rows[:limit])
    standings = await shows.standings(office.pool, [each.id for each in seen], office.now())
    items = [
        ShowView(
            **dict(each),
            sold=standing.sold,
            capacity=await _capacity(office, standing),
            money=[MoneyView(**msgspec.structs.asdict(earned)) for earned in standing.money],
            next_schedule_id=standing.next_schedule_id,
        )
        for each in seen
        for standing in (standings[each.id],)
    ]
    next_cursor = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return page_answer([*items], next_cursor, None)


async def _capacity(office: Office, standing: shows.Standing) -> int:
    """Places of all its dates that are for sale."""
    places = 0
    for each in standing.houses:
        capacities = (await office.plans.get(each.venue_id, each.plan_number)).capacities()
        places += each.dates * sum(count for name, count in capacities.items() if name not in each.not_for_sale)
    return places


class MatterView(Struct, frozen=True, kw_only=True):
    """Something that needs attention; what does not belong to its kind is null.

    `giving_back`: a cancelled date whose bookings are being ended; `refunds_late`: money owed for more than an hour;
    `nothing_for_sale`: a date without a price; `no_dates`: a performance without a date; `starts_soon`: within a day;
    `sale_opens`: within three days; `nearly_sold_out`, `sold_out`: of dates whose categories are all on sale.
    """

    kind: shows.Kind
    performance_id: str
    performance_title: str
    performance_title_en: str | None
    schedule_id: str | None
    starts_at: str | None
    time_zone: str | None
    at: str | None  # when it happens, or since when it is so
    sold: int | None
    capacity: int | None
    bookings: int | None  # to be ended
    amount: int | None  # owed, in minor units
    currency: str | None


EXAMPLE = {
    "kind": "sale_opens",
    "performance_id": "0199f39b-f0aa-7e44-9a57-2d8d9f3b6c90",
    "performance_title": "호두까기 인형",
    "performance_title_en": "The Nutcracker",
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "starts_at": "2026-12-24T10:30:00.000+00:00",
    "time_zone": "Asia/Seoul",
    "at": "2026-11-24T05:00:00.000+00:00",
    "sold": None,
    "capacity": None,
    "bookings": None,
    "amount": None,
    "currency": None,
}


@router.get(
    "/attention",
    summary="What needs attention",
    responses=listed(MatterView, EXAMPLE) | REFUSALS | responses("validation_failed"),
)
async def get_attention(account: Organizer, office: OfficeOf, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """What of the caller's own shows wants to be looked at, the most urgent first. No owner of a schedule is woken for
    it."""
    after = _place_in(cursor)
    found = await shows.matters(office.pool, account.id, office.now(), after=after, limit=limit + 1)
    items = [_matter(each) for each in found[:limit]]
    last = found[limit - 1].place if len(found) > limit else None
    return json_answer(
        Page(items, None if last is None else encode_cursor(str(last.urgency), last.at.isoformat(), last.id))
    )


def _matter(found: shows.Matter) -> MatterView:
    facts = {name: getattr(found, name) for name in MatterView.__struct_fields__}
    return MatterView(**facts | {name: _told(getattr(found, name)) for name in ("starts_at", "at")})


def _place_in(cursor: str | None) -> shows.Place | None:
    """The place that a cursor is made of; None for the first page. Raises a 422 `Problem` for any other."""
    key = decode_cursor(cursor, 3)
    if key is None:
        return None
    urgency, *rest = key
    if URGENCY_FORM.fullmatch(urgency) is None:
        raise malformed_cursor()
    return shows.Place(int(urgency), *time_and_id(*rest))


def _told(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


@router.get("/venues", response_model=VenuePage, summary="Where I may play", responses=REFUSALS)
async def list_my_venues(
    account: Organizer,
    office: OfficeOf,
    q: Annotated[RawText | None, Query(max_length=200, description="Words of name, city or address.")] = None,
    shared: Annotated[bool, Query(description="Those of others, too, that are shared or granted.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The caller's own venues, newest first; with `shared=true` those of others that may be played in, too."""
    async with office.reading.connect() as connection:
        rows = await venues.list_venues(
            connection, search=q, organizer_id=account.id, shared=shared, before_id=id_in(cursor), limit=limit + 1
        )
    next_cursor = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return page_answer([VenueSummary(**summary(row)) for row in rows[:limit]], next_cursor, None)
