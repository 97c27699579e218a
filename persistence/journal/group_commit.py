"""A group commit as one statement: a transaction by itself, one round trip, and no longer in the head rows' way than
PostgreSQL needs.

It commits the batch of one schedule, or those of many at once, each behind its own head row. Where a head is not as
expected, `moved` has no row for it and so does everything that follows from it; the other schedules' batches are
durable. The statement has only the parts that its batches have rows for: most batches are holds alone, and PostgreSQL
opens every table that a statement names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

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
# The same of many: each parameter is an array, and `head` counts from 1 through them. A head row that somebody else
# has locked is left out rather than waited for: nobody's commit should wait for another schedule's row.
HEADS = """
WITH mine AS (
    SELECT h.schedule_id, n.head, n.seq, n.deadline_ms, n.payment_ms, n.published_seq
      FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
           WITH ORDINALITY AS n(id, epoch, expected, seq, deadline_ms, payment_ms, published_seq, head)
      JOIN schedule_heads AS h ON h.schedule_id = n.id AND h.epoch = n.epoch AND h.seq = n.expected
       FOR NO KEY UPDATE OF h SKIP LOCKED
), moved AS (
    UPDATE schedule_heads AS h
       SET seq = m.seq, next_deadline_ms = m.deadline_ms, oldest_payment_ms = m.payment_ms,
           published_seq = greatest(h.published_seq, m.published_seq), updated_at = now()
      FROM mine AS m
     WHERE h.schedule_id = m.schedule_id
    RETURNING h.schedule_id, m.head
)"""
HEADS_RESULT = " SELECT head FROM moved"


class Part(Struct, frozen=True):
    """What is done with one kind of rows; `statement` reads them, and the heads that moved, as `{rows}`.

    Lists of seats and prices travel as text, because unnest flattens arrays of arrays.
    """

    columns: str  # with their types
    statement: str


# By the name that `Rows` has for them.
PARTS = {
    "journal": Part(
        "seq bigint, at_ms bigint, type text, booking_id uuid, request_id text, fingerprint text, payload bytea",
        """
        INSERT INTO journal (schedule_id, seq, at_ms, type, booking_id, request_id, fingerprint, payload)
        SELECT moved.schedule_id, n.seq, n.at_ms, n.type, n.booking_id, n.request_id, n.fingerprint, n.payload
          FROM {rows}""",
    ),
    "new_bookings": Part(
        "id uuid, customer_id uuid, currency text, created_at timestamptz, origin_id uuid, status text, seats text,"
        " prices text,"
        " amount bigint, version bigint, expires_at timestamptz, payment_id uuid",
        """
        INSERT INTO bookings (schedule_id, id, customer_id, currency, created_at, origin_id,
                              status, seats, prices, amount, version, expires_at, payment_id)
        SELECT moved.schedule_id, n.id, n.customer_id, n.currency, n.created_at, n.origin_id, n.status,
               string_to_array(n.seats, E'\\x1f'), string_to_array(n.prices, ',')::bigint[], n.amount, n.version,
               n.expires_at, n.payment_id
          FROM {rows}""",
    ),
    "changed_bookings": Part(
        "id uuid, status text, seats text, prices text, amount bigint, version bigint, expires_at timestamptz,"
        " payment_id uuid",
        """
        UPDATE bookings AS b
           SET status = n.status, seats = string_to_array(n.seats, E'\\x1f'),
               prices = string_to_array(n.prices, ',')::bigint[], amount = n.amount, version = n.version,
               expires_at = n.expires_at, payment_id = n.payment_id
          FROM {rows}
         WHERE b.id = n.id""",
    ),
    "payments": Part(
        "id uuid, booking_id uuid, customer_id uuid, status text, amount bigint, currency text, provider text,"
        " reference text, reason text, requested_at timestamptz, settled_at timestamptz",
        """
        INSERT INTO payments (schedule_id, id, booking_id, customer_id, status, amount, currency, provider, reference,
                              reason, requested_at, settled_at)
        SELECT moved.schedule_id, n.id, n.booking_id, n.customer_id, n.status, n.amount, n.currency, n.provider,
               n.reference, n.reason, n.requested_at, n.settled_at
          FROM {rows}
        ON CONFLICT (id) DO UPDATE
           SET status = excluded.status, reference = excluded.reference, reason = excluded.reason,
               settled_at = excluded.settled_at""",
    ),
    "cancellations": Part(
        "id uuid, booking_id uuid, customer_id uuid, reason text, by text, cancelled_at timestamptz",
        """
        INSERT INTO cancellations (schedule_id, id, booking_id, customer_id, reason, by, cancelled_at)
        SELECT moved.schedule_id, n.id, n.booking_id, n.customer_id, n.reason, n.by, n.cancelled_at FROM {rows}""",
    ),
    "refunds": Part(
        "id uuid, payment_id uuid, booking_id uuid, customer_id uuid, amount bigint, fee bigint, currency text,"
        " provider text, seats text, reason text, by text, requested_at timestamptz, status text, reference text,"
        " settled_at timestamptz",
        """
        INSERT INTO refunds (schedule_id, id, payment_id, booking_id, customer_id, amount, fee, currency, provider,
                             seats, reason, by, requested_at, status, reference, settled_at)
        SELECT moved.schedule_id, n.id, n.payment_id, n.booking_id, n.customer_id, n.amount, n.fee, n.currency,
               n.provider, string_to_array(n.seats, E'\\x1f'), n.reason, n.by, n.requested_at, n.status, n.reference,
               n.settled_at
          FROM {rows}
        ON CONFLICT (id) DO NOTHING""",
    ),
    "completed_refunds": Part(
        "id uuid, reference text, settled_at timestamptz",
        """
        UPDATE refunds AS r
           SET status = 'completed', reference = n.reference, settled_at = n.settled_at
          FROM {rows}
         WHERE r.id = n.id""",
    ),
}


def group_commit(rows: Rows) -> tuple[str, list[list[object]]]:
    """The statement for one schedule's batch, and its parameters after the head's: column by column, as unnest takes
    them. It tells how many heads have moved: one or none."""
    present = tuple(name for name in PARTS if getattr(rows, name))
    columns: list[list[object]] = []
    for name in present:
        columns += map(list, zip(*getattr(rows, name), strict=True))
    return _statement(present, many=False), columns


def group_commit_of_many(batches: Sequence[Rows]) -> tuple[str, list[list[object]]]:
    """The same for the batches of many schedules. It tells which heads have moved, counted from 1."""
    present = tuple(name for name in PARTS if any(getattr(rows, name) for rows in batches))
    columns: list[list[object]] = []
    for name in present:
        kinds = [getattr(rows, name) for rows in batches]
        columns += map(list, zip(*chain.from_iterable(kinds), strict=True))
        columns.append([head for head, kind in enumerate(kinds, start=1) for _ in kind])
    return _statement(present, many=True), columns


@lru_cache
def _statement(present: tuple[str, ...], *, many: bool) -> str:
    parts = [HEADS if many else HEAD]
    number = HEAD_PARAMETERS
    for name in present:
        part = PARTS[name]
        names, types = zip(*(column.split() for column in part.columns.split(",")), strict=True)
        if many:
            names, types = (*names, "head"), (*types, "bigint")
        arrays = ", ".join(f"${number + place}::{each}[]" for place, each in enumerate(types, start=1))
        number += len(types)
        rows = f"unnest({arrays}) AS n({', '.join(names)})"
        rows = f"{rows} JOIN moved ON moved.head = n.head" if many else f"moved, {rows}"
        parts.append(f", {name}_written AS ({part.statement.replace('{rows}', rows)}\n)")
    parts.append(HEADS_RESULT if many else RESULT)
    return "".join(parts)
