"""Money as the tables have it: what was taken, what went back, and what is left in seats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from persistence.database.pools import Connection
from persistence.reconciliation.told import Told, say

# Said here once more, and in the statements below: who checks the others does not go by their words.
LIVE = ("held", "confirmed", "partially_refunded")
BY_HAND = "manual:"  # begins the reference of a refund that the customer has by other means than the provider's


class Balance(Struct, frozen=True):
    """A schedule's money, in minor units of its currency."""

    taken: int
    refunded: int  # given back, or owed
    fees: int  # kept when seats were given back
    value: int  # of the live bookings that are paid for


class OwnPayment(Struct, frozen=True):
    """A payment as it is known here."""

    status: str
    amount: int
    currency: str
    requested_ms: int
    refunds_requested: int  # amounts not confirmed, or only since the moment that was asked about
    refunds_completed: int  # by the provider: what customers have by other means is not in its books
    booking_id: str
    reference: str  # the provider's own id; empty while it is not known


# By the booking that was paid for: what was handed on from it was paid for with it.
BALANCE = """
WITH sold AS (
    SELECT coalesce(origin_id, id) AS booking_id, sum(amount)::bigint AS amount FROM bookings
     WHERE schedule_id = $1 AND status IN ('confirmed', 'partially_refunded') GROUP BY 1
), paid AS (
    SELECT booking_id, sum(amount) AS amount FROM payments
     WHERE schedule_id = $1 AND status IN ('approved', 'partially_refunded', 'refunded') GROUP BY booking_id
), back AS (
    SELECT coalesce(b.origin_id, r.booking_id) AS booking_id, sum(r.amount) AS amount, sum(r.fee) AS fee
      FROM refunds r LEFT JOIN bookings b ON b.id = r.booking_id WHERE r.schedule_id = $1 GROUP BY 1
)
SELECT booking_id::text, coalesce(paid.amount, 0)::bigint AS taken, coalesce(back.amount, 0)::bigint AS refunded,
       coalesce(back.fee, 0)::bigint AS fees, coalesce(sold.amount, 0)::bigint AS value
  FROM sold FULL JOIN paid USING (booking_id) FULL JOIN back USING (booking_id)
"""
TOTAL = f"""
SELECT coalesce(sum(taken), 0)::bigint, coalesce(sum(refunded), 0)::bigint, coalesce(sum(fees), 0)::bigint,
       coalesce(sum(value), 0)::bigint
  FROM ({BALANCE}) AS each
"""  # noqa: S608  # constants
WRONG = f"SELECT * FROM ({BALANCE}) AS each WHERE taken - refunded - fees <> value ORDER BY booking_id LIMIT $2"  # noqa: S608  # constants


async def balance(connection: Connection, schedule_id: str, at_most: int) -> tuple[Balance, list[Told]]:
    """The schedule's balance, and those of its bookings that are out of balance, the first of them."""
    total = await connection.fetchrow(TOTAL, schedule_id)
    assert total is not None
    rows = await connection.fetch(WRONG, schedule_id, at_most)
    wrong = [
        say("money_of_booking", booking=booking_id, taken=taken, refunded=refunded, fees=fees, value=value)
        for booking_id, taken, refunded, fees, value in rows
    ]
    return Balance(*total), wrong


OWN = """
SELECT p.id::text, p.status, p.amount, p.currency, (extract(epoch from p.requested_at) * 1000)::bigint,
       coalesce(sum(r.amount) FILTER (WHERE r.settled_at IS NULL OR r.settled_at >= {now}), 0)::bigint,
       coalesce(sum(r.amount) FILTER (WHERE r.settled_at < {now} AND NOT starts_with(r.reference, $4)), 0)::bigint,
       p.booking_id::text,
       coalesce(p.reference, '')
  FROM payments p LEFT JOIN refunds r ON r.payment_id = p.id
 WHERE p.provider = $1 AND {which}
 GROUP BY p.id
"""


async def own_payments(
    source: Connection, provider: str, *, now_ms: int, schedule_id: str | None = None, since_ms: int = 0
) -> Mapping[str, OwnPayment]:
    """Our payments by id: a schedule's, or all that were requested since a moment. `now_ms`: when the question arose;
    a refund completed after it counts as requested still."""
    now = "to_timestamp($3::float8 / 1000)"
    if schedule_id is not None:
        query = OWN.format(which="p.schedule_id = $2", now=now)
        rows = await source.fetch(query, provider, schedule_id, now_ms, BY_HAND)
    else:
        query = OWN.format(which="p.requested_at >= to_timestamp($2::float8 / 1000)", now=now)
        rows = await source.fetch(query, provider, since_ms, now_ms, BY_HAND)
    return {row[0]: OwnPayment(*row[1:]) for row in map(tuple, rows)}


async def booked(source: Connection, schedule_id: str) -> tuple[set[str], int | None]:
    """The bookings that the schedule's journal knows of, and when the first of them was made, in ms.

    By the journal, because a booking's row may be what is missing.
    """
    rows = await source.fetch(
        "SELECT booking_id::text, min(at_ms) FROM journal"
        " WHERE schedule_id = $1 AND booking_id IS NOT NULL GROUP BY booking_id",
        schedule_id,
    )
    return {row[0] for row in rows}, min((row[1] for row in rows), default=None)


async def schedules_of(source: Connection, booking_ids: Iterable[str]) -> dict[str, str]:
    """Booking → its schedule, of those that are known here."""
    query = "SELECT id::text, schedule_id::text FROM bookings WHERE id = ANY($1::uuid[])"
    rows = await source.fetch(query, list(booking_ids))
    return {row[0]: row[1] for row in rows}
