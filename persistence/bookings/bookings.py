"""Reads of the bookings that a schedule's owner wrote.

The rows ride in the owner's own transaction, so they show exactly what was acknowledged. Nothing here changes a seat.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.booking import STATUS_NAMES, Booking, Status
from engine.payment import Payment
from engine.seating_plan import SeatingPlan
from persistence.bookings import numbers
from persistence.bookings import refunds as refund_rows
from persistence.bookings.payments import PAYMENT_COLUMNS, payment_of
from persistence.bookings.refunds import RefundRow
from persistence.bookings.searching import Search
from persistence.database.conditions import BOUGHT, EVER_BOUGHT, is_bought, is_held, is_live, is_over
from persistence.database.moments import milliseconds, moment
from persistence.database.pools import Connection
from persistence.database.tables import accounts, bookings, cancellations, payments, schedules

ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STATUSES = dict(zip(STATUS_NAMES, Status, strict=True))


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
    origin_id: str | None = None  # the booking that was paid for, where the seats have come from another customer
    payer_id: str | None = None  # whose the payment is
    moved_to: str | None = None  # the booking on another date for which it was given back
    archived_ms: int  # when an admin put it away; 0: not at all
    refunds: tuple[RefundRow, ...] = ()  # oldest first
    refunded: int = 0  # of the payment, for seats that were handed on, too

    @property
    def named(self) -> set[str]:
        """Every place that it says anything of."""
        return {*self.seats, *(seat for refund in self.refunds for seat in refund.seats)}

    def booking(self, plan: SeatingPlan) -> Booking:
        """The same value that the schedule's owner answers with, `ending` left out."""
        return Booking(
            id=self.id,
            customer_id=self.customer_id,
            status=self.status,
            seats=tuple(plan.place(seat) for seat in self.seats),
            prices=self.prices,
            currency=self.currency,
            created_ms=self.created_ms,
            expires_ms=self.expires_ms,
            version=self.version,
            payment=self.payment,
            refunds=tuple(row.refund(plan) for row in self.refunds),
            origin=self.origin_id or "",
            payer=(self.payer_id or "") if self.origin_id else "",
        )


_MOVED = bookings.alias("moved")
# A cancellation has the id of the booking that the seats were given back for, if it has that of any.
_MOVED_TO = (
    sa.select(_MOVED.c.id)
    .join(cancellations, cancellations.c.id == _MOVED.c.id)
    .where(cancellations.c.booking_id == bookings.c.id)
    .scalar_subquery()
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
    bookings.c.origin_id,
    payments.c.customer_id.label("payer_id"),
    _MOVED_TO.label("moved_to"),
    *PAYMENT_COLUMNS,
).select_from(
    bookings.join(schedules, schedules.c.id == bookings.c.schedule_id).outerjoin(
        payments, payments.c.id == bookings.c.payment_id
    )
)


_HAS_BOUGHT = """
SELECT EXISTS (
    SELECT FROM bookings
    WHERE id = $1 AND ($2::uuid IS NULL OR customer_id = $2) AND status = ANY($3) AND (amount = 0 OR NOT $4)
)
"""


_WAS_DONE = "SELECT EXISTS (SELECT FROM journal WHERE schedule_id = $1 AND request_id = $2)"


async def was_done(connection: Connection, schedule_id: str, request_id: str) -> bool:
    """Whether the schedule's journal has what came of a request."""
    return bool(await connection.fetchval(_WAS_DONE, schedule_id, request_id))


async def whereabouts(engine: AsyncEngine, booking_id: str) -> Whereabouts | None:
    """Where a booking belongs; None if there is no such booking."""
    query = sa.select(bookings.c.schedule_id, bookings.c.amount).where(bookings.c.id == booking_id)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else Whereabouts(row.schedule_id, row.amount == 0)


