"""Venues: the houses that are sold, each with its seating plan. Plain rows in, plain rows out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.catalogue.venue_grants import granted_to
from persistence.database.tables import TIME, former_plans, venues
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
    plan_number: int  # how often the plan has been replaced
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
    """A new venue, its plan as JSON text and as it is stored. Schedules are sold by it: see `replace_plan`."""
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


async def replace_plan(
    connection: AsyncConnection,
    venue_id: str,
    *,
    seating_plan: str,
    packed_plan: bytes,
    plan_digest: str,
    capacity: int,
    at: datetime,
) -> VenueRow:
    """Another plan for a locked venue. The one before is kept: journals number their places by it."""
    kept = ("seating_plan", "packed_plan")
    former = sa.select(
        venues.c.id, venues.c.plan_number, *(venues.c[name] for name in kept), sa.literal(at, TIME)
    ).where(venues.c.id == venue_id)
    columns = ["venue_id", "number", *kept, "replaced_at"]
    await connection.execute(former_plans.insert().from_select(columns, former))
    change = (
        venues.update()
        .where(venues.c.id == venue_id)
        .values(
            seating_plan=sa.cast(sa.literal(seating_plan, sa.Text), JSONB),
            packed_plan=packed_plan,
            plan_digest=plan_digest,
            plan_number=venues.c.plan_number + 1,
            capacity=capacity,
        )
        .returning(*_VENUE)
    )
    return VenueRow(**(await connection.execute(change)).one()._mapping)


async def has_plan(connection: AsyncConnection, venue_id: str, seating_plan: str) -> bool:
    """Whether this very document is the venue's plan already."""
    same = venues.c.seating_plan == sa.cast(sa.literal(seating_plan, sa.Text), JSONB)
    return bool((await connection.execute(sa.select(sa.exists().where(venues.c.id == venue_id, same)))).scalar_one())


async def plan_number(connection: AsyncConnection, venue_id: str) -> int | None:
    """How often the venue's plan has been replaced; None if there is no such venue."""
    query = sa.select(venues.c.plan_number).where(venues.c.id == venue_id)
    number: int | None = (await connection.execute(query)).scalar_one_or_none()
    return number


async def stored_plan(
    connection: AsyncConnection, venue_id: str, number: int
) -> tuple[bytes | None, str | None] | None:
    """A plan of the venue in its stored form or, where it has none, as JSON text; None if there is no such plan."""
    for table, where in (
        (venues, (venues.c.id == venue_id, venues.c.plan_number == number)),
        (former_plans, (former_plans.c.venue_id == venue_id, former_plans.c.number == number)),
    ):
        document = sa.case((table.c.packed_plan.is_(None), sa.cast(table.c.seating_plan, sa.Text)))
        row = (await connection.execute(sa.select(table.c.packed_plan, document).where(*where))).one_or_none()
        if row is not None:
            return row[0], row[1]
    return None


async def seating_plan(connection: AsyncConnection, venue_id: str) -> str | None:
    """The venue's seating plan as JSON text: some megabytes that are not to be decoded on anybody's event loop."""
    query = sa.select(sa.cast(venues.c.seating_plan, sa.Text)).where(venues.c.id == venue_id)
    document: str | None = (await connection.execute(query)).scalar_one_or_none()
    return document


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
