"""Seats that customers offer to others by e-mail: offered, and then accepted, declined, withdrawn or too old.

An offer says nothing about whether there is such an account: it is kept as it was given, and counts for whoever has
confirmed the e-mail, whenever that is. Only what was accepted stands in the journal; `accepting` lies in between, and
may be taken up again by whoever was there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from persistence.database.conditions import is_bought
from persistence.database.tables import accounts, bookings, transfers

OPEN = ("offered", "accepting")


class Transfer(Struct, frozen=True, kw_only=True):
    """An offer, and what has become of it."""

    id: str
    booking_id: str
    schedule_id: str
    from_customer_id: str
    to_email: str | None  # forgotten with whoever had it
    to_customer_id: str | None  # who has accepted
    to_booking_id: str  # theirs, once they have
    seats: tuple[str, ...]
    status: str  # offered | accepting | accepted | declined | withdrawn
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None

    def status_at(self, now: datetime) -> str:
        """As everybody reads it: an offer past its time is over."""
        return "expired" if self.status == "offered" and self.expires_at <= now else self.status


_COLUMNS = tuple(transfers.c[name] for name in Transfer.__struct_fields__)
_TRANSFERS = sa.select(*_COLUMNS)


async def offer(connection: AsyncConnection, transfer: Transfer) -> None:
    """Keeps a new offer."""
    values = {name: getattr(transfer, name) for name in Transfer.__struct_fields__}
    await connection.execute(transfers.insert().values(**values | {"seats": list(transfer.seats)}))


async def lock_booking(connection: AsyncConnection, booking_id: str) -> None:
    """Keeps the offers of a booking to this transaction until it ends."""
    key = sa.func.hashtextextended(f"transfers:{booking_id}", 0)
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


async def open_of(connection: AsyncConnection, booking_id: str, now: datetime) -> list[Transfer]:
    """The booking's offers that may still be accepted."""
    query = _TRANSFERS.where(transfers.c.booking_id == booking_id, _is_open(now))
    return await _read(connection, query)


async def find(connection: AsyncConnection, transfer_id: str, *, lock: bool = False) -> Transfer | None:
    """The offer with this id, whoever asks."""
    query = _TRANSFERS.where(transfers.c.id == transfer_id)
    found = await _read(connection, query.with_for_update() if lock else query)
    return found[0] if found else None


async def of_id(database: AsyncEngine, transfer_id: str) -> Transfer | None:
    """As `find`, by itself."""
    async with database.connect() as connection:
        return await find(connection, transfer_id)


async def given_by(
    connection: AsyncConnection, customer_id: str, *, before_id: str | None, limit: int
) -> list[Transfer]:
    """What a customer has offered, newest first."""
    return await _page(connection, transfers.c.from_customer_id == customer_id, before_id, limit)


async def offered_to(
    connection: AsyncConnection, customer_id: str, now: datetime, *, before_id: str | None, limit: int
) -> list[Transfer]:
    """What is open for a customer, by the e-mail that they have confirmed, newest first."""
    theirs = transfers.c.to_email.in_(_confirmed(customer_id)) & _is_open(now)
    return await _page(connection, theirs, before_id, limit)


async def is_for(connection: AsyncConnection, transfer: Transfer, customer_id: str) -> bool:
    """Whether the customer has confirmed the e-mail that the offer was made to."""
    if transfer.to_email is None:
        return False
    query = sa.select(sa.literal(transfer.to_email, sa.Text).in_(_confirmed(customer_id)))
    return bool((await connection.execute(query)).scalar_one())


async def taker_of(connection: AsyncConnection, email: str, roles: Sequence[str]) -> str | None:
    """Whoever has confirmed this e-mail, if by their role they may take seats over."""
    query = sa.select(accounts.c.id).where(
        sa.func.lower(accounts.c.email) == email.lower(),
        accounts.c.role.in_(roles),
        accounts.c.deleted_at.is_(None),
        accounts.c.email_confirmed_at.is_not(None),
    )
    found: str | None = (await connection.execute(query)).scalar_one_or_none()
    return found


async def change(connection: AsyncConnection, transfer_id: str, **values: object) -> None:
    """Says what has become of a locked offer."""
    await connection.execute(transfers.update().where(transfers.c.id == transfer_id).values(**values))


async def lapse(connection: AsyncConnection, found: Sequence[Transfer], at: datetime) -> list[Transfer]:
    """These offers as they stand: withdrawn where the giver no longer has what was offered. They may have given it
    back or exchanged it, or had it taken; what is promised to nobody any more can be offered again."""
    offered = [each for each in found if each.status == "offered"]
    if not offered:
        return list(found)
    ids = {each.booking_id for each in offered}
    query = sa.select(bookings.c.id, bookings.c.seats).where(bookings.c.id.in_(ids), is_bought)
    left = {row.id: Counter(row.seats) for row in await connection.execute(query)}
    void = [each.id for each in offered if Counter(each.seats) - left.get(each.booking_id, Counter())]
    still_offered = transfers.c.id.in_(void) & (transfers.c.status == "offered")
    ended = {"status": "withdrawn", "ended_at": at}
    changed = await connection.execute(
        transfers.update().where(still_offered).values(**ended).returning(transfers.c.id)
    )
    withdrawn = set(changed.scalars())
    return [replace(each, **ended) if each.id in withdrawn else each for each in found]


async def taken_over(connection: AsyncConnection, transfer: Transfer) -> bool:
    """Whether the journal has it: the booking is there."""
    query = sa.select(sa.exists().where(bookings.c.id == transfer.to_booking_id))
    return bool((await connection.execute(query)).scalar_one())


async def being_handed_over(connection: AsyncConnection, booking_ids: Collection[str]) -> dict[str, Counter[str]]:
    """Seats of these bookings that somebody has accepted, and that the journal may give them at any moment."""
    taken_over = sa.exists().where(bookings.c.id == transfers.c.to_booking_id)
    query = sa.select(transfers.c.booking_id, transfers.c.seats).where(
        transfers.c.booking_id.in_(booking_ids), transfers.c.status == "accepting", ~taken_over
    )
    found: dict[str, Counter[str]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.booking_id, Counter()).update(row.seats)
    return found


def _is_open(now: datetime) -> sa.ColumnElement[bool]:
    return (transfers.c.status == "accepting") | ((transfers.c.status == "offered") & (transfers.c.expires_at > now))


def _confirmed(customer_id: str) -> sa.Select[tuple[str]]:
    return sa.select(sa.func.lower(accounts.c.email)).where(
        accounts.c.id == customer_id, accounts.c.deleted_at.is_(None), accounts.c.email_confirmed_at.is_not(None)
    )


async def _page(
    connection: AsyncConnection, which: sa.ColumnElement[bool], before_id: str | None, limit: int
) -> list[Transfer]:
    query = _TRANSFERS.where(which) if before_id is None else _TRANSFERS.where(which, transfers.c.id < before_id)
    return await _read(connection, query.order_by(transfers.c.id.desc()).limit(limit))


async def _read(connection: AsyncConnection, query: sa.Select[*tuple[Any, ...]]) -> list[Transfer]:
    rows = await connection.execute(query)
    return [Transfer(**{**row._mapping, "seats": tuple(row.seats)}) for row in rows]
