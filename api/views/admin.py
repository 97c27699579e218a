"""Bookings, payments, refunds and cancellations as admins see them: what customers see, and whose it is."""

from __future__ import annotations

import msgspec

from api.views.booking import BookingView, CancellationView, PaymentView, cancellation_view, payment_row_view
from api.views.refund import RefundView, refund_row_view
from persistence.bookings.bookings import BookingRow
from persistence.bookings.cancellations import CancellationRow
from persistence.bookings.payments import PaymentRow
from persistence.bookings.refunds import RefundRow
from persistence.database.moments import rfc3339


class AdminBookingView(BookingView, frozen=True, kw_only=True):
    """A booking, and whose it is."""

    customer_id: str
    archived_at: str | None  # when an admin put it away


class AdminPaymentView(PaymentView, frozen=True, kw_only=True):
    """A payment, and whose it is."""

    schedule_id: str
    customer_id: str


class AdminRefundView(RefundView, frozen=True, kw_only=True):
    """A refund, whose it is, and who is to pay it out."""

    schedule_id: str
    customer_id: str
    provider: str


class AdminCancellationView(CancellationView, frozen=True, kw_only=True):
    """A cancellation, and whose booking it ended."""

    customer_id: str


def admin_booking_view(view: BookingView, row: BookingRow) -> AdminBookingView:
    archived_at = rfc3339(row.archived_ms) if row.archived_ms else None
    return AdminBookingView(**msgspec.structs.asdict(view), customer_id=row.customer_id, archived_at=archived_at)


def admin_payment_view(row: PaymentRow) -> AdminPaymentView:
    view = payment_row_view(row)
    return AdminPaymentView(**msgspec.structs.asdict(view), schedule_id=row.schedule_id, customer_id=row.customer_id)


def admin_refund_view(row: RefundRow) -> AdminRefundView:
    """A refund as admins see it, with whose and by which provider it is."""
    return AdminRefundView(
        **msgspec.structs.asdict(refund_row_view(row)),
        schedule_id=row.schedule_id,
        customer_id=row.customer_id,
        provider=row.provider,
    )


def admin_cancellation_view(row: CancellationRow, refund: RefundRow | None) -> AdminCancellationView:
    view = cancellation_view(row, refund)
    return AdminCancellationView(**msgspec.structs.asdict(view), customer_id=row.customer_id)


WHOSE_EXAMPLE = {"customer_id": "0199f39a-0d12-7b44-93c1-7e5f2a8c4d10"}
WHERE_EXAMPLE = WHOSE_EXAMPLE | {"schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011"}
