"""The payment sandbox: a provider as its own HTTP process, which does on request what real ones do on bad days.

It owes what every provider owes: a payment id is charged at most once and never after `valid_until_ms`, a refund id is
given back at most once and never more than was taken, and what it has answered it still knows after a restart. The card
token decides what happens (`BEHAVIOURS`); where it gives no answer to a charge, a signed webhook follows a few seconds
later and is repeated until it was received.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response
from msgspec import Struct

from actors.process import garbage, pulse, telemetry
from actors.process.clock import Clock, SystemClock
from actors.process.settings import Settings, SettingsError, local_url
from api.http.corked import Protocol
from api.sandbox.ledger import Delivery, Ledger
from persistence.providers.provider import ChargeRequest
from persistence.providers.sandbox import (
    NEVER_SEEN,
    SIGNATURE_HEADER,
    RefundOrder,
    SandboxMessage,
    SandboxPayment,
    api_key,
    sign,
    webhook_key,
)

logger = logging.getLogger(__name__)


class Announcement(Struct, frozen=True):
    """A webhook that a token brings about. Those of one type are deliveries of one message."""

    delays: float  # when it is sent, in multiples of the usual delay
    type: str = ""  # empty: what became of the payment


class Behaviour(Struct, frozen=True):
    """What a token makes the sandbox do."""

    decline: str | None = None  # the reason; None approves
    delay_seconds: float = 0.0
    answers: bool = True  # False: holds the connection until the client gives up
    announces: tuple[Announcement, ...] = ()
    refunding: str = ""  # how refunds of the payment go: "" | REFUND_UNANSWERED | the reason of their refusal


AFTERWARDS = (Announcement(1),)
REFUND_UNANSWERED = "unanswered"  # given back, but the first request with the refund's id gets no answer

BEHAVIOURS = {
    "tok_approve": Behaviour(),
    "tok_decline_insufficient_funds": Behaviour(decline="insufficient_funds"),
    "tok_decline_lost_card": Behaviour(decline="lost_card"),
    "tok_slow": Behaviour(delay_seconds=3.0),
    "tok_timeout_charged": Behaviour(answers=False, announces=AFTERWARDS),
    "tok_timeout_uncharged": Behaviour(decline="not_charged", answers=False, announces=AFTERWARDS),
    "tok_webhook_duplicate": Behaviour(answers=False, announces=AFTERWARDS * 3),
    # Half a minute: by then settlement has looked the payment up itself (`actors/money/settlement.py`: 10 s, then every
    # 5 s).
    "tok_webhook_late": Behaviour(answers=False, announces=(Announcement(5),)),
    "tok_webhook_out_of_order": Behaviour(
        answers=False,
        announces=(*AFTERWARDS, Announcement(1.25, "payment.created"), Announcement(1.5, "account.updated")),
    ),
    "tok_refund_timeout": Behaviour(refunding=REFUND_UNANSWERED),
    "tok_refund_refused": Behaviour(refunding="card_closed"),
}
UNKNOWN_TOKEN = Behaviour(decline="unknown_token")

WEBHOOK_DELAY_SECONDS = 6.0  # later than the client's time-out of 5 s: what is tested is a truth that comes afterwards
WEBHOOK_TIMEOUT_SECONDS = 10.0
DELIVERIES_AT_ONCE = 16
LIST_LIMIT = 1000
FOREVER_MS = 2**62
MAX_AMOUNT = 2**53  # exact in every client's numbers

encode = msgspec.json.Encoder().encode
decode_charge = msgspec.json.Decoder(ChargeRequest).decode
decode_refund_order = msgspec.json.Decoder(RefundOrder).decode


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
        """Delivers whatever is due, for ever."""
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
            logger.info("webhook %s not delivered: %s", delivery.id, type(error).__name__)
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
        """Takes the money, or says what became of an earlier attempt with the same id: 200, approved or declined; 409
        where that id was of another amount. Tokens that say so are answered late, or never."""
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
        owed = self._owed(payment, behaviour.announces)
        self._ledger.record(payment, behaviour.refunding, owed)
        if owed:
            self._webhooks.wake()
        if not behaviour.answers:
            await _until_client_leaves(http)
        elif behaviour.delay_seconds:
            await asyncio.sleep(behaviour.delay_seconds)
        return _answer(200, payment)

    def look_up(self, payment_id: str) -> Response:
        payment = self._ledger.find(payment_id)
        return Response(NEVER_SEEN, 404, media_type="application/json") if payment is None else _answer(200, payment)

    def list_payments(self, after: int, limit: int, since_ms: int, until_ms: int) -> Response:
        items, next_cursor = self._ledger.page(after, limit, since_ms, until_ms)
        return _answer(200, {"items": items, "next_cursor": next_cursor})

    async def refund(self, http: Request, order: RefundOrder) -> Response:
        """Gives money back, or says what became of an earlier order with the same id; 409 where that was of another
        amount."""
        known = self._ledger.find_refund(order.id)
        if known is not None:
            if (known.payment_id, known.amount) != (order.payment_id, order.amount):
                return _answer(409, {"code": "refund_id_reused"})
            return _answer(200, known)
        refunding = self._ledger.refunding(order.payment_id)
        refusal = None if refunding in ("", REFUND_UNANSWERED) else refunding
        refund = self._ledger.give_back(order, f"sbr_{self._clock.new_id()}", refusal, self._clock.now_ms())
        if refunding == REFUND_UNANSWERED and refund.reference is not None:
            await _until_client_leaves(http)
        return _answer(200, refund)

    def list_refunds(self, after: int, limit: int) -> Response:
        items, next_cursor = self._ledger.refund_page(after, limit)
        return _answer(200, {"items": items, "next_cursor": next_cursor})

    def _owed(self, payment: SandboxPayment, announces: tuple[Announcement, ...]) -> list[Delivery]:
        """The webhooks about a payment; each is delivered by itself, whatever becomes of the others."""
        ids: dict[str, str] = {}
        owed = []
        for number, announcement in enumerate(announces):
            type_ = announcement.type or f"payment.{payment.status}"
            message_id = ids.setdefault(type_, f"whk_{self._clock.new_id()}")
            message = SandboxMessage(
                id=message_id, type=type_, created_ms=payment.created_ms, data=_told(payment, announcement)
            )
            due_ms = payment.created_ms + int(announcement.delays * self._webhook_delay_ms)
            owed.append(Delivery(f"{message_id}/{number}", encode(message), due_ms, 0))
        return owed


def _told(payment: SandboxPayment, announcement: Announcement) -> SandboxPayment | dict[str, str]:
    if not announcement.type:
        return payment
    if announcement.type == "payment.created":
        return msgspec.structs.replace(payment, status="pending", reference=None)
    return {}  # about something else than a payment


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
    sound = 0 < request.amount < MAX_AMOUNT and len(request.currency) == 3 and 0 < len(request.payment_id) <= 64
    return request if sound else None


def _refund_order(body: bytes) -> RefundOrder | None:
    try:
        order = decode_refund_order(body)
    except msgspec.MsgspecError:
        return None
    return order if 0 < order.amount < MAX_AMOUNT and 0 < len(order.id) <= 64 else None


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
        pulse.begin()
        try:
            yield
        finally:
            delivering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await delivering
            ledger.close()

    app = FastAPI(
        title="Boxoffice payment sandbox",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked about on every request
    )

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
    async def list_payments(
        http: Request, after: int = 0, limit: int = LIST_LIMIT, since_ms: int = 0, until_ms: int = FOREVER_MS
    ) -> Response:
        if not trusted(http):
            return _answer(401, {"code": "unauthenticated"})
        sandbox: Sandbox = http.app.state.sandbox
        return sandbox.list_payments(after, min(max(limit, 1), LIST_LIMIT), since_ms, until_ms)

    @app.post("/refunds")
    async def refund(http: Request) -> Response:
        if not trusted(http):
            return _answer(401, {"code": "unauthenticated"})
        order = _refund_order(await http.body())
        if order is None:
            return _answer(422, {"code": "invalid_request"})
        sandbox: Sandbox = http.app.state.sandbox
        return await sandbox.refund(http, order)

    @app.get("/refunds")
    async def list_refunds(http: Request, after: int = 0, limit: int = LIST_LIMIT) -> Response:
        if not trusted(http):
            return _answer(401, {"code": "unauthenticated"})
        sandbox: Sandbox = http.app.state.sandbox
        return sandbox.list_refunds(after, min(max(limit, 1), LIST_LIMIT))

    return app


def main() -> None:
    """Serves the sandbox at `settings.sandbox_at` until the process is told to stop."""
    try:
        settings = Settings.from_environment()
        address = urlsplit(settings.sandbox_at)
        secret = settings.sandbox_secrets[0]
    except SettingsError as error:  # of a cluster it is started by hand
        raise SystemExit(str(error)) from error
    telemetry.configure(settings, "sandbox")
    app = create_sandbox(
        secret,
        settings.data_path / "sandbox.sqlite3",
        f"{local_url(settings.host, settings.port)}/v1/webhooks/sandbox",
    )
    garbage.spare_what_is_here()
    uvicorn.run(
        app,
        host=address.hostname or "127.0.0.1",
        port=address.port or 80,
        http=Protocol,
        access_log=False,
        proxy_headers=False,
        log_config=None,
        timeout_graceful_shutdown=2,  # held connections of the time-out tokens must not hold up the end
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main()
