"""A batch of steps as rows of the journal and of the current tables: what `group_commit` writes.

The tables follow the journal and nothing else: the same steps always give the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from engine import events
from engine.booking import STATUS_NAMES, Booking, Status
from engine.events import encode_event
from engine.payment import PAYMENT_NAMES, REFUND_NAMES, PaymentStatus, RefundStatus
from engine.seating_plan import SeatingPlan
from engine.turn import Step
from persistence.database.moments import moment

UPDATE_TERMS = """
UPDATE schedules
   SET currency = $2, prices = $3::jsonb, starts_at = $4, sale_opens_at = $5, sale_closes_at = $6,
       max_seats_per_customer = $7, hold_seconds = $8, updated_at = $9, refund_policy = $10::jsonb,
       refund_when_moved = $11, transferable = $12
 WHERE id = $1
"""
CANCEL_SCHEDULE = """
UPDATE schedules SET cancelled_at = $2, cancellation_reason = $3, updated_at = $2 WHERE id = $1
"""
CHANGE_PLAN = """
UPDATE schedules SET plan_number = $2 WHERE id = $1
"""
WITHDRAW_SCHEDULE = """
UPDATE schedules SET deleted_at = $2, updated_at = $2 WHERE id = $1
"""


Row = tuple[object, ...]


class Rows(Struct):
    """A batch as rows of the journal and of the current tables, each in the order of its columns in `group_commit`."""

    journal: list[Row] = []
    new_bookings: list[Row] = []
    changed_bookings: list[Row] = []
    payments: list[Row] = []
    cancellations: list[Row] = []
    refunds: list[Row] = []
    completed_refunds: list[Row] = []
    schedule: list[tuple[str, Row]] = []  # statements about the schedule's own row, with what follows its id

    @classmethod
    def of(cls, plan: SeatingPlan, steps: Sequence[Step]) -> Rows:
        """What these steps write, in their order; of a booking or payment that several of them change only the last."""
        rows = cls()
        new: set[str] = set()
        latest: dict[str, Booking] = {}
        paying: dict[str, Row] = {}
        refunding: dict[str, Row] = {}
        for step in steps:
            record, booking, event = step.record, step.booking, step.record.event
            at = moment(record.at_ms)
            rows.journal.append(
                (
                    record.seq,
                    record.at_ms,
                    event.type_name,
                    getattr(event, "booking_id", None),
                    record.request_id,
                    record.fingerprint,
                    encode_event(event),
                )
            )
            if booking is not None:
                latest[booking.id] = booking
            if isinstance(event, events.Held | events.TakenOver):
                new.add(event.booking_id)
            elif isinstance(event, events.PaymentRequested | events.PaymentApproved | events.PaymentDeclined):
                paying[event.payment_id] = _payment_row(booking)
            elif isinstance(event, events.PaymentLate):
                paying[event.payment_id] = with_outcome(paying.get(event.payment_id), _late_row(event, at))
                refunding[event.refund_id] = _return_row(event, at)
            elif isinstance(event, events.Cancelled):
                rows.cancellations.append(_cancellation_row(booking))
            elif isinstance(event, events.RefundRequested):
                paying[event.payment_id] = with_outcome(paying.get(event.payment_id), _payment_row(booking))
                refunding[event.refund_id] = _refund_row(event, booking, plan, at)
                if booking is not None and booking.status is Status.REFUNDED:
                    rows.cancellations.append(_cancellation_row(booking))
            elif isinstance(event, events.Refunded):
                if event.refund_id in refunding:  # both in one batch: the row must not be touched twice
                    refunding[event.refund_id] = (*refunding[event.refund_id][:-3], *_completion(event, at))
                else:
                    rows.completed_refunds.append((event.refund_id, event.reference, at))
            else:
                rows.schedule += about_schedule(event, record.at_ms)
        for booking in latest.values():
            standing = _standing(plan, booking)
            if booking.id in new:
                created = moment(booking.created_ms)
                made = (booking.id, booking.customer_id, booking.currency, created, booking.origin or None)
                rows.new_bookings.append((*made, *standing))
            else:
                rows.changed_bookings.append((booking.id, *standing))
        rows.payments, rows.refunds = list(paying.values()), list(refunding.values())
        return rows


def about_schedule(event: events.AnyEvent, at_ms: int) -> list[tuple[str, Row]]:
    """The statements by which a schedule's own row follows an event; `$1` is its id, the rest is given with each."""
    if isinstance(event, events.TermsChanged | events.Opened):
        return [(UPDATE_TERMS, _terms_row(event.terms, at_ms))]
    if isinstance(event, events.PlanChanged):
        return [(UPDATE_TERMS, _terms_row(event.terms, at_ms)), (CHANGE_PLAN, (event.plan_number,))]
    if isinstance(event, events.ScheduleCancelled):
        return [(CANCEL_SCHEDULE, (moment(at_ms), event.reason or None))]
    if isinstance(event, events.Withdrawn):
        return [(WITHDRAW_SCHEDULE, (moment(at_ms),))]
    return []


