"""What Toss Payments sends and is sent: as much of its messages as we use, and which of its error codes are certain.

A code that is not listed decides nothing. The lists follow docs.tosspayments.com/reference/error-codes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
from msgspec import Struct

from persistence.providers.connection import Answer

KOREA = timezone(timedelta(hours=9))  # no daylight saving; Toss reads and writes its times in it

# The confirmation is refused for good. Not among them: PROVIDER_ERROR and other trouble of the moment, in which the
# card may have been charged; what our own settings cause (UNAUTHORIZED_KEY, FORBIDDEN_REQUEST), as it says nothing of
# an earlier request with the same idempotency key.
_DECLINES = """
    BELOW_MINIMUM_AMOUNT EXCEED_MAX_AMOUNT EXCEED_MAX_AUTH_COUNT EXCEED_MAX_CARD_INSTALLMENT_PLAN
    EXCEED_MAX_DAILY_PAYMENT_COUNT EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT EXCEED_MAX_ONE_DAY_AMOUNT
    EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT EXCEED_MAX_PAYMENT_AMOUNT FDS_ERROR
    INVALID_ACCOUNT_INFO_RE_REGISTER INVALID_CARD_EXPIRATION INVALID_CARD_INSTALLMENT_PLAN INVALID_CARD_LOST_OR_STOLEN
    INVALID_CARD_NUMBER INVALID_PASSWORD INVALID_REJECT_CARD INVALID_REQUEST INVALID_STOPPED_CARD
    NOT_ALLOWED_POINT_USE NOT_AVAILABLE_PAYMENT NOT_FOUND_PAYMENT NOT_FOUND_PAYMENT_SESSION
    NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN REJECT_ACCOUNT_PAYMENT
    REJECT_CARD_COMPANY REJECT_CARD_PAYMENT REJECT_TOSSPAY_INVALID_ACCOUNT RESTRICTED_TRANSFER_ACCOUNT
"""
DECLINES = frozenset(_DECLINES.split())

# The cancel is refused for good. Not among them: FORBIDDEN_CONSECUTIVE_REQUEST and NOT_AVAILABLE_BANK (ask later).
_REFUND_REFUSALS = """
    EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT EXCEED_MAX_REFUND_DUE INVALID_REFUND_ACCOUNT_INFO
    INVALID_REFUND_ACCOUNT_NUMBER INVALID_REQUEST NOT_ALLOWED_PARTIAL_REFUND
    NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT NOT_CANCELABLE_AMOUNT NOT_CANCELABLE_PAYMENT
    NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER NOT_FOUND_PAYMENT NOT_MATCHES_REFUNDABLE_AMOUNT REFUND_REJECTED
"""
REFUND_REFUSALS = frozenset(_REFUND_REFUSALS.split())

NEVER_SEEN = frozenset({"NOT_FOUND_PAYMENT", "NOT_FOUND"})


class TossCancel(Struct, frozen=True, kw_only=True, rename="camel"):
    """Money given back, in whole or in part."""

    transaction_key: str
    cancel_reason: str
    cancel_status: str  # DONE | IN_PROGRESS | ABORTED


class TossFailure(Struct, frozen=True):
    """Why a payment was aborted."""

    code: str


class TossPayment(Struct, frozen=True, kw_only=True, rename="camel"):
    """A payment, as Toss tells it. Amounts are in major units."""

    payment_key: str
    order_id: str
    status: str
    total_amount: Decimal
    balance_amount: Decimal  # what is left of it
    currency: str
    cancels: tuple[TossCancel, ...] | None = None
    failure: TossFailure | None = None

    @property
    def failure_code(self) -> str | None:
        return None if self.failure is None else self.failure.code.lower()[:80]


class TossTransaction(Struct, frozen=True, kw_only=True, rename="camel"):
    """One movement of money: a payment (DONE) or a cancel of it (CANCELED, PARTIAL_CANCELED)."""

    transaction_key: str
    payment_key: str
    order_id: str
    status: str
    amount: Decimal
    currency: str
    transaction_at: datetime


class TossEventData(Struct, frozen=True, rename="camel"):
    order_id: str | None = None


class TossMessage(Struct, frozen=True, kw_only=True, rename="camel"):
    """A webhook, as far as it is understood whatever its type."""

    event_type: str
    data: TossEventData


class _Error(Struct, frozen=True):
    code: str


encode = msgspec.json.Encoder(decimal_format="number").encode  # exact: no amount is ever a float
decode_payment = msgspec.json.Decoder(TossPayment).decode
decode_transactions = msgspec.json.Decoder(list[TossTransaction]).decode
_decode_error = msgspec.json.Decoder(_Error).decode
_decode_message = msgspec.json.Decoder(TossMessage).decode


def error_code(answer: Answer) -> str:
    """The code of an error that Toss answered; empty where the answer is not Toss's."""
    try:
        return _decode_error(answer.body).code[:80]
    except msgspec.MsgspecError:
        return ""


def decode_message(raw_body: bytes) -> TossMessage | None:
    """A webhook; None where it is not understood."""
    try:
        return _decode_message(raw_body)
    except msgspec.MsgspecError:
        return None


def korean_time(ms: int) -> str:
    """`yyyy-MM-ddTHH:mm:ss`, as `startDate` and `endDate` are written; whole seconds, rounded down."""
    return datetime.fromtimestamp(ms // 1000, KOREA).strftime("%Y-%m-%dT%H:%M:%S")


def milliseconds(moment: datetime) -> int:
    """Since 1970; a time without an offset is Korean."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=KOREA)
    return (aware.astimezone(UTC) - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
