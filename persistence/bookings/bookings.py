"""Reads of what a schedule's actor wrote: bookings, payments, cancellations.

The rows ride in the actor's own transaction, so they show exactly what was acknowledged. Nothing here changes a seat or
money; the one write is the wording of a cancellation's reason, which decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.booking import Booking, Status
from engine.payment import Payment, PaymentStatus
from engine.seating_plan import SeatingPlan
from persistence.bookings import refunds as refund_rows
from persistence.bookings.refunds import RefundRow
from persistence.database.moments import milliseconds, moment
from persistence.database.tables import LIVE, TIME, UUID, bookings, cancellations, payments, refunds, schedules
from persistence.providers.provider import PaymentRef

STATUSES = {status.name.lower(): status for status in Status}
PAYMENT_STATUSES = {status.name.lower(): status for status in PaymentStatus}


class Whereabouts(Struct, frozen=True):
    """What has to be known of a booking before its schedule's owner can be asked about it."""

    schedule_id: str  # never changes
    free: bool  # it costs nothing; true when it was read


class BookingRow(Struct, frozen=True, kw_only=True):
    """A booking as the tables show it, with what is needed to make an engine `Booking` of it."""

    id: str
    schedule_id: str
    performance_id: str
    customer_id: str
    status: Status
    seats: tuple[str, ...]
    prices: tuple[int, ...]
    currency: str
    created_ms: int
    expires_ms: int
    version: int
    payment: Payment | None
    archived_ms: int  # when an admin put it away; 0: not at all
    refunds: tuple[RefundRow, ...] = ()  # oldest first

    def booking(self, plan: SeatingPlan) -> Booking:
        """The same value that the schedule's actor answers with, `ending` left out."""
        return Booking(
            id=self.id,
            customer_id=self.customer_id,
            status=self.status,
            seats=tuple(plan.index[seat] for seat in self.seats),
            prices=self.prices,
            currency=self.currency,
            created_ms=self.created_ms,
            expires_ms=self.expires_ms,
            version=self.version,
            payment=self.payment,
            refunds=tuple(row.refund(plan) for row in self.refunds),
        )


class PaymentRow(Struct, frozen=True, kw_only=True):
    """A payment as the tables show it."""

    payment: Payment
    booking_id: str
    schedule_id: str
    customer_id: str
    currency: str
    refunded: int = 0  # what its refunds come to, minor units of `currency`, paid out or still owed

    @property
    def ref(self) -> PaymentRef:
        """What its provider may need to find it."""
        return PaymentRef(
            payment_id=self.payment.id,
            booking_id=self.booking_id,
            amount=self.payment.amount,
            currency=self.currency,
            requested_ms=self.payment.requested_ms,
            reference=self.payment.reference,
        )


class CancellationRow(Struct, frozen=True, kw_only=True):
    """A cancellation as the tables show it."""

    id: str
    booking_id: str
    schedule_id: str
    customer_id: str
    reason: str
    by: str  # customer | organizer | admin | system
    cancelled_ms: int


# --- bookings ---------------------------------------------------------------------------------------------------------
_PAYMENT_COLUMNS = (
    payments.c.id.label("payment_id"),
    payments.c.status.label("payment_status"),
    payments.c.amount.label("payment_amount"),
    payments.c.provider,
    payments.c.reference,
    payments.c.reason.label("payment_reason"),
    payments.c.requested_at,
    payments.c.settled_at,
)
_BOOKINGS = sa.select(
    bookings.c.id,
    bookings.c.schedule_id,
    schedules.c.performance_id,
    bookings.c.customer_id,
    bookings.c.status,
    bookings.c.seats,
    bookings.c.prices,
    bookings.c.currency,
    bookings.c.created_at,
    bookings.c.expires_at,
    bookings.c.version,
    bookings.c.archived_at,
    *_PAYMENT_COLUMNS,
).select_from(
    bookings.join(schedules, schedules.c.id == bookings.c.schedule_id).outerjoin(
        payments, payments.c.id == bookings.c.payment_id
    )
)


async def whereabouts(engine: AsyncEngine, booking_id: str) -> Whereabouts | None:
    """Where a booking belongs; None if there is no such booking."""
    query = sa.select(bookings.c.schedule_id, bookings.c.amount).where(bookings.c.id == booking_id)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else Whereabouts(row.schedule_id, row.amount == 0)


async def find_booking(engine: AsyncEngine, booking_id: str, customer_id: str | None) -> BookingRow | None:
    """The booking, if it is this customer's; a `customer_id` of None asks for anybody's."""
    query = _BOOKINGS.where(bookings.c.id == booking_id)
    if customer_id is not None:
        query = query.where(bookings.c.customer_id == customer_id)
    async with engine.connect() as connection:
        rows = await _booking_rows(connection, query)
    return rows[0] if rows else None


