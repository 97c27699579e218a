"""Bookings, payments and cancellations as clients see them: one shape, whether it comes from memory or from the tables.

Rendered by msgspec, not validated again: the hot path answers through here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from api.http.schemas import component, page_component
from api.views.refund import REFUND_EXAMPLE, RefundView, refund_row_view, refund_view
from engine import refund_policy
from engine.booking import STATUS_NAMES, Booking, Status, is_over
from engine.payment import Payment, PaymentStatus, Refund
from engine.seating_plan import SeatingPlan
from persistence.bookings.booked_schedules import BookedSchedule
from persistence.bookings.cancellations import CancellationRow
from persistence.bookings.numbers import number_of
from persistence.bookings.payments import PaymentRow
from persistence.bookings.refunds import RefundRow
from persistence.database.moments import milliseconds, rfc3339

# `requested` is the engine's word for it; to whoever waits for the outcome, the payment is pending.
PAYMENT_STATUS_NAMES = {
    PaymentStatus.REQUESTED: "pending",
    PaymentStatus.APPROVED: "approved",
    PaymentStatus.DECLINED: "declined",
    PaymentStatus.PARTIALLY_REFUNDED: "partially_refunded",
    PaymentStatus.REFUNDED: "refunded",
}


class BookedSeat(Struct, frozen=True):
    """A place in a booking. In standing room `id` is the area's, and occurs once per place."""

    id: str
    zone: str
    row: str
    number: str
    category: str
    price: int


class PaymentView(Struct, frozen=True, kw_only=True):
    """An attempt to pay. `id` is null where nothing was to be paid."""

    id: str | None
    booking_id: str
    status: str  # pending | approved | declined | partially_refunded | refunded
    amount: int
    refunded: int  # what its refunds come to, whether or not the provider has confirmed them
    currency: str
    provider: str | None
    reference: str | None
    reason: str | None
    requested_at: str | None
    settled_at: str | None


class PaidView(PaymentView, frozen=True, kw_only=True):
    """The answer to paying: the payment, and the booking as it is now."""

    booking: BookingView


class BookedScheduleView(Struct, frozen=True, kw_only=True):
    """What was booked: what is played, when and where. `time_zone` (IANA) is the venue's."""

    performance_title: str
    performance_title_en: str | None
    starts_at: str
    ends_at: str
    venue_name: str
    venue_city: str | None
    venue_address: str | None
    time_zone: str
    cancelled_at: str | None


class RefundTermView(Struct, frozen=True):
    """Until then, giving a seat up costs this much of its price."""

    until: str
    fee_percent: int


class BookingView(Struct, frozen=True, kw_only=True):
    """A customer's seats on one schedule: those left where some were given back.

    `schedule` is null where the catalogue could not be read. `refund_terms`: until when giving seats up costs what,
    from the first step to the last; empty where it is too late, or was never promised.
    """

    id: str
    number: str  # what people read out: 7K3M-Q2XD
    schedule_id: str
    performance_id: str
    schedule: BookedScheduleView | None
    status: str  # held | confirmed | partially_refunded | refunded | cancelled | expired | transferred
    seats: list[BookedSeat]
    amount: int
    currency: str
    created_at: str
    expires_at: str | None  # null once it cannot expire any more
    version: int
    payment: PaymentView | None  # the latest attempt
    refunds: list[RefundView]  # oldest first
    refund_terms: list[RefundTermView]
    handed_on: bool = False  # to its customer by another, whose the payment is: none is shown, and none is given back
    moved_to: str | None = None  # the booking of another date for which its seats were given back


class RefundedView(RefundView, frozen=True, kw_only=True):
    """The answer to giving seats back: the refund, and the booking as it is now."""

    booking: BookingView


class CancellationView(Struct, frozen=True, kw_only=True):
    """How a booking was cancelled. A paid one ends with the refund of its last seats."""

    id: str
    booking_id: str
    schedule_id: str
    reason: str | None
    by: str
    cancelled_at: str
    refund: RefundView | None


class Page(Struct, frozen=True):
    """One page of a list."""

    items: list[Any]
    next_cursor: str | None


def status_of(booking: Booking, now_ms: int) -> str:
    """The booking's state as it reads now: a hold past its time is over, whether or not anybody has swept yet."""
    if is_over(booking, now_ms):
        return "expired"
    return STATUS_NAMES[booking.status]


