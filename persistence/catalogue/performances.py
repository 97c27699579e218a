"""Performances. Plain rows in, plain rows out.

Deleted ones keep their rows, because bookings refer to them, and are found by nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database.connection import violated
from persistence.database.tables import performances, schedules, venues
from persistence.database.words import found_by, words_column

DEFAULT_DURATION_MINUTES = 120
MAX_DURATION_MINUTES = 24 * 60
SAID = ("title", "title_en", "description", "description_en")  # what a performance is found by
# No zone is further from UTC than this: a calendar day anywhere lies within a day and so much on either side.
ZONES_APART = timedelta(hours=15)


class TitleTaken(Exception):
    """The organizer has a live performance with this title."""


class PerformanceRow(Struct, frozen=True, kw_only=True):
    """A performance as stored."""

    id: str
    organizer_id: str
    venue_id: str | None
    title: str
    title_en: str | None
    description: str | None
    description_en: str | None
    category: str | None
    duration_minutes: int | None
    picture_url: str | None
    created_at: datetime
    updated_at: datetime


_PERFORMANCE = tuple(performances.c[name] for name in PerformanceRow.__struct_fields__)
_LIVE_PERFORMANCE = performances.c.deleted_at.is_(None)


async def create_performance(
    connection: AsyncConnection, *, performance_id: str, organizer_id: str, values: Mapping[str, Any]
) -> PerformanceRow:
    """A new performance. Raises `TitleTaken`."""
    words = words_column(*(values.get(name) for name in SAID))
    created = await connection.execute(
        insert(performances)
        .values(id=performance_id, organizer_id=organizer_id, words=words, **values)
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
        row = PerformanceRow(**(await connection.execute(statement)).one()._mapping)
    except sa.exc.IntegrityError as error:
        if violated(error) == "uq_performances_organizer_title":
            raise TitleTaken from error
        raise
    if not values.keys().isdisjoint(SAID):
        words = words_column(*(getattr(row, name) for name in SAID))
        await connection.execute(performances.update().where(performances.c.id == performance_id).values(words=words))
    return row


async def delete_performance(connection: AsyncConnection, performance_id: str, at: datetime) -> None:
    """Takes the performance out of the catalogue; its schedules are withdrawn in the same transaction."""
    await connection.execute(
        performances.update()
        .where(performances.c.id == performance_id, _LIVE_PERFORMANCE)
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
    city: str | None = None,
    organizer_id: str | None = None,
    starts_from: date | datetime | None = None,
    starts_before: date | datetime | None = None,
    before_id: str | None = None,
    limit: int,
) -> list[PerformanceRow]:
    """Performances, newest first. A time range means: with a schedule that starts in it (see `starts_within`)."""
    query = sa.select(*_PERFORMANCE).where(_LIVE_PERFORMANCE).order_by(performances.c.id.desc()).limit(limit)
    if search and search.strip():
        query = query.where(found_by(performances.c.words, search))
    if category:
        query = query.where(sa.func.lower(performances.c.category) == sa.func.lower(category))
    if organizer_id:
        query = query.where(performances.c.organizer_id == organizer_id)
    played = (schedules.c.performance_id == performances.c.id, schedules.c.deleted_at.is_(None))
    if starts_from or starts_before:
        there = schedules.join(venues, venues.c.id == schedules.c.venue_id)
        within = sa.select(1).select_from(there).where(*played, *starts_within(starts_from, starts_before))
        query = query.where(within.exists())
    if city:
        homes = sa.select(venues.c.id).where(sa.func.lower(venues.c.city) == sa.func.lower(city))
        query = query.where(
            performances.c.venue_id.in_(homes) | sa.exists().where(*played, schedules.c.venue_id.in_(homes))
        )
    if before_id:
        query = query.where(performances.c.id < before_id)
    return [PerformanceRow(**row._mapping) for row in await connection.execute(query)]


def starts_within(first: date | datetime | None, last: date | datetime | None) -> list[sa.ColumnElement[bool]]:
    """Schedules that start from `first` on and until `last`: days are the venue's own, and the last one counts in full.

    A time as `last` is the first moment after the range. The query must have joined the schedules' venues.
    """
    found: list[sa.ColumnElement[bool]] = []
    starts_at, there = schedules.c.starts_at, sa.func.timezone(venues.c.time_zone, schedules.c.starts_at)
    if isinstance(first, datetime):
        found.append(starts_at >= first)
    elif first is not None:
        midnight = datetime.combine(first, time.min)
        found += [there >= midnight, starts_at >= midnight.replace(tzinfo=UTC) - ZONES_APART]
    if isinstance(last, datetime):
        found.append(starts_at < last)
    elif last is not None:
        midnight = datetime.combine(last + timedelta(days=1), time.min)
        found += [there < midnight, starts_at < midnight.replace(tzinfo=UTC) + ZONES_APART]
    return found
