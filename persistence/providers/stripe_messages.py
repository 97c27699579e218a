"""What Stripe sends: as much of its objects as we use, and what they allow us to conclude."""

from __future__ import annotations

import logging
from typing import Generic, TypeVar

import msgspec
import stripe
from msgspec import Struct

from engine.refund_policy import step_of
from persistence.providers.minor_units import exponent
from persistence.providers.provider import (
    Approved,
    Confirmation,
    Declined,
    Outcome,
    PaymentRef,
    Refunded,
    RefundOutcome,
    Refused,
    Unknown,
)

logger = logging.getLogger(__name__)

# Where Stripe's minor unit is not ISO 4217's: two decimals kept for compatibility (ISK, UGX), none (MGA).
# docs.stripe.com/currencies#special-cases
STRIPE_EXPONENTS = {"ISK": 2, "UGX": 2, "MGA": 0}
_POWERS = (1, 10, 100)

# What Stripe refuses before it asks the card, by parameter or code.
UNUSABLE = frozenset({"payment_method", "payment_method_data", "allowed_payment_method_types", "currency"})
UNUSABLE_CODES = frozenset({"amount_too_large", "amount_too_small", "resource_missing"})


class Charge(Struct, frozen=True):
    """The charge of an intent, asked for in full. Amounts are as Stripe counts them."""

    amount_refunded: int
    refunded: bool  # in full


class CardError(Struct, frozen=True):
    """Why a card was not charged: Stripe's code, and the bank's."""

    code: str | None = None
    decline_code: str | None = None


class Intent(Struct, frozen=True):
    """As much of a PaymentIntent as we use; `latest_charge` is its id where it was not asked for in full."""

    id: str
    status: str
    amount: int
    currency: str
    created: int
    amount_received: int = 0
    metadata: dict[str, str] = {}
    latest_charge: Charge | str | None = None
    last_payment_error: CardError | None = None
    client_secret: str | None = None


class ListedCharge(Struct, frozen=True):
    """A charge as it is listed, failed or not."""

    id: str
    payment_intent: str | None = None
    metadata: dict[str, str] = {}


class Refund(Struct, frozen=True):
    """Money given back, or asked for by us."""

    id: str
    status: str | None
    metadata: dict[str, str] | None = None
    failure_reason: str | None = None


Item = TypeVar("Item", Intent, ListedCharge, Refund)


class Page(Struct, Generic[Item], frozen=True):
    """Part of a list."""

    data: list[Item]
    has_more: bool


class _EventObject(Struct, frozen=True):
    metadata: dict[str, str] = {}


class _EventData(Struct, frozen=True):
    object: _EventObject


class _Event(Struct, frozen=True):
    id: str
    type: str
    data: _EventData


Read = TypeVar("Read", bound=Struct)
decode_event = msgspec.json.Decoder(_Event).decode


def read(value: object, type_: type[Read]) -> Read:
    """What the SDK hands on, which is whatever JSON came, an object or not. Raises `msgspec.ValidationError`."""
    return msgspec.convert(value.to_dict() if isinstance(value, stripe.StripeObject) else value, type_)


def conclude(intent: Intent, payment: PaymentRef) -> Outcome | None:
    """What an intent says of our payment; None: no card was asked so far."""
    if intent.status == "succeeded":
        charge = intent.latest_charge
        if isinstance(charge, Charge) and charge.refunded:
            return Declined("cancelled_at_provider")
        if (intent.amount_received, intent.currency) != (
            to_stripe(payment.amount, payment.currency),
            payment.currency.lower(),
        ):
            logger.critical("stripe took another amount than asked for payment %s", payment.payment_id)
            return Unknown("another amount")
        return Approved(intent.id)
    if intent.status == "canceled":
        return Declined("cancelled_at_provider")
    if intent.status == "requires_action":  # and then our confirmation, which nobody sends in this payment's name
        secret = intent.client_secret
        return Declined("authentication_required", None if secret is None else Confirmation(secret, intent.id))
    if intent.status == "requires_payment_method" and intent.last_payment_error is not None:
        error = intent.last_payment_error
        return Declined(error.decline_code or error.code or "declined")
    if intent.status in ("requires_payment_method", "requires_confirmation"):
        return None
    return Unknown(f"intent status {intent.status}")


def conclude_or_wait(intent: Intent, payment: PaymentRef) -> Outcome:
    """The same of an intent that was sent to be charged: where no card was asked so far, one may be yet."""
    return conclude(intent, payment) or Unknown(f"intent status {intent.status}")


def card_reason(error: stripe.CardError) -> str:
    """Why a card is declined, in the bank's word if it gave one."""
    details = error.error
    return getattr(details, "decline_code", None) or error.code or "declined"


def refund_outcome(refund: Refund) -> RefundOutcome:
    """What a refund says of itself; one that a bank has yet to take counts as given back."""
    if refund.status in ("succeeded", "pending"):
        return Refunded(refund.id)
    if refund.status in ("failed", "canceled"):
        return Refused(refund.failure_reason or refund.status)
    return Unknown(f"refund status {refund.status}")


def to_stripe(amount: int, currency: str) -> int | None:
    """An amount as Stripe counts it; None where Stripe has no such amount: of three decimals the last is 0."""
    if amount % step_of(currency):
        return None
    shift = STRIPE_EXPONENTS.get(currency, exponent(currency)) - exponent(currency)
    return amount * _POWERS[shift] if shift >= 0 else amount // _POWERS[-shift]


def from_stripe(amount: int, currency: str) -> int:
    """The inverse. What Stripe takes in ISK and UGX has no decimals, though it is written with two."""
    shift = STRIPE_EXPONENTS.get(currency, exponent(currency)) - exponent(currency)
    return amount // _POWERS[shift] if shift >= 0 else amount * _POWERS[-shift]