def booking_view(
    booking: Booking,
    schedule_id: str,
    performance_id: str,
    plan: SeatingPlan,
    now_ms: int,
    schedule: BookedSchedule | None,
    refunded: int | None = None,
    moved_to: str | None = None,
) -> BookingView:
    """The booking at this moment. `refunded`: what went back of its payment, where that is known."""
    labels = map(plan.describe, booking.seats)
    seats = [
        BookedSeat(label.id, label.zone, label.row, label.number, label.category, price)
        for label, price in zip(labels, booking.prices, strict=True)
    ]
    others = booking.payment is not None and booking.payer not in ("", booking.customer_id)
    payment, status = None if others else booking.payment, status_of(booking, now_ms)
    refunds = () if others else booking.refunds
    unpaid = booking.expires_ms and booking.status in (Status.HELD, Status.EXPIRED)
    return BookingView(
        id=booking.id,
        number=number_of(booking.id),
        schedule_id=schedule_id,
        performance_id=performance_id,
        schedule=None if schedule is None else booked_schedule_view(schedule),
        status=status,
        seats=seats,
        amount=booking.amount,
        currency=booking.currency,
        created_at=rfc3339(booking.created_ms),
        expires_at=rfc3339(booking.expires_ms) if unpaid else None,
        version=booking.version,
        payment=None if payment is None else payment_view(payment, booking.id, booking.currency, refunds, refunded),
        refunds=[refund_view(refund, booking.id, booking.currency, plan) for refund in refunds],
        refund_terms=[] if schedule is None or others else refund_terms(schedule, booking.created_ms, now_ms),
        handed_on=others,
        moved_to=moved_to,
    )


def refund_terms(schedule: BookedSchedule, booked_ms: int, now_ms: int) -> list[RefundTermView]:
    """What a booking of that time can still be given back for."""
    steps = _all_refund_terms(schedule, schedule.promised(booked_ms), schedule.moved_for(booked_ms))
    return [term for until_ms, term in steps if until_ms > now_ms]


@lru_cache(1_024)  # by identity: thousands book one schedule within the seconds it is known for
def _all_refund_terms(schedule: BookedSchedule, which: int, moved: bool) -> tuple[tuple[int, RefundTermView], ...]:
    on = schedule.terms[-1][1]
    steps = refund_policy.deadlines(schedule.terms[which][1].refund_policy, on.starts_at_ms, on.clocks)
    if moved:
        steps = [(on.starts_at_ms, 0)]
    return tuple((until_ms, RefundTermView(rfc3339(until_ms), percent)) for until_ms, percent in steps)


@lru_cache(1_024)
def booked_schedule_view(schedule: BookedSchedule) -> BookedScheduleView:
    """What is told of a schedule in its bookings' answers."""
    return BookedScheduleView(
        performance_title=schedule.performance_title,
        performance_title_en=schedule.performance_title_en,
        starts_at=rfc3339(milliseconds(schedule.starts_at)),
        ends_at=rfc3339(milliseconds(schedule.ends_at)),
        venue_name=schedule.venue_name,
        venue_city=schedule.venue_city,
        venue_address=schedule.venue_address,
        time_zone=schedule.time_zone,
        cancelled_at=rfc3339(milliseconds(schedule.cancelled_at)) if schedule.cancelled_at else None,
    )


def payment_view(
    payment: Payment,
    booking_id: str,
    currency: str,
    refunds: Iterable[Refund | RefundRow] = (),
    refunded: int | None = None,
) -> PaymentView:
    """`refunds` may hold those of the booking's other payments too; `refunded` is what they come to, where known."""
    if refunded is None:
        refunded = sum(refund.amount for refund in refunds if refund.payment_id == payment.id)
    return _payment_view(payment, booking_id, currency, refunded)


def _payment_view(payment: Payment, booking_id: str, currency: str, refunded: int) -> PaymentView:
    return PaymentView(
        id=payment.id,
        booking_id=booking_id,
        status=PAYMENT_STATUS_NAMES[payment.status],
        amount=payment.amount,
        refunded=refunded,
        currency=currency,
        provider=payment.provider,
        reference=payment.reference or None,
        reason=payment.reason or None,
        requested_at=rfc3339(payment.requested_ms),
        settled_at=rfc3339(payment.settled_ms) if payment.settled_ms else None,
    )


def payment_row_view(row: PaymentRow) -> PaymentView:
    return _payment_view(row.payment, row.booking_id, row.currency, row.refunded)


def paid_view(payment: PaymentView, booking: BookingView) -> PaidView:
    return PaidView(**msgspec.structs.asdict(payment), booking=booking)


def free_of_charge(booking: BookingView) -> PaidView:
    """The answer to paying for what costs nothing: nobody was asked for money, so there is no payment to look up."""
    return PaidView(
        id=None,
        booking_id=booking.id,
        status="approved",
        amount=0,
        refunded=0,
        currency=booking.currency,
        provider=None,
        reference=None,
        reason=None,
        requested_at=None,
        settled_at=None,
        booking=booking,
    )


def refunded_view(row: RefundRow, booking: BookingView) -> RefundedView:
    return RefundedView(**msgspec.structs.asdict(refund_row_view(row)), booking=booking)


def cancellation_view(row: CancellationRow, refund: RefundRow | None) -> CancellationView:
    """A cancellation, with what was given back for it, if anything was."""
    return CancellationView(
        id=row.id,
        booking_id=row.booking_id,
        schedule_id=row.schedule_id,
        reason=row.reason or None,
        by=row.by,
        cancelled_at=rfc3339(row.cancelled_ms),
        refund=None if refund is None else refund_row_view(refund),
    )


