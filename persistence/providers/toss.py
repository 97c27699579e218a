"""Toss Payments, over its core API (docs.tosspayments.com/reference, version 2022-11-16).

The customer pays in Toss's own window, opened with the booking's id as `orderId`; what it returns, the `paymentKey`, is
our token. Nothing is taken before we confirm, and each confirmation carries the payment's id as its idempotency key, so
that a repeat gets the first answer again (for 15 days; ours are sent within the charge window).

Several attempts of one booking share the order id, and Toss knows no other id of ours. So what is found by order id is
certain only where money was taken, as Toss takes it once per order; that another attempt was aborted says nothing.

**Webhooks are not proof.** Toss signs `payout.changed` and `seller.changed` only, not `PAYMENT_STATUS_CHANGED`; a check
of a signature that may be left out would protect nobody. So each message is read as a hint that anybody may have sent:
it names a booking, never an outcome, and the outcome is what Toss answers when asked with our key.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from urllib.parse import quote

import msgspec
from aiohttp import encode_basic_auth

from persistence.providers.connection import Answer, Connection
from persistence.providers.minor_units import to_major, to_minor
from persistence.providers.provider import (
    CHARGE_WINDOW_MS,
    CLIENT_TIMEOUT_SECONDS,
    NEVER_CHARGED_AFTER_MS,
    Approved,
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
from persistence.providers.toss_messages import (
    DECLINES,
    NEVER_SEEN,
    REFUND_REFUSALS,
    TossPayment,
    TossTransaction,
    decode_message,
    decode_payment,
    decode_transactions,
    encode,
    error_code,
    korean_time,
    milliseconds,
)

logger = logging.getLogger(__name__)

API_URL = "https://api.tosspayments.com"
TRANSMISSION_HEADER = "tosspayments-webhook-transmission-id"
PAGE = 5000  # transactions asked for at once; the most that Toss gives
CLOCK_SKEW_MS = 60_000
REASON_CHARACTERS = 140  # of the 200 that `cancelReason` may have; the refund's id follows

# The confirmation came too late to be the first: which one was it?
TAKEN_BEFORE = frozenset({"ALREADY_PROCESSED_PAYMENT", "DUPLICATED_ORDER_ID"})
GIVEN_BACK_BEFORE = frozenset({"ALREADY_CANCELED_PAYMENT", "ALREADY_REFUND_PAYMENT"})


class TossProvider:
    """`Provider` over Toss Payments."""

    name = "toss"

    def __init__(
        self,
        secret_key: str,
        now_ms: Callable[[], int],
        *,
        url: str = API_URL,
        timeout_seconds: float = CLIENT_TIMEOUT_SECONDS,
    ) -> None:
        self._now_ms = now_ms
        # Toss takes the key as the user of Basic authentication, without a password.
        authorization = encode_basic_auth(secret_key, "")
        self._connection = Connection(self.name, url, timeout_seconds, headers={"authorization": authorization})

    async def charge(self, request: ChargeRequest) -> Outcome:
        payment = PaymentRef(
            payment_id=request.payment_id,
            booking_id=request.booking_id,
            amount=request.amount,
            currency=request.currency,
            requested_ms=request.valid_until_ms - CHARGE_WINDOW_MS,
        )
        body = {
            "paymentKey": request.token,
            "orderId": request.booking_id,
            "amount": to_major(request.amount, request.currency),
        }
        async with self._connection.lanes:
            # Toss knows no time limit, so it is ours to keep, also after a wait for a connection.
            if self._now_ms() > request.valid_until_ms:
                return Unknown("too late to charge")
            answer = await self._post("/v1/payments/confirm", request.payment_id, body)
        if isinstance(answer, Unknown):
            return answer
        if answer.status == HTTPStatus.OK:
            confirmed = _read_payment(answer)
            if isinstance(confirmed, Unknown):
                return confirmed
            return await self._conclude(confirmed, payment, this_attempt=True) or Unknown(confirmed.status)
        code = error_code(answer)
        if code in TAKEN_BEFORE:
            return await self.look_up(payment) or Unknown(code)
        if code in DECLINES and answer.refuses:
            return Declined(code.lower())
        return _no_sense(answer, code)

    async def look_up(self, payment: PaymentRef) -> Outcome | None:
        known = await self._find(payment)
        if known is None or isinstance(known, Unknown):
            return known
        outcome = await self._conclude(known, payment, this_attempt=bool(payment.reference))
        if outcome is not None or payment.reference:
            return outcome
        # The order's payment took nothing; but it may be another attempt's. The books have them all.
        try:
            async for transaction in self._transactions(
                payment.requested_ms - CLOCK_SKEW_MS, payment.requested_ms + NEVER_CHARGED_AFTER_MS
            ):
                if transaction.order_id == payment.booking_id and transaction.status == "DONE":
                    taken = await self._get_payment(f"/v1/payments/{quote(transaction.payment_key, safe='')}")
                    if taken is None or isinstance(taken, Unknown):
                        return Unknown("its transaction is known, the payment is not")
                    return await self._conclude(taken, payment, this_attempt=False)
        except ProviderUnavailable as error:
            return Unknown(str(error))
        return None

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        path = f"/v1/payments/{quote(request.payment.reference, safe='')}"
        # Toss forgets an idempotency key after 15 days, its list of cancels never.
        before = await self._get_payment(path)
        if isinstance(before, Unknown):
            return before
        if before is None:
            return Refused("not_found_payment")
        earlier = _earlier(before, request.refund_id)
        if earlier is not None:
            return earlier
        body = {
            "cancelReason": f"{request.reason[:REASON_CHARACTERS] or 'refund'} {_mark(request.refund_id)}",
            "cancelAmount": to_major(request.amount, request.payment.currency),
        }
        async with self._connection.lanes:
            answer = await self._post(f"{path}/cancel", request.refund_id, body)
        if isinstance(answer, Unknown):
            return answer
        if answer.status == HTTPStatus.OK:
            after = _read_payment(answer)
            return after if isinstance(after, Unknown) else _earlier(after, request.refund_id) or Unknown("no cancel")
        code = error_code(answer)
        if code in GIVEN_BACK_BEFORE:
            now = await self._get_payment(path)
            if now is None or isinstance(now, Unknown):
                return Unknown(code)
            return _earlier(now, request.refund_id) or Refused(code.lower())
        if code in REFUND_REFUSALS and answer.refuses:
            return Refused(code.lower())
        return _no_sense(answer, code)

    async def payments(self, since_ms: int, until_ms: int) -> AsyncIterator[KnownPayment]:
        """As `Provider.payments`. Toss knows the bookings only, not our payment ids."""
        taken: dict[str, TossTransaction] = {}
        touched: set[str] = set()  # those of which something was given back, until now
        async for transaction in self._transactions(since_ms, self._now_ms() + CLOCK_SKEW_MS):
            if transaction.status != "DONE":
                touched.add(transaction.payment_key)
            elif since_ms <= milliseconds(transaction.transaction_at) < until_ms:
                taken[transaction.payment_key] = transaction
        for payment_key, transaction in taken.items():
            amount, refunded = transaction.amount, transaction.amount * 0
            if payment_key in touched:
                known = await self._get_payment(f"/v1/payments/{quote(payment_key, safe='')}")
                if known is None or isinstance(known, Unknown):
                    raise ProviderUnavailable("a payment in the books cannot be read")
                amount, refunded = known.total_amount, known.total_amount - known.balance_amount
            amount_minor, refunded_minor = (to_minor(each, transaction.currency) for each in (amount, refunded))
            if amount_minor is None or refunded_minor is None:
                raise ProviderUnavailable(f"an amount of {transaction.currency} is finer than its minor unit")
            yield KnownPayment(
                payment_id=None,
                booking_id=transaction.order_id,
                reference=payment_key,
                amount=amount_minor,
                refunded=refunded_minor,
                currency=transaction.currency,
                created_ms=milliseconds(transaction.transaction_at),
            )

    def parse_webhook(self, headers: Mapping[str, str], raw_body: bytes) -> WebhookEvent:
        """Reads a message, from whomever it is: see above."""
        message = decode_message(raw_body)
        if message is None:
            return WebhookEvent(id="", type="unknown")
        about = message.data.order_id if message.event_type == "PAYMENT_STATUS_CHANGED" else None
        return WebhookEvent(headers.get(TRANSMISSION_HEADER, ""), message.event_type, booking_id=about)

    async def close(self) -> None:
        await self._connection.close()

    async def _conclude(self, known: TossPayment, payment: PaymentRef, *, this_attempt: bool) -> Outcome | None:
        """What a payment at Toss says of ours; `this_attempt`: it is known to be the same one."""
        if known.order_id != payment.booking_id:
            logger.critical("toss answers for payment %s with that of another booking", payment.payment_id)
            return Unknown("another booking's payment")
        if known.status in ("DONE", "PARTIAL_CANCELED"):
            if known.total_amount != to_major(payment.amount, payment.currency) or known.currency != payment.currency:
                logger.critical("toss took another amount than asked for payment %s", payment.payment_id)
                return Unknown("another amount")
            return Approved(known.payment_key)
        if known.status == "CANCELED":  # certain for every attempt: an order that was paid once cannot be paid again
            return Declined("cancelled_at_provider")
        if known.status == "WAITING_FOR_DEPOSIT":
            return await self._turn_down_deposit(known, payment)
        if known.status in ("ABORTED", "EXPIRED"):
            return Declined(known.failure_code or known.status.lower()) if this_attempt else None
        if known.status in ("READY", "IN_PROGRESS"):  # the customer has been at the window; nothing was confirmed
            return None
        return Unknown(f"payment status {known.status[:40]}")

    async def _turn_down_deposit(self, known: TossPayment, payment: PaymentRef) -> Outcome:
        """A virtual account is paid in hours or days, and a hold lasts minutes: it is closed before money comes."""
        logger.error(
            "toss opened a virtual account for payment %s: switch deposits off in the contract", payment.payment_id
        )
        path = f"/v1/payments/{quote(known.payment_key, safe='')}/cancel"
        async with self._connection.lanes:
            answer = await self._post(path, payment.payment_id, {"cancelReason": "deposits are not offered"})
        if isinstance(answer, Unknown):
            return answer
        closed = _read_payment(answer) if answer.status == HTTPStatus.OK else Unknown("deposit not closed")
        if isinstance(closed, Unknown):
            return closed
        return Declined("deposit_not_offered") if closed.status == "CANCELED" else Unknown("deposit not closed")

    async def _find(self, payment: PaymentRef) -> TossPayment | Unknown | None:
        if payment.reference:
            return await self._get_payment(f"/v1/payments/{quote(payment.reference, safe='')}")
        return await self._get_payment(f"/v1/payments/orders/{quote(payment.booking_id, safe='')}")

    async def _get_payment(self, path: str) -> TossPayment | Unknown | None:
        answer = await self._connection.call("GET", path)
        if isinstance(answer, Unknown):
            return answer
        if answer.status == HTTPStatus.OK:
            return _read_payment(answer)
        code = error_code(answer)
        # Only Toss's own word counts: any server answers 404 to a path it doesn't have.
        if answer.status == HTTPStatus.NOT_FOUND and code in NEVER_SEEN:
            return None
        return _no_sense(answer, code)

    async def _transactions(self, since_ms: int, until_ms: int) -> AsyncIterator[TossTransaction]:
        """What was taken and given back in the time, in the order in which it happened."""
        period = {"startDate": korean_time(since_ms), "endDate": korean_time(until_ms), "limit": str(PAGE)}
        after: str | None = None
        while True:
            params = period if after is None else period | {"startingAfter": after}
            answer = await self._connection.call("GET", "/v1/transactions", params=params)
            if isinstance(answer, Unknown):
                raise ProviderUnavailable(answer.cause)
            if answer.status != HTTPStatus.OK:
                raise ProviderUnavailable(_no_sense(answer, error_code(answer)).cause)
            try:
                page = decode_transactions(answer.body)
            except msgspec.MsgspecError as error:
                raise ProviderUnavailable("unreadable answer") from error
            for transaction in page:
                yield transaction
            # A page may be shorter than asked for; only an empty one is known to be the last.
            if not page:
                return
            after = page[-1].transaction_key

    async def _post(self, path: str, idempotency_key: str, body: Mapping[str, object]) -> Answer | Unknown:
        headers = {"content-type": "application/json", "idempotency-key": idempotency_key}
        return await self._connection.send("POST", path, content=encode(body), headers=headers)


def _read_payment(answer: Answer) -> TossPayment | Unknown:
    try:
        return decode_payment(answer.body)
    except msgspec.MsgspecError:
        logger.error("toss gave an answer that cannot be read")  # the error quotes what was answered
        return Unknown("unreadable answer")


def _mark(refund_id: str) -> str:
    return f"[{refund_id}]"


def _earlier(payment: TossPayment, refund_id: str) -> RefundOutcome | None:
    """What became of the refund, if Toss has it."""
    for cancel in payment.cancels or ():
        if cancel.cancel_reason.endswith(_mark(refund_id)):
            if cancel.cancel_status == "DONE":
                return Refunded(cancel.transaction_key)
            if cancel.cancel_status == "ABORTED":
                return Refused("aborted")
            return Unknown(f"cancel status {cancel.cancel_status[:40]}")
    return None


def _no_sense(answer: Answer, code: str) -> Unknown:
    """An answer from which nothing follows: trouble at Toss, or a mistake in our settings."""
    logger.error("toss answered %s %s", answer.status, code or "without a code")
    return Unknown(code or f"status {answer.status}")
