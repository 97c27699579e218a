"""Reads of what a schedule's actor wrote: bookings, payments, cancellations.

The rows ride in the actor's own transaction, so they show exactly what was acknowledged. Nothing here changes a seat or
money; the one write is the wording of a cancellation's reason, which decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.booking import Booking, Payment, PaymentStatus, Status
from engine.seating_plan import SeatingPlan
from persistence.tables import TIME, UUID, bookings, cancellations, payments, schedules

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

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
        )


class PaymentRow(Struct, frozen=True, kw_only=True):
    """A payment as the tables show it."""

    payment: Payment
    booking_id: str
    schedule_id: str
    customer_id: str
    currency: str


class CancellationRow(Struct, frozen=True, kw_only=True):
    """A cancellation as the tables show it."""

    id: str
    booking_id: str
    schedule_id: str
    customer_id: str
    reason: str
    by: str  # customer | organizer | admin | system
    cancelled_ms: int


def milliseconds(time: datetime | None) -> int:
    """Milliseconds since the epoch; 0 for None, as the engine writes it."""
    return 0 if time is None else (time - EPOCH) // timedelta(milliseconds=1)


def timestamp(milliseconds_: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds_)


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
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else _booking_row(row)


async def list_bookings(
    engine: AsyncEngine,
    *,
    customer_id: str | None,
    now_ms: int,
    status: Status | None = None,
    performance_id: str | None = None,
    schedule_id: str | None = None,
    before_id: str | None = None,
    limit: int,
) -> list[BookingRow]:
    """Newest first, starting after `before_id`. A hold whose time is up counts as expired, swept or not."""
    query = _BOOKINGS.order_by(bookings.c.id.desc()).limit(limit)
    if customer_id is not None:
        query = query.where(bookings.c.customer_id == customer_id)
    if performance_id is not None:
        query = query.where(schedules.c.performance_id == performance_id)
    if schedule_id is not None:
        query = query.where(bookings.c.schedule_id == schedule_id)
    if before_id is not None:
        query = query.where(bookings.c.id < before_id)
    over = sa.and_(
        bookings.c.status == "held",
        bookings.c.expires_at <= timestamp(now_ms),
        sa.func.coalesce(payments.c.status, "") != "requested",
    )
    if status is Status.EXPIRED:
        query = query.where(sa.or_(bookings.c.status == "expired", over))
    elif status is Status.HELD:
        query = query.where(bookings.c.status == "held", sa.not_(over))
    elif status is not None:
        query = query.where(bookings.c.status == status.name.lower())
    async with engine.connect() as connection:
        return [_booking_row(row) for row in await connection.execute(query)]


def _booking_row(row: sa.Row[*tuple[Any, ...]]) -> BookingRow:
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
    )


# --- payments ---------------------------------------------------------------------------------------------------------
_PAYMENTS = sa.select(
    *_PAYMENT_COLUMNS,
    payments.c.booking_id,
    payments.c.schedule_id,
    payments.c.customer_id,
    payments.c.currency,
)


async def find_payment(engine: AsyncEngine, payment_id: str, customer_id: str | None) -> PaymentRow | None:
    """The payment, if it is this customer's; a `customer_id` of None asks for anybody's."""
    query = _PAYMENTS.where(payments.c.id == payment_id)
    if customer_id is not None:
        query = query.where(payments.c.customer_id == customer_id)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else _payment_row(row)


async def list_payments(
    engine: AsyncEngine,
    *,
    customer_id: str | None,
    status: PaymentStatus | None = None,
    booking_id: str | None = None,
    before_id: str | None = None,
    limit: int,
) -> list[PaymentRow]:
    """Newest first, starting after `before_id`."""
    query = _PAYMENTS.order_by(payments.c.id.desc()).limit(limit)
    if customer_id is not None:
        query = query.where(payments.c.customer_id == customer_id)
    if status is not None:
        query = query.where(payments.c.status == status.name.lower())
    if booking_id is not None:
        query = query.where(payments.c.booking_id == booking_id)
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
            payments.c.requested_at < timestamp(requested_before_ms),
            sa.tuple_(payments.c.requested_at, payments.c.id)
            > sa.tuple_(sa.literal(timestamp(after[0]), TIME), sa.literal(after[1], UUID)),
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
    )


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
    engine: AsyncEngine, *, customer_id: str | None, before_id: str | None = None, limit: int
) -> list[CancellationRow]:
    """Newest first, starting after `before_id`."""
    query = _CANCELLATIONS.order_by(cancellations.c.id.desc()).limit(limit)
    if customer_id is not None:
        query = query.where(cancellations.c.customer_id == customer_id)
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