def ending_view(booking: Booking, schedule_id: str) -> CancellationView:
    """The cancellation of an unpaid booking that the schedule's owner has just answered with."""
    ending = booking.ending
    assert ending is not None, "only an ended booking has an ending"
    return CancellationView(
        id=ending.id,
        booking_id=booking.id,
        schedule_id=schedule_id,
        reason=ending.reason or None,
        by=ending.by,
        cancelled_at=rfc3339(ending.at_ms),
        refund=None,
    )


def server_time(now_ms: int) -> dict[str, str]:
    """The header that says what the server's clock shows: `expires_at` is counted down from it, not from one's own.

    Not a member of the booking, which is answered the same to whoever asks again.
    """
    return {"Server-Time": rfc3339(now_ms)}


# --- descriptions -----------------------------------------------------------------------------------------------------
def described(
    status: int, shape: type[Struct] | type[list[Any]], example: object, description: str
) -> dict[int | str, dict[str, Any]]:
    """An answer for a route's OpenAPI description, its schema taken from the very type that is rendered."""
    content = {"application/json": {"schema": component(shape), "example": example}}
    return {status: {"description": description, "content": content}}


def listed(shape: type[Struct], example: object, description: str = "Newest first.") -> dict[int | str, dict[str, Any]]:
    """The same for one page of a list of these."""
    page = {"items": [example], "next_cursor": None}
    content = {"application/json": {"schema": page_component(shape), "example": page}}
    return {200: {"description": description, "content": content}}


PAYMENT_EXAMPLE = {
    "id": "0199f3a1-52c4-7d10-8a6e-2f6f6d1c9b01",
    "booking_id": "0199f3a0-9b1e-7c53-b1f4-6a3d0c5e8f22",
    "status": "approved",
    "amount": 300_000,
    "refunded": 0,
    "currency": "KRW",
    "provider": "sandbox",
    "reference": "sbx_0199f3a1-5301-7b7c-9d3c-0d7a5c1e4f10",
    "reason": None,
    "requested_at": "2026-11-22T14:03:11.204+00:00",
    "settled_at": "2026-11-22T14:03:11.262+00:00",
}
SCHEDULE_EXAMPLE = {
    "performance_title": "카르멘",
    "performance_title_en": "Carmen",
    "starts_at": "2026-12-24T10:30:00.000+00:00",
    "ends_at": "2026-12-24T13:20:00.000+00:00",
    "venue_name": "예술의전당 오페라극장",
    "venue_city": "Seoul",
    "venue_address": "2406 Nambusunhwan-ro, Seocho-gu",
    "time_zone": "Asia/Seoul",
    "cancelled_at": None,
}
HELD_EXAMPLE: dict[str, Any] = {
    "id": "0199f3a0-9b1e-7c53-b1f4-6a3d0c5e8f22",
    "number": number_of("0199f3a0-9b1e-7c53-b1f4-6a3d0c5e8f22"),
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "performance_id": "0199f39b-f0aa-7e44-9a57-2d8d9f3b6c90",
    "schedule": SCHEDULE_EXAMPLE,
    "status": "held",
    "seats": [
        {"id": "1F-A-12", "zone": "1st floor", "row": "A", "number": "12", "category": "VIP", "price": 150_000},
        {"id": "1F-A-13", "zone": "1st floor", "row": "A", "number": "13", "category": "VIP", "price": 150_000},
    ],
    "amount": 300_000,
    "currency": "KRW",
    "created_at": "2026-11-22T14:00:00.000+00:00",
    "expires_at": "2026-11-22T14:10:00.000+00:00",
    "version": 42,
    "payment": None,
    "refunds": [],
    "refund_terms": [
        {"until": "2026-12-14T10:30:00.000+00:00", "fee_percent": 0},
        {"until": "2026-12-17T10:30:00.000+00:00", "fee_percent": 10},
        {"until": "2026-12-24T10:30:00.000+00:00", "fee_percent": 30},
    ],
    "handed_on": False,
    "moved_to": None,
}
CONFIRMED_EXAMPLE = HELD_EXAMPLE | {
    "status": "confirmed",
    "expires_at": None,
    "version": 45,
    "payment": PAYMENT_EXAMPLE,
}
PAID_EXAMPLE = PAYMENT_EXAMPLE | {"booking": CONFIRMED_EXAMPLE}
REFUNDED_EXAMPLE = REFUND_EXAMPLE | {
    "booking": CONFIRMED_EXAMPLE
    | {
        "status": "partially_refunded",
        "seats": HELD_EXAMPLE["seats"][:1],
        "amount": 150_000,
        "version": 52,
        "payment": PAYMENT_EXAMPLE | {"status": "partially_refunded", "refunded": REFUND_EXAMPLE["amount"]},
        "refunds": [REFUND_EXAMPLE],
    }
}
CANCELLATION_EXAMPLE = {
    "id": "0199f3a4-0c55-7f0e-b2a7-93a4c1d2e377",
    "booking_id": "0199f3a0-9b1e-7c53-b1f4-6a3d0c5e8f22",
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "reason": "cannot come",
    "by": "customer",
    "cancelled_at": "2026-11-22T14:05:40.117+00:00",
    "refund": None,
}
