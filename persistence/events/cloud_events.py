"""Journal records as the outside world reads them: CloudEvents 1.0 in structured JSON mode, described by AsyncAPI 3.

Guarantees: an event says all that a consumer needs without calling back, and never a card token, an e-mail address or a
password; the same record always renders to the same bytes; `decode(render(…))` gives back what was said. A consumer
drops what it has seen by `data.version`, which rises by one per event of a schedule, and ignores types and fields it
does not know: both may be added.

Sources: CloudEvents 1.0.2 with its JSON format and Kafka protocol binding; AsyncAPI 3.0.0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from engine import events
from engine.booking import STATUS_NAMES, Booking
from engine.events import Record
from engine.payment import PAYMENT_NAMES, REFUND_NAMES, PaymentStatus, RefundStatus
from engine.seating_plan import SeatingPlan
from persistence.database.moments import rfc3339
from persistence.events.event_data import (
    BookingData,
    BookingFacts,
    CancellationData,
    CancellationFacts,
    Data,
    EndData,
    EventEnvelope,
    PaymentData,
    PaymentFacts,
    Place,
    PlanData,
    PricedPlace,
    RefundData,
    RefundedPlace,
    RefundFacts,
    RefundStepFacts,
    SeatsData,
    TermsData,
    TermsFacts,
    TransferData,
)


class EventError(ValueError):
    """The bytes are not one of our events."""


class _Typed(Struct, frozen=True):
    """What of an event tells how to read the rest."""

    type: str


_encode = msgspec.json.Encoder().encode
_decode_type = msgspec.json.Decoder(_Typed).decode


def render(
    schedule_id: str, record: Record, booking: Booking | None, plan: SeatingPlan, *, performance_id: str | None = None
) -> bytes:
    """The record as a CloudEvent. `booking` is the one it concerns, as it was right after; None where there is none."""
    return _encode(event_of(schedule_id, record, booking, plan, performance_id=performance_id))


def event_of(
    schedule_id: str, record: Record, booking: Booking | None, plan: SeatingPlan, *, performance_id: str | None = None
) -> EventEnvelope:
    """The same, not yet written down: what `decode` makes of it."""
    facts = _Facts(schedule_id, record, booking, plan, UNSET if performance_id is None else performance_id)
    return _envelope(schedule_id, record, _KINDS[type(record.event)].make(facts, record.event))


def unrendered(schedule_id: str, record: Record) -> EventEnvelope:
    """The record as `glance` gives it."""
    return _envelope(schedule_id, record, Data(schedule_id=schedule_id, version=record.seq))


def _envelope(schedule_id: str, record: Record, data: Data) -> EventEnvelope:
    return EventEnvelope(
        specversion="1.0",
        id=f"{schedule_id}:{record.seq}",
        source=f"/v1/schedules/{schedule_id}",
        type=record.event.type_name,
        subject=getattr(record.event, "booking_id", UNSET),
        time=rfc3339(record.at_ms),
        datacontenttype="application/json",
        data=data,
    )


def decode(value: bytes) -> EventEnvelope:
    """The event. Its `data` is a plain `Data` if its type is not known here. Raises `EventError`."""
    try:
        return _READ.get(_decode_type(value).type, _read_unknown)(value)
    except msgspec.DecodeError as error:
        raise EventError(str(error)) from error


def glance(value: bytes) -> EventEnvelope:
    """What every event says, whatever its type; its `data` is a plain `Data`. Raises `EventError`."""
    try:
        return _read_unknown(value)
    except msgspec.DecodeError as error:
        raise EventError(str(error)) from error


def says_the_same(value: bytes, glanced: EventEnvelope, event: EventEnvelope) -> bool:
    """Whether what was told, glanced at before, is the event; by no more than its head and place if that is glanced
    at, too. Which performance it was for does not count: it is not in the journal, and nothing is done by it."""
    if (glanced.id, glanced.type, glanced.time, glanced.subject) != (event.id, event.type, event.time, event.subject):
        return False
    if type(event.data) is Data or _encode(event) == value:
        return True
    try:
        told = decode(value)
    except EventError:
        return False
    return replace(told.data, performance_id=UNSET) == replace(event.data, performance_id=UNSET)


class _Facts(Struct, frozen=True):
    """What the data of every kind is made from."""

    schedule_id: str
    record: Record
    about: Booking | None
    plan: SeatingPlan
    performance_id: str | UnsetType

    def common(self) -> dict[str, Any]:
        return {
            "schedule_id": self.schedule_id,
            "version": self.record.seq,
            "performance_id": self.performance_id,
        }

    def place(self, index: int) -> Place:
        label = self.plan.describe(index)
        return Place(id=label.id, zone=label.zone, row=label.row, number=label.number, category=label.category)

    def booking(self) -> BookingFacts:
        booking = self.about
        assert booking is not None, f"{self.record.event.type_name} concerns a booking"
        places = map(self.plan.describe, booking.seats)
        return BookingFacts(
            id=booking.id,
            customer_id=booking.customer_id,
            status=STATUS_NAMES[booking.status],
            seats=[
                PricedPlace(
                    id=place.id,
                    zone=place.zone,
                    row=place.row,
                    number=place.number,
                    category=place.category,
                    price=price,
                )
                for place, price in zip(places, booking.prices, strict=True)
            ],
            amount=booking.amount,
            currency=booking.currency,
            created_at=rfc3339(booking.created_ms),
            expires_at=rfc3339(booking.expires_ms) if booking.expires_ms else None,
            payer_id=booking.payer or UNSET,
        )

    def payment(self) -> PaymentFacts:
        assert self.about is not None, f"{self.record.event.type_name} concerns a booking"
        payment = self.about.payment
        assert payment is not None, f"{self.record.event.type_name} concerns a payment"
        return PaymentFacts(
            id=payment.id,
            status=PAYMENT_NAMES[payment.status],
            amount=payment.amount,
            currency=self.about.currency,
            provider=payment.provider,
            reference=payment.reference or None,
            reason=payment.reason or None,
        )


def _booking_data(facts: _Facts, event: events.Event) -> Data:
    return BookingData(**facts.common(), booking=facts.booking())


def _transfer_data(facts: _Facts, event: events.HandedOn | events.TakenOver) -> Data:
    other = event.to_booking_id if isinstance(event, events.HandedOn) else event.from_booking_id
    seats = [facts.place(index) for index in event.seats]
    return TransferData(**facts.common(), booking=facts.booking(), other_booking_id=other, seats=seats)


def _payment_data(facts: _Facts, event: events.Event) -> Data:
    payment = facts.payment()
    declined = payment.status == PAYMENT_NAMES[PaymentStatus.DECLINED]
    reason = payment.reason if declined and payment.reason else UNSET
    return PaymentData(**facts.common(), booking=facts.booking(), payment=payment, reason=reason)


def _cancellation_data(facts: _Facts, event: events.Cancelled) -> Data:
    return CancellationData(
        **facts.common(),
        booking=facts.booking(),
        cancellation=CancellationFacts(id=event.cancellation_id, by=event.by, reason=event.reason or None),
        reason=event.reason or UNSET,
    )


def _refund_data(facts: _Facts, event: events.RefundRequested | events.Refunded | events.PaymentLate) -> Data:
    requested = not isinstance(event, events.Refunded)
    refund = RefundFacts(
        id=event.refund_id,
        payment_id=event.payment_id,
        booking_id=event.booking_id,
        status=REFUND_NAMES[RefundStatus.REQUESTED if requested else RefundStatus.COMPLETED],
        amount=event.amount,
        currency=event.currency,
    )
    if isinstance(event, events.RefundRequested):
        given = zip(event.seats, event.prices, event.fees, strict=True)
        seats = [
            RefundedPlace(**msgspec.structs.asdict(facts.place(index)), price=price, fee=fee)
            for index, price, fee in given
        ]
        refund = replace(refund, fee=event.fee, seats=seats, by=event.by, reason=event.reason or None)
    elif isinstance(event, events.PaymentLate):
        refund = replace(refund, fee=0, seats=[], by="system", reason="late")
    else:
        refund = replace(refund, reference=event.reference)
    booking = UNSET if facts.about is None else facts.booking()
    return RefundData(**facts.common(), refund=refund, booking=booking, reason=refund.reason or UNSET)


def _end_data(facts: _Facts, event: events.ScheduleCancelled) -> Data:
    return EndData(**facts.common(), by=event.by, reason=event.reason or UNSET)


def _withdrawn_data(facts: _Facts, event: events.Withdrawn) -> Data:
    return EndData(**facts.common(), by=event.by)


def _seats_data(facts: _Facts, event: events.Blocked | events.Unblocked) -> Data:
    reason = event.reason if isinstance(event, events.Blocked) else ""
    seats = [facts.place(index) for index in event.seats]
    return SeatsData(**facts.common(), seats=seats, by=event.by, reason=reason or UNSET)


def _terms_data(facts: _Facts, event: events.Opened | events.TermsChanged) -> Data:
    return TermsData(**facts.common(), terms=_terms(event.terms))


def _plan_data(facts: _Facts, event: events.PlanChanged) -> Data:
    which = (event.plan_number, event.plan_digest)
    return PlanData(**facts.common(), terms=_terms(event.terms), plan_number=which[0], plan_digest=which[1])


def _terms(terms: events.Terms) -> TermsFacts:
    return TermsFacts(
        currency=terms.currency,
        prices={category: price for category, price in terms.prices.items() if price is not None},
        starts_at=rfc3339(terms.starts_at_ms),
        sale_opens_at=rfc3339(terms.sale_opens_at_ms) if terms.sale_opens_at_ms else None,
        sale_closes_at=rfc3339(terms.sale_closes_at_ms),
        max_seats_per_customer=terms.max_seats_per_customer or None,
        hold_seconds=terms.hold_ms / 1000,
        refund_policy=[
            RefundStepFacts(days_before=step.days_before, fee_percent=step.fee_percent) for step in terms.refund_policy
        ],
        refund_when_moved=terms.refund_when_moved,
        transferable=terms.transferable,
    )


class Kind(Struct, frozen=True):
    """How one type of event is said."""

    data: type[Data]
    make: Callable[[_Facts, Any], Data]
    summary: str


_KINDS: dict[type[events.Event], Kind] = {
    events.Opened: Kind(
        TermsData, _terms_data, "The schedule exists, on these terms. Always a schedule's first event."
    ),
    events.TermsChanged: Kind(
        TermsData, _terms_data, "The schedule is sold on other terms; bookings keep their prices."
    ),
    events.Held: Kind(BookingData, _booking_data, "Seats are held for a customer until `expires_at`."),
    events.Extended: Kind(BookingData, _booking_data, "The hold's time began anew."),
    events.Changed: Kind(BookingData, _booking_data, "The booking's seats were exchanged, all at once."),
    events.Confirmed: Kind(BookingData, _booking_data, "The booking is final: its seats are sold."),
    events.Expired: Kind(BookingData, _booking_data, "The hold ended unpaid: its seats are free again."),
    events.Cancelled: Kind(
        CancellationData, _cancellation_data, "The booking was cancelled: its seats are free again."
    ),
    events.HandedOn: Kind(TransferData, _transfer_data, "Seats of the booking become another customer's."),
    events.TakenOver: Kind(TransferData, _transfer_data, "A customer has seats that were another's."),
    events.PaymentRequested: Kind(PaymentData, _payment_data, "Money is about to be asked for."),
    events.PaymentApproved: Kind(PaymentData, _payment_data, "The provider has the money."),
    events.PaymentDeclined: Kind(PaymentData, _payment_data, "The provider did not take the money."),
    events.PaymentLate: Kind(
        RefundData, _refund_data, "Money came for a payment that can no longer have its seats; it goes back whole."
    ),
    events.RefundRequested: Kind(
        RefundData, _refund_data, "Seats were given back: they are free again, and their money is owed."
    ),
    events.Refunded: Kind(RefundData, _refund_data, "The provider gives the money back."),
    events.ScheduleCancelled: Kind(
        EndData, _end_data, "The performance will not take place: nothing is sold, every booking is being ended."
    ),
    events.Withdrawn: Kind(
        EndData, _withdrawn_data, "The schedule was taken out of the catalogue, and takes nothing any more."
    ),
    events.PlanChanged: Kind(
        PlanData, _plan_data, "The house's plan was corrected: places may be new, gone, or called otherwise."
    ),
    events.Blocked: Kind(SeatsData, _seats_data, "Places were taken out of the sale."),
    events.Unblocked: Kind(SeatsData, _seats_data, "Blocked places are on sale again."),
}
KINDS = {str(event.__struct_config__.tag): kind for event, kind in _KINDS.items()}  # by their types' names


def _reader(data: type[Data]) -> Callable[[bytes], EventEnvelope]:
    """Reads events whose data is of this kind."""
    envelope = msgspec.defstruct(
        EventEnvelope.__name__, [("data", data)], bases=(EventEnvelope,), frozen=True, kw_only=True
    )
    return cast(Callable[[bytes], EventEnvelope], msgspec.json.Decoder(envelope).decode)


_READ = {name: _reader(kind.data) for name, kind in KINDS.items()}
_read_unknown = _reader(Data)
