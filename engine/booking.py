"""A booking as the engine knows it: a frozen value, replaced whenever an event changes it.

Seats are plan indexes (see `seating_plan.SeatingPlan`); an index at or past `plan.size` is one place in a standing area
and may occur several times.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct


class Status(IntEnum):
    """Where a booking stands. `HELD` and `CONFIRMED` own their seats; the others are final and own nothing."""

    HELD = 0
    CONFIRMED = 1
    CANCELLED = 2
    EXPIRED = 3


class PaymentStatus(IntEnum):
    """Where a payment stands. `REQUESTED` means that the provider may or may not have taken the money."""

    REQUESTED = 0
    APPROVED = 1
    DECLINED = 2


class Payment(Struct, frozen=True, array_like=True):
    """One attempt to pay for a booking."""

    id: str
    amount: int  # minor units of the booking's currency
    status: PaymentStatus
    requested_ms: int
    provider: str
    settled_ms: int = 0  # 0: not settled
    reference: str = ""  # the provider's own id
    reason: str = ""  # why it was declined


class Ending(Struct, frozen=True, array_like=True):
    """How a booking came to its end."""

    id: str  # the cancellation's id; empty for an expiry
    at_ms: int
    reason: str = ""
    by: str = ""  # customer | organizer | admin | system


class Booking(Struct, frozen=True, array_like=True, tag="booking"):
    """A customer's seats on one schedule."""

    id: str
    customer_id: str
    status: Status
    seats: tuple[int, ...]
    prices: tuple[int, ...]  # minor units, parallel to `seats`
    currency: str  # ISO 4217
    created_ms: int
    expires_ms: int  # when an unpaid hold ends; 0 once confirmed
    version: int  # the journal sequence number of the event that made it what it is
    payment: Payment | None = None  # the latest attempt
    ending: Ending | None = None

    @property
    def amount(self) -> int:
        """What the booking costs, in minor units of `currency`."""
        return sum(self.prices)
