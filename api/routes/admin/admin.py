"""What admins see of the machinery: owners, and what happened to a schedule, in order."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.http.models import RawText, ScheduleId, UuidText
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer
from api.http.problems import Problem, responses
from api.office.dependencies import Admin, OfficeOf
from api.routes.admin.overview import OverviewsOf
from api.views.booking import described, listed
from api.views.journal import STORY, FromVersion, entry, seats_of
from persistence.catalogue.titles import Title
from persistence.database.moments import milliseconds, rfc3339
from persistence.journal.heads import Head, list_heads
from persistence.journal.history import read_journal
from persistence.operations.vitals import OwnerVitals

router = APIRouter(prefix="/v1/admin", tags=["admin"])

REFUSALS = responses("unauthenticated", "forbidden")
SCAN_LIMIT = 2_000  # records read at a time while looking for a seat


HEAD_EXAMPLE = {
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "epoch": 3,
    "seq": 4211,
    "published_seq": 4211,
    "unpublished": 0,
    "snapshot_seq": 4000,
    "next_deadline_ms": 1_790_000_600_000,
    "oldest_payment_ms": None,
    "host": "owners-0",
    "dedicated": False,
    "hot": True,
    "title": "카르멘",
    "title_en": "Carmen",
    "starts_at": "2026-12-24T10:30:00.000+00:00",
    "time_zone": "Asia/Seoul",
    "queue": 3,
    "commit_ms": 2.1,
}


class HeadView(Head, frozen=True):
    """A schedule's head, what it is called, and how its owner does: `queue` waits for its commit, `commit_ms` is the
    median of its last commits. Null: the owner sleeps, or has not been used lately. `unpublished` events are on their
    way to Kafka."""

    unpublished: int
    title: str | None
    title_en: str | None
    starts_at: str | None
    time_zone: str | None
    queue: int | None
    commit_ms: float | None


class OwnerView(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule's owner holds in memory."""

    schedule_id: str
    epoch: int
    version: int
    durable_version: int
    published_version: int
    state_hash: str
    bookings: int
    pid: int


OWNER_EXAMPLE = {
    "schedule_id": HEAD_EXAMPLE["schedule_id"],
    "epoch": 3,
    "version": 4211,
    "durable_version": 4211,
    "published_version": 4211,
    "state_hash": "5d3c0f2b7f1e4a0c9a1d3b5f7c9e1a2b",
    "bookings": 1830,
    "pid": 4711,
}


@router.get(
    "/actors",
    summary="Every schedule's head",
    responses=listed(HeadView, HEAD_EXAMPLE, "In the order of their schedules' ids.") | REFUSALS,
)
async def list_actors(
    account: Admin, office: OfficeOf, found: OverviewsOf, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """How far each schedule's journal, publishing and snapshot stand. Wakes nobody."""
    rows = await list_heads(office.reading, after_id=id_in(cursor), limit=limit + 1)
    named = await found.titles.of([row.schedule_id for row in rows[:limit]])
    awake = await found.awake()
    items = [_head(row, named.get(row.schedule_id), awake.get(row.schedule_id)) for row in rows[:limit]]
    following = encode_cursor(items[-1].schedule_id) if len(rows) > limit else None
    return json_answer({"items": items, "next_cursor": following})


def _head(row: Head, title: Title | None, vitals: OwnerVitals | None) -> HeadView:
    return HeadView(
        **msgspec.structs.asdict(row),
        unpublished=row.waiting,
        title=None if title is None else title.title,
        title_en=None if title is None else title.title_en,
        starts_at=None if title is None else rfc3339(milliseconds(title.starts_at)),
        time_zone=None if title is None else title.time_zone,
        queue=None if vitals is None else vitals.waiting,
        commit_ms=None if vitals is None else vitals.commit_ms,
    )


@router.get(
    "/actors/{schedule_id}",
    summary="What a schedule's owner holds in memory",
    responses=described(200, OwnerView, OWNER_EXAMPLE, "The owner's own words.")
    | REFUSALS
    | responses("schedule_not_found", "overloaded"),
)
async def inspect_actor(schedule_id: ScheduleId, account: Admin, office: OfficeOf) -> Response:
    """Asks the owner itself (and wakes it): its version, its state's hash, its process."""
    return json_answer(msgspec.structs.asdict(await office.gateway.inspect(schedule_id)))


@router.get(
    "/schedules/{schedule_id}/journal",
    summary="What happened to a schedule, in order",
    responses=STORY | REFUSALS | responses("schedule_not_found", "validation_failed"),
)
async def get_journal(
    schedule_id: ScheduleId,
    account: Admin,
    office: OfficeOf,
    from_version: FromVersion = 1,
    seat: Annotated[RawText | None, Query(max_length=200, description="Only what names this seat.")] = None,
    booking: Annotated[UuidText | None, Query(description="Only what concerns this booking.")] = None,
    limit: Limit = 100,
) -> Response:
    """The journal from a version on. `next_version` is where to go on; null at the end."""
    plan_at = await office.plans.at_version(schedule_id)
    items: list[dict[str, Any]] = []
    while len(items) <= limit:
        wanted = SCAN_LIMIT if seat is not None else limit + 1
        records = await read_journal(
            office.reading, schedule_id, from_version=from_version, booking_id=booking, limit=wanted
        )
        if records is None:
            raise Problem("schedule_not_found")
        items += [
            entry(record, plan_at(record.seq))
            for record in records
            if seat is None or plan_at(record.seq).index.get(seat, -1) in seats_of(record)
        ]
        if len(records) < wanted or seat is None:
            break
        from_version = records[-1].seq + 1
    following = items[limit]["version"] if len(items) > limit else None
    return json_answer({"items": items[:limit], "next_version": following})
