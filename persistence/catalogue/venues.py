"""Venues: the houses that are sold, each with its seating plan. Plain rows in, plain rows out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.catalogue.venue_grants import granted_to
from persistence.database.tables import venues
from persistence.database.words import found_by, words_column


class VenueRow(Struct, frozen=True, kw_only=True):
    """A venue without its seating plan."""

    id: str
    organizer_id: str
    name: str
    city: str | None
    address: str | None
    time_zone: str
    plan_digest: str
    capacity: int
    shared: bool
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
    city: str | None = None,
    address: str | None = None,
    time_zone: str = "Asia/Seoul",
    shared: bool = False,
) -> VenueRow:
    """A new venue, its plan as JSON text and as it is stored. The plan never changes: schedules are sold by it."""
    created = await connection.execute(
        venues.insert()
        .values(
            id=venue_id,
            organizer_id=organizer_id,
            name=name,
            city=city,
            address=address,
            time_zone=time_zone,
            words=words_column(name, city, address),
            seating_plan=sa.cast(sa.literal(seating_plan, sa.Text), JSONB),
            packed_plan=packed_plan,
            plan_digest=plan_digest,
            capacity=capacity,
            shared=shared,
        )
        .returning(*_VENUE)
    )
    return VenueRow(**created.one()._mapping)


async def venue(connection: AsyncConnection, venue_id: str) -> VenueRow | None:
    """The venue with this id."""
    row = (await connection.execute(sa.select(*_VENUE).where(venues.c.id == venue_id))).one_or_none()
    return None if row is None else VenueRow(**row._mapping)


async def list_venues(
    connection: AsyncConnection,
    *,
    search: str | None,
    organizer_id: str | None = None,
    shared: bool = False,
    before_id: str | None,
    limit: int,
) -> list[VenueRow]:
    """Venues, newest first; an organizer's own, or with `shared` all that they may play in."""
    query = sa.select(*_VENUE).order_by(venues.c.id.desc()).limit(limit)
    if search and search.strip():
        query = query.where(found_by(venues.c.words, search))
    if organizer_id:
        mine = venues.c.organizer_id == organizer_id
        query = query.where(mine | venues.c.shared | venues.c.id.in_(granted_to(organizer_id)) if shared else mine)
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


async def change_venue(connection: AsyncConnection, venue_id: str, values: Mapping[str, object]) -> VenueRow:
    """Changes a locked venue. Its plan is none of the values."""
    change = venues.update().where(venues.c.id == venue_id).values(**values).returning(*_VENUE)
    row = VenueRow(**(await connection.execute(change)).one()._mapping)
    words = words_column(row.name, row.city, row.address)
    await connection.execute(venues.update().where(venues.c.id == venue_id).values(words=words))
    return row


async def knows_zone(connection: AsyncConnection, time_zone: str) -> bool:
    """Whether PostgreSQL can tell the time there: whoever asks for a day has it do so."""
    query = sa.text("SELECT EXISTS (SELECT 1 FROM pg_timezone_names WHERE name = :name)")
    return bool((await connection.execute(query, {"name": time_zone})).scalar_one())


async def lock_venue(connection: AsyncConnection, venue_id: str) -> VenueRow | None:
    """The venue, whose calendar is kept to this transaction until it ends."""
    # NO KEY UPDATE leaves foreign key checks alone.
    query = sa.select(*_VENUE).where(venues.c.id == venue_id).with_for_update(key_share=True)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else VenueRow(**row._mapping)
