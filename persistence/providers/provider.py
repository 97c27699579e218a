"""What every payment provider can be asked, and what its answers allow us to conclude.

The one guarantee all providers owe: a payment id is charged at most once, however often it is sent, and never after
`valid_until_ms`. From it follows when silence becomes certainty (`NEVER_CHARGED_AFTER_MS`). Only an outcome known for
certain, `Approved` or `Declined`, may be told to the schedule: it decides who owns a seat.
"""

from __future__ import annotations

from collections.abc import Mapping
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


class Declined(Struct, frozen=True, tag="declined"):
    """The provider has certainly not taken the money, and never will for this payment id."""

    reason: str


class Unknown(Struct, frozen=True, tag="unknown"):
    """Nothing is known: no answer, an answer that makes no sense, or a provider that is still at work."""

    cause: str = ""  # for the log; never shown to a customer


Outcome = Approved | Declined | Unknown


class ChargeRequest(Struct, frozen=True, kw_only=True):
    """Money to be taken, once. Amount and currency come from the booking, never from the client."""

    payment_id: str  # the idempotency key
    booking_id: str
    amount: int  # minor units of `currency`
    currency: str  # ISO 4217
    token: str  # stands for the card; must not be logged or stored
    valid_until_ms: int  # the provider must not start the charge after this moment

    def __repr__(self) -> str:
        return f"ChargeRequest(payment_id={self.payment_id!r}, amount={self.amount}, currency={self.currency!r})"


class WebhookEvent(Struct, frozen=True):
    """A provider's message, its signature verified. A hint that something happened: the truth is looked up."""

    id: str  # the provider's id of the message; the same for every delivery of it
    type: str  # the provider's name for what happened
    payment_id: str | None = None  # ours; None where the message is not about a payment of ours


class BadSignature(Exception):
    """The webhook was not signed by the provider, not for this body, or not within the last minutes."""


class Provider(Protocol):
    """A payment provider. No method raises for what the provider or the network does; see `Outcome`."""

    @property
    def name(self) -> str:
        """Names the provider in the journal, the tables and the webhook route."""

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Takes the money, or finds out what became of an earlier attempt with the same payment id."""

    async def look_up(self, payment_id: str) -> Outcome | None:
        """What the provider knows of the payment.

        None: it has never seen it. That is only a fact about this moment, since a charge may still be on its way, and
        becomes certain `NEVER_CHARGED_AFTER_MS` after the payment was requested.
        """

    def parse_webhook(self, headers: Mapping[str, str], raw_body: bytes) -> WebhookEvent:
        """Verifies and reads a webhook; `headers` are looked up in lower case. Raises `BadSignature`."""

    async def close(self) -> None:
        """Gives the connections back."""
