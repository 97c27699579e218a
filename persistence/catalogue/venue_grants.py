"""Grants: whom a venue's organizer lets play there, by e-mail or by id.

A grant says nothing about whether there is such an account: it is kept as it was given, and counts for whoever has the
id, or has confirmed the e-mail, whenever that is.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database.tables import UUID, accounts, venue_grants


class Grant(Struct, frozen=True, kw_only=True):
    """Somebody who may play in a venue; one of `email` and `organizer_id` says who."""

    id: str
    venue_id: str
    email: str | None
    organizer_id: str | None
    created_at: datetime


_COLUMNS = tuple(venue_grants.c[name] for name in Grant.__struct_fields__)


async def give(
    connection: AsyncConnection, *, grant_id: str, venue_id: str, email: str | None, organizer_id: str | None
) -> Grant:
    """A grant, or the one that is there for the same e-mail or id."""
    to = {"email": None if email is None else email.lower(), "organizer_id": organizer_id}
    await connection.execute(insert(venue_grants).values(id=grant_id, venue_id=venue_id, **to).on_conflict_do_nothing())
    found = sa.select(*_COLUMNS).where(
        venue_grants.c.venue_id == venue_id,
        *(venue_grants.c[name] == value for name, value in to.items() if value is not None),
    )
    return Grant(**(await connection.execute(found)).one()._mapping)


async def of_venue(
    connection: AsyncConnection, venue_id: str, *, before_id: str | None = None, limit: int | None = None
) -> list[Grant]:
    """The venue's grants, newest first; all of them, or one page."""
    query = sa.select(*_COLUMNS).where(venue_grants.c.venue_id == venue_id).order_by(venue_grants.c.id.desc())
    if before_id is not None:
        query = query.where(venue_grants.c.id < before_id)
    query = query.limit(limit)
    return [Grant(**row._mapping) for row in await connection.execute(query)]


async def take_back(connection: AsyncConnection, venue_id: str, grant_id: str) -> bool:
    """Whether there was such a grant; there is none now."""
    taken = venue_grants.delete().where(venue_grants.c.venue_id == venue_id, venue_grants.c.id == grant_id)
    return bool((await connection.execute(taken)).rowcount)


async def may_play(connection: AsyncConnection, venue_id: str, organizer_id: str) -> bool:
    """Whether one of the venue's grants is for this organizer."""
    query = sa.select(sa.literal(venue_id, UUID).in_(granted_to(organizer_id)))
    return bool((await connection.execute(query)).scalar_one())


def granted_to(organizer_id: str) -> sa.Select[tuple[str]]:
    """The venues that have a grant for this organizer."""
    theirs = sa.select(sa.func.lower(accounts.c.email)).where(
        accounts.c.id == organizer_id, accounts.c.deleted_at.is_(None), accounts.c.email_confirmed_at.is_not(None)
    )
    return sa.select(venue_grants.c.venue_id).where(
        (venue_grants.c.organizer_id == organizer_id) | venue_grants.c.email.in_(theirs)
    )
