"""What every payment provider can be asked, and what its answers allow us to conclude.

The guarantees all providers owe: a payment id is charged at most once, however often it is sent, and never after
`valid_until_ms`; a refund id is given back at most once. From the first follows when silence becomes certainty
(`NEVER_CHARGED_AFTER_MS`). Only an outcome known for certain may be told to the schedule: it decides who owns a seat.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from msgspec import Struct

CLIENT_TIMEOUT_SECONDS = 5.0  # one call to a provider, connection to last byte; longer than any honest answer takes

# How long after `payment.requested` a charge may still be started. Long enough for a re-sent request after a worker's
# crash, short enough that nobody waits minutes for a hold that hangs in doubt.
CHARGE_WINDOW_MS = 15_000

# From this age on, a payment that the provider has never seen was not charged and never will be: no charge starts after
# the window, one that started in time has timed out, and a minute covers clock skew, queues and the provider's work.
NEVER_CHARGED_AFTER_MS = CHARGE_WINDOW_MS + int(CLIENT_TIMEOUT_SECONDS * 1000) + 60_000


class Approved(Struct, frozen=True, tag="approved"):
    """The provider has the money."""

    reference: str  # the provider's own id of the payment


class Confirmation(Struct, frozen=True):
    """What a customer confirms a payment with, at their bank (3-D Secure), before it can be charged."""

    client_secret: str  # for the provider's script on the customer's page, and nobody else
    token: str  # to be charged once that is done, under another payment id

    def __repr__(self) -> str:
        return f"Confirmation(token={self.token!r})"


class Declined(Struct, frozen=True, tag="declined"):
    """The provider has certainly not taken the money, and never will for this payment id."""

    reason: str
    confirmation: Confirmation | None = None  # where that is all that is missing


class Unknown(Struct, frozen=True, tag="unknown"):
    """Nothing is known: no answer, an answer that makes no sense, or a provider that is still at work."""

    cause: str = ""  # for the log; never shown to a customer


Outcome = Approved | Declined | Unknown


class Refunded(Struct, frozen=True, tag="refunded"):
    """The provider gives the money back: nothing can stop it any more."""

    reference: str  # the provider's own id of the refund


class Refused(Struct, frozen=True, tag="refused"):
    """The provider has certainly given nothing back for this refund id, and says why. Asking again may help."""

    reason: str


RefundOutcome = Refunded | Refused | Unknown


class ProviderUnavailable(Exception):
    """The provider cannot be asked now."""


class ChargeRequest(Struct, frozen=True, kw_only=True):
    """Money to be taken, once. Amount and currency come from the booking, never from the client."""

    payment_id: str  # the idempotency key
    booking_id: str
    amount: int  # minor units of `currency`
    currency: str  # ISO 4217
    token: str  # stands for the card, or for a payment that was confirmed; must not be logged or stored
    valid_until_ms: int  # the provider must not start the charge after this moment

    def __repr__(self) -> str:
        return f"ChargeRequest(payment_id={self.payment_id!r}, amount={self.amount}, currency={self.currency!r})"


class PaymentRef(Struct, frozen=True, kw_only=True):
    """What a provider may need to find a payment of ours again."""

    payment_id: str
    booking_id: str
    amount: int  # minor units of `currency`
    currency: str
    requested_ms: int  # when `payment.requested` was journaled
    reference: str = ""  # the provider's own id; empty while it is not known


class RefundRequest(Struct, frozen=True, kw_only=True):
    """Money to be given back, once."""

    refund_id: str  # the idempotency key
    payment: PaymentRef  # approved, so with its reference
    amount: int  # minor units of the payment's currency; at most what is left of the payment
    reason: str = ""  # for the provider's records


class KnownPayment(Struct, frozen=True, kw_only=True):
    """A payment as the provider's books have it, for reconciliation. Only those that took money are told."""

    payment_id: str | None  # ours; None where the provider cannot say
    booking_id: str | None
    reference: str
    amount: int  # taken, in minor units of `currency`
    refunded: int  # of it given back
    currency: str
    created_ms: int


class WebhookEvent(Struct, frozen=True):
    """A provider's message. A hint that something happened, and no more: the truth is looked up.

    It names the payment, or only the booking where the provider doesn't know our payment ids; neither where the message
    is about nothing of ours.
    """

    id: str  # the provider's id of the message, the same for every delivery of it; empty where it has none
    type: str  # the provider's name for what happened
    payment_id: str | None = None  # ours
    booking_id: str | None = None


class BadSignature(Exception):
    """The webhook was not signed by the provider, not for this body, or not within the last minutes."""


class Provider(Protocol):
    """A payment provider. No method raises for what the provider or the network does; see `Outcome`."""

    @property
    def name(self) -> str:
        """Names the provider in the journal, the tables and the webhook route."""

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Takes the money, or finds out what became of an earlier attempt with the same payment id."""

    async def look_up(self, payment: PaymentRef) -> Outcome | None:
        """What the provider knows of the payment.

        None: no charge of it was ever started. That is only a fact about this moment, since one may still be on its
        way, and becomes certain `NEVER_CHARGED_AFTER_MS` after the payment was requested.

        Money that somebody has given back in full at the provider's own desk, before we learned that it was taken, is
        `Declined`: the customer has it.
        """

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Gives money back, or finds out what became of an earlier attempt with the same refund id."""

    def payments(self, since_ms: int, until_ms: int) -> AsyncIterator[KnownPayment]:
        """The provider's books: every payment that took money, created in [since, until). May tell one twice.

        Raises `ProviderUnavailable`, the one method that does: half a list must not pass for a whole one.
        """

    def parse_webhook(self, headers: Mapping[str, str], raw_body: bytes) -> WebhookEvent:
        """Verifies and reads a webhook; `headers` are looked up in lower case. Raises `BadSignature`.

        Where a provider does not sign its messages, anybody may have sent this one: the module says so.
        """

    async def close(self) -> None:
        """Gives the connections back."""
