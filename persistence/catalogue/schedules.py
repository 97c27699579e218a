"""Schedules: when a performance is given, where, and on which terms. Plain rows in, plain rows out.

Deleted ones keep their rows, because bookings refer to them, and are found by nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.catalogue.performances import DEFAULT_DURATION_MINUTES, MAX_DURATION_MINUTES, starts_within
from persistence.database.conditions import CLOSES_AT, is_live
from persistence.database.tables import (
    TIME,
    UUID,
    bookings,
    performances,
    schedule_heads,
    schedules,
    venues,
)


class ScheduleRow(Struct, frozen=True, kw_only=True):
    """A schedule as stored, with what its performance and its journal say about it."""

    id: str
    performance_id: str
    venue_id: str
    first_plan: int  # of the venue's, with which it was opened
    plan_number: int  # by which it is sold
    starts_at: datetime
    currency: str
    prices: dict[str, int | None]  # null: not for sale
    sale_opens_at: datetime | None
    sale_closes_at: datetime | None
    max_seats_per_customer: int | None
    hold_seconds: int
    waiting_room: bool
    refund_policy: list[dict[str, int]]  # as in the column
    refund_when_moved: bool
    transferable: bool
    cancelled_at: datetime | None
    cancellation_reason: str | None
    created_at: datetime
    updated_at: datetime
    organizer_id: str
    performance_title: str
    performance_title_en: str | None
    venue_name: str
    venue_city: str | None
    time_zone: str  # the venue's, IANA
    duration_minutes: int
    seq: int  # the journal's last position; 1: nothing has ever been sold

    @property
    def closes_at(self) -> datetime:
        """When the sale ends: at the start unless something else was said."""
        return self.sale_closes_at or self.starts_at

    def is_closed(self, now: datetime) -> bool:
        """Whether the sale is over, as its terms have it (`engine.events.Terms`)."""
        return now >= self.closes_at


DURATION = sa.func.coalesce(performances.c.duration_minutes, DEFAULT_DURATION_MINUTES)
_LIVE_SCHEDULE = schedules.c.deleted_at.is_(None)
_ELSEWHERE = (
    performances.c.organizer_id,
    performances.c.title.label("performance_title"),
    performances.c.title_en.label("performance_title_en"),
    venues.c.name.label("venue_name"),
    venues.c.city.label("venue_city"),
    venues.c.time_zone,
    DURATION.label("duration_minutes"),
    schedule_heads.c.seq,
)
_SCHEDULE = tuple(
    schedules.c[name] for name in ScheduleRow.__struct_fields__ if name not in {column.name for column in _ELSEWHERE}
)
_SCHEDULES = (
    sa.select(*_SCHEDULE, *_ELSEWHERE)
    .select_from(
        schedules.join(performances, performances.c.id == schedules.c.performance_id)
        .join(venues, venues.c.id == schedules.c.venue_id)
        .join(schedule_heads, schedule_heads.c.schedule_id == schedules.c.id)
    )
    .where(_LIVE_SCHEDULE)
)


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
    starts_from: date | datetime | None = None,
    starts_before: date | datetime | None = None,
    on_sale_at: datetime | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int,
) -> list[ScheduleRow]:
    """A performance's schedules by start; with `on_sale_at`, those whose sale is open at that moment."""
    query = _SCHEDULES.where(schedules.c.performance_id == performance_id, *starts_within(starts_from, starts_before))
    if on_sale_at:
        opened = schedules.c.sale_opens_at.is_(None) | (schedules.c.sale_opens_at <= on_sale_at)
        query = query.where(opened, on_sale_at < CLOSES_AT, schedules.c.cancelled_at.is_(None))
    if after:
        last = sa.tuple_(sa.literal(after[0], TIME), sa.literal(after[1], UUID))
        query = query.where(sa.tuple_(schedules.c.starts_at, schedules.c.id) > last)
    query = query.order_by(schedules.c.starts_at, schedules.c.id).limit(limit)
    return [ScheduleRow(**row._mapping) for row in await connection.execute(query)]


