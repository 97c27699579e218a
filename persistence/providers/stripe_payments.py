"""Stripe, with its official SDK: a PaymentIntent per card, made and confirmed in one call.

The idempotency key of that call is the payment's id, and the intent carries it in its metadata, by which it is found
again. Only our own calls confirm an intent: its `confirmation_method` is manual.

A card that asks for its customer (3-D Secure) is a decline, since no hold waits minutes for a payment, with what the
customer confirms it with. The intent itself is the token of the next payment then: named after that one, and confirmed
once more. Stripe copies the name to the charge, which is found by it although the intent is as old as the first
payment.

A refund that Stripe accepted counts as given back, although a bank may still turn it down days later; then the money
stays ours and the books say so (`KnownPayment.refunded`).

The SDK writes whole requests, tokens included, to its log at DEBUG and to stderr where `STRIPE_LOG` is set; both are
switched off here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import stripe

from persistence.providers.connection import Connection
from persistence.providers.provider import (
    CLIENT_TIMEOUT_SECONDS,
    NEVER_CHARGED_AFTER_MS,
    BadSignature,
    ChargeRequest,
    Declined,
    KnownPayment,
    Outcome,
    PaymentRef,
    ProviderUnavailable,
    RefundOutcome,
    RefundRequest,
    Refused,
    Unknown,
    WebhookEvent,
)
from persistence.providers.stripe_messages import (
    UNUSABLE,
    UNUSABLE_CODES,
    Charge,
    Intent,
    Item,
    ListedCharge,
    Page,
    Refund,
    card_reason,
    conclude,
    conclude_or_wait,
    decode_event,
    from_stripe,
    read,
    refund_outcome,
    to_stripe,
)

logger = logging.getLogger(__name__)

logging.getLogger("stripe").addFilter(lambda record: record.levelno > logging.DEBUG)
stripe._util.STRIPE_LOG = None

API_URL = "https://api.stripe.com"
SIGNATURE_HEADER = "stripe-signature"
SIGNATURE_TOLERANCE_SECONDS = 300
CLOCK_SKEW_SECONDS = 60
PAGE = 100  # the most that Stripe gives at once
SEARCH_SECONDS = 30.0  # to page through the intents and charges of a charge window; some 10,000 of them
INTENT = "pi_"  # how its id begins, and that of no card
OPEN = frozenset({"requires_action", "requires_confirmation", "requires_payment_method"})  # may be charged yet


class StripeProvider:
    """`Provider` over Stripe."""

    name = "stripe"

    def __init__(
        self,
        key: str,
        webhook_secrets: Sequence[str],
        now_ms: Callable[[], int],
        *,
        url: str = API_URL,
        timeout_seconds: float = CLIENT_TIMEOUT_SECONDS,
    ) -> None:
        """`webhook_secrets`: while one replaces another, both."""
        self._webhook_secrets = tuple(webhook_secrets)
        self._now_ms = now_ms
        self._connection = Connection(self.name, "", timeout_seconds)  # the SDK says the whole URL
        client = stripe.StripeClient(
            key,
            base_addresses={"api": url},
            max_network_retries=0,  # what to do about silence is decided above, not in the SDK
            http_client=_Http(self._connection),
        )
        self._intents = client.v1.payment_intents
        self._charges = client.v1.charges
        self._refunds = client.v1.refunds

    async def charge(self, request: ChargeRequest) -> Outcome:
        amount = to_stripe(request.amount, request.currency)
        if amount is None:
            return Declined("amount_not_chargeable")
        payment = PaymentRef(
            payment_id=request.payment_id,
            booking_id=request.booking_id,
            amount=request.amount,
            currency=request.currency,
            requested_ms=0,
        )
        try:
            async with self._connection.lanes:
                # Stripe knows no time limit, so it is ours to keep, also after a wait for a connection.
                if self._now_ms() > request.valid_until_ms:
                    return Unknown("too late to charge")
                if request.token.startswith(INTENT):
                    return await self._charge_confirmed(request, payment)
                made = await self._intents.create_async(
                    {
                        "amount": amount,
                        "currency": request.currency.lower(),
                        "payment_method": request.token,
                        "allowed_payment_method_types": ["card"],
                        "confirmation_method": "manual",
                        "confirm": True,
                        "use_stripe_sdk": True,  # on the customer's page
                        "metadata": _named(request),
                    },
                    {"idempotency_key": request.payment_id},
                )
                return conclude_or_wait(read(made, Intent), payment)
        except stripe.CardError as error:
            return Declined(card_reason(error))
        except stripe.InvalidRequestError as error:
            if error.param in UNUSABLE or error.code in UNUSABLE_CODES:
                return Declined(error.code or "invalid_token")
            return _trouble(error)
        except _TROUBLE as error:
            return _trouble(error)

    async def look_up(self, payment: PaymentRef) -> Outcome | None:
        try:
            async with self._connection.lanes:
                if payment.reference:
                    return conclude(await self._retrieve(payment.reference), payment)
                async with asyncio.timeout(SEARCH_SECONDS):
                    return await self._search(payment)
        except _TROUBLE as error:
            return _trouble(error)

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        amount = to_stripe(request.amount, request.payment.currency)
        if amount is None:
            return Refused("amount_not_refundable")
        try:
            async with self._connection.lanes:
                # Stripe forgets an idempotency key after a day or more, its refunds never.
                which = {"payment_intent": request.payment.reference, "limit": PAGE}
                async for refund in _all(self._refunds.list_async, which, Page[Refund]):
                    if (refund.metadata or {}).get("refund_id") == request.refund_id:
                        return refund_outcome(refund)
                made = await self._refunds.create_async(
                    {
                        "payment_intent": request.payment.reference,
                        "amount": amount,
                        "metadata": {"refund_id": request.refund_id, "payment_id": request.payment.payment_id},
                    },
                    {"idempotency_key": request.refund_id},
                )
                return refund_outcome(read(made, Refund))
        except stripe.InvalidRequestError as error:
            return Refused(error.code or f"invalid_{error.param or 'request'}")
        except _TROUBLE as error:
            return _trouble(error)

    async def payments(self, since_ms: int, until_ms: int) -> AsyncIterator[KnownPayment]:
        try:
            # Stripe's times are whole seconds.
            async for intent in self._list(since_ms // 1000, -(-until_ms // 1000)):
                if intent.amount_received == 0:
                    continue
                charge = intent.latest_charge
                if not isinstance(charge, Charge):
                    raise ProviderUnavailable("a payment without its charge")
                currency = intent.currency.upper()
                yield KnownPayment(
                    payment_id=intent.metadata.get("payment_id"),
                    booking_id=intent.metadata.get("booking_id"),
                    reference=intent.id,
                    amount=from_stripe(intent.amount_received, currency),
                    refunded=from_stripe(charge.amount_refunded, currency),
                    currency=currency,
                    created_ms=intent.created * 1000,
                )
        except _TROUBLE as error:
            raise ProviderUnavailable(_trouble(error).cause) from None

    def parse_webhook(self, headers: Mapping[str, str], raw_body: bytes) -> WebhookEvent:
        self._verify(headers.get(SIGNATURE_HEADER), raw_body)
        try:
            event = decode_event(raw_body)
        except msgspec.MsgspecError:  # signed, so from Stripe; but nothing we understand
            return WebhookEvent(id="", type="unknown")
        if not event.type.startswith(("payment_intent.", "charge.", "refund.")):
            return WebhookEvent(event.id, event.type)
        metadata = event.data.object.metadata
        return WebhookEvent(event.id, event.type, metadata.get("payment_id"), metadata.get("booking_id"))

    async def close(self) -> None:
        await self._connection.close()

    def _verify(self, header: str | None, raw_body: bytes) -> None:
        """The SDK checks the signature, in constant time, and that it isn't old; that it isn't early is ours."""
        for secret in self._webhook_secrets:
            try:
                stripe.WebhookSignature.verify_header(raw_body, header, secret, SIGNATURE_TOLERANCE_SECONDS)
                signed_seconds = int((header or "").partition("t=")[2].partition(",")[0])
            except (stripe.SignatureVerificationError, ValueError, TypeError):  # the latter: not UTF-8, not ASCII
                continue
            if signed_seconds > self._now_ms() // 1000 + SIGNATURE_TOLERANCE_SECONDS:
                raise BadSignature("timestamp out of tolerance")
            return
        raise BadSignature("signature does not match" if header else "no signature")

    async def _charge_confirmed(self, request: ChargeRequest, payment: PaymentRef) -> Outcome:
        """Of a card whose customer was asked to confirm. For callers that hold a lane."""
        intent = await self._retrieve(request.token)
        asked = (to_stripe(request.amount, request.currency), request.currency.lower(), request.booking_id)
        if (intent.amount, intent.currency, intent.metadata.get("booking_id")) != asked:
            return Declined("invalid_token")
        if intent.status in OPEN:
            # What counts is how it stood when it was first named so. Stripe says that to every copy of the request:
            # none is declined, and charged by another one when the customer has confirmed.
            key = request.payment_id
            named = await self._intents.update_async(
                intent.id, {"metadata": _named(request)}, {"idempotency_key": f"{key}-name"}
            )
            intent = read(named, Intent)
            if intent.status != "requires_confirmation":
                return conclude(intent, payment) or Declined("invalid_token")
            if self._now_ms() > request.valid_until_ms:
                return Unknown("too late to charge")
            made = await self._intents.confirm_async(intent.id, {"use_stripe_sdk": True}, {"idempotency_key": key})
            intent = read(made, Intent)
            if intent.metadata.get("payment_id") != key:
                logger.critical("stripe has charged in another name than payment %s", key)
                return Unknown("another payment's name")
            return conclude_or_wait(intent, payment)
        outcome = conclude_or_wait(intent, payment)
        ours = intent.metadata.get("payment_id") == request.payment_id
        return outcome if ours or isinstance(outcome, Declined) else Declined("invalid_token")

    async def _search(self, payment: PaymentRef) -> Outcome | None:
        """What became of a payment whose intent we do not know: by the lists, which show an intent and a charge as soon
        as they are made; Stripe's search may take a minute. For callers that hold a lane."""
        since = payment.requested_ms // 1000 - CLOCK_SKEW_SECONDS
        until = (payment.requested_ms + NEVER_CHARGED_AFTER_MS) // 1000
        async for intent in self._list(since, until):
            if intent.metadata.get("payment_id") == payment.payment_id:
                return conclude(intent, payment)
        which = {"created": {"gte": since, "lt": until}, "limit": PAGE}
        async for charge in _all(self._charges.list_async, which, Page[ListedCharge]):
            if charge.metadata.get("payment_id") == payment.payment_id and charge.payment_intent is not None:
                intent = await self._retrieve(charge.payment_intent)
                if intent.metadata.get("payment_id") == payment.payment_id:
                    return conclude(intent, payment)
                return Declined("declined")  # it has become a later payment's since
        return None

    async def _retrieve(self, intent_id: str) -> Intent:
        return read(await self._intents.retrieve_async(intent_id, {"expand": ["latest_charge"]}), Intent)

    def _list(self, since_seconds: int, until_seconds: int) -> AsyncIterator[Intent]:
        """The intents made in the time, newest first."""
        created = {"gte": since_seconds, "lt": until_seconds}
        which = {"created": created, "limit": PAGE, "expand": ["data.latest_charge"]}
        return _all(self._intents.list_async, which, Page[Intent])


