"""How far the cancellation of a schedule has come: what is left to end, and what is owed and given back."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from persistence.database.conditions import COMPLETED, OWED, is_held, is_live, is_paying
from persistence.database.tables import bookings, cancellations, payments, refunds, schedules


class Progress(Struct, frozen=True, kw_only=True):
    """The cancellation of a schedule so far. It is finished when nothing is live and nothing is owed."""

    schedule_id: str
    cancelled_at: datetime
    reason: str
    bookings_ended: int  # since the cancellation
    bookings_live: int  # to be ended, those with a payment under way included
    refunds_requested: int  # not confirmed by the provider yet
    refunds_completed: int
    amount_owed: int  # minor units of `currency`
    amount_refunded: int
    currency: str

    @property
    def finished(self) -> bool:
        return not self.bookings_live and not self.refunds_requested


class ToBeGivenBack(Struct, frozen=True, kw_only=True):
    """What the live bookings of some schedules come to, in one currency."""

    currency: str
    unpaid: int  # bookings that are held
    paid: int  # bookings that are confirmed, those that cost nothing included
    places: int  # of both
    amount: int  # what was paid for them, minor units


async def with_live_bookings(database: AsyncEngine) -> list[str]:
    """Cancelled schedules that still have bookings to end."""
    has_live = sa.exists().where(bookings.c.schedule_id == schedules.c.id, is_live)
    query = sa.select(schedules.c.id).where(schedules.c.cancelled_at.is_not(None), has_live)
    async with database.connect() as connection:
        return list((await connection.execute(query)).scalars())


async def endable(database: AsyncEngine, schedule_id: str, at_most: int) -> int:
    """How many live bookings have no payment under way, counted up to a limit."""
    paying = sa.exists().where(payments.c.id == bookings.c.payment_id, is_paying)
    found = sa.select(bookings.c.id).where(bookings.c.schedule_id == schedule_id, is_live, ~paying).limit(at_most)
    async with database.connect() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(found.subquery()))).scalar_one()


async def to_be_given_back(connection: AsyncConnection, *which: sa.ColumnElement[bool]) -> list[ToBeGivenBack]:
    """What cancelling these schedules now would end and give back, by currency."""
    query = (
        sa.select(
            bookings.c.currency,
            sa.func.count().filter(is_held),
            sa.func.count().filter(~is_held),
            sa.cast(sa.func.sum(sa.func.cardinality(bookings.c.seats)), sa.BigInteger),
            sa.cast(sa.func.coalesce(sa.func.sum(bookings.c.amount).filter(~is_held), 0), sa.BigInteger),
        )
        .join(schedules, schedules.c.id == bookings.c.schedule_id)
        .where(*which, is_live)
        .group_by(bookings.c.currency)
        .order_by(bookings.c.currency)
    )
    return [
        ToBeGivenBack(currency=currency, unpaid=unpaid, paid=paid, places=places, amount=amount)
        for currency, unpaid, paid, places, amount in await connection.execute(query)
    ]


async def would_give_back(connection: AsyncConnection, schedule_id: str) -> ToBeGivenBack | None:
    """What cancelling the schedule now would end and give back; None: nobody has booked."""
    found = await to_be_given_back(connection, schedules.c.id == schedule_id)
    return found[0] if found else None  # a schedule has one currency


async def progress(database: AsyncEngine, schedule_id: str) -> Progress | None:
    """How far the cancellation has come; None if the schedule is not cancelled."""
    live = sa.select(sa.func.count()).where(bookings.c.schedule_id == schedule_id, is_live).scalar_subquery()
    ended = (
        sa.select(sa.func.count())
        .where(
            cancellations.c.schedule_id == schedule_id,
            cancellations.c.cancelled_at >= schedules.c.cancelled_at,
        )
        .scalar_subquery()
    )
    since = sa.and_(refunds.c.schedule_id == schedule_id, refunds.c.requested_at >= schedules.c.cancelled_at)
    of = {
        name: sa.select(aggregate).where(since, refunds.c.status == status).scalar_subquery().label(name)
        for name, status, aggregate in (
            ("refunds_requested", OWED, sa.func.count()),
            ("refunds_completed", COMPLETED, sa.func.count()),
            ("amount_owed", OWED, _total()),
            ("amount_refunded", COMPLETED, _total()),
        )
    }
    query = sa.select(
        schedules.c.cancelled_at,
        sa.func.coalesce(schedules.c.cancellation_reason, "").label("reason"),
        schedules.c.currency,
        live.label("bookings_live"),
        ended.label("bookings_ended"),
        *of.values(),
    ).where(schedules.c.id == schedule_id, schedules.c.cancelled_at.is_not(None))
    async with database.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else Progress(schedule_id=schedule_id, **row._mapping)


def _total() -> sa.ColumnElement[int]:
    return sa.cast(sa.func.coalesce(sa.func.sum(refunds.c.amount), 0), sa.BigInteger)
