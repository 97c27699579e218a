"""A booking as the engine knows it: a frozen value, replaced whenever an event changes it.

Seats are plan indexes (see `seating_plan.SeatingPlan`); an index at or past `plan.size` is one place in a standing area
and may occur several times.

Bookings, events and commands are frozen and made of values, so no cycle can run through them, and `gc=False` tells the
garbage collector to leave them alone: a house full of them would otherwise stop its owner at every full collection.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from engine.payment import Payment, PaymentStatus, Refund


class Status(IntEnum):
    """Where a booking stands. Those in `LIVE` own their seats; the others are final and own nothing."""

    HELD = 0
    CONFIRMED = 1
    CANCELLED = 2
    EXPIRED = 3
    REFUNDED = 4
    PARTIALLY_REFUNDED = 5  # some of its seats were given back
    TRANSFERRED = 6  # all of its seats are another customer's now


STATUS_NAMES = tuple(status.name.lower() for status in Status)  # as everybody outside reads them, by number
BOUGHT = frozenset({Status.CONFIRMED, Status.PARTIALLY_REFUNDED})  # the seats are the customer's for good
EVER_BOUGHT = BOUGHT | {Status.REFUNDED, Status.TRANSFERRED}  # they are, or were until somebody else had them
LIVE = BOUGHT | {Status.HELD}


class Ending(Struct, frozen=True, gc=False, array_like=True):
    """How a booking came to its end."""

    id: str  # of the cancellation, of the refund or the booking that took its last seats; empty for an expiry
    at_ms: int
    reason: str = ""
    by: str = ""  # customer | organizer | admin | system


class Booking(Struct, frozen=True, gc=False, array_like=True, tag="booking"):
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
    refunds: tuple[Refund, ...] = ()  # oldest first
    origin: str = ""  # the booking that was paid for, where its seats have come from another customer
    payer: str = ""  # who paid, where they have; the money is theirs if seats are given back

    @property
    def plan_number(self) -> int:
        """By which plan of the house its seats are numbered, where that is told: see `actors.wire.messages`."""
        return 0

    @property
    def amount(self) -> int:
        """What its seats cost, in minor units of `currency`."""
        return sum(self.prices)

    @property
    def sold(self) -> bool:
        """Whether the seats are the customer's for good."""
        return self.status in BOUGHT


def is_paying(booking: Booking) -> bool:
    """Whether money may be on its way for it: a payment was asked for, and nobody has told what became of it."""
    return booking.payment is not None and booking.payment.status is PaymentStatus.REQUESTED


def can_expire(booking: Booking) -> bool:
    """Whether time alone may end the booking: not once confirmed, and not while money may be on its way."""
    return booking.status is Status.HELD and not is_paying(booking)


def is_over(booking: Booking, now_ms: int) -> bool:
    """Whether its time is up, swept or not: a hold past it counts as expired."""
    return can_expire(booking) and booking.expires_ms <= now_ms
