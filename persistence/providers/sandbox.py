"""The client of the payment sandbox (`api/sandbox_server.py`), and the signature both ends agree on.

An answer that is late, malformed or an error is `Unknown`, never a decline: the sandbox may have charged all the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping, Sequence

import httpx
import msgspec
from msgspec import Struct

from persistence.providers.provider import (
    CLIENT_TIMEOUT_SECONDS,
    Approved,
    BadSignature,
    ChargeRequest,
    Declined,
    Outcome,
    Unknown,
    WebhookEvent,
)

log = logging.getLogger(__name__)

SIGNATURE_HEADER = "sandbox-signature"
SIGNATURE_TOLERANCE_SECONDS = 300  # the industry's usual window: covers clock skew and a slow delivery, not a replay
NEVER_SEEN = b'{"code":"payment_not_found"}'  # the body of the sandbox's 404
MAX_CONNECTIONS = 32  # per process; the pool is searched at every call, so more would make every call slower


class SandboxPayment(Struct, frozen=True, kw_only=True):
    """A payment as the sandbox tells it."""

    id: str
    booking_id: str
    status: str  # approved | declined
    amount: int
    currency: str
    created_ms: int
    reference: str | None = None
    reason: str | None = None


class SandboxMessage(Struct, frozen=True, kw_only=True):
    """The body of a webhook."""

    id: str
    type: str  # payment.approved | payment.declined
    created_ms: int
    data: SandboxPayment


class _Envelope(Struct, frozen=True):
    """As much of a webhook as is understood, whatever its type."""

    id: str
    type: str
    data: dict[str, object] = {}


decode_payment = msgspec.json.Decoder(SandboxPayment).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def webhook_key(secret: str) -> bytes:
    """The key of the webhook signatures, derived from the installation's secret."""
    return hmac.digest(secret.encode(), b"boxoffice/sandbox/webhooks/1", hashlib.sha256)


def api_key(secret: str) -> str:
    """What the API proves itself with to the sandbox, derived from the installation's secret."""
    return hmac.digest(secret.encode(), b"boxoffice/sandbox/api/1", hashlib.sha256).hex()


def sign(key: bytes, raw_body: bytes, at_seconds: int) -> str:
    """The value of the signature header: `t=<seconds>,v1=<HMAC-SHA256 of "t.body" in hex>`."""
    digest = hmac.digest(key, str(at_seconds).encode() + b"." + raw_body, hashlib.sha256)
    return f"t={at_seconds},v1={digest.hex()}"


def verify(keys: Sequence[bytes], header: str | None, raw_body: bytes, now_seconds: int) -> None:
    """Raises `BadSignature` unless one of the header's `v1` was made with one of the keys, within the tolerance.

    Several keys, and several `v1`, let a key be replaced without losing a webhook. Comparisons take constant time.
    """
    if header is None:
        raise BadSignature("no signature")
    parts = [part.strip().partition("=") for part in header.split(",")]
    timestamps = [value for name, _, value in parts if name == "t"]
    offered = [value for name, _, value in parts if name == "v1"]
    if len(timestamps) != 1 or not offered:
        raise BadSignature("malformed signature header")
    timestamp = timestamps[0]
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise BadSignature("malformed timestamp")
    if abs(now_seconds - int(timestamp)) > SIGNATURE_TOLERANCE_SECONDS:
        raise BadSignature("timestamp out of tolerance")
    signed = timestamp.encode() + b"." + raw_body
    expected = [hmac.digest(key, signed, hashlib.sha256).hex().encode() for key in keys]
    matches = [hmac.compare_digest(mine, theirs.encode()) for mine in expected for theirs in offered[:8]]
    if not any(matches):
        raise BadSignature("signature does not match")


class SandboxProvider:
    """`Provider` over the sandbox's HTTP API, on a pool of kept-alive connections."""

    name = "sandbox"

    def __init__(
        self,
        url: str,
        secret: str,
        now_ms: Callable[[], int],
        *,
        timeout_seconds: float = CLIENT_TIMEOUT_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._keys = [webhook_key(secret)]
        self._now_ms = now_ms
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {api_key(secret)}"},
            timeout=httpx.Timeout(timeout_seconds),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
            transport=transport,
            trust_env=False,  # a proxy variable of the machine must not lead payments elsewhere
        )
        self._lanes = asyncio.Semaphore(MAX_CONNECTIONS)

    async def charge(self, request: ChargeRequest) -> Outcome:
        answer = await self._call("POST", "/payments", request.payment_id, msgspec.json.encode(request))
        return answer if isinstance(answer, Unknown) else _outcome(answer)

    async def look_up(self, payment_id: str) -> Outcome | None:
        answer = await self._call("GET", f"/payments/{payment_id}", payment_id)
        if isinstance(answer, Unknown):
            return answer
        # Only the sandbox's own word counts: any server answers 404 to a path it doesn't have.
        if answer.status_code == httpx.codes.NOT_FOUND and answer.content == NEVER_SEEN:
            return None
        return _outcome(answer)

    def parse_webhook(self, headers: Mapping[str, str], raw_body: bytes) -> WebhookEvent:
        verify(self._keys, headers.get(SIGNATURE_HEADER), raw_body, self._now_ms() // 1000)
        try:
            envelope = _decode_envelope(raw_body)
        except msgspec.MsgspecError:  # signed, so from the sandbox; but nothing we understand
            return WebhookEvent(id="", type="unknown")
        payment_id = envelope.data.get("id") if envelope.type.startswith("payment.") else None
        return WebhookEvent(envelope.id, envelope.type, payment_id if isinstance(payment_id, str) else None)

    async def close(self) -> None:
        await self._client.aclose()

    async def _call(
        self, method: str, path: str, payment_id: str, content: bytes | None = None
    ) -> httpx.Response | Unknown:
        headers = {"content-type": "application/json", "idempotency-key": payment_id} if content else {}
        try:
            # A call's time begins when it has a connection: a crowd waiting for one leaves no payment in doubt.
            # httpx's timeouts are per read; the whole call must end too, even where bytes trickle in.
            async with self._lanes, asyncio.timeout(self._timeout_seconds):
                return await self._client.request(method, path, content=content, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("sandbox gave no answer for payment %s: %s", payment_id, type(error).__name__)
            return Unknown(type(error).__name__)


def _outcome(response: httpx.Response) -> Outcome:
    if response.status_code != httpx.codes.OK:
        # 4xx too: it says that this request was refused, not what became of an earlier one with the same id.
        log.error("sandbox answered %s", response.status_code)
        return Unknown(f"status {response.status_code}")
    try:
        payment = decode_payment(response.content)
    except msgspec.MsgspecError:
        log.exception("sandbox gave an answer that cannot be read")
        return Unknown("unreadable answer")
    if payment.status == "approved" and payment.reference:
        return Approved(payment.reference)
    if payment.status == "declined":
        return Declined(payment.reason or "declined")
    return Unknown(f"payment status {payment.status}")