async def list_bookings(
    engine: AsyncEngine,
    *,
    customer_id: str | None,
    now_ms: int,
    status: Status | None = None,
    performance_id: str | None = None,
    schedule_id: str | None = None,
    archived: bool = False,
    before_id: str | None = None,
    limit: int,
) -> list[BookingRow]:
    """Newest first, starting after `before_id`; only those put away, or only the others.

    A hold whose time is up counts as expired, swept or not.
    """
    query = _BOOKINGS.order_by(bookings.c.id.desc()).limit(limit)
    if customer_id is not None:
        query = query.where(bookings.c.customer_id == customer_id)
    if performance_id is not None:
        query = query.where(schedules.c.performance_id == performance_id)
    if schedule_id is not None:
        query = query.where(bookings.c.schedule_id == schedule_id)
    if before_id is not None:
        query = query.where(bookings.c.id < before_id)
    query = query.where(bookings.c.archived_at.is_not(None) if archived else bookings.c.archived_at.is_(None))
    over = sa.and_(
        bookings.c.status == "held",
        bookings.c.expires_at <= moment(now_ms),
        sa.func.coalesce(payments.c.status, "") != "requested",
    )
    if status is Status.EXPIRED:
        query = query.where(sa.or_(bookings.c.status == "expired", over))
    elif status is Status.HELD:
        query = query.where(bookings.c.status == "held", sa.not_(over))
    elif status is not None:
        query = query.where(bookings.c.status == status.name.lower())
    async with engine.connect() as connection:
        return await _booking_rows(connection, query)


async def archive(connection: AsyncConnection, booking_id: str, at: datetime) -> bool:
    """Puts an ended booking away; False if there is none, it owns seats, or it was put away before."""
    change = (
        sa.update(bookings)
        .where(bookings.c.id == booking_id, bookings.c.status.not_in(LIVE), bookings.c.archived_at.is_(None))
        .values(archived_at=at)
    )
    return (await connection.execute(change)).rowcount == 1


async def _booking_rows(connection: AsyncConnection, query: sa.Select[*tuple[Any, ...]]) -> list[BookingRow]:
    rows = (await connection.execute(query)).all()
    refunds = await refund_rows.of_bookings(connection, [row.id for row in rows]) if rows else {}
    return [_booking_row(row, tuple(refunds.get(row.id, ()))) for row in rows]


def _booking_row(row: sa.Row[*tuple[Any, ...]], refunds: tuple[RefundRow, ...]) -> BookingRow:
    return BookingRow(
        id=row.id,
        schedule_id=row.schedule_id,
        performance_id=row.performance_id,
        customer_id=row.customer_id,
        status=STATUSES[row.status],
        seats=tuple(row.seats),
        prices=tuple(row.prices),
        currency=row.currency,
        created_ms=milliseconds(row.created_at),
        expires_ms=milliseconds(row.expires_at),
        version=row.version,
        payment=None if row.payment_id is None else _payment(row),
        archived_ms=milliseconds(row.archived_at),
        refunds=refunds,
    )


# --- payments ---------------------------------------------------------------------------------------------------------
_PAYMENTS = sa.select(
    *_PAYMENT_COLUMNS,
    payments.c.booking_id,
    payments.c.schedule_id,
    payments.c.customer_id,
    payments.c.currency,
    sa.cast(
        sa.select(sa.func.coalesce(sa.func.sum(refunds.c.amount), 0))
        .where(refunds.c.payment_id == payments.c.id)
        .scalar_subquery(),
        sa.BigInteger,
    ).label("refunded"),
)


async def find_payment(engine: AsyncEngine, payment_id: str, customer_id: str | None) -> PaymentRow | None:
    """The payment, if it is this customer's; a `customer_id` of None asks for anybody's."""
    query = _PAYMENTS.where(payments.c.id == payment_id)
    if customer_id is not None:
        query = query.where(payments.c.customer_id == customer_id)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else _payment_row(row)


