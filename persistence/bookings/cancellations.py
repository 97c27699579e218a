"""Cancellations that a schedule's owner wrote. The one write here is the wording of a reason, which decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.bookings.payments import put_away
from persistence.database.moments import milliseconds
from persistence.database.tables import cancellations


class CancellationRow(Struct, frozen=True, kw_only=True):
    """A cancellation as the tables show it."""

    id: str
    booking_id: str
    schedule_id: str
    customer_id: str
    reason: str
    by: str  # customer | organizer | admin | system
    cancelled_ms: int


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
        query = query.where(put_away(cancellations.c.booking_id) if archived else ~put_away(cancellations.c.booking_id))
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
