"""Refunds as clients see them, and what one would come to now."""

from __future__ import annotations

from msgspec import Struct

from engine.payment import Refund, RefundStatus
from engine.seating_plan import SeatingPlan
from persistence.bookings.refunds import RefundRow
from persistence.database.moments import rfc3339

# The money is owed from the start; until the provider confirms it, the refund is pending.
REFUND_STATUS_NAMES = {RefundStatus.REQUESTED: "pending", RefundStatus.COMPLETED: "completed"}


class RefundView(Struct, frozen=True, kw_only=True):
    """Money given back. Its seats are free from `requested_at` on."""

    id: str
    payment_id: str
    booking_id: str
    status: str  # pending | completed
    amount: int  # what the customer gets
    fee: int  # what is kept
    currency: str
    seats: list[str]  # ids, a standing area's once per place; empty where money came too late for any
    reason: str | None
    by: str  # customer | organizer | admin | system
    requested_at: str
    settled_at: str | None
    reference: str | None  # the provider's own id; null where nothing was to be paid out


class QuoteView(Struct, frozen=True, kw_only=True):
    """What a refund would come to if it were asked for now."""

    payment_id: str
    booking_id: str
    seats: list[str]
    amount: int  # what the customer would get
    fee: int  # what would be kept
    fee_percent: int
    currency: str
    until: str | None  # until when it stays at that; null: for good
    refundable_until: str | None  # the last moment when there is a refund at all; null: for good


def refund_view(refund: Refund, booking_id: str, currency: str, plan: SeatingPlan) -> RefundView:
    """A refund as the schedule's owner knows it."""
    return RefundView(
        id=refund.id,
        payment_id=refund.payment_id,
        booking_id=booking_id,
        status=REFUND_STATUS_NAMES[refund.status],
        amount=refund.amount,
        fee=refund.fee,
        currency=currency,
        seats=[plan.ids[index] for index in refund.seats],
        reason=refund.reason or None,
        by=refund.by,
        requested_at=rfc3339(refund.requested_ms),
        settled_at=rfc3339(refund.settled_ms) if refund.settled_ms else None,
        reference=(refund.reference or None) if refund.amount else None,
    )


def refund_row_view(row: RefundRow) -> RefundView:
    """A refund as the tables show it."""
    return RefundView(
        id=row.id,
        payment_id=row.payment_id,
        booking_id=row.booking_id,
        status=REFUND_STATUS_NAMES[row.status],
        amount=row.amount,
        fee=row.fee,
        currency=row.currency,
        seats=list(row.seats),
        reason=row.reason or None,
        by=row.by,
        requested_at=rfc3339(row.requested_ms),
        settled_at=rfc3339(row.settled_ms) if row.settled_ms else None,
        reference=(row.reference or None) if row.amount else None,
    )


REFUND_EXAMPLE = {
    "id": "0199f3b2-6d11-7e0c-8a52-4c7e9a1b2d30",
    "payment_id": "0199f3a1-52c4-7d10-8a6e-2f6f6d1c9b01",
    "booking_id": "0199f3a0-9b1e-7c53-b1f4-6a3d0c5e8f22",
    "status": "completed",
    "amount": 135_000,
    "fee": 15_000,
    "currency": "KRW",
    "seats": ["1F-A-13"],
    "reason": "one of us cannot come",
    "by": "customer",
    "requested_at": "2026-11-25T09:12:03.411+00:00",
    "settled_at": "2026-11-25T09:12:03.502+00:00",
    "reference": "sbr_0199f3b2-6d3a-7c90-9b1e-5e0d1f2a3b4c",
}
QUOTE_EXAMPLE = {
    "payment_id": "0199f3a1-52c4-7d10-8a6e-2f6f6d1c9b01",
    "booking_id": "0199f3a0-9b1e-7c53-b1f4-6a3d0c5e8f22",
    "seats": ["1F-A-13"],
    "amount": 135_000,
    "fee": 15_000,
    "fee_percent": 10,
    "currency": "KRW",
    "until": "2026-11-28T10:30:00.000+00:00",
    "refundable_until": "2026-12-05T10:30:00.000+00:00",
}
