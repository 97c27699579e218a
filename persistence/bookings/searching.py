"""What admins look for bookings, payments and refunds by: whose, which, when and how much."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from persistence.bookings import numbers
from persistence.database.conditions import EVER_BOUGHT
from persistence.database.tables import TIME, UUID, accounts, bookings


class Search(Struct, frozen=True, kw_only=True):
    """What is given is to be so; nothing finds everything. A `number` alone finds only what was ever sold."""

    email: str | None = None  # of the customer, in any case
    number: str | None = None  # of the booking
    since: datetime | None = None
    before: datetime | None = None
    amount: int | None = None  # minor units, to the last

    def of(self, table: sa.Table, *, booking_id: str, at: str) -> list[sa.ColumnElement[bool]]:
        """The conditions on a table that has `customer_id`, `amount` and the columns named."""
        found: list[sa.ColumnElement[bool]] = []
        if self.email is not None:
            same = sa.func.lower(accounts.c.email) == sa.func.lower(self.email.strip())
            whose = sa.select(accounts.c.id).where(same, accounts.c.deleted_at.is_(None))
            found.append(table.c.customer_id.in_(whose))
        if self.number is not None:
            tails = numbers.tails_of(self.number)
            numbered = sa.select(bookings.c.id).where(numbers.TAIL.in_(tails or ()), bookings.c.status.in_(EVER_BOUGHT))
            found.append(sa.false() if tails is None else table.c[booking_id].in_(numbered))
        if self.since is not None:
            found.append(table.c[at] >= self.since)
        if self.before is not None:
            found.append(table.c[at] < self.before)
        if self.amount is not None:
            found.append(table.c.amount == self.amount)
        return found


def ordered(
    query: sa.Select[*tuple[Any, ...]],
    table: sa.Table,
    *,
    before_id: str | None,
    oldest_first: bool,
    after: tuple[datetime, str] | None,
) -> sa.Select[*tuple[Any, ...]]:
    """Newest first by id, from before one on; or by when it was asked for, the oldest first, from after one on."""
    if not oldest_first:
        query = query.order_by(table.c.id.desc())
        return query if before_id is None else query.where(table.c.id < before_id)
    query = query.order_by(table.c.requested_at, table.c.id)
    if after is None:
        return query
    place = sa.tuple_(sa.literal(after[0], TIME), sa.literal(after[1], UUID))
    return query.where(sa.tuple_(table.c.requested_at, table.c.id) > place)
