"""What admins see of the machinery: owners, and what happened to a schedule, in order."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.http.dependencies import Admin, HouseOf
from api.http.models import ScheduleId, UuidText
from api.http.paging import Cursor, Limit, decode_cursor, encode_cursor, json_answer
from api.http.problems import Problem, responses
from api.views.journal import FromVersion, entry, seats_of
from persistence.journal.heads import list_heads, read_journal

router = APIRouter(prefix="/v1/admin", tags=["admin"])

REFUSALS = responses("unauthenticated", "forbidden")
SCAN_LIMIT = 2_000  # records read at a time while looking for a seat


@router.get("/actors", summary="Every schedule's head", responses=REFUSALS)
async def list_actors(account: Admin, house: HouseOf, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """How far each schedule's journal, publishing and snapshot stand. Wakes nobody."""
    after = decode_cursor(cursor, 1)
    rows = await list_heads(house.database, after_id=after[0] if after else None, limit=limit + 1)
    items = rows[:limit]
    following = encode_cursor(items[-1].schedule_id) if len(rows) > limit else None
    return json_answer({"items": items, "next_cursor": following})


@router.get(
    "/actors/{schedule_id}",
    summary="What a schedule's owner holds in memory",
    responses=REFUSALS | responses("schedule_not_found", "overloaded"),
)
async def inspect_actor(schedule_id: ScheduleId, account: Admin, house: HouseOf) -> Response:
    """Asks the owner itself (and wakes it): its version, its state's hash, its process."""
    return json_answer(msgspec.structs.asdict(await house.gateway.inspect(schedule_id)))


@router.get(
    "/schedules/{schedule_id}/journal",
    summary="What happened to a schedule, in order",
    responses=REFUSALS | responses("schedule_not_found", "validation_failed"),
)
async def get_journal(
    schedule_id: ScheduleId,
    account: Admin,
    house: HouseOf,
    from_version: FromVersion = 1,
    seat: Annotated[str | None, Query(max_length=200, description="Only what names this seat.")] = None,
    booking: Annotated[UuidText | None, Query(description="Only what concerns this booking.")] = None,
    limit: Limit = 100,
) -> Response:
    """The journal from a version on. `next_version` is where to go on; null at the end."""
    plan = await house.plans.of_schedule(schedule_id)
    index = None if seat is None else plan.index.get(seat, -1)
    items: list[dict[str, Any]] = []
    while len(items) <= limit:
        wanted = SCAN_LIMIT if seat is not None else limit + 1
        records = await read_journal(
            house.database, schedule_id, from_version=from_version, booking_id=booking, limit=wanted
        )
        if records is None:
            raise Problem("schedule_not_found")
        items += [entry(record, plan) for record in records if index is None or index in seats_of(record)]
        if len(records) < wanted or seat is None:
            break
        from_version = records[-1].seq + 1
    following = items[limit]["version"] if len(items) > limit else None
    return json_answer({"items": items[:limit], "next_version": following})
