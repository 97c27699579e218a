"""The payment sandbox: a provider as its own HTTP process, which does on request what real ones do on bad days.

It owes what every provider owes: a payment id is charged at most once and never after `valid_until_ms`, and what it has
answered it still knows after a restart. The card token decides what happens (`BEHAVIOURS`); where it gives no answer, a
signed webhook follows a few seconds later and is repeated until it was received.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response
from msgspec import Struct

from actors.clock import Clock, SystemClock
from actors.entries import local_url
from actors.settings import Settings
from persistence.providers.provider import ChargeRequest
from persistence.providers.sandbox import (
    NEVER_SEEN,
    SIGNATURE_HEADER,
    SandboxMessage,
    SandboxPayment,
    api_key,
    sign,
    webhook_key,
)

log = logging.getLogger(__name__)


class Behaviour(Struct, frozen=True):
    """What a token makes the sandbox do."""

    decline: str | None = None  # the reason; None approves
    delay_seconds: float = 0.0
    answers: bool = True  # False: holds the connection until the client gives up, and sends a webhook later


BEHAVIOURS = {
    "tok_approve": Behaviour(),
    "tok_decline_insufficient_funds": Behaviour(decline="insufficient_funds"),
    "tok_decline_lost_card": Behaviour(decline="lost_card"),
    "tok_slow": Behaviour(delay_seconds=3.0),
    "tok_timeout_charged": Behaviour(answers=False),
    "tok_timeout_uncharged": Behaviour(decline="not_charged", answers=False),
}
UNKNOWN_TOKEN = Behaviour(decline="unknown_token")

WEBHOOK_DELAY_SECONDS = 6.0  # later than the client's time-out of 5 s: what is tested is a truth that comes afterwards
WEBHOOK_RETRY_SECONDS = (1, 2, 4, 8, 16, 32, 60, 120, 300)  # then it is given up; a look-up still tells
WEBHOOK_TIMEOUT_SECONDS = 10.0
DELIVERIES_AT_ONCE = 16
LIST_LIMIT = 1000

SCHEMA = """
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
"""
PAYMENT_COLUMNS = "id, booking_id, status, amount, currency, created_ms, reference, reason"

encode = msgspec.json.Encoder().encode
decode_charge = msgspec.json.Decoder(ChargeRequest).decode


class Delivery(Struct, frozen=True):
    """A webhook that has not been received yet."""

    id: str
    body: bytes
    due_ms: int
    attempts: int


class Ledger:
    """The sandbox's memory: what was charged, and which webhooks are still owed.

    WAL with `synchronous=NORMAL`: a write is a few dozen microseconds, so it is done on the event loop, and survives
    the death of the process (not of the machine's power, which a sandbox may lose).
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        self._connection.close()

    def find(self, payment_id: str) -> SandboxPayment | None:
        row = self._connection.execute(
            f"SELECT {PAYMENT_COLUMNS} FROM payments WHERE id = ?",  # noqa: S608  # a constant
            (payment_id,),
        ).fetchone()
        return None if row is None else _payment(row)

    def page(self, after: int, limit: int) -> tuple[list[SandboxPayment], int | None]:
        """Payments in the order in which they arrived, and where the next page starts."""
        rows = self._connection.execute(
            f"SELECT {PAYMENT_COLUMNS}, seq FROM payments WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608  # a constant
            (after, limit),
        ).fetchall()
        return [_payment(row[:-1]) for row in rows], rows[-1][-1] if len(rows) == limit else None

    def record(self, payment: SandboxPayment, delivery: Delivery | None) -> None:
        """Keeps the payment, and the webhook that is owed for it, both or neither."""
        with self._transaction():
            self._connection.execute(
                f"INSERT INTO payments ({PAYMENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  # a constant
                msgspec.structs.astuple(payment),
            )
            if delivery is not None:
                self._connection.execute(
                    "INSERT INTO deliveries (id, body, due_ms, attempts) VALUES (?, ?, ?, ?)",
                    msgspec.structs.astuple(delivery),
                )

    def due(self, now_ms: int, limit: int) -> list[Delivery]:
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
            log.error("webhook %s given up after %d attempts", delivery.id, delivery.attempts + 1)
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
        except BaseException:  # raised again: whatever happened, nothing of the transaction stays
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _payment(row: tuple[object, ...]) -> SandboxPayment:
    return msgspec.convert(dict(zip(SandboxPayment.__struct_fields__, row, strict=True)), SandboxPayment)


class Webhooks:
    """Delivers what the ledger owes, and goes on with it after a restart."""

    def __init__(self, ledger: Ledger, clock: Clock, url: str, key: bytes) -> None:
        self._ledger = ledger
        self._clock = clock
        self._url = url
        self._key = key
        self._news = asyncio.Event()

    def wake(self) -> None:
        """A delivery was recorded."""
        self._news.set()

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=WEBHOOK_TIMEOUT_SECONDS, trust_env=False) as client:
            while True:
                self._news.clear()
                deliveries = self._ledger.due(self._clock.now_ms(), DELIVERIES_AT_ONCE)
                if deliveries:
                    await asyncio.gather(*(self._deliver(client, delivery) for delivery in deliveries))
                    continue
                next_ms = self._ledger.next_due_ms()
                pause = None if next_ms is None else max(next_ms - self._clock.now_ms(), 10) / 1000
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), pause)

    async def _deliver(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        # Signed anew for each attempt: the signature's time is that of the sending.
        signature = sign(self._key, delivery.body, self._clock.now_ms() // 1000)
        headers = {"content-type": "application/json", SIGNATURE_HEADER: signature}
        try:
            response = await client.post(self._url, content=delivery.body, headers=headers)
            received = response.is_success
        except httpx.HTTPError as error:
            log.info("webhook %s not delivered: %s", delivery.id, type(error).__name__)
            received = False
        if received:
            self._ledger.delivered(delivery)
        else:
            self._ledger.postpone(delivery, self._clock.now_ms())


class Sandbox:
    """The provider itself: decides by the token, remembers, answers."""

    def __init__(self, ledger: Ledger, webhooks: Webhooks, clock: Clock, webhook_delay_seconds: float) -> None:
        self._ledger = ledger
        self._webhooks = webhooks
        self._clock = clock
        self._webhook_delay_ms = int(webhook_delay_seconds * 1000)

    async def charge(self, http: Request, request: ChargeRequest) -> Response:
        known = self._ledger.find(request.payment_id)
        if known is not None:
            if (known.amount, known.currency) != (request.amount, request.currency):
                return _answer(409, {"code": "payment_id_reused"})
            return _answer(200, known)
        behaviour = BEHAVIOURS.get(request.token, UNKNOWN_TOKEN)
        now_ms = self._clock.now_ms()
        if now_ms > request.valid_until_ms:
            behaviour = Behaviour(decline="charge_too_late")
        payment = SandboxPayment(
            id=request.payment_id,
            booking_id=request.booking_id,
            status="approved" if behaviour.decline is None else "declined",
            amount=request.amount,
            currency=request.currency,
            created_ms=now_ms,
            reference=f"sbx_{self._clock.new_id()}" if behaviour.decline is None else None,
            reason=behaviour.decline,
        )
        # Recorded before anything is answered, without an await in between: the second of two equal requests finds it.
        self._ledger.record(payment, None if behaviour.answers else self._owed(payment, now_ms))
        self._webhooks.wake()
        if not behaviour.answers:
            await _until_client_leaves(http)
        elif behaviour.delay_seconds:
            await asyncio.sleep(behaviour.delay_seconds)
        return _answer(200, payment)

    def look_up(self, payment_id: str) -> Response:
        payment = self._ledger.find(payment_id)
        return Response(NEVER_SEEN, 404, media_type="application/json") if payment is None else _answer(200, payment)

    def list(self, after: int, limit: int) -> Response:
        items, next_cursor = self._ledger.page(after, limit)
        return _answer(200, {"items": items, "next_cursor": next_cursor})

    def _owed(self, payment: SandboxPayment, now_ms: int) -> Delivery:
        message_id = f"whk_{self._clock.new_id()}"
        message = SandboxMessage(id=message_id, type=f"payment.{payment.status}", created_ms=now_ms, data=payment)
        return Delivery(message_id, encode(message), now_ms + self._webhook_delay_ms, 0)


async def _until_client_leaves(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _answer(status: int, content: object) -> Response:
    return Response(encode(content), status, media_type="application/json")


def _charge_request(body: bytes) -> ChargeRequest | None:
    try:
        request = decode_charge(body)
    except msgspec.MsgspecError:
        return None
    sound = 0 < request.amount < 2**53 and len(request.currency) == 3 and 0 < len(request.payment_id) <= 64
    return request if sound else None


def create_sandbox(
    secret: str,
    ledger_path: Path,
    webhook_url: str,
    *,
    clock: Clock | None = None,
    webhook_delay_seconds: float = WEBHOOK_DELAY_SECONDS,
) -> FastAPI:
    """The sandbox as an ASGI application. Its lifespan opens the ledger and delivers webhooks."""
    expected = f"Bearer {api_key(secret)}".encode()
    time = clock or SystemClock()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ledger = Ledger(ledger_path)
        webhooks = Webhooks(ledger, time, webhook_url, webhook_key(secret))
        app.state.sandbox = Sandbox(ledger, webhooks, time, webhook_delay_seconds)
        delivering = asyncio.create_task(webhooks.run(), name="sandbox-webhooks")
        try:
            yield
        finally:
            delivering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await delivering
            ledger.close()

    app = FastAPI(title="Boxoffice payment sandbox", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    def trusted(http: Request) -> bool:
        return hmac.compare_digest(http.headers.get("authorization", "").encode(), expected)

    @app.get("/healthz")
    async def healthz() -> Response:
        return _answer(200, {"status": "ok"})

    @app.post("/payments")
    async def charge(http: Request) -> Response:
        if not trusted(http):
            return _answer(401, {"code": "unauthenticated"})
        request = _charge_request(await http.body())
        if request is None:
            return _answer(422, {"code": "invalid_request"})
        sandbox: Sandbox = http.app.state.sandbox
        return await sandbox.charge(http, request)

    @app.get("/payments/{payment_id}")
    async def look_up(http: Request, payment_id: str) -> Response:
        if not trusted(http):
            return _answer(401, {"code": "unauthenticated"})
        sandbox: Sandbox = http.app.state.sandbox
        return sandbox.look_up(payment_id)

    @app.get("/payments")
    async def list_payments(http: Request, after: int = 0, limit: int = LIST_LIMIT) -> Response:
        if not trusted(http):
            return _answer(401, {"code": "unauthenticated"})
        sandbox: Sandbox = http.app.state.sandbox
        return sandbox.list(after, min(max(limit, 1), LIST_LIMIT))

    return app


def main() -> None:
    """Serves the sandbox at `settings.sandbox_url` until the process is told to stop."""
    settings = Settings.from_environment()
    if settings.sandbox_url is None:
        raise SystemExit("BOXOFFICE_SANDBOX_URL is not set: where is the sandbox to listen?")
    address = urlsplit(settings.sandbox_url)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line per webhook is enough
    app = create_sandbox(
        settings.secret,
        settings.data_path / "sandbox.sqlite3",
        f"{local_url(settings.host, settings.port)}/v1/webhooks/sandbox",
    )
    uvicorn.run(
        app,
        host=address.hostname or "127.0.0.1",
        port=address.port or 80,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=2,  # held connections of the time-out tokens must not hold up the end
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main()
