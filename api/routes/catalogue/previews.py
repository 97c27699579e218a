"""What organizers see before they decide: a house as it will be drawn and counted, dates and what stands in their way.

Nothing is written, and what would be refused is refused in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Body
from fastapi.responses import Response
from pydantic import ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.http.large_bodies import LargeBodies, takes_up_to
from api.http.models import Input, Output, PerformanceId, Timestamp, UuidText
from api.http.problems import responses
from api.office.dependencies import OfficeOf, Organizer
from api.office.office import Office
from api.routes.catalogue.performances import own_performance
from api.routes.catalogue.schedules import dates_of, own_schedule
from api.routes.catalogue.venues import EXAMPLE_PLAN, PlanPreview, preview
from api.selling.plan_input import PLAN_BYTES, read_document
from api.selling.schedule_input import DatesInput
from api.selling.venue_use import check_venue_is_theirs
from persistence.catalogue import schedules, venues
from persistence.catalogue.performances import DEFAULT_DURATION_MINUTES

router = APIRouter(prefix="/v1", route_class=LargeBodies)

Found: TypeAlias = Mapping[datetime, Sequence[schedules.ScheduleRow]]

REFUSALS = responses("unauthenticated", "forbidden", "validation_failed")


# --- a plan -----------------------------------------------------------------------------------------------------------
class Plan(Input):
    """A plan in the pretix seating-plan format."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seating_plan": EXAMPLE_PLAN}]})

    seating_plan: Annotated[dict[str, Any], Field(description="As for a new venue.")]


@router.post(
    "/venues/preview",
    response_model=PlanPreview,
    tags=["venues"],
    summary="What a seating plan comes to",
    responses=REFUSALS | responses("body_too_large", "invalid_seating_plan"),
)
@takes_up_to(PLAN_BYTES)
async def preview_plan(new: Annotated[Plan, Body()], account: Organizer, office: OfficeOf) -> Response:
    """Reads a plan as registering a venue does and keeps nothing: every fault with its place, or the house as drawn."""
    return await preview(await read_document(new.seating_plan))


# --- dates ------------------------------------------------------------------------------------------------------------
class Dates(DatesInput):
    """When and where, as for a new schedule; or when a schedule is to be played instead."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "starts_at": "2027-12-24T19:30:00+09:00",
                    "venue_id": "0197d0a0-0000-7000-8000-000000000000",
                    "recurrence": "FREQ=WEEKLY;BYDAY=FR,SA;COUNT=8",
                }
            ]
        }
    )

    moved_id: Annotated[UuidText | None, Field(description="The schedule to be moved: not in its own way.")] = None


class InTheWay(Output):
    """A schedule that has the venue at that time, or is the performance's own at that very start."""

    schedule_id: str
    performance_id: str
    performance_title: str
    performance_title_en: str | None
    venue_name: str
    starts_at: Timestamp
    ends_at: Timestamp


class DatePreview(Output):
    """One date."""

    starts_at: Timestamp
    ends_at: Timestamp
    sale_closes_at: Timestamp
    overlaps: Annotated[bool, Field(description="Begins before the date before it is over.")]
    in_the_way: list[InTheWay]


class DatesPreview(Output):
    """All dates in order. `limit_left`: how many more the organizer may have; null: as many as they like.

    `bookings` and `places` are of the schedule to be moved: their customers would be told, and could give them back.
    """

    time_zone: str
    dates: list[DatePreview]
    limit_left: int | None
    bookings: int
    places: int


@router.post(
    "/performances/{performance_id}/schedules/preview",
    tags=["schedules"],
    summary="Which dates that would be, and what stands in their way",
    responses=REFUSALS | responses("performance_not_found", "schedule_not_found", "venue_not_shared"),
)
async def preview_dates(
    performance_id: PerformanceId, wish: Annotated[Dates, Body()], account: Organizer, office: OfficeOf
) -> DatesPreview:
    """Every date of a rule, each with the schedules that would be in its way. Makes nothing, and locks nothing."""
    async with office.reading.connect() as connection:
        performance = await own_performance(connection, performance_id, account)
        found = await venues.venue(connection, wish.venue_id)
        venue = await check_venue_is_theirs(connection, found, account, performance.organizer_id)
        moved = None if wish.moved_id is None else await own_schedule(connection, wish.moved_id, account)
        starts = dates_of(wish, venue.time_zone, office.now())
        lasts = timedelta(minutes=performance.duration_minutes or DEFAULT_DURATION_MINUTES)
        in_the_way = await schedules.in_the_way_of(
            connection,
            venue_id=venue.id,
            performance_id=performance_id,
            starts=starts,
            lasts=lasts,
            except_id=wish.moved_id,
        )
        left = await _limit_left(office, connection, performance.organizer_id)
        bookings, places = (0, 0) if moved is None else await schedules.live_bookings(connection, moved.id)
    closing = (wish.sale_closes_at or wish.starts_at) - wish.starts_at
    befores = [None, *starts[:-1]]
    return DatesPreview(
        time_zone=venue.time_zone,
        dates=[_date(at, lasts, closing, in_the_way, before) for before, at in zip(befores, starts, strict=True)],
        limit_left=left,
        bookings=bookings,
        places=places,
    )


async def _limit_left(office: Office, connection: AsyncConnection, organizer_id: str) -> int | None:
    limit = office.settings.schedules_per_organizer
    if not limit:
        return None
    return max(0, limit - await schedules.upcoming_of(connection, organizer_id, office.now()))


def _date(
    starts_at: datetime, lasts: timedelta, closing: timedelta, found: Found, before: datetime | None
) -> DatePreview:
    return DatePreview(
        starts_at=starts_at,
        ends_at=starts_at + lasts,
        sale_closes_at=starts_at + closing,
        overlaps=before is not None and starts_at < before + lasts,
        in_the_way=[
            InTheWay(
                schedule_id=row.id,
                performance_id=row.performance_id,
                performance_title=row.performance_title,
                performance_title_en=row.performance_title_en,
                venue_name=row.venue_name,
                starts_at=row.starts_at,
                ends_at=row.starts_at + timedelta(minutes=row.duration_minutes),
            )
            for row in found.get(starts_at, ())
        ],
    )
