"""The client of the payment sandbox (`api/sandbox/server.py`), and the signature both ends agree on.

An answer that is late, malformed or an error is `Unknown`, never a decline or a refusal: the sandbox may have moved the
money all the same.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from http import HTTPStatus

import msgspec
from msgspec import Struct

from persistence.providers.connection import Answer, Connection
from persistence.providers.provider import (
    CLIENT_TIMEOUT_SECONDS,
    Approved,
    BadSignature,
    ChargeRequest,
    Declined,
    KnownPayment,
    Outcome,
    PaymentRef,
    ProviderUnavailable,
    Refunded,
    RefundOutcome,
    RefundRequest,
    Refused,
    Unknown,
    WebhookEvent,
)

logger = logging.getLogger(__name__)

SIGNATURE_HEADER = "sandbox-signature"
SIGNATURE_TOLERANCE_SECONDS = 300  # the industry's usual window: covers clock skew and a slow delivery, not a replay
NEVER_SEEN = b'{"code":"payment_not_found"}'  # the body of the sandbox's 404
PAGE = 1000  # payments asked for at once


class SandboxPayment(Struct, frozen=True, kw_only=True):
    """A payment as the sandbox tells it."""

    id: str
    booking_id: str
    status: str  # approved | declined; pending only in a message that it was created
    amount: int
    currency: str
    created_ms: int
    reference: str | None = None
    reason: str | None = None
    refunded: int = 0  # of the amount, given back


class RefundOrder(Struct, frozen=True, kw_only=True):
    """The body of a request to give money back."""

    id: str  # the idempotency key
    payment_id: str
    amount: int
    reason: str = ""


class SandboxRefund(Struct, frozen=True, kw_only=True):
    """A refund as the sandbox tells it."""

    id: str
    payment_id: str
    amount: int
    status: str  # refunded | refused
    created_ms: int
    reference: str | None = None
    reason: str | None = None  # why it was refused


class SandboxMessage(Struct, frozen=True, kw_only=True):
    """The body of a webhook."""

    id: str
    type: str  # payment.created | payment.approved | payment.declined, or anything else
    created_ms: int
    data: SandboxPayment | dict[str, str]


class _Envelope(Struct, frozen=True):
    """As much of a webhook as is understood, whatever its type."""

    id: str
    type: str
    data: dict[str, object] = {}


class _Page(Struct, frozen=True):
    items: list[SandboxPayment]
    next_cursor: int | None


decode_payment = msgspec.json.Decoder(SandboxPayment).decode
decode_refund = msgspec.json.Decoder(SandboxRefund).decode
_decode_page = msgspec.json.Decoder(_Page).decode
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
    """`Provider` over the sandbox's HTTP API."""

    name = "sandbox"

    def __init__(
        self,
        url: str,
        secret: str,
        now_ms: Callable[[], int],
        *,
        previous_secret: str = "",
        timeout_seconds: float = CLIENT_TIMEOUT_SECONDS,
    ) -> None:
        """`previous_secret`: after a change of the secret, webhooks signed with the former one are still accepted."""
        self._keys = [webhook_key(each) for each in (secret, previous_secret) if each]
        self._now_ms = now_ms
        authorization = f"Bearer {api_key(secret)}"
        self._connection = Connection(self.name, url, timeout_seconds, headers={"authorization": authorization})

    async def charge(self, request: ChargeRequest) -> Outcome:
        answer = await self._post("/payments", request.payment_id, msgspec.json.encode(request))
        return answer if isinstance(answer, Unknown) else _outcome(answer)

    async def look_up(self, payment: PaymentRef) -> Outcome | None:
        answer = await self._connection.call("GET", f"/payments/{payment.payment_id}")
        if isinstance(answer, Unknown):
            return answer
        # Only the sandbox's own word counts: any server answers 404 to a path it doesn't have.
        if answer.status == HTTPStatus.NOT_FOUND and answer.body == NEVER_SEEN:
            return None
        return _outcome(answer)

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        order = RefundOrder(
            id=request.refund_id,
            payment_id=request.payment.payment_id,
            amount=request.amount,
            reason=request.reason,
        )
        answer = await self._post("/refunds", request.refund_id, msgspec.json.encode(order))
        return answer if isinstance(answer, Unknown) else _refund_outcome(answer)

    async def payments(self, since_ms: int, until_ms: int) -> AsyncIterator[KnownPayment]:
        after: int | None = 0
        while after is not None:
            params = {"after": after, "limit": PAGE, "since_ms": since_ms, "until_ms": until_ms}
            page = _page(await self._connection.call("GET", "/payments", params={k: str(v) for k, v in params.items()}))
            for payment in page.items:
                if payment.status == "approved" and payment.reference:
                    yield KnownPayment(
                        payment_id=payment.id,
                        booking_id=payment.booking_id,
                        reference=payment.reference,
                        amount=payment.amount,
                        refunded=payment.refunded,
                        currency=payment.currency,
                        created_ms=payment.created_ms,
                    )
            after = page.next_cursor

    def parse_webhook(self, headers: Mapping[str, str], raw_body: bytes) -> WebhookEvent:
        verify(self._keys, headers.get(SIGNATURE_HEADER), raw_body, self._now_ms() // 1000)
        try:
            envelope = _decode_envelope(raw_body)
        except msgspec.MsgspecError:  # signed, so from the sandbox; but nothing we understand
            return WebhookEvent(id="", type="unknown")
        if not envelope.type.startswith("payment."):
            return WebhookEvent(envelope.id, envelope.type)
        payment_id, booking_id = envelope.data.get("id"), envelope.data.get("booking_id")
        return WebhookEvent(
            envelope.id,
            envelope.type,
            payment_id if isinstance(payment_id, str) else None,
            booking_id if isinstance(booking_id, str) else None,
        )

    async def close(self) -> None:
        await self._connection.close()

    async def _post(self, path: str, idempotency_key: str, content: bytes) -> Answer | Unknown:
        headers = {"content-type": "application/json", "idempotency-key": idempotency_key}
        return await self._connection.call("POST", path, content=content, headers=headers)


def _outcome(answer: Answer) -> Outcome:
    if answer.status != HTTPStatus.OK:
        # 4xx too: it says that this request was refused, not what became of an earlier one with the same id.
        return _no_sense(f"status {answer.status}")
    try:
        payment = decode_payment(answer.body)
    except msgspec.MsgspecError:
        return _no_sense("unreadable answer")
    if payment.status == "approved" and payment.reference:
        return Approved(payment.reference)
    if payment.status == "declined":
        return Declined(payment.reason or "declined")
    return Unknown(f"payment status {payment.status}")


def _refund_outcome(answer: Answer) -> RefundOutcome:
    if answer.status != HTTPStatus.OK:
        return _no_sense(f"status {answer.status}")
    try:
        refund = decode_refund(answer.body)
    except msgspec.MsgspecError:
        return _no_sense("unreadable answer")
    if refund.status == "refunded" and refund.reference:
        return Refunded(refund.reference)
    if refund.status == "refused":
        return Refused(refund.reason or "refused")
    return Unknown(f"refund status {refund.status}")


def _page(answer: Answer | Unknown) -> _Page:
    if isinstance(answer, Unknown):
        raise ProviderUnavailable(answer.cause)
    if answer.status != HTTPStatus.OK:
        raise ProviderUnavailable(f"status {answer.status}")
    try:
        return _decode_page(answer.body)
    except msgspec.MsgspecError as error:
        raise ProviderUnavailable("unreadable answer") from error


def _no_sense(cause: str) -> Unknown:
    logger.error("sandbox: %s", cause)
    return Unknown(cause)
