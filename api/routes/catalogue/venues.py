"""Venues and their seating plans. A plan is replaced as a whole, and only where nobody loses a seat by it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, StrictBool
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from api.http.large_bodies import LargeBodies, takes_up_to
from api.http.models import (
    Input,
    Line,
    Output,
    RawText,
    Timestamp,
    TimeZone,
    Title,
    VenueId,
    Word,
    not_null,
)
from api.http.paging import Cursor, Fields, Limit, chosen, encode_cursor, id_in, json_answer, page_answer
from api.http.problems import Problem, invalid, responses
from api.office.dependencies import OfficeOf, Organizer
from api.office.idempotency import TAKES_KEY, once
from api.routes.catalogue.seats import HouseLayout
from api.selling.audit_trail import record_in
from api.selling.plan_input import PLAN_BYTES, ReadPlan, read_document
from api.selling.plan_replacement import PlanReplacementView, replace_plan
from api.selling.schedule_input import Prices
from api.views.layout import Layout
from engine.seating_plan import SeatingPlan
from persistence.catalogue import venues

router = APIRouter(prefix="/v1/venues", tags=["venues"], route_class=LargeBodies)

SHARED = "Whether all other organizers may play here, too (single ones may by a grant); what they have scheduled stays."
EXAMPLE_PLAN: dict[str, Any] = {
    "name": "Small hall",
    "size": {"width": 200, "height": 120},
    "categories": [{"name": "R", "color": "#c0392b"}, {"name": "S", "color": "#2980b9"}],
    "zones": [
        {
            "name": "Floor 1",
            "position": {"x": 0, "y": 0},
            "rows": [
                {
                    "row_number": row,
                    "position": {"x": 0, "y": 20 * index},
                    "seats": [
                        {
                            "seat_guid": f"{row}-{number}",
                            "seat_number": str(number),
                            "position": {"x": 20 * number, "y": 0},
                            "category": category,
                        }
                        for number in (1, 2, 3, 4)
                    ],
                }
                for index, (row, category) in enumerate((("A", "R"), ("B", "S")))
            ],
        }
    ],
}


EXAMPLE: dict[str, Any] = {
    "name": "Small hall",
    "city": "Seoul",
    "address": "175 Sejong-daero, Jongno-gu",
    "time_zone": "Asia/Seoul",
}
Address = Annotated[Line, Field(min_length=1, max_length=300)]


class NewVenue(Input):
    """A venue with its plan in the pretix seating-plan format."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE | {"seating_plan": EXAMPLE_PLAN}]})

    name: Title
    city: Word | None = None
    address: Address | None = None
    time_zone: TimeZone = "Asia/Seoul"
    shared: Annotated[StrictBool, Field(description=SHARED)] = False
    seating_plan: Annotated[
        dict[str, Any], Field(description="pretix seating plan; see /v1/venues/{venue_id} for one.")
    ]


PRICES_OF_NEW = "Minor units for categories that a date to come has no price for; null: not for sale."


class VenueChange(Input):
    """What is to be different; what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"address": "161 Sejong-daero, Jongno-gu"}]})

    name: Annotated[Title | None, not_null] = None
    city: Word | None = None
    address: Address | None = None
    time_zone: Annotated[TimeZone | None, not_null] = None
    shared: Annotated[StrictBool | None, not_null, Field(description=SHARED)] = None
    seating_plan: Annotated[
        dict[str, Any] | None,
        not_null,
        Field(description="In the place of the present one, as by PUT /v1/venues/{venue_id}/seating-plan."),
    ] = None
    prices: Annotated[Prices | None, Field(description=f"With `seating_plan`. {PRICES_OF_NEW}")] = None


class PlanReplacement(Input):
    """A plan in the place of a venue's present one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seating_plan": EXAMPLE_PLAN, "prices": {"S": 60000}}]})

    seating_plan: Annotated[dict[str, Any], Field(description="pretix seating plan, whole.")]
    prices: Annotated[Prices | None, Field(description=PRICES_OF_NEW)] = None