async def change_schedule(connection: AsyncConnection, schedule_id: str, values: Mapping[str, object]) -> None:
    """Changes what the schedule's owner does not care about; terms of sale go through the owner."""
    await connection.execute(
        schedules.update()
        .where(schedules.c.id == schedule_id, _LIVE_SCHEDULE)
        .values(**values, updated_at=sa.func.now())
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
    other_ends_at = schedules.c.starts_at + sa.func.make_interval(0, 0, 0, 0, 0, DURATION)
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


async def in_the_way_of(
    connection: AsyncConnection,
    *,
    venue_id: str,
    performance_id: str,
    starts: Sequence[datetime],
    lasts: timedelta,
    except_id: str | None = None,
) -> dict[datetime, list[ScheduleRow]]:
    """What `conflicting` would find for each of these starts; those with nothing in their way are left out."""
    longest = timedelta(minutes=MAX_DURATION_MINUTES)
    near = schedules.c.starts_at.between(min(starts) - longest, max(starts) + lasts)
    there = (schedules.c.venue_id == venue_id) | (schedules.c.performance_id == performance_id)
    query = _SCHEDULES.where(schedules.c.cancelled_at.is_(None), near, there).order_by(schedules.c.starts_at)
    if except_id:
        query = query.where(schedules.c.id != except_id)
    rows = [ScheduleRow(**row._mapping) for row in await connection.execute(query)]
    found: dict[datetime, list[ScheduleRow]] = {}
    for at in starts:
        for row in rows:
            over = row.starts_at + timedelta(minutes=row.duration_minutes)
            same_place = row.venue_id == venue_id and row.starts_at < at + lasts and over > at
            if same_place or (row.performance_id == performance_id and row.starts_at == at):
                found.setdefault(at, []).append(row)
    return found


async def live_bookings(connection: AsyncConnection, schedule_id: str) -> tuple[int, int]:
    """How many bookings hold or own seats of it, and how many seats that is."""
    places = sa.func.coalesce(sa.func.sum(sa.func.cardinality(bookings.c.seats)), 0)
    query = sa.select(sa.func.count(), sa.cast(places, sa.Integer))
    found = await connection.execute(query.where(bookings.c.schedule_id == schedule_id, is_live))
    count, seats = found.one()
    return count, seats


async def upcoming_of(connection: AsyncConnection, organizer_id: str, now: datetime) -> int:
    """How many schedules of the organizer are still to come."""
    query = (
        sa.select(sa.func.count())
        .select_from(schedules.join(performances, performances.c.id == schedules.c.performance_id))
        .where(_LIVE_SCHEDULE, performances.c.organizer_id == organizer_id, schedules.c.starts_at > now)
    )
    return int((await connection.execute(query)).scalar_one())


async def lock_venues_of(connection: AsyncConnection, performance_id: str) -> None:
    """Keeps the calendars of all venues that the performance is played in to this transaction until it ends."""
    played = sa.select(schedules.c.venue_id).where(schedules.c.performance_id == performance_id, _LIVE_SCHEDULE)
    query = sa.select(venues.c.id).where(venues.c.id.in_(played)).order_by(venues.c.id)
    await connection.execute(query.with_for_update(key_share=True))


async def in_the_way(connection: AsyncConnection, performance_id: str, minutes: int, now: datetime) -> list[str]:
    """Schedules that would overlap one of the performance's that is not over, if those took so long."""
    mine, other, playing = schedules.alias(), schedules.alias(), performances.alias()
    lasts = sa.func.make_interval(0, 0, 0, 0, 0, minutes)
    its_own = sa.func.make_interval(
        0, 0, 0, 0, 0, sa.func.coalesce(playing.c.duration_minutes, DEFAULT_DURATION_MINUTES)
    )
    other_lasts = sa.case((other.c.performance_id == performance_id, lasts), else_=its_own)
    query = (
        sa.select(other.c.id)
        .distinct()
        .select_from(mine.join(other, other.c.venue_id == mine.c.venue_id))
        .join(playing, playing.c.id == other.c.performance_id)
        .where(
            mine.c.performance_id == performance_id,
            mine.c.starts_at + lasts > now,
            other.c.id != mine.c.id,
            other.c.starts_at < mine.c.starts_at + lasts,
            other.c.starts_at + other_lasts > mine.c.starts_at,
            *(each.c[name].is_(None) for each in (mine, other) for name in ("deleted_at", "cancelled_at")),
        )
        .order_by(other.c.id)
        .limit(10)
    )
    return list((await connection.execute(query)).scalars())


async def ids_of(connection: AsyncConnection, performance_id: str) -> list[str]:
    """The performance's schedules, by id."""
    query = sa.select(schedules.c.id).where(schedules.c.performance_id == performance_id, _LIVE_SCHEDULE)
    return list((await connection.execute(query.order_by(schedules.c.id))).scalars())


async def have_live_bookings(connection: AsyncConnection, schedule_ids: Sequence[str]) -> bool:
    """Whether anybody holds or owns seats of these."""
    of_these = bookings.c.schedule_id == sa.any_(sa.cast(schedule_ids, sa.ARRAY(UUID)))
    query = sa.select(sa.exists().where(of_these, is_live))
    return bool((await connection.execute(query)).scalar_one())


class Place(Struct, frozen=True):
    """What a schedule is sold for and where. Never changes."""

    performance_id: str
    venue_id: str
    first_plan: int  # of the venue's, with which it was opened


async def place_of(connection: AsyncConnection, schedule_id: str) -> Place | None:
    """Where a schedule belongs, deleted or not: its bookings are still shown."""
    columns = (schedules.c[name] for name in Place.__struct_fields__)
    query = sa.select(*columns).where(schedules.c.id == schedule_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else Place(**row._mapping)


async def plan_number_of(connection: AsyncConnection, schedule_id: str) -> int | None:
    """By which of its venue's plans a schedule is sold, deleted or not."""
    query = sa.select(schedules.c.plan_number).where(schedules.c.id == schedule_id)
    number: int | None = (await connection.execute(query)).scalar_one_or_none()
    return number


async def to_come_at(connection: AsyncConnection, venue_id: str, now: datetime) -> list[ScheduleRow]:
    """The schedules of a venue that have not begun and are not cancelled, by start."""
    query = _SCHEDULES.where(
        schedules.c.venue_id == venue_id, schedules.c.starts_at > now, schedules.c.cancelled_at.is_(None)
    )
    query = query.order_by(schedules.c.starts_at, schedules.c.id)
    return [ScheduleRow(**row._mapping) for row in await connection.execute(query)]


class Owned(Struct, frozen=True):
    """What somebody holds or owns of a schedule."""

    schedule_id: str
    booking_id: str
    seats: tuple[str, ...]  # a standing area once for each place


async def owned_in(connection: AsyncConnection, schedule_ids: Sequence[str]) -> list[Owned]:
    """All live bookings of these schedules; with their heads locked, nobody has anything else."""
    query = sa.select(bookings.c.schedule_id, bookings.c.id, bookings.c.seats).where(
        bookings.c.schedule_id == sa.any_(sa.cast(schedule_ids, sa.ARRAY(UUID))), is_live
    )
    return [Owned(row[0], row[1], tuple(row[2])) for row in await connection.execute(query.order_by(bookings.c.id))]