async def find_requested_payment(engine: AsyncEngine, booking_id: str, provider: str) -> PaymentRow | None:
    """The payment that this provider is at work on for the booking."""
    query = _PAYMENTS.where(
        payments.c.booking_id == booking_id,
        payments.c.provider == provider,
        payments.c.status == PaymentStatus.REQUESTED.name.lower(),
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else _payment_row(row)


async def list_payments(
    engine: AsyncEngine,
    *,
    customer_id: str | None,
    status: PaymentStatus | None = None,
    booking_id: str | None = None,
    schedule_id: str | None = None,
    archived: bool | None = None,
    before_id: str | None = None,
    limit: int,
) -> list[PaymentRow]:
    """Newest first, starting after `before_id`; those of bookings that were put away, of the others, or (None) all."""
    query = _PAYMENTS.order_by(payments.c.id.desc()).limit(limit)
    if customer_id is not None:
        query = query.where(payments.c.customer_id == customer_id)
    if status is not None:
        query = query.where(payments.c.status == status.name.lower())
    if booking_id is not None:
        query = query.where(payments.c.booking_id == booking_id)
    if schedule_id is not None:
        query = query.where(payments.c.schedule_id == schedule_id)
    if archived is not None:
        query = query.where(_put_away(payments.c.booking_id) if archived else ~_put_away(payments.c.booking_id))
    if before_id is not None:
        query = query.where(payments.c.id < before_id)
    async with engine.connect() as connection:
        return [_payment_row(row) for row in await connection.execute(query)]


async def unsettled_payments(
    engine: AsyncEngine, *, requested_before_ms: int, provider: str, after: tuple[int, str], limit: int
) -> list[PaymentRow]:
    """Payments whose outcome nobody has recorded, oldest first, after the place `(requested_ms, payment id)`."""
    query = (
        _PAYMENTS.where(
            payments.c.status == "requested",
            payments.c.provider == provider,
            payments.c.requested_at < moment(requested_before_ms),
            sa.tuple_(payments.c.requested_at, payments.c.id)
            > sa.tuple_(sa.literal(moment(after[0]), TIME), sa.literal(after[1], UUID)),
        )
        .order_by(payments.c.requested_at, payments.c.id)
        .limit(limit)
    )
    async with engine.connect() as connection:
        return [_payment_row(row) for row in await connection.execute(query)]


def _payment_row(row: sa.Row[*tuple[Any, ...]]) -> PaymentRow:
    return PaymentRow(
        payment=_payment(row),
        booking_id=row.booking_id,
        schedule_id=row.schedule_id,
        customer_id=row.customer_id,
        currency=row.currency,
        refunded=row.refunded,
    )


def _put_away(booking_id: sa.Column[Any]) -> sa.Exists:
    return sa.exists().where(bookings.c.id == booking_id, bookings.c.archived_at.is_not(None))


def _payment(row: sa.Row[*tuple[Any, ...]]) -> Payment:
    return Payment(
        id=row.payment_id,
        amount=row.payment_amount,
        status=PAYMENT_STATUSES[row.payment_status],
        requested_ms=milliseconds(row.requested_at),
        provider=row.provider,
        settled_ms=milliseconds(row.settled_at),
        reference=row.reference or "",
        reason=row.payment_reason or "",
    )


# --- cancellations ----------------------------------------------------------------------------------------------------
_CANCELLATION_COLUMNS: Sequence[sa.Column[Any]] = (
    cancellations.c.id,
    cancellations.c.booking_id,
    cancellations.c.schedule_id,
    cancellations.c.customer_id,
    cancellations.c.reason,
    cancellations.c.by,
    cancellations.c.cancelled_at,
)
_CANCELLATIONS = sa.select(*_CANCELLATION_COLUMNS)


async def find_cancellation(engine: AsyncEngine, booking_id: str, customer_id: str | None) -> CancellationRow | None:
    """The cancellation of a booking, if it is this customer's; a `customer_id` of None asks for anybody's."""
    query = _CANCELLATIONS.where(cancellations.c.booking_id == booking_id)
    if customer_id is not None:
        query = query.where(cancellations.c.customer_id == customer_id)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else _cancellation_row(row)


async def list_cancellations(
    engine: AsyncEngine,
    *,
    customer_id: str | None,
    archived: bool | None = None,
    before_id: str | None = None,
    limit: int,
) -> list[CancellationRow]:
    """Newest first, starting after `before_id`; `archived` as for payments."""
    query = _CANCELLATIONS.order_by(cancellations.c.id.desc()).limit(limit)
    if customer_id is not None:
        query = query.where(cancellations.c.customer_id == customer_id)
    if archived is not None:
        query = query.where(
            _put_away(cancellations.c.booking_id) if archived else ~_put_away(cancellations.c.booking_id)
        )
    if before_id is not None:
        query = query.where(cancellations.c.id < before_id)
    async with engine.connect() as connection:
        return [_cancellation_row(row) for row in await connection.execute(query)]


async def reword_cancellation(
    engine: AsyncEngine, booking_id: str, customer_id: str, reason: str
) -> CancellationRow | None:
    """Puts the reason differently. The journal keeps the one it was cancelled with."""
    change = (
        sa.update(cancellations)
        .where(cancellations.c.booking_id == booking_id, cancellations.c.customer_id == customer_id)
        .values(reason=reason)
        .returning(*_CANCELLATION_COLUMNS)
    )
    async with engine.begin() as connection:
        row = (await connection.execute(change)).one_or_none()
    return None if row is None else _cancellation_row(row)


def _cancellation_row(row: sa.Row[*tuple[Any, ...]]) -> CancellationRow:
    return CancellationRow(
        id=row.id,
        booking_id=row.booking_id,
        schedule_id=row.schedule_id,
        customer_id=row.customer_id,
        reason=row.reason or "",
        by=row.by,
        cancelled_ms=milliseconds(row.cancelled_at),
    )