class CategoryView(Output):
    """What seats are sold as."""

    name: str
    color: str
    capacity: int


class VenueSummary(Output):
    """A venue in a list."""

    id: str
    organizer_id: str
    name: str
    city: str | None
    address: str | None
    time_zone: str
    capacity: int
    plan_digest: str
    plan_number: Annotated[int, Field(description="How often the plan has been replaced.")]
    shared: bool
    created_at: Timestamp


class VenueView(VenueSummary):
    """A venue."""

    categories: list[CategoryView]
    zones: list[str]


class VenueWithPlan(VenueView):
    """A venue with its plan as it was sent."""

    seating_plan: dict[str, Any]


class VenuePage(Output):
    """One page of venues, newest first."""

    items: list[VenueSummary]
    next_cursor: str | None


class PlanPreview(Output):
    """What a plan comes to: how many places of what, and where they are drawn."""

    name: str
    capacity: int
    categories: list[CategoryView]
    zones: list[str]
    layout: HouseLayout


def summary(row: venues.VenueRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in VenueSummary.model_fields}


def parts(plan: SeatingPlan) -> dict[str, Any]:
    """What there is in a plan: categories with their capacities in places, and zones."""
    capacities = plan.capacities()
    return {
        "categories": [
            CategoryView(name=name, color=color, capacity=capacities[name])
            for name, color in zip(plan.categories, plan.colors, strict=True)
        ],
        "zones": list(plan.zones),
    }


async def preview(read: ReadPlan) -> Response:
    """The answer to who asks what a plan comes to."""
    layout = await asyncio.to_thread(Layout, read.plan)
    content = {"name": read.plan.name, "capacity": read.plan.capacity, **parts(read.plan)}
    content["categories"] = [each.model_dump() for each in content["categories"]]
    return json_answer({**content, "layout": msgspec.Raw(layout.body)})


EXAMINED: dict[int | str, dict[str, Any]] = {
    200: {"model": PlanPreview, "description": "What the plan comes to: with `dry_run=true`."}
}


@router.post(
    "",
    status_code=201,
    response_model=VenueView,
    summary="Register a venue",
    responses=EXAMINED
    | responses(
        "unauthenticated", "forbidden", "body_too_large", "validation_failed", "invalid_seating_plan", "rate_limited"
    ),
    dependencies=[TAKES_KEY],
)
@takes_up_to(PLAN_BYTES)
async def create_venue(
    new: NewVenue,
    request: Request,
    account: Organizer,
    office: OfficeOf,
    dry_run: Annotated[bool, Query(description="Only examine it: every fault with its place, or the house.")] = False,
) -> Response:
    read = await read_document(new.seating_plan)
    if dry_run:
        return await preview(read)
    plan = read.plan

    async def create(connection: AsyncConnection) -> VenueView:
        await _check_zone(connection, new.time_zone)
        row = await venues.create_venue(
            connection,
            venue_id=office.clock.new_id(),
            organizer_id=account.id,
            name=new.name,
            city=new.city,
            address=new.address,
            time_zone=new.time_zone,
            seating_plan=read.text,
            packed_plan=read.packed,
            plan_digest=plan.digest,
            capacity=plan.capacity,
            shared=new.shared,
        )
        after = {"name": row.name, "capacity": row.capacity, "shared": row.shared}
        await record_in(connection, office, account.id, "venue.created", f"venue:{row.id}", after=after)
        return VenueView(**summary(row), **parts(plan))

    begin = partial(office.writing.begin, account.id)
    return await once(office, request, account.id, create, "/v1/venues/{id}", begin=begin)


REPLACING_PLAN = responses(
    "unauthenticated",
    "forbidden",
    "venue_not_found",
    "body_too_large",
    "validation_failed",
    "invalid_seating_plan",
    "venue_in_use",
    "terms_changed",
    "rate_limited",
)


