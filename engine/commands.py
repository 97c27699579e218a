"""What can be asked of a schedule. Commands carry every id they need: the engine makes none."""

from __future__ import annotations

from msgspec import Struct

from engine.events import Terms


class Command(Struct, frozen=True, gc=False, array_like=True):
    """A request to change the schedule."""


class HoldSeats(Command, frozen=True, tag="hold_seats"):
    """Hold these seats, all or none. A standing area's id may occur several times."""

    booking_id: str
    customer_id: str
    seats: tuple[str, ...]
    for_many: bool = False  # of one who buys for many: no limit per customer


class HoldBest(Command, frozen=True, tag="hold_best"):
    """Hold the best `quantity` places there are, all or none."""

    booking_id: str
    customer_id: str
    quantity: int
    category: str | None = None
    zone: str | None = None
    adjacent: bool = False  # side by side is a must; otherwise it is only preferred
    exclude: tuple[str, ...] = ()  # any but these
    for_many: bool = False  # of one who buys for many: no limit per customer


class Extend(Command, frozen=True, tag="extend"):
    """Start the hold's time anew."""

    booking_id: str
    customer_id: str


class Change(Command, frozen=True, tag="change"):
    """Exchange the booking's seats for others, all or none; seats in both stay."""

    booking_id: str
    customer_id: str
    seats: tuple[str, ...]
    for_many: bool = False  # of one who buys for many: no limit per customer


class ChangeBest(Command, frozen=True, tag="change_best"):
    """Exchange the booking's seats for the best `quantity` places among the free ones and its own, all or none."""

    booking_id: str
    customer_id: str
    quantity: int
    category: str | None = None  # None: the one all its seats have now, if they have one
    zone: str | None = None
    adjacent: bool = False
    exclude: tuple[str, ...] = ()  # any but these
    for_many: bool = False  # of one who buys for many: no limit per customer


class Confirm(Command, frozen=True, tag="confirm"):
    """Make a hold that costs nothing a booking."""

    booking_id: str
    customer_id: str


class Cancel(Command, frozen=True, tag="cancel"):
    """Give the seats of an unpaid hold back. An empty `customer_id` acts for whoever owns it (organizer, admin)."""

    booking_id: str
    cancellation_id: str
    customer_id: str
    reason: str = ""
    by: str = "customer"


class Transfer(Command, frozen=True, tag="transfer"):
    """Make seats of a paid booking another customer's, as a booking of their own."""

    booking_id: str
    customer_id: str
    to_booking_id: str
    to_customer_id: str
    seats: tuple[str, ...] = ()  # empty: all


class Expire(Command, frozen=True, tag="expire"):
    """End every hold whose time is up."""


class RequestPayment(Command, frozen=True, tag="request_payment"):
    """Journal that money is about to be asked for."""

    booking_id: str
    customer_id: str
    payment_id: str
    provider: str


class ApprovePayment(Command, frozen=True, tag="approve_payment"):
    """The provider has the money."""

    booking_id: str
    payment_id: str
    reference: str


class DeclinePayment(Command, frozen=True, tag="decline_payment"):
    """The provider has certainly not taken the money."""

    booking_id: str
    payment_id: str
    reason: str


class ReturnPayment(Command, frozen=True, tag="return_payment"):
    """Money has come that the journal knows nothing of, or had given up: give it back."""

    booking_id: str
    customer_id: str
    payment_id: str
    amount: int
    currency: str
    provider: str
    reference: str
    refund_id: str


class Refund(Command, frozen=True, tag="refund"):
    """Give seats of a paid booking back for money. An empty `customer_id` acts for whoever owns it."""

    booking_id: str
    customer_id: str
    refund_id: str
    payment_id: str
    seats: tuple[str, ...] = ()  # empty: all that are left
    reason: str = ""
    by: str = "customer"
    fee_percent: int | None = None  # None: by the refund policy


class CompleteRefund(Command, frozen=True, tag="complete_refund"):
    """The provider has confirmed the refund, which says itself what it is: its booking may be forgotten here."""

    refund_id: str
    payment_id: str
    amount: int
    currency: str
    reference: str


class CancelSchedule(Command, frozen=True, tag="cancel_schedule"):
    """Sell nothing any more; `EndBookings` does the rest."""

    reason: str
    by: str


class EndBookings(Command, frozen=True, tag="end_bookings"):
    """End some bookings of a cancelled schedule, one for each id: cancelled, or refunded in full."""

    ids: tuple[str, ...]


class Block(Command, frozen=True, tag="block"):
    """Take free seats out of the sale, all or none."""

    seats: tuple[str, ...]
    reason: str
    by: str


class Unblock(Command, frozen=True, tag="unblock"):
    """Put blocked seats back on sale; those not blocked are left as they are."""

    seats: tuple[str, ...]
    by: str


class ChangeTerms(Command, frozen=True, tag="change_terms"):
    """Sell on other terms from now on. Bookings keep the price they were made at."""

    terms: Terms
    before: Terms | None = None  # what they are made from: refused where others are in force; None: whatever there is


AnyCommand = (
    HoldSeats
    | HoldBest
    | Extend
    | Change
    | ChangeBest
    | Confirm
    | Cancel
    | Transfer
    | Expire
    | RequestPayment
    | ApprovePayment
    | DeclinePayment
    | ReturnPayment
    | Refund
    | CompleteRefund
    | CancelSchedule
    | EndBookings
    | Block
    | Unblock
    | ChangeTerms
)
