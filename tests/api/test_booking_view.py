"""What a booking looks like, without a system around it."""

from __future__ import annotations

import msgspec
import pytest

from api.booking_view import CONFIRMED_EXAMPLE, PAID_EXAMPLE, BookingView, PaidView, booking_view, described, timestamp
from engine.booking import Booking, Payment, PaymentStatus, Status
from engine.seating_plan import SeatingPlan
from tests.api.sale import small_plan

PLAN = SeatingPlan.parse(small_plan(standing=9))
NOW = 1_790_000_000_000
HELD = Booking("b", "c", Status.HELD, (0, PLAN.size), (150_000, 33_000), "KRW", NOW - 5_000, NOW + 1, 7)
PAYING = Payment("p", 183_000, PaymentStatus.REQUESTED, NOW - 10, "sandbox")


def view(booking: Booking, now_ms: int = NOW) -> BookingView:
    return booking_view(booking, "s", "f", PLAN, now_ms)


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
    ],
)
def test_status_and_expiry_are_those_of_this_moment(
    changes: dict[str, object], now_ms: int, status: str, expires: bool
) -> None:
    seen = view(msgspec.structs.replace(HELD, **changes), now_ms)
    assert (seen.status, seen.expires_at) == (status, timestamp(NOW + 1) if expires else None)


def test_payment_of_unknown_outcome_is_pending() -> None:
    payment = view(msgspec.structs.replace(HELD, payment=PAYING)).payment
    assert payment is not None
    assert (payment.status, payment.settled_at, payment.reference) == ("pending", None, None)


def test_times_are_utc_to_the_millisecond() -> None:
    assert timestamp(NOW + 1) == "2026-09-21T14:13:20.001+00:00"


def test_examples_of_the_documentation_have_the_shape_that_is_rendered() -> None:
    msgspec.convert(CONFIRMED_EXAMPLE, BookingView)
    msgspec.convert(PAID_EXAMPLE, PaidView)
    schema = described(201, PaidView, PAID_EXAMPLE, "-")[201]["content"]["application/json"]["schema"]
    assert "$ref" not in msgspec.json.encode(schema).decode()
    assert set(schema["properties"]) == set(PaidView.__struct_fields__)
