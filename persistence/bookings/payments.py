"""Reads of the payments that a schedule's owner wrote, as it acknowledged them. Nothing here moves money."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.payment import PAYMENT_NAMES, Payment, PaymentStatus
from persistence.bookings.searching import Search, ordered
from persistence.database.conditions import TAKEN, is_paying
from persistence.database.moments import milliseconds, moment
from persistence.database.tables import TIME, UUID, bookings, payments, refunds
from persistence.providers.provider import PaymentRef

PAYMENT_STATUSES = dict(zip(PAYMENT_NAMES, PaymentStatus, strict=True))
_REFUNDED = sa.select(sa.func.coalesce(sa.func.sum(refunds.c.amount), 0)).where(refunds.c.payment_id == payments.c.id)
PAYMENT_COLUMNS = (
    payments.c.id.label("payment_id"),
    payments.c.status.label("payment_status"),
    payments.c.amount.label("payment_amount"),
    payments.c.provider,
    payments.c.reference,
    payments.c.reason.label("payment_reason"),
    payments.c.requested_at,
    payments.c.settled_at,
    sa.cast(_REFUNDED.correlate(payments).scalar_subquery(), sa.BigInteger).label("refunded"),
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


_PAYMENTS = sa.select(
    *PAYMENT_COLUMNS,
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


async def find_requested_payment(engine: AsyncEngine, booking_id: str, provider: str) -> PaymentRow | None:
    """The payment that this provider is at work on for the booking."""
    query = _PAYMENTS.where(
        payments.c.booking_id == booking_id,
        payments.c.provider == provider,
        is_paying,
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
    found_by: Search | None = None,
    archived: bool | None = None,
    before_id: str | None = None,
    oldest_first: bool = False,
    after: tuple[datetime, str] | None = None,
    limit: int,
) -> list[PaymentRow]:
    """Newest first or, if asked, oldest first, in the order of `ordered`; those of bookings that were put away, of the
    others, or (None) all."""
    query = ordered(_PAYMENTS.limit(limit), payments, before_id=before_id, oldest_first=oldest_first, after=after)
    if customer_id is not None:
        query = query.where(payments.c.customer_id == customer_id)
    if status is not None:
        query = query.where(payments.c.status == PAYMENT_NAMES[status])
    if booking_id is not None:
        query = query.where(payments.c.booking_id == booking_id)
    if schedule_id is not None:
        query = query.where(payments.c.schedule_id == schedule_id)
    if archived is not None:
        query = query.where(put_away(payments.c.booking_id) if archived else ~put_away(payments.c.booking_id))
    if found_by is not None:
        query = query.where(*found_by.of(payments, booking_id="booking_id", at="requested_at"))
    async with engine.connect() as connection:
        return [_payment_row(row) for row in await connection.execute(query)]


async def taken_for(engine: AsyncEngine, booking_ids: Collection[str]) -> dict[str, int]:
    """What was paid for each of these bookings, whatever went back since; those that nobody paid for are left out."""
    query = sa.select(payments.c.booking_id, sa.cast(sa.func.sum(payments.c.amount), sa.BigInteger))
    query = query.where(payments.c.booking_id.in_(booking_ids), payments.c.status.in_(TAKEN))
    async with engine.connect() as connection:
        rows = await connection.execute(query.group_by(payments.c.booking_id))
        return {row[0]: row[1] for row in rows}


async def unsettled_payments(
    engine: AsyncEngine, *, requested_before_ms: int, provider: str, after: tuple[int, str], limit: int
) -> list[PaymentRow]:
    """Payments whose outcome nobody has recorded, oldest first, after the place `(requested_ms, payment id)`."""
    query = (
        _PAYMENTS.where(
            is_paying,
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
        payment=payment_of(row),
        booking_id=row.booking_id,
        schedule_id=row.schedule_id,
        customer_id=row.customer_id,
        currency=row.currency,
        refunded=row.refunded,
    )


def put_away(booking_id: sa.Column[Any]) -> sa.Exists:
    return sa.exists().where(bookings.c.id == booking_id, bookings.c.archived_at.is_not(None))


def payment_of(row: sa.Row[*tuple[Any, ...]]) -> Payment:
    """The engine's payment in a row that has a payment's columns."""
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
