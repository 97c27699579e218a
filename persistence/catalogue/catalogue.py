"""What is sold: venues, performances and schedules. Plain rows in, plain rows out.

Deleted performances and schedules keep their rows, because bookings refer to them, and are found by nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engine import events
from engine.events import encode_event
from persistence.database.connection import violated
from persistence.database.tables import (
    LIVE,
    TIME,
    UUID,
    bookings,
    journal,
    performances,
    schedule_heads,
    schedules,
    venues,
)

DEFAULT_DURATION_MINUTES = 120


class TitleTaken(Exception):
    """The organizer has a live performance with this title."""


# --- venues -----------------------------------------------------------------------------------------------------------
class VenueRow(Struct, frozen=True, kw_only=True):
    """A venue without its seating plan."""

    id: str
    organizer_id: str
    name: str
    plan_digest: str
    capacity: int
    created_at: datetime


_VENUE = tuple(venues.c[name] for name in VenueRow.__struct_fields__)


async def create_venue(
    connection: AsyncConnection,
    *,
    venue_id: str,
    organizer_id: str,
    name: str,
    seating_plan: str,
    packed_plan: bytes,
    plan_digest: str,
    capacity: int,
) -> VenueRow:
    """A new venue, its plan as JSON text and as it is stored. The plan never changes: schedules are sold by it."""
    created = await connection.execute(
        venues.insert()
        .values(
            id=venue_id,
            organizer_id=organizer_id,
            name=name,
            seating_plan=sa.cast(sa.literal(seating_plan, sa.Text), JSONB),
            packed_plan=packed_plan,
            plan_digest=plan_digest,
            capacity=capacity,
        )
        .returning(*_VENUE)
    )
    return VenueRow(**created.one()._mapping)


async def venue(connection: AsyncConnection, venue_id: str) -> VenueRow | None:
    """The venue with this id."""
    row = (await connection.execute(sa.select(*_VENUE).where(venues.c.id == venue_id))).one_or_none()
    return None if row is None else VenueRow(**row._mapping)


async def list_venues(
    connection: AsyncConnection, *, search: str | None, before_id: str | None, limit: int
) -> list[VenueRow]:
    """Venues, newest first."""
    query = sa.select(*_VENUE).order_by(venues.c.id.desc()).limit(limit)
    if search:
        query = query.where(venues.c.name.icontains(search, autoescape=True))
    if before_id:
        query = query.where(venues.c.id < before_id)
    return [VenueRow(**row._mapping) for row in await connection.execute(query)]


async def seating_plan(connection: AsyncConnection, venue_id: str) -> str | None:
    """The venue's seating plan as JSON text: some megabytes that are not to be decoded on anybody's event loop."""
    query = sa.select(sa.cast(venues.c.seating_plan, sa.Text)).where(venues.c.id == venue_id)
    document: str | None = (await connection.execute(query)).scalar_one_or_none()
    return document


async def packed_plan(connection: AsyncConnection, venue_id: str) -> bytes | None:
    """The venue's seating plan in its stored form, where it has one."""
    query = sa.select(venues.c.packed_plan).where(venues.c.id == venue_id)
    packed: bytes | None = (await connection.execute(query)).scalar_one_or_none()
    return packed


async def lock_venue(connection: AsyncConnection, venue_id: str) -> bool:
    """Keeps the venue's calendar to this transaction until it ends; False if there is no such venue."""
    # NO KEY UPDATE leaves foreign key checks alone.
    query = sa.select(venues.c.id).where(venues.c.id == venue_id).with_for_update(key_share=True)
    return (await connection.execute(query)).one_or_none() is not None


# --- performances -----------------------------------------------------------------------------------------------------
class PerformanceRow(Struct, frozen=True, kw_only=True):
    """A performance as stored."""

    id: str
    organizer_id: str
    venue_id: str | None
    title: str
    description: str | None
    category: str | None
    duration_minutes: int | None
    created_at: datetime
    updated_at: datetime


_PERFORMANCE = tuple(performances.c[name] for name in PerformanceRow.__struct_fields__)
_LIVE_PERFORMANCE = performances.c.deleted_at.is_(None)


async def create_performance(
    connection: AsyncConnection, *, performance_id: str, organizer_id: str, values: Mapping[str, object]
) -> PerformanceRow:
    """A new performance. Raises `TitleTaken`."""
    created = await connection.execute(
        insert(performances)
        .values(id=performance_id, organizer_id=organizer_id, **values)
        .on_conflict_do_nothing()
        .returning(*_PERFORMANCE)
    )
    row = created.one_or_none()
    if row is None:
        raise TitleTaken
    return PerformanceRow(**row._mapping)


async def performance(connection: AsyncConnection, performance_id: str, *, lock: bool = False) -> PerformanceRow | None:
    """The performance with this id; with `lock`, nobody else changes it until this transaction ends."""
    query = sa.select(*_PERFORMANCE).where(performances.c.id == performance_id, _LIVE_PERFORMANCE)
    if lock:
        query = query.with_for_update(key_share=True)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else PerformanceRow(**row._mapping)


