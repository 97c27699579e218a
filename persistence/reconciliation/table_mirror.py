"""What the current tables must say, worked out from the journal alone, and how to tell cheaply whether they do.

A `Mirror` follows a schedule's journal and keeps, for every booking, payment, refund and cancellation there ever was,
the row that the journal's own statement must have left behind. Table and mirror are compared by a digest that
PostgreSQL reckons in one pass over the schedule's rows; only where the digests differ are rows read and named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import md5

from msgspec import Struct

from engine import events
from engine.booking import Booking
from engine.seating_plan import SeatingPlan
from engine.snapshot import Fingerprint
from engine.state import ScheduleState, apply
from engine.turn import Step
from persistence.database.moments import milliseconds
from persistence.database.pools import Connection
from persistence.journal.history import by_plan
from persistence.journal.rows import Row, Rows, with_outcome
from persistence.reconciliation.told import Told, say

SEPARATOR = "\x1e"


class Table(Struct, frozen=True):
    """One of the current tables: its columns in the order of the journal's rows, as far as they follow from it."""

    name: str
    columns: tuple[str, ...]
    times: tuple[str, ...]
    beside: tuple[str, ...] = ()  # follow the others where a row is put back, and are not compared

    @property
    def text(self) -> str:
        """The SQL expression of a row's text: columns in order, times in milliseconds, nulls empty."""
        parts = (f"coalesce({self._column(name)}, '')" for name in self.columns)
        return f"concat_ws(E'\\x1e', {', '.join(parts)})"

    @property
    def digest(self) -> str:
        """The SQL expression of a row's digest, as `_digest` reckons it."""
        return f"('x' || left(md5({self.text}), 16))::bit(64)::bigint"

    def _column(self, name: str) -> str:
        if name in self.times:
            return f"(extract(epoch from {name}) * 1000)::bigint::text"
        return LISTS.get(name, f"{name}::text")


TYPES = {
    **dict.fromkeys(("id", "booking_id", "payment_id", "customer_id", "origin_id"), "uuid"),
    **dict.fromkeys(("amount", "fee", "version"), "bigint"),
}
LISTS = {"seats": r"array_to_string(seats, E'\x1f')", "prices": "array_to_string(prices, ',')"}
BOOKINGS = Table(
    "bookings",
    (
        *("id", "customer_id", "currency", "created_at", "origin_id"),
        *("status", "seats", "prices", "amount", "version", "expires_at", "payment_id"),
    ),
    ("created_at", "expires_at"),
)
PAYMENTS = Table(
    "payments",
    (
        *("id", "booking_id", "customer_id", "status", "amount", "currency", "provider"),
        *("reference", "reason", "requested_at", "settled_at"),
    ),
    ("requested_at", "settled_at"),
)
CANCELLATIONS = Table(
    "cancellations",
    ("id", "booking_id", "customer_id", "by", "cancelled_at"),
    ("cancelled_at",),
    beside=("reason",),  # its customer may put it differently
)
REFUNDS = Table(
    "refunds",
    (
        *("id", "payment_id", "booking_id", "customer_id", "amount", "fee", "currency", "provider", "seats"),
        *("reason", "by", "requested_at", "status", "reference", "settled_at"),
    ),
    ("requested_at", "settled_at"),
)
TABLES = (BOOKINGS, PAYMENTS, CANCELLATIONS, REFUNDS)


class Sheet:
    """One table's rows as they must be, and their digest."""

    def __init__(self, table: Table) -> None:
        self.rows: dict[str, Row] = {}
        self.digests: dict[str, int] = {}
        self._width = len(table.columns)
        self._digest = 0

    def put(self, row: Row) -> None:
        """Adds a row, or replaces the one with its id."""
        row_id = str(row[0])
        digest = _digest(text_of(row[: self._width]))
        self._digest ^= self.digests.get(row_id, 0) ^ digest
        self.digests[row_id] = digest
        self.rows[row_id] = row

    @property
    def digest(self) -> tuple[int, int]:
        """How many rows, and the exclusive or of their digests: the same in whatever order they are read."""
        return len(self.rows), self._digest


class Mirror:
    """A schedule followed from its first record on."""

    def __init__(self, plan: SeatingPlan) -> None:
        self.plan = plan  # the one its schedule was opened with
        self.state = ScheduleState(plan)
        self.fingerprint = Fingerprint(self.state)
        self.bookings: dict[str, Booking] = {}  # every one there ever was, as it is now
        self.sheets: Mapping[str, Sheet] = {table.name: Sheet(table) for table in TABLES}

    @property
    def seq(self) -> int:
        return self.state.seq

    def know(self, plan: SeatingPlan) -> None:
        """The house's plan was corrected since this one was read."""
        self.plan, self.state.plan = plan, plan.numbered(self.state.plan.number)

    def follow(self, records: Sequence[events.Record]) -> list[Step]:
        """Takes in the next records of the journal."""
        return [step for part in by_plan(records) for step in self._follow(part)]

    def _follow(self, records: Sequence[events.Record]) -> list[Step]:
        steps = [Step(record, apply(self.state, record)) for record in records]
        self.bookings.update({step.booking.id: step.booking for step in steps if step.booking is not None})
        rows = Rows.of(self.state.plan, steps)
        bookings, payments, refunds = (self.sheets[name] for name in ("bookings", "payments", "refunds"))
        for row in rows.new_bookings:
            bookings.put(row)
        for row in rows.changed_bookings:
            bookings.put((*bookings.rows[str(row[0])][:5], *row[1:]))
        for row in rows.payments:
            payments.put(with_outcome(payments.rows.get(str(row[0])), row))
        for row in rows.cancellations:
            self.sheets["cancellations"].put((*row[:3], *row[4:], row[3]))
        for row in rows.refunds:
            refunds.put(row)
        for refund_id, reference, at in rows.completed_refunds:
            refunds.put((*refunds.rows[str(refund_id)][:-3], "completed", reference, at))
        self.state.dirty.clear()
        return steps