@router.put(
    "/{venue_id}/seating-plan",
    summary="Correct a venue's plan",
    responses=REPLACING_PLAN,
)
@takes_up_to(PLAN_BYTES)
async def replace_seating_plan(
    venue_id: VenueId,
    new: PlanReplacement,
    account: Organizer,
    office: OfficeOf,
    dry_run: Annotated[bool, Query(description="Only say what would come of it, refused or not.")] = False,
) -> PlanReplacementView:
    """Replaces the plan, and with it that of every date to come: all of them, or none.

    Nobody loses a seat: one that is held or sold stays where it is and what it is called, or the plan is refused with
    all that stands in the way. What is drawn, coloured or named beside the seats may always be different. Dates that
    have begun or are cancelled keep the plan they had.
    """
    read = await read_document(new.seating_plan)
    return await replace_plan(office, account, venue_id, read, new.prices or {}, dry_run=dry_run)


@router.patch(
    "/{venue_id}",
    summary="Change what a venue is called, where it is, who may play there, or its plan",
    responses=REPLACING_PLAN,
)
@takes_up_to(PLAN_BYTES)
async def change_venue(venue_id: VenueId, change: VenueChange, account: Organizer, office: OfficeOf) -> VenueView:
    """Times stay what they are, and are shown as the clocks of its time zone show them. A plan that cannot be replaced
    changes nothing of the rest."""
    values = change.model_dump(exclude_unset=True, exclude={"seating_plan", "prices"})
    if "time_zone" in values:
        async with office.reading.connect() as connection:
            await _check_zone(connection, values["time_zone"])
    if change.seating_plan is not None:
        read = await read_document(change.seating_plan)
        await replace_plan(office, account, venue_id, read, change.prices or {}, dry_run=False)
    elif change.prices is not None:
        raise invalid("prices", "go with a seating_plan, or a schedule", "seating_plan과 함께, 또는 회차에 지정하세요")
    async with office.writing.begin(account.id) as connection:
        before = await venues.lock_venue(connection, venue_id)
        if before is None or (before.organizer_id != account.id and account.role != "admin"):
            raise Problem("venue_not_found")
        row = before
        if values:
            row = await venues.change_venue(connection, venue_id, values)
            await record_in(
                connection,
                office,
                account.id,
                "venue.changed",
                f"venue:{venue_id}",
                before={name: getattr(before, name) for name in values},
                after=values,
            )
    return VenueView(**summary(row), **parts(await office.plans.get(venue_id, row.plan_number)))


async def _check_zone(connection: AsyncConnection, time_zone: str) -> None:
    """Python knows it; days are told apart by PostgreSQL, whose list may be an older one."""
    if not await venues.knows_zone(connection, time_zone):
        raise invalid("time_zone", "is not known to the database", "데이터베이스가 모르는 시간대입니다")


@router.get("", response_model=VenuePage, summary="Venues, newest first")
async def list_venues(
    office: OfficeOf,
    q: Annotated[
        RawText | None, Query(max_length=200, description="Words of name, city or address, or their beginnings.")
    ] = None,
    fields: Fields = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    names = chosen(fields, VenueSummary)
    async with office.reading.connect() as connection:
        rows = await venues.list_venues(connection, search=q, before_id=id_in(cursor), limit=limit + 1)
    next_cursor = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return page_answer([VenueSummary(**summary(row)) for row in rows[:limit]], next_cursor, names)


@router.get(
    "/{venue_id}", response_model=VenueWithPlan, summary="A venue with its plan", responses=responses("venue_not_found")
)
async def get_venue(venue_id: VenueId, office: OfficeOf, fields: Fields = None) -> Response:
    names = chosen(fields, VenueWithPlan)
    async with office.reading.connect() as connection:
        row = await venues.venue(connection, venue_id)
        with_plan = row is not None and (names is None or "seating_plan" in names)
        document = await venues.seating_plan(connection, venue_id) if with_plan else None
    if row is None:
        raise Problem("venue_not_found")
    view = VenueView(**summary(row), **parts(await office.plans.get(venue_id, row.plan_number)))
    content = view.model_dump(mode="json", include=names)
    if document is not None:
        content["seating_plan"] = msgspec.Raw(document.encode())
    return json_answer(content, headers={"Cache-Control": "no-cache"})