async def change_performance(
    connection: AsyncConnection, performance_id: str, values: Mapping[str, object]
) -> PerformanceRow:
    """Changes a locked performance. Raises `TitleTaken`, after which the transaction is over."""
    statement = (
        performances.update()
        .where(performances.c.id == performance_id, _LIVE_PERFORMANCE)
        .values(**values, updated_at=sa.func.now())
        .returning(*_PERFORMANCE)
    )
    try:
        return PerformanceRow(**(await connection.execute(statement)).one()._mapping)
    except sa.exc.IntegrityError as error:
        if violated(error) == "uq_performances_organizer_title":
            raise TitleTaken from error
        raise


async def delete_performance(connection: AsyncConnection, performance_id: str, at: datetime) -> None:
    """Takes the performance and its schedules out of the catalogue."""
    await connection.execute(
        performances.update()
        .where(performances.c.id == performance_id, _LIVE_PERFORMANCE)
        .values(deleted_at=at, updated_at=at)
    )
    await connection.execute(
        schedules.update()
        .where(schedules.c.performance_id == performance_id, schedules.c.deleted_at.is_(None))
        .values(deleted_at=at, updated_at=at)
    )


async def any_performance(connection: AsyncConnection) -> bool:
    """Whether anything is registered at all."""
    return bool((await connection.execute(sa.select(sa.exists().where(_LIVE_PERFORMANCE)))).scalar_one())


async def list_performances(
    connection: AsyncConnection,
    *,
    search: str | None = None,
    category: str | None = None,
    organizer_id: str | None = None,
    starts_from: datetime | None = None,
    starts_before: datetime | None = None,
    before_id: str | None = None,
    limit: int,
) -> list[PerformanceRow]:
    """Performances, newest first. A time range means: with a schedule that starts in it."""
    query = sa.select(*_PERFORMANCE).where(_LIVE_PERFORMANCE).order_by(performances.c.id.desc()).limit(limit)
    if search:
        query = query.where(
            performances.c.title.icontains(search, autoescape=True)
            | performances.c.description.icontains(search, autoescape=True)
        )
    if category:
        query = query.where(sa.func.lower(performances.c.category) == sa.func.lower(category))
    if organizer_id:
        query = query.where(performances.c.organizer_id == organizer_id)
    if starts_from or starts_before:
        within = sa.exists().where(schedules.c.performance_id == performances.c.id, _LIVE_SCHEDULE)
        if starts_from:
            within = within.where(schedules.c.starts_at >= starts_from)
        if starts_before:
            within = within.where(schedules.c.starts_at < starts_before)
        query = query.where(within)
    if before_id:
        query = query.where(performances.c.id < before_id)
    return [PerformanceRow(**row._mapping) for row in await connection.execute(query)]


# --- schedules --------------------------------------------------------------------------------------------------------
class ScheduleRow(Struct, frozen=True, kw_only=True):
    """A schedule as stored, with what its performance and its journal say about it."""

    id: str
    performance_id: str
    venue_id: str
    starts_at: datetime
    currency: str
    prices: dict[str, int]
    sale_opens_at: datetime | None
    sale_closes_at: datetime | None
    max_seats_per_customer: int | None
    hold_seconds: int
    waiting_room: bool
    refund_policy: list[dict[str, int]]  # as in the column
    cancelled_at: datetime | None
    cancellation_reason: str | None
    created_at: datetime
    updated_at: datetime
    organizer_id: str
    duration_minutes: int
    seq: int  # the journal's last position; 1: nothing has ever been sold


_DURATION = sa.func.coalesce(performances.c.duration_minutes, DEFAULT_DURATION_MINUTES)
_LIVE_SCHEDULE = schedules.c.deleted_at.is_(None)
_SCHEDULE = tuple(
    schedules.c[name]
    for name in ScheduleRow.__struct_fields__
    if name not in ("organizer_id", "duration_minutes", "seq")
)
_SCHEDULES = (
    sa.select(*_SCHEDULE, performances.c.organizer_id, _DURATION.label("duration_minutes"), schedule_heads.c.seq)
    .select_from(
        schedules.join(performances, performances.c.id == schedules.c.performance_id).join(
            schedule_heads, schedule_heads.c.schedule_id == schedules.c.id
        )
    )
    .where(_LIVE_SCHEDULE)
)


async def open_schedule(connection: AsyncConnection, schedule_id: str, at_ms: int, event: events.Opened) -> None:
    """Writes a schedule's first record and its head row, in the caller's transaction."""
    await connection.execute(
        journal.insert().values(
            schedule_id=schedule_id,
            seq=1,
            at_ms=at_ms,
            type=event.type_name,
            request_id="",
            fingerprint="",
            payload=encode_event(event),
        )
    )
    await connection.execute(schedule_heads.insert().values(schedule_id=schedule_id, epoch=0, seq=1))