class _Http(stripe.HTTPClient):
    """Lets the SDK speak over our connections: their number, their time limits, no proxy from the environment."""

    name = "boxoffice"

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        content = post_data.encode() if isinstance(post_data, str) else post_data
        answer = await self._connection.send(method.upper(), url, content=content, headers=headers)
        if isinstance(answer, Unknown):
            raise stripe.APIConnectionError(answer.cause)  # type: ignore[no-untyped-call]  # the SDK's own
        return answer.body, answer.status, answer.headers


# What says nothing about the money: Stripe's own trouble, ours with it, silence, and answers without sense.
_TROUBLE = (stripe.StripeError, msgspec.ValidationError, TimeoutError)


def _trouble(error: Exception) -> Unknown:
    """Not the error's text, which may quote what was sent."""
    code = getattr(error, "code", None)
    cause = type(error).__name__ if code is None else f"{type(error).__name__} {code}"
    logger.warning("stripe gave no certain answer: %s", cause)
    return Unknown(cause)


async def _all(
    list_page: Callable[[Any], Awaitable[object]], which: dict[str, Any], type_: type[Page[Item]]
) -> AsyncIterator[Item]:
    """Every item of a list, page by page; not by the SDK's own paging, which goes where the answer tells it to."""
    after: dict[str, str] = {}
    while True:
        page = read(await list_page(which | after), type_)
        for item in page.data:
            yield item
        if not page.has_more or not page.data:
            return
        after = {"starting_after": page.data[-1].id}


def _named(request: ChargeRequest) -> dict[str, str]:
    """Whose the money is, wherever Stripe shows it."""
    return {"payment_id": request.payment_id, "booking_id": request.booking_id}
