"""What a booking looks like, without a system around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import msgspec
import pytest

from api.http.models import BookingState, PaymentState, RefundState
from api.http.schemas import COMPONENTS
from api.routes.admin import admin_bookings, admin_payments
from api.routes.catalogue.cancelled_schedules import PROGRESS_EXAMPLE, ScheduleCancellationView
from api.views.admin import AdminBookingView, AdminCancellationView, AdminPaymentView, AdminRefundView
from api.views.booking import (
    CANCELLATION_EXAMPLE,
    CONFIRMED_EXAMPLE,
    PAID_EXAMPLE,
    PAYMENT_STATUS_NAMES,
    REFUNDED_EXAMPLE,
    BookingView,
    CancellationView,
    PaidView,
    RefundedView,
    booking_view,
    described,
)
from api.views.refund import QUOTE_EXAMPLE, REFUND_STATUS_NAMES, QuoteView
from engine.booking import Booking, Status
from engine.payment import Payment, PaymentStatus, Refund, RefundStatus
from engine.plan_document import read_plan
from persistence.database.moments import rfc3339
from tests.support.sale import small_plan

PLAN = read_plan(small_plan(standing=9))
NOW = 1_790_000_000_000
HELD = Booking("b", "c", Status.HELD, (0, PLAN.size), (150_000, 33_000), "KRW", NOW - 5_000, NOW + 1, 7)
PAYING = Payment("p", 183_000, PaymentStatus.REQUESTED, NOW - 10, "sandbox")
GIVEN_BACK = Refund("r", "p", 120_000, 30_000, (0,), RefundStatus.REQUESTED, NOW - 5, "", "customer")
LATE = Refund("l", "another", 183_000, 0, (), RefundStatus.COMPLETED, NOW - 7, "late", "system", NOW - 6, "sbr_1")


def view(booking: Booking, now_ms: int = NOW) -> BookingView:
    return booking_view(booking, "s", "f", PLAN, now_ms, None)


def test_seats_and_standing_places_are_described_with_the_price_they_were_booked_at() -> None:
    assert [msgspec.structs.astuple(seat) for seat in view(HELD).seats] == [
        ("A-1", "Stalls", "A", "1", "VIP", 150_000),
        ("floor", "Stalls", "", "Floor", "Standing", 33_000),
    ]
    assert view(HELD).amount == 183_000


@pytest.mark.parametrize(
    ("changes", "now_ms", "status", "expires"),
    [
        ({}, NOW, "held", True),
        ({}, NOW + 1, "expired", True),  # whether or not the sweeper has been by
        ({"payment": PAYING}, NOW + 10**9, "held", True),  # no hold expires under a payment
        ({"status": Status.CONFIRMED, "expires_ms": 0}, NOW, "confirmed", False),
        ({"status": Status.CANCELLED}, NOW, "cancelled", False),
        ({"status": Status.EXPIRED}, NOW, "expired", True),
        ({"status": Status.PARTIALLY_REFUNDED, "expires_ms": 0}, NOW, "partially_refunded", False),
        ({"status": Status.REFUNDED, "expires_ms": 0}, NOW, "refunded", False),
    ],
)
def test_status_and_expiry_are_those_of_this_moment(
    changes: dict[str, object], now_ms: int, status: str, expires: bool
) -> None:
    seen = view(msgspec.structs.replace(HELD, **changes), now_ms)
    assert (seen.status, seen.expires_at) == (status, rfc3339(NOW + 1) if expires else None)


def test_payment_of_unknown_outcome_is_pending() -> None:
    payment = view(msgspec.structs.replace(HELD, payment=PAYING)).payment
    assert payment is not None
    assert (payment.status, payment.settled_at, payment.reference) == ("pending", None, None)


def test_payment_says_what_its_own_refunds_come_to_and_the_booking_shows_them_all() -> None:
    payment = msgspec.structs.replace(PAYING, status=PaymentStatus.PARTIALLY_REFUNDED)
    seen = view(msgspec.structs.replace(HELD, payment=payment, refunds=(LATE, GIVEN_BACK)))
    assert seen.payment is not None
    assert (seen.payment.status, seen.payment.refunded) == ("partially_refunded", 120_000)
    assert [(each.id, each.status, each.seats, each.amount, each.fee) for each in seen.refunds] == [
        ("l", "completed", [], 183_000, 0),
        ("r", "pending", ["A-1"], 120_000, 30_000),
    ]
    assert [(each.reference, each.settled_at is None) for each in seen.refunds] == [("sbr_1", False), (None, True)]


def test_refund_of_nothing_shows_no_provider_s_reference() -> None:
    kept = msgspec.structs.replace(GIVEN_BACK, amount=0, fee=150_000, reference="nothing")
    assert view(msgspec.structs.replace(HELD, refunds=(kept,))).refunds[0].reference is None


def test_every_state_can_be_asked_for_by_its_name() -> None:
    assert set(get_args(BookingState)) == {status.name.lower() for status in Status}
    assert set(get_args(PaymentState)) == {PAYMENT_STATUS_NAMES[status] for status in PaymentStatus}
    assert set(get_args(RefundState)) == {REFUND_STATUS_NAMES[status] for status in RefundStatus}


def test_times_are_utc_to_the_millisecond() -> None:
    assert rfc3339(NOW + 1) == "2026-09-21T14:13:20.001+00:00"


def test_examples_of_the_documentation_have_the_shape_that_is_rendered() -> None:
    msgspec.convert(CONFIRMED_EXAMPLE, BookingView)
    msgspec.convert(PAID_EXAMPLE, PaidView)
    examples: list[tuple[Mapping[str, object], type[msgspec.Struct]]] = [
        (REFUNDED_EXAMPLE, RefundedView),
        (CANCELLATION_EXAMPLE, CancellationView),
        (QUOTE_EXAMPLE, QuoteView),
        (PROGRESS_EXAMPLE, ScheduleCancellationView),
        (admin_bookings.BOOKING_EXAMPLE, AdminBookingView),
        (admin_bookings.ENDING_EXAMPLE, AdminCancellationView),
        (admin_payments.PAYMENT, AdminPaymentView),
        (admin_payments.REFUND, AdminRefundView),
    ]
    for example, shape in examples:
        assert set(example) == set(shape.__struct_fields__), shape
        msgspec.convert(example, shape)
    schema = described(201, PaidView, PAID_EXAMPLE, "-")[201]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/PaidView"}
    assert set(COMPONENTS["PaidView"]["properties"]) == set(PaidView.__struct_fields__)
