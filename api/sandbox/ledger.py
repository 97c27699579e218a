"""The payment sandbox's memory: what was charged and given back, and which webhooks are still owed.

A file that an earlier version wrote is brought up to date when it is opened.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from persistence.providers.sandbox import RefundOrder, SandboxPayment, SandboxRefund

logger = logging.getLogger(__name__)

WEBHOOK_RETRY_SECONDS = (1, 2, 4, 8, 16, 32, 60, 120, 300)  # then it is given up; a look-up still tells

# What each version added; `user_version` tells how many of them a file has.
CHANGES = (
    """
CREATE TABLE IF NOT EXISTS payments (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  booking_id TEXT NOT NULL,
  status TEXT NOT NULL,
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  reference TEXT,
  reason TEXT
);
CREATE TABLE IF NOT EXISTS deliveries (
  id TEXT PRIMARY KEY,
  body BLOB NOT NULL,
  due_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS ix_deliveries_due_ms ON deliveries (due_ms);
""",
    """
ALTER TABLE payments ADD COLUMN refunded INTEGER NOT NULL DEFAULT 0 CHECK (refunded BETWEEN 0 AND amount);
ALTER TABLE payments ADD COLUMN refunding TEXT NOT NULL DEFAULT '';
CREATE TABLE refunds (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  payment_id TEXT NOT NULL,
  amount INTEGER NOT NULL,
  status TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  reference TEXT,
  reason TEXT
);
""",
)
PAYMENT_COLUMNS = "id, booking_id, status, amount, currency, created_ms, reference, reason, refunded"
REFUND_COLUMNS = "id, payment_id, amount, status, created_ms, reference, reason"


class Delivery(Struct, frozen=True):
    """A webhook that has not been received yet."""

    id: str
    body: bytes
    due_ms: int
    attempts: int


class Ledger:
    """Payments, refunds and deliveries in one SQLite file.

    WAL with `synchronous=NORMAL`: a write is a few dozen microseconds, so it is done on the event loop, and survives
    the death of the process (not of the machine's power, which a sandbox may lose).
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        done: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
        for number, change in enumerate(CHANGES[done:], start=done + 1):
            self._connection.executescript(f"BEGIN; {change} PRAGMA user_version = {number}; COMMIT;")

    def close(self) -> None:
        self._connection.close()

    def find(self, payment_id: str) -> SandboxPayment | None:
        """The payment of that id; None: no charge of it was ever recorded."""
        row = self._connection.execute(
            f"SELECT {PAYMENT_COLUMNS} FROM payments WHERE id = ?",  # noqa: S608  # a constant
            (payment_id,),
        ).fetchone()
        return None if row is None else _payment(row)

    def page(self, after: int, limit: int, since_ms: int, until_ms: int) -> tuple[list[SandboxPayment], int | None]:
        """Payments created in [since, until), in the order in which they arrived, and where the next page starts."""
        rows = self._connection.execute(
            f"SELECT {PAYMENT_COLUMNS}, seq FROM payments "  # noqa: S608  # a constant
            "WHERE seq > ? AND created_ms >= ? AND created_ms < ? ORDER BY seq LIMIT ?",
            (after, since_ms, until_ms, limit),
        ).fetchall()
        return [_payment(row[:-1]) for row in rows], rows[-1][-1] if len(rows) == limit else None

    def record(self, payment: SandboxPayment, refunding: str, deliveries: Sequence[Delivery]) -> None:
        """Keeps the payment, how its refunds will go, and the webhooks that are owed for it: all or nothing."""
        with self._transaction():
            self._connection.execute(
                f"INSERT INTO payments ({PAYMENT_COLUMNS}, refunding) "  # noqa: S608  # a constant
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*msgspec.structs.astuple(payment), refunding),
            )
            self._connection.executemany(
                "INSERT INTO deliveries (id, body, due_ms, attempts) VALUES (?, ?, ?, ?)",
                [msgspec.structs.astuple(delivery) for delivery in deliveries],
            )

    def find_refund(self, refund_id: str) -> SandboxRefund | None:
        """The refund with this id, if there is one."""
        row = self._connection.execute(
            f"SELECT {REFUND_COLUMNS} FROM refunds WHERE id = ?",  # noqa: S608  # a constant
            (refund_id,),
        ).fetchone()
        return None if row is None else _refund(row)

    def refund_page(self, after: int, limit: int) -> tuple[list[SandboxRefund], int | None]:
        """Refunds, refused ones included, in the order in which they arrived, and where the next page starts."""
        rows = self._connection.execute(
            f"SELECT {REFUND_COLUMNS}, seq FROM refunds WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608  # a constant
            (after, limit),
        ).fetchall()
        return [_refund(row[:-1]) for row in rows], rows[-1][-1] if len(rows) == limit else None

    def refunding(self, payment_id: str) -> str:
        """How the payment's refunds go, as it was recorded with it."""
        row = self._connection.execute("SELECT refunding FROM payments WHERE id = ?", (payment_id,)).fetchone()
        return "" if row is None else str(row[0])

    def give_back(self, order: RefundOrder, reference: str, refusal: str | None, now_ms: int) -> SandboxRefund:
        """Records a refund not seen before, and takes its money off the payment unless it is refused."""
        with self._transaction():
            payment = self.find(order.payment_id)
            if payment is None:
                refusal = "payment_not_found"
            elif payment.status != "approved":
                refusal = "payment_not_approved"
            elif order.amount > payment.amount - payment.refunded:
                refusal = "amount_exceeds_payment"
            refund = SandboxRefund(
                id=order.id,
                payment_id=order.payment_id,
                amount=order.amount,
                status="refunded" if refusal is None else "refused",
                created_ms=now_ms,
                reference=reference if refusal is None else None,
                reason=refusal,
            )
            self._connection.execute(
                f"INSERT INTO refunds ({REFUND_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  # a constant
                msgspec.structs.astuple(refund),
            )
            if refusal is None:
                self._connection.execute(
                    "UPDATE payments SET refunded = refunded + ? WHERE id = ?", (order.amount, order.payment_id)
                )
        return refund

    def due(self, now_ms: int, limit: int) -> list[Delivery]:
        """Deliveries whose time has come, the most overdue first."""
        rows = self._connection.execute(
            "SELECT id, body, due_ms, attempts FROM deliveries WHERE due_ms <= ? ORDER BY due_ms LIMIT ?",
            (now_ms, limit),
        )
        return [Delivery(*row) for row in rows]

    def next_due_ms(self) -> int | None:
        value: int | None = self._connection.execute("SELECT min(due_ms) FROM deliveries").fetchone()[0]
        return value

    def delivered(self, delivery: Delivery) -> None:
        self._connection.execute("DELETE FROM deliveries WHERE id = ?", (delivery.id,))

    def postpone(self, delivery: Delivery, now_ms: int) -> None:
        """The delivery failed: later again, or never when it was tried often enough."""
        if delivery.attempts >= len(WEBHOOK_RETRY_SECONDS):
            logger.error("webhook %s given up after %d attempts", delivery.id, delivery.attempts + 1)
            self.delivered(delivery)
            return
        self._connection.execute(
            "UPDATE deliveries SET attempts = attempts + 1, due_ms = ? WHERE id = ?",
            (now_ms + WEBHOOK_RETRY_SECONDS[delivery.attempts] * 1000, delivery.id),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:  # raised again: whatever happened, nothing of the transaction stays
            if self._connection.in_transaction:  # where the disk is full, SQLite may have ended it by itself
                self._connection.execute("ROLLBACK")
            raise


def _payment(row: tuple[object, ...]) -> SandboxPayment:
    return msgspec.convert(dict(zip(SandboxPayment.__struct_fields__, row, strict=True)), SandboxPayment)


def _refund(row: tuple[object, ...]) -> SandboxRefund:
    return msgspec.convert(dict(zip(SandboxRefund.__struct_fields__, row, strict=True)), SandboxRefund)
