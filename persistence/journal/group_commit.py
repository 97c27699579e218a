"""A group commit as one statement: a transaction by itself, one round trip, and no longer in the head row's way than
PostgreSQL needs.

Where the head is not as expected, `moved` is empty and so is everything that follows from it. The statement has only
the parts that its batch has rows for: most batches are holds alone, and PostgreSQL opens every table that a statement
names.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from persistence.journal.rows import Rows

# $1 schedule, $2 epoch, $3 the head's position, $4 its next one, $5 deadline, $6 oldest payment, $7 published.
HEAD = """
WITH moved AS (
    UPDATE schedule_heads
       SET seq = $4, next_deadline_ms = $5, oldest_payment_ms = $6, published_seq = greatest(published_seq, $7),
           updated_at = now()
     WHERE schedule_id = $1 AND epoch = $2 AND seq = $3
    RETURNING schedule_id
)"""
HEAD_PARAMETERS = 7
RESULT = " SELECT count(*) FROM moved"


class Part(Struct, frozen=True):
    """What is done with one kind of rows; `statement` reads them as `{rows}`, columns of these types.

    Lists of seats and prices travel as text, because unnest flattens arrays of arrays.
    """

    types: str
    statement: str


# By the name that `Rows` has for them.
PARTS = {
    "journal": Part(
        "bigint bigint text uuid text text bytea",
        """
        INSERT INTO journal (schedule_id, seq, at_ms, type, booking_id, request_id, fingerprint, payload)
        SELECT moved.schedule_id, r.* FROM moved, {rows} AS r""",
    ),
    "new_bookings": Part(
        "uuid uuid text timestamptz text text text bigint bigint timestamptz uuid",
        """
        INSERT INTO bookings (schedule_id, id, customer_id, currency, created_at,
                              status, seats, prices, amount, version, expires_at, payment_id)
        SELECT moved.schedule_id, n.id, n.customer_id, n.currency, n.created_at, n.status,
               string_to_array(n.seats, E'\\x1f'), string_to_array(n.prices, ',')::bigint[], n.amount, n.version,
               n.expires_at, n.payment_id
          FROM moved, {rows} AS n(id, customer_id, currency, created_at, status, seats, prices, amount, version,
                                  expires_at, payment_id)""",
    ),
    "changed_bookings": Part(
        "uuid text text text bigint bigint timestamptz uuid",
        """
        UPDATE bookings AS b
           SET status = n.status, seats = string_to_array(n.seats, E'\\x1f'),
               prices = string_to_array(n.prices, ',')::bigint[], amount = n.amount, version = n.version,
               expires_at = n.expires_at, payment_id = n.payment_id
          FROM moved, {rows} AS n(id, status, seats, prices, amount, version, expires_at, payment_id)
         WHERE b.id = n.id""",
    ),
    "payments": Part(
        "uuid uuid uuid text bigint text text text text timestamptz timestamptz",
        """
        INSERT INTO payments (schedule_id, id, booking_id, customer_id, status, amount, currency, provider, reference,
                              reason, requested_at, settled_at)
        SELECT moved.schedule_id, p.* FROM moved, {rows} AS p
        ON CONFLICT (id) DO UPDATE
           SET status = excluded.status, reference = excluded.reference, reason = excluded.reason,
               settled_at = excluded.settled_at""",
    ),
    "cancellations": Part(
        "uuid uuid uuid text text timestamptz",
        """
        INSERT INTO cancellations (schedule_id, id, booking_id, customer_id, reason, by, cancelled_at)
        SELECT moved.schedule_id, c.* FROM moved, {rows} AS c""",
    ),
    "refunds": Part(
        "uuid uuid uuid uuid bigint bigint text text text text text timestamptz text text timestamptz",
        """
        INSERT INTO refunds (schedule_id, id, payment_id, booking_id, customer_id, amount, fee, currency, provider,
                             seats, reason, by, requested_at, status, reference, settled_at)
        SELECT moved.schedule_id, r.id, r.payment_id, r.booking_id, r.customer_id, r.amount, r.fee, r.currency,
               r.provider, string_to_array(r.seats, E'\\x1f'), r.reason, r.by, r.requested_at, r.status, r.reference,
               r.settled_at
          FROM moved, {rows} AS r(id, payment_id, booking_id, customer_id, amount, fee, currency, provider, seats,
                                  reason, by, requested_at, status, reference, settled_at)
        ON CONFLICT (id) DO NOTHING""",
    ),
    "completed_refunds": Part(
        "uuid text timestamptz",
        """
        UPDATE refunds AS r
           SET status = 'completed', reference = n.reference, settled_at = n.settled_at
          FROM moved, {rows} AS n(id, reference, settled_at)
         WHERE r.id = n.id""",
    ),
}


def group_commit(rows: Rows) -> tuple[str, list[list[object]]]:
    """The statement for a batch, and its parameters after the head's: column by column, as unnest takes them."""
    present = tuple(name for name in PARTS if getattr(rows, name))
    columns: list[list[object]] = []
    for name in present:
        columns += map(list, zip(*getattr(rows, name), strict=True))
    return _statement(present), columns


@lru_cache
def _statement(present: tuple[str, ...]) -> str:
    parts = [HEAD]
    number = HEAD_PARAMETERS
    for name in present:
        part = PARTS[name]
        columns = []
        for type_name in part.types.split():
            number += 1
            columns.append(f"${number}::{type_name}[]")
        rows = f"unnest({', '.join(columns)})"
        parts.append(f", {name}_written AS ({part.statement.replace('{rows}', rows)}\n)")
    return "".join(parts) + RESULT