async def create_schedule(connection: AsyncConnection, *, schedule_id: str, values: Mapping[str, object]) -> None:
    """A new schedule's row; `open_schedule` writes its journal in the same transaction."""
    await connection.execute(schedules.insert().values(id=schedule_id, **values))


async def schedule(connection: AsyncConnection, schedule_id: str) -> ScheduleRow | None:
    """The schedule with this id."""
    row = (await connection.execute(_SCHEDULES.where(schedules.c.id == schedule_id))).one_or_none()
    return None if row is None else ScheduleRow(**row._mapping)


async def schedules_by_id(connection: AsyncConnection, ids: Sequence[str]) -> list[ScheduleRow]:
    """These schedules, by start."""
    query = _SCHEDULES.where(schedules.c.id.in_(ids)).order_by(schedules.c.starts_at, schedules.c.id)
    return [ScheduleRow(**row._mapping) for row in await connection.execute(query)]


async def list_schedules(
    connection: AsyncConnection,
    performance_id: str,
    *,
    starts_from: datetime | None = None,
    starts_before: datetime | None = None,
    on_sale_at: datetime | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int,
) -> list[ScheduleRow]:
    """A performance's schedules by start; with `on_sale_at`, those whose sale is open at that moment."""
    query = _SCHEDULES.where(schedules.c.performance_id == performance_id)
    if starts_from:
        query = query.where(schedules.c.starts_at >= starts_from)
    if starts_before:
        query = query.where(schedules.c.starts_at < starts_before)
    if on_sale_at:
        closes_at = sa.func.coalesce(schedules.c.sale_closes_at, schedules.c.starts_at)
        opened = schedules.c.sale_opens_at.is_(None) | (schedules.c.sale_opens_at <= on_sale_at)
        query = query.where(opened, closes_at > on_sale_at, schedules.c.cancelled_at.is_(None))
    if after:
        last = sa.tuple_(sa.literal(after[0], TIME), sa.literal(after[1], UUID))
        query = query.where(sa.tuple_(schedules.c.starts_at, schedules.c.id) > last)
    query = query.order_by(schedules.c.starts_at, schedules.c.id).limit(limit)
    return [ScheduleRow(**row._mapping) for row in await connection.execute(query)]


async def change_schedule(connection: AsyncConnection, schedule_id: str, values: Mapping[str, object]) -> None:
    """Changes what the schedule's actor does not care about; terms of sale go through the actor."""
    await connection.execute(
        schedules.update()
        .where(schedules.c.id == schedule_id, _LIVE_SCHEDULE)
        .values(**values, updated_at=sa.func.now())
    )


async def delete_schedule(connection: AsyncConnection, schedule_id: str, at: datetime) -> None:
    """Takes the schedule out of the catalogue."""
    await connection.execute(
        schedules.update().where(schedules.c.id == schedule_id, _LIVE_SCHEDULE).values(deleted_at=at, updated_at=at)
    )


async def conflicting(
    connection: AsyncConnection,
    *,
    venue_id: str,
    performance_id: str,
    starts_at: datetime,
    ends_at: datetime,
    except_id: str | None = None,
) -> list[str]:
    """Schedules that hold the venue at an overlapping time, or the performance at the same start."""
    other_ends_at = schedules.c.starts_at + sa.func.make_interval(0, 0, 0, 0, 0, _DURATION)
    same_place = (schedules.c.venue_id == venue_id) & (schedules.c.starts_at < ends_at) & (other_ends_at > starts_at)
    same_time = (schedules.c.performance_id == performance_id) & (schedules.c.starts_at == starts_at)
    query = (
        sa.select(schedules.c.id)
        .select_from(schedules.join(performances, performances.c.id == schedules.c.performance_id))
        .where(_LIVE_SCHEDULE, schedules.c.cancelled_at.is_(None), same_place | same_time)
        .order_by(schedules.c.starts_at)
        .limit(10)
    )
    if except_id:
        query = query.where(schedules.c.id != except_id)
    return list((await connection.execute(query)).scalars())


async def has_live_bookings(
    connection: AsyncConnection, *, schedule_id: str | None = None, performance_id: str | None = None
) -> bool:
    """Whether anybody holds or owns seats."""
    if schedule_id is not None:
        concerned = bookings.c.schedule_id == schedule_id
    else:
        of_performance = sa.select(schedules.c.id).where(schedules.c.performance_id == performance_id, _LIVE_SCHEDULE)
        concerned = bookings.c.schedule_id.in_(of_performance)
    query = sa.select(sa.exists().where(concerned, bookings.c.status.in_(LIVE)))
    return bool((await connection.execute(query)).scalar_one())


class Place(Struct, frozen=True):
    """What a schedule is sold for and where. Never changes."""

    performance_id: str
    venue_id: str


async def place_of(connection: AsyncConnection, schedule_id: str) -> Place | None:
    """Where a schedule belongs, deleted or not: its bookings are still shown."""
    query = sa.select(schedules.c.performance_id, schedules.c.venue_id).where(schedules.c.id == schedule_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else Place(**row._mapping)
