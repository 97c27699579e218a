"""What cancelling a whole performance would give back, and how far it has come: the sums over its schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.bookings import cancelled_schedules
from persistence.bookings.cancelled_schedules import ToBeGivenBack
from persistence.database.conditions import is_live, is_owed
from persistence.database.tables import bookings, refunds, schedules


class GivenBack(Struct, frozen=True, kw_only=True):
    """What has become of them, in one currency."""

    currency: str
    pending: int  # refunds that the provider has not confirmed
    completed: int
    amount_pending: int
    amount_refunded: int


class Standing(Struct, frozen=True, kw_only=True):
    """How the schedules of a performance stand."""

    upcoming: int  # not cancelled, not begun
    cancelled: int
    bookings_live: int  # of cancelled ones: still to be ended


async def upcoming(connection: AsyncConnection, performance_id: str, now: datetime) -> list[str]:
    """The schedules that can be cancelled: not yet begun, and not cancelled already."""
    query = sa.select(schedules.c.id).where(*_upcoming(performance_id, now)).order_by(schedules.c.id)
    return list((await connection.execute(query)).scalars())


async def to_be_given_back(connection: AsyncConnection, performance_id: str, now: datetime) -> list[ToBeGivenBack]:
    """What cancelling them now would end and give back."""
    return await cancelled_schedules.to_be_given_back(connection, *_upcoming(performance_id, now))


async def standing(connection: AsyncConnection, performance_id: str, now: datetime) -> Standing:
    """How many schedules are cancelled, and how many bookings of theirs are still to be ended."""
    cancelled = schedules.c.cancelled_at.is_not(None)
    live = (
        sa.select(sa.func.count())
        .select_from(bookings.join(schedules, schedules.c.id == bookings.c.schedule_id))
        .where(schedules.c.performance_id == performance_id, cancelled, is_live)
        .scalar_subquery()
    )
    query = sa.select(
        sa.func.count().filter(~cancelled, schedules.c.starts_at > now), sa.func.count().filter(cancelled), live
    ).where(schedules.c.performance_id == performance_id, schedules.c.deleted_at.is_(None))
    coming, off, bookings_live = (await connection.execute(query)).one()
    return Standing(upcoming=coming, cancelled=off, bookings_live=bookings_live)


async def given_back(connection: AsyncConnection, performance_id: str) -> Sequence[GivenBack]:
    """The refunds of its cancelled schedules since they were cancelled."""
    query = (
        sa.select(
            refunds.c.currency,
            sa.func.count().filter(is_owed),
            sa.func.count().filter(~is_owed),
            *(
                sa.cast(sa.func.coalesce(sa.func.sum(refunds.c.amount).filter(which), 0), sa.BigInteger)
                for which in (is_owed, ~is_owed)
            ),
        )
        .join(schedules, schedules.c.id == refunds.c.schedule_id)
        .where(schedules.c.performance_id == performance_id, refunds.c.requested_at >= schedules.c.cancelled_at)
        .group_by(refunds.c.currency)
        .order_by(refunds.c.currency)
    )
    return [
        GivenBack(currency=currency, pending=waiting, completed=done, amount_pending=owed, amount_refunded=back)
        for currency, waiting, done, owed, back in await connection.execute(query)
    ]


def _upcoming(performance_id: str, now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        schedules.c.performance_id == performance_id,
        schedules.c.deleted_at.is_(None),
        schedules.c.cancelled_at.is_(None),
        schedules.c.starts_at > now,
    )
