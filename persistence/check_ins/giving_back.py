"""Bookings whose customers are giving seats back at this moment: until that is decided their codes let nobody in.

Whoever gives back has this noted with the door's lock, where it is seen who is in; the door looks with the same lock.
So nobody comes in for a seat and is paid for it, too. A note that its process could not remove lapses.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from persistence.database.tables import giving_back

LAPSES_AFTER = timedelta(minutes=1)  # no answer of a schedule's owner is waited for so long


async def begin(connection: AsyncConnection, note_id: str, booking_id: str, now: datetime) -> None:
    """Notes it, in the transaction that holds the door's lock, and drops what has lapsed."""
    await connection.execute(giving_back.delete().where(giving_back.c.lapses_at <= now))
    note = {"id": note_id, "booking_id": booking_id, "lapses_at": now + LAPSES_AFTER}
    await connection.execute(giving_back.insert().values(**note))


async def end(database: AsyncEngine, note_id: str) -> None:
    """It is decided."""
    async with database.begin() as connection:
        await connection.execute(giving_back.delete().where(giving_back.c.id == note_id))


async def among(connection: AsyncConnection, booking_ids: Collection[str], now: datetime) -> set[str]:
    """Those of these bookings that it concerns."""
    query = sa.select(giving_back.c.booking_id).where(
        giving_back.c.booking_id.in_(booking_ids), giving_back.c.lapses_at > now
    )
    return set((await connection.execute(query)).scalars())
