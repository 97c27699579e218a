"""What schedules are called, for who looks at the machinery: by their ids alone nobody knows them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.database.tables import performances, schedules, venues


class Title(Struct, frozen=True, kw_only=True):
    """A schedule's performance and when it starts, by the clocks of its venue. Deleted ones have theirs, too."""

    title: str
    title_en: str | None
    starts_at: datetime
    time_zone: str


async def titles(database: AsyncEngine, schedule_ids: Collection[str]) -> dict[str, Title]:
    """The titles of these schedules, by id."""
    query = (
        sa.select(
            schedules.c.id, performances.c.title, performances.c.title_en, schedules.c.starts_at, venues.c.time_zone
        )
        .join(performances, performances.c.id == schedules.c.performance_id)
        .join(venues, venues.c.id == schedules.c.venue_id)
        .where(schedules.c.id.in_(schedule_ids))
    )
    async with database.connect() as connection:
        return {
            id_: Title(title=title, title_en=title_en, starts_at=starts_at, time_zone=time_zone)
            for id_, title, title_en, starts_at, time_zone in await connection.execute(query)
        }
