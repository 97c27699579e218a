"""What several queries ask of rows, said once: which statuses own seats, when a hold is over, when a sale ends.

The statuses' sets and names are the engine's. Whoever audits says the same in words of their own, so that what is wrong
here is noticed there: `persistence/reconciliation`, `actors/reconciliation` and `loadtest/audit.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

import sqlalchemy as sa

from engine import booking
from engine.booking import STATUS_NAMES, Status
from engine.payment import PAYMENT_NAMES, REFUND_NAMES, PaymentStatus, RefundStatus
from persistence.database.tables import bookings, payments, refunds, schedules


def _names(statuses: Iterable[Status]) -> tuple[str, ...]:
    return tuple(sorted(STATUS_NAMES[status] for status in statuses))


def any_of(words: Collection[str]) -> str:
    """`('held', 'sold')`, for a statement that is text. The words are ours, without quotes."""
    return "({})".format(", ".join(f"'{word}'" for word in words))


HELD, TRANSFERRED = STATUS_NAMES[Status.HELD], STATUS_NAMES[Status.TRANSFERRED]
LIVE = _names(booking.LIVE)
BOUGHT = _names(booking.BOUGHT)
EVER_BOUGHT = _names(booking.EVER_BOUGHT)
TAKEN = tuple(  # payments whose money came
    PAYMENT_NAMES[status]
    for status in (PaymentStatus.APPROVED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED)
)
OWED, COMPLETED = REFUND_NAMES[RefundStatus.REQUESTED], REFUND_NAMES[RefundStatus.COMPLETED]

is_live = bookings.c.status.in_(LIVE)
is_bought = bookings.c.status.in_(BOUGHT)
is_held = bookings.c.status == HELD
is_paying = payments.c.status == PAYMENT_NAMES[PaymentStatus.REQUESTED]  # nobody has recorded an outcome
is_owed = refunds.c.status == OWED

# When a sale ends: at the start unless something else was said. The text is of a `schedules AS s`.
CLOSES_AT = sa.func.coalesce(schedules.c.sale_closes_at, schedules.c.starts_at)
CLOSES_AT_TEXT = "coalesce(s.sale_closes_at, s.starts_at)"

# Schedules whose events are told, and such as have some that are not yet; of a `schedule_heads AS h`. What was written
# before a schedule's first owner that one tells of, and nobody needs one for that.
TOLD_TEXT = "h.seq > 1 AND h.epoch > 0"
UNPUBLISHED_TEXT = f"h.published_seq < h.seq AND {TOLD_TEXT}"
# Since when the oldest of them waits, in ms since the epoch. Of a schedule that has told nothing yet that is since the
# first record that only an owner writes; where there is none, since an owner has claimed the head.
WAITS_SINCE_TEXT = """CASE WHEN h.published_seq > 0 THEN (
    SELECT w.at_ms FROM journal w WHERE w.schedule_id = h.schedule_id AND w.seq = h.published_seq + 1
) ELSE coalesce((
    SELECT w.at_ms FROM journal w WHERE w.schedule_id = h.schedule_id AND w.type NOT LIKE 'schedule.%'
     ORDER BY w.seq LIMIT 1
), (extract(epoch FROM h.updated_at) * 1000)::bigint) END"""


def is_over(at: datetime) -> sa.ColumnElement[bool]:
    """A hold past its time and not being paid for (`engine.booking.is_over`); of bookings with their latest payment."""
    return sa.and_(is_held, bookings.c.expires_at <= at, sa.not_(sa.func.coalesce(is_paying, sa.false())))
