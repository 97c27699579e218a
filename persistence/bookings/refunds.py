"""Refunds as the tables show them: what was given back, and what is still owed to customers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine import events
from engine.events import Record, decode_event
from engine.payment import REFUND_NAMES, Refund, RefundStatus
from engine.seating_plan import SeatingPlan
from persistence.bookings.searching import Search, ordered
from persistence.database.conditions import is_owed
from persistence.database.moments import milliseconds, moment
from persistence.database.tables import TIME, UUID, bookings, journal, payments, refunds
from persistence.providers.provider import PaymentRef

STATUSES = dict(zip(REFUND_NAMES, RefundStatus, strict=True))
BY_HAND = "manual:"  # begins the reference of a refund that its provider has not paid out


class RefundRow(Struct, frozen=True, kw_only=True):
    """A refund as stored."""

    id: str
    payment_id: str
    booking_id: str
    schedule_id: str
    customer_id: str
    status: RefundStatus
    amount: int  # what the customer gets, minor units of `currency`
    fee: int  # what is kept
    currency: str
    provider: str
    seats: tuple[str, ...]
    reference: str
    reason: str
    by: str  # customer | organizer | admin | system
    requested_ms: int
    settled_ms: int  # 0: not confirmed

    def refund(self, plan: SeatingPlan) -> Refund:
        """The same value that the schedule's owner answers with."""
        return Refund(
            id=self.id,
            payment_id=self.payment_id,
            amount=self.amount,
            fee=self.fee,
            seats=tuple(plan.place(seat) for seat in self.seats),
            status=self.status,
            requested_ms=self.requested_ms,
            reason=self.reason,
            by=self.by,
            settled_ms=self.settled_ms,
            reference=self.reference,
        )


class DueRefund(Struct, frozen=True):
    """A refund that nobody has confirmed, with the payment it comes from."""

    row: RefundRow
    payment: PaymentRef


_REFUND = (
    refunds.c.id,
    refunds.c.payment_id,
    refunds.c.booking_id,
    refunds.c.schedule_id,
    refunds.c.customer_id,
    refunds.c.status,
    refunds.c.amount,
    refunds.c.fee,
    refunds.c.currency,
    refunds.c.provider,
    refunds.c.seats,
    refunds.c.reference,
    refunds.c.reason,
    refunds.c.by,
    refunds.c.requested_at,
    refunds.c.settled_at,
)


async def of_bookings(connection: AsyncConnection, booking_ids: Sequence[str]) -> dict[str, list[RefundRow]]:
    """The refunds of these bookings, oldest first; bookings without one are left out."""
    query = sa.select(*_REFUND).where(refunds.c.booking_id.in_(booking_ids)).order_by(refunds.c.requested_at)
    found: dict[str, list[RefundRow]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.booking_id, []).append(_refund_row(row))
    return found


async def find(database: AsyncEngine, refund_id: str) -> RefundRow | None:
    """The refund with this id, whoever owns it."""
    async with database.connect() as connection:
        row = (await connection.execute(sa.select(*_REFUND).where(refunds.c.id == refund_id))).one_or_none()
    return None if row is None else _refund_row(row)


async def list_refunds(
    database: AsyncEngine,
    *,
    customer_id: str | None = None,
    payment_id: str | None = None,
    booking_id: str | None = None,
    schedule_id: str | None = None,
    status: RefundStatus | None = None,
    found_by: Search | None = None,
    before_id: str | None = None,
    oldest_first: bool = False,
    after: tuple[datetime, str] | None = None,
    limit: int,
) -> list[RefundRow]:
    """Newest first or, if asked, oldest first, in the order of `ordered`."""
    query = sa.select(*_REFUND).limit(limit)
    query = ordered(query, refunds, before_id=before_id, oldest_first=oldest_first, after=after)
    if customer_id is not None:
        query = query.where(refunds.c.customer_id == customer_id)
    if payment_id is not None:
        query = query.where(refunds.c.payment_id == payment_id)
    if booking_id is not None:
        query = query.where(refunds.c.booking_id == booking_id)
    if schedule_id is not None:
        query = query.where(refunds.c.schedule_id == schedule_id)
    if status is not None:
        query = query.where(refunds.c.status == REFUND_NAMES[status])
    if found_by is not None:
        query = query.where(*found_by.of(refunds, booking_id="booking_id", at="requested_at"))
    async with database.connect() as connection:
        return [_refund_row(row) for row in await connection.execute(query)]