def _standing(plan: SeatingPlan, booking: Booking) -> Row:
    """What a booking's row says that can change."""
    return (
        STATUS_NAMES[booking.status],
        "\x1f".join([plan.ids[index] for index in booking.seats]),
        ",".join(map(str, booking.prices)),
        booking.amount,
        booking.version,
        moment(booking.expires_ms) if booking.expires_ms else None,
        None if booking.payment is None else booking.payment.id,
    )


def _payment_row(booking: Booking | None) -> Row:
    assert booking is not None
    assert booking.payment is not None, "a payment event without a payment"
    payment = booking.payment
    return (
        payment.id,
        booking.id,
        booking.customer_id,
        PAYMENT_NAMES[payment.status],
        payment.amount,
        booking.currency,
        payment.provider,
        payment.reference or None,
        payment.reason or None,
        moment(payment.requested_ms),
        moment(payment.settled_ms) if payment.settled_ms else None,
    )


def with_outcome(before: Row | None, row: Row) -> Row:
    """A payment's row after a later one: of one that is there only its outcome changes, as in the journal's statement.

    The outcome: status, reference, reason and when it was settled.
    """
    return row if before is None else (*before[:3], row[3], *before[4:7], *row[7:9], before[9], row[10])


def _late_row(event: events.PaymentLate, at: datetime) -> Row:
    """A payment of which nothing but this may be known here."""
    ids = (event.payment_id, event.booking_id, event.customer_id)
    status = PAYMENT_NAMES[PaymentStatus.REFUNDED]
    return (*ids, status, event.amount, event.currency, event.provider, event.reference, "late", at, at)


def _refund_row(event: events.RefundRequested, booking: Booking | None, plan: SeatingPlan, at: datetime) -> Row:
    assert booking is not None
    assert booking.payment is not None, "only what was paid is refunded"
    return (
        event.refund_id,
        event.payment_id,
        event.booking_id,
        booking.payer or booking.customer_id,
        event.amount,
        event.fee,
        event.currency,
        booking.payment.provider,
        "\x1f".join([plan.ids[index] for index in event.seats]),
        event.reason or None,
        event.by,
        at,
        *PENDING,
    )


def _return_row(event: events.PaymentLate, at: datetime) -> Row:
    ids = (event.refund_id, event.payment_id, event.booking_id, event.customer_id)
    return (*ids, event.amount, 0, event.currency, event.provider, "", "late", "system", at, *PENDING)


PENDING = (REFUND_NAMES[RefundStatus.REQUESTED], None, None)  # status, reference and time of a refund's row


def _completion(event: events.Refunded, at: datetime) -> Row:
    return (REFUND_NAMES[RefundStatus.COMPLETED], event.reference, at)


def _cancellation_row(booking: Booking | None) -> Row:
    assert booking is not None
    assert booking.ending is not None, "a cancellation without an end"
    ending = booking.ending
    return (ending.id, booking.id, booking.customer_id, ending.reason or None, ending.by, moment(ending.at_ms))


def _terms_row(terms: events.Terms, at_ms: int) -> Row:
    return (
        terms.currency,
        msgspec.json.encode(terms.prices).decode(),
        moment(terms.starts_at_ms),
        moment(terms.sale_opens_at_ms) if terms.sale_opens_at_ms else None,
        moment(terms.sale_closes_at_ms) if terms.sale_closes_at_ms != terms.starts_at_ms else None,
        terms.max_seats_per_customer or None,
        terms.hold_ms // 1000,
        moment(at_ms),
        msgspec.json.encode([msgspec.structs.asdict(step) for step in terms.refund_policy]).decode(),
        terms.refund_when_moved,
        terms.transferable,
    )