async def has_bought(
    connection: Connection, booking_id: str, customer_id: str | None, *, for_nothing: bool = False
) -> bool:
    """Whether the booking is this customer's (None: anybody's) for good; `for_nothing`: and cost nothing."""
    return bool(await connection.fetchval(_HAS_BOUGHT, booking_id, customer_id, BOUGHT, for_nothing))


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
    number: str | None = None,
    search: str | None = None,
    found_by: Search | None = None,
    archived: bool | None = None,
    before_id: str | None = None,
    limit: int,
) -> list[BookingRow]:
    """Newest first, starting after `before_id`; only those put away (`archive`), only the others, or (None) all.

    A hold whose time is up counts as expired, swept or not. By its `number` alone only what was ever sold is found; a
    schedule's own bookings all are. `search` is an id, a number, a seat, or a part of the
    customer's name or e-mail.
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
    if number is not None:
        tails = numbers.tails_of(number)
        query = query.where(sa.false() if tails is None else numbers.TAIL.in_(tails))
        if schedule_id is None:
            query = query.where(bookings.c.status.in_(EVER_BOUGHT))
    if search is not None and (wanted := search.strip()):
        named = accounts.c.name.icontains(wanted, autoescape=True)
        written = accounts.c.email.icontains(wanted, autoescape=True)
        known = (accounts.c.id == bookings.c.customer_id, accounts.c.deleted_at.is_(None))
        matches = [sa.exists().where(*known, named | written), sa.literal(wanted) == sa.any_(bookings.c.seats)]
        if ID.fullmatch(wanted):
            matches.append(bookings.c.id == wanted)
        if (tails := numbers.tails_of(wanted)) is not None:
            matches.append(numbers.TAIL.in_(tails))
        query = query.where(sa.or_(*matches))
    if found_by is not None:
        query = query.where(*found_by.of(bookings, booking_id="id", at="created_at"))
    if archived is not None:
        query = query.where(bookings.c.archived_at.is_not(None) if archived else bookings.c.archived_at.is_(None))
    over = is_over(moment(now_ms))
    if status is Status.EXPIRED:
        query = query.where(sa.or_(bookings.c.status == STATUS_NAMES[status], over))
    elif status is Status.HELD:
        query = query.where(is_held, sa.not_(over))
    elif status is not None:
        query = query.where(bookings.c.status == STATUS_NAMES[status])
    async with engine.connect() as connection:
        return await _booking_rows(connection, query)


class Buyer(Struct, frozen=True, kw_only=True):
    """Who has booked, as far as an organizer is told. Nothing is known of an account that was deleted."""

    name: str | None = None
    email: str | None = None


async def buyers(engine: AsyncEngine, customer_ids: Collection[str]) -> dict[str, Buyer]:
    """These customers, those left out whose accounts were deleted."""
    query = sa.select(accounts.c.id, accounts.c.name, accounts.c.email)
    query = query.where(accounts.c.id.in_(customer_ids), accounts.c.deleted_at.is_(None))
    async with engine.connect() as connection:
        return {row.id: Buyer(name=row.name, email=row.email) for row in await connection.execute(query)}


async def archive(connection: AsyncConnection, booking_id: str, at: datetime) -> bool:
    """Puts an ended booking away; False if there is none, it owns seats, or it was put away before.

    It leaves its customer's list and the admins', its payments and cancellation the admins'. Its organizer's lists keep
    it: what was taken, given back and kept for it is in their settlement.
    """
    change = (
        sa.update(bookings)
        .where(bookings.c.id == booking_id, sa.not_(is_live), bookings.c.archived_at.is_(None))
        .values(archived_at=at)
    )
    return (await connection.execute(change)).rowcount == 1


async def _booking_rows(connection: AsyncConnection, query: sa.Select[*tuple[Any, ...]]) -> list[BookingRow]:
    rows = (await connection.execute(query)).all()
    refunds = await refund_rows.of_bookings(connection, [row.id for row in rows]) if rows else {}
    return [_booking_row(row, tuple(refunds.get(row.id, ()))) for row in rows]


async def sold_by(
    database: AsyncEngine, origin_id: str, payment_id: str, customer_id: str | None, seats: tuple[str, ...]
) -> str | None:
    """The booking that a payment of `origin_id` has paid for and that has these seats; the first if several have.

    With a customer only theirs: seats that were handed on are none of them.
    """
    query = sa.select(bookings.c.id, bookings.c.seats).where(
        sa.or_(bookings.c.id == origin_id, bookings.c.origin_id == origin_id),
        bookings.c.payment_id == payment_id,
        is_bought,
        bookings.c.seats.contains(list(seats)),
    )
    if customer_id is not None:
        query = query.where(bookings.c.customer_id == customer_id)
    async with database.connect() as connection:
        rows = (await connection.execute(query.order_by(bookings.c.id))).all()
    wanted = Counter(seats)  # of standing room as many places
    return next((row.id for row in rows if not wanted - Counter(row.seats)), None)


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
        payment=None if row.payment_id is None else payment_of(row),
        origin_id=row.origin_id,
        payer_id=row.payer_id,
        moved_to=row.moved_to,
        archived_ms=milliseconds(row.archived_at),
        refunds=refunds,
        refunded=row.refunded,
    )