# What decides about a refund besides the booking's own story.
_TERMS = tuple(
    str(kind.__struct_config__.tag)
    for kind in (events.Opened, events.TermsChanged, events.PlanChanged, events.ScheduleCancelled, events.Withdrawn)
)


def _family(booking_id: str) -> sa.CompoundSelect[str]:
    """The booking, and all that its seats have come from or gone to."""
    mine = sa.select(sa.func.coalesce(bookings.c.origin_id, bookings.c.id)).where(bookings.c.id == booking_id)
    origin = mine.scalar_subquery()
    return sa.select(sa.literal(booking_id, UUID)).union(
        sa.select(bookings.c.id).where(sa.or_(bookings.c.id == origin, bookings.c.origin_id == origin))
    )


async def story(database: AsyncEngine, schedule_id: str, booking_id: str) -> list[Record]:
    """What the journal says of a booking and of the terms its schedule was sold on, in order."""
    query = (
        sa.select(journal.c.seq, journal.c.at_ms, journal.c.payload)
        .where(
            journal.c.schedule_id == schedule_id,
            sa.or_(journal.c.booking_id.in_(_family(booking_id)), journal.c.type.in_(_TERMS)),
        )
        .order_by(journal.c.seq)
    )
    async with database.connect() as connection:
        return [Record(seq, at_ms, decode_event(payload)) for seq, at_ms, payload in await connection.execute(query)]


async def was_asked(connection: AsyncConnection, schedule_id: str, booking_id: str, request_id: str) -> bool:
    """Whether the journal has what came of a request about the booking."""
    found = sa.exists().where(
        journal.c.schedule_id == schedule_id, journal.c.booking_id == booking_id, journal.c.request_id == request_id
    )
    return bool((await connection.execute(sa.select(found))).scalar_one())


_DUE = sa.select(
    *_REFUND,
    payments.c.amount.label("paid"),
    payments.c.reference.label("payment_reference"),
    payments.c.requested_at.label("payment_requested_at"),
).select_from(refunds.join(payments, payments.c.id == refunds.c.payment_id))


async def due(database: AsyncEngine, refund_id: str) -> DueRefund | None:
    """A refund with the payment it comes from, whether or not it is still owed."""
    async with database.connect() as connection:
        row = (await connection.execute(_DUE.where(refunds.c.id == refund_id))).one_or_none()
    return None if row is None else _due(row)


async def unsettled(
    database: AsyncEngine, *, requested_before: datetime, provider: str, after: tuple[datetime, str], limit: int
) -> list[DueRefund]:
    """Refunds that nobody has confirmed, oldest first, after the place `(requested at, refund id)`."""
    query = (
        _DUE.where(
            is_owed,
            refunds.c.provider == provider,
            refunds.c.requested_at < requested_before,
            sa.tuple_(refunds.c.requested_at, refunds.c.id)
            > sa.tuple_(sa.literal(after[0], TIME), sa.literal(after[1], UUID)),
        )
        .order_by(refunds.c.requested_at, refunds.c.id)
        .limit(limit)
    )
    async with database.connect() as connection:
        return [_due(row) for row in await connection.execute(query)]


def place_of(refund: DueRefund) -> tuple[datetime, str]:
    """Where `unsettled` goes on after it."""
    return moment(refund.row.requested_ms), refund.row.id


def _due(row: sa.Row[*tuple[Any, ...]]) -> DueRefund:
    payment = PaymentRef(
        payment_id=row.payment_id,
        booking_id=row.booking_id,
        amount=row.paid,
        currency=row.currency,
        requested_ms=milliseconds(row.payment_requested_at),
        reference=row.payment_reference or "",
    )
    return DueRefund(_refund_row(row), payment)


def _refund_row(row: sa.Row[*tuple[Any, ...]]) -> RefundRow:
    return RefundRow(
        id=row.id,
        payment_id=row.payment_id,
        booking_id=row.booking_id,
        schedule_id=row.schedule_id,
        customer_id=row.customer_id,
        status=STATUSES[row.status],
        amount=row.amount,
        fee=row.fee,
        currency=row.currency,
        provider=row.provider,
        seats=tuple(row.seats),
        reference=row.reference or "",
        reason=row.reason or "",
        by=row.by,
        requested_ms=milliseconds(row.requested_at),
        settled_ms=milliseconds(row.settled_at),
    )