def text_of(row: Iterable[object]) -> str:
    """A row's text, as `Table.text` has PostgreSQL write it."""
    return SEPARATOR.join(texts_of(row))


def texts_of(row: Iterable[object]) -> list[str]:
    return [
        "" if value is None else str(milliseconds(value)) if isinstance(value, datetime) else str(value)
        for value in row
    ]


def _digest(text: str) -> int:
    """The first half of MD5 as PostgreSQL reads it: a signed 64-bit integer. Against accidents, not against forgers."""
    return int.from_bytes(md5(text.encode(), usedforsecurity=False).digest()[:8], signed=True)


def insertion(table: Table) -> str:
    """The statement that puts a row back as it must be: `$1` is the schedule, the columns follow as text or null."""
    values, written = [], (*table.columns, *table.beside)
    for number, name in enumerate(written, start=2):
        parameter = f"nullif(${number}::text, '')"
        if name in table.times:
            value = f"to_timestamp({parameter}::numeric / 1000)"
        elif name in LISTS:
            separator, kind = (r"E'\x1f'", "text[]") if name == "seats" else ("','", "bigint[]")
            value = f"string_to_array(${number}::text, {separator})::{kind}"
        else:
            value = f"({parameter})::{TYPES.get(name, 'text')}"
        values.append(value)
    changes = ", ".join(f"{name} = excluded.{name}" for name in table.columns[1:])
    return (
        f"INSERT INTO {table.name} (schedule_id, {', '.join(written)}) VALUES ($1, {', '.join(values)})"  # noqa: S608  # constants
        f" ON CONFLICT (id) DO UPDATE SET schedule_id = excluded.schedule_id, {changes}"
    )


async def rewrite(connection: Connection, table: Table, schedule_id: str, sheet: Sheet, ids: Sequence[str]) -> None:
    """Makes these rows what they must be, in the caller's transaction; those that must not be there go."""
    extra = [row_id for row_id in ids if row_id not in sheet.rows]
    await connection.execute(
        f"DELETE FROM {table.name} WHERE schedule_id = $1 AND id = ANY($2::uuid[])",  # noqa: S608  # a constant
        schedule_id,
        extra,
    )
    rows = [(schedule_id, *texts_of(sheet.rows[row_id])) for row_id in ids if row_id in sheet.rows]
    await connection.executemany(insertion(table), rows)


async def table_digest(connection: Connection, table: Table, schedule_id: str) -> tuple[int, int]:
    """The same as `Sheet.digest`, of what the table really holds."""
    query = (
        f"SELECT count(*), coalesce(bit_xor({table.digest}), 0)"  # noqa: S608  # constants
        f" FROM {table.name} WHERE schedule_id = $1"
    )
    row = await connection.fetchrow(query, schedule_id)
    assert row is not None
    return row[0], row[1]


async def differing(connection: Connection, table: Table, schedule_id: str, sheet: Sheet) -> list[str]:
    """The ids of the rows that are missing, extra or not as they must be, in order."""
    query = f"SELECT id::text, {table.digest} FROM {table.name} WHERE schedule_id = $1"  # noqa: S608  # constants
    rows = await connection.fetch(query, schedule_id)

    def compare() -> list[str]:
        actual: dict[str, int] = dict(rows)
        wrong = {row_id for row_id, digest in sheet.digests.items() if actual.get(row_id) != digest}
        return sorted(wrong | (actual.keys() - sheet.digests.keys()))

    return await asyncio.to_thread(compare)  # of a large house it takes longer than others should wait


async def described(
    connection: Connection, table: Table, schedule_id: str, sheet: Sheet, ids: Sequence[str]
) -> list[Told]:
    """What is wrong with each of these rows, in words."""
    query = (
        f"SELECT id::text, {table.text} FROM {table.name}"  # noqa: S608  # constants
        " WHERE schedule_id = $1 AND id = ANY($2::uuid[])"
    )
    actual: dict[str, str] = dict(await connection.fetch(query, schedule_id, ids))
    told = []
    for row_id in ids:
        if row_id not in sheet.rows:
            told.append(say("row_strange", id=row_id))
        elif row_id not in actual:
            told.append(say("row_missing", id=row_id))
        else:
            due, is_now = texts_of(sheet.rows[row_id]), actual[row_id].split(SEPARATOR)
            other = [name for name, one, two in zip(table.columns, due, is_now, strict=False) if one != two]
            told.append(say("row_otherwise", id=row_id, columns=", ".join(other)))
    return told
