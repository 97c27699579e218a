"""Door staff: people an organizer lets work one schedule's door, by a link that expires.

The link carries a token, of which only the hash is kept: who reads the table gets in nowhere.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database.tables import door_staff, performances, schedules


class DoorStaff(Struct, frozen=True, kw_only=True):
    """Somebody at the door."""

    id: str
    schedule_id: str
    name: str
    created_at: datetime
    expires_at: datetime


_COLUMNS = tuple(door_staff.c[name] for name in DoorStaff.__struct_fields__)


def hashed(token: str) -> bytes:
    """What is kept of a token. It is as long and as little to be guessed as a key, so that one SHA-256 is enough."""
    return hashlib.sha256(token.encode()).digest()


async def add(
    connection: AsyncConnection, *, staff_id: str, schedule_id: str, name: str, token: str, expires_at: datetime
) -> DoorStaff:
    """Somebody more."""
    made = await connection.execute(
        door_staff.insert()
        .values(id=staff_id, schedule_id=schedule_id, name=name, token_hash=hashed(token), expires_at=expires_at)
        .returning(*_COLUMNS)
    )
    return DoorStaff(**made.one()._mapping)


async def list_staff(
    connection: AsyncConnection, schedule_id: str, *, before_id: str | None, limit: int
) -> list[DoorStaff]:
    """Those whose links have not been taken back, newest first; expired ones among them."""
    query = (
        sa.select(*_COLUMNS)
        .where(door_staff.c.schedule_id == schedule_id, door_staff.c.ended_at.is_(None))
        .order_by(door_staff.c.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        query = query.where(door_staff.c.id < before_id)
    return [DoorStaff(**row._mapping) for row in await connection.execute(query)]


async def end(connection: AsyncConnection, schedule_id: str, staff_id: str | None, at: datetime) -> int:
    """Takes one link back, or all of a schedule; how many there were."""
    statement = door_staff.update().where(door_staff.c.schedule_id == schedule_id, door_staff.c.ended_at.is_(None))
    if staff_id is not None:
        statement = statement.where(door_staff.c.id == staff_id)
    return (await connection.execute(statement.values(ended_at=at))).rowcount


async def end_of_organizer(connection: AsyncConnection, organizer_id: str, at: datetime) -> int:
    """Takes every link back to the doors of whoever organizes no more; how many there were."""
    doors = sa.select(schedules.c.id).join(performances, performances.c.id == schedules.c.performance_id)
    statement = door_staff.update().where(
        door_staff.c.schedule_id.in_(doors.where(performances.c.organizer_id == organizer_id)),
        door_staff.c.ended_at.is_(None),
    )
    return (await connection.execute(statement.values(ended_at=at))).rowcount


async def by_token(connection: AsyncConnection, token: str, at: datetime) -> DoorStaff | None:
    """Whose token this is, if it still opens anything."""
    query = (
        sa.select(*_COLUMNS)
        .select_from(door_staff.join(schedules, schedules.c.id == door_staff.c.schedule_id))
        .where(
            door_staff.c.token_hash == hashed(token),
            door_staff.c.ended_at.is_(None),
            door_staff.c.expires_at > at,
            schedules.c.deleted_at.is_(None),
        )
    )
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else DoorStaff(**row._mapping)
