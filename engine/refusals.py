"""Why a command was turned down. A refusal is a value; the list only grows: clients switch on the codes."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Code(StrEnum):
    """The stable name of a refusal, as `code` in a problem document."""

    SEATS_UNAVAILABLE = "seats_unavailable"
    NOT_ENOUGH_SEATS = "not_enough_seats"
    UNKNOWN_SEAT = "unknown_seat"
    DUPLICATE_SEAT = "duplicate_seat"
    UNKNOWN_CATEGORY = "unknown_category"
    UNKNOWN_ZONE = "unknown_zone"
    INVALID_QUANTITY = "invalid_quantity"
    SALE_NOT_OPEN = "sale_not_open"
    SALE_CLOSED = "sale_closed"
    CUSTOMER_LIMIT_REACHED = "customer_limit_reached"
    BOOKING_NOT_FOUND = "booking_not_found"
    BOOKING_ALREADY_CANCELLED = "booking_already_cancelled"
    BOOKING_EXPIRED = "booking_expired"
    BOOKING_PAID = "booking_paid"
    BOOKING_ALREADY_PAID = "booking_already_paid"
    BOOKING_NOT_CHANGEABLE = "booking_not_changeable"
    PAYMENT_IN_PROGRESS = "payment_in_progress"
    PAYMENT_NOT_FOUND = "payment_not_found"
    PAYMENT_REQUIRED = "payment_required"
    PAYMENT_ALREADY_SETTLED = "payment_already_settled"
    NOT_REFUNDABLE = "not_refundable"
    ALREADY_REFUNDED = "already_refunded"
    REFUND_NOT_FOUND = "refund_not_found"
    SCHEDULE_CANCELLED = "schedule_cancelled"
    SCHEDULE_NOT_CANCELLED = "schedule_not_cancelled"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    SCHEDULE_NOT_FOUND = "schedule_not_found"
    TERMS_CHANGED = "terms_changed"
    TRANSFER_NOT_ALLOWED = "transfer_not_allowed"
    BOOKING_TRANSFERRED = "booking_transferred"


class Why(StrEnum):
    """What a code leaves open, where it stands for several things; `reason` in a problem document."""

    HANDED_ON = "handed_on"  # the seats, and so the say, are somebody else's
    KEPT = "kept"  # the booking was ended, and what was paid was kept
    PAID = "paid"  # what is paid for is held no longer
    LONGEST = "longest"  # nobody may hold it for longer
    OTHER_PRICE = "other_price"  # what is paid for may become what costs the same
    BEGUN = "begun"  # the performance has


class Refusal(Struct, frozen=True, gc=False, array_like=True, tag="refusal"):
    """A command that changed nothing, with the facts its sender needs to go on."""

    code: Code
    seats: tuple[str, ...] = ()  # the seat ids the refusal is about
    available: int | None = None  # how many places could be had instead
    limit: int | None = None  # the limit that was reached
    at_ms: int | None = None  # when the sale opens or closed
    reason: Why | None = None
