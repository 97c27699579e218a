"""Journal records as the outside world reads them: CloudEvents 1.0 in structured JSON mode, described by AsyncAPI 3.

Guarantees: an event says all that a consumer needs without calling back, and never a card token, an e-mail address or a
password; the same record always renders to the same bytes; `decode(render(…))` gives back what was said. A consumer
drops what it has seen by `data.version`, which rises by one per event of a schedule, and ignores types and fields it
does not know: both may be added.

Sources: CloudEvents 1.0.2 with its JSON format and Kafka protocol binding; AsyncAPI 3.0.0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from engine import events
from engine.booking import STATUS_NAMES, Booking
from engine.events import Record
from engine.payment import PAYMENT_NAMES, REFUND_NAMES, PaymentStatus, RefundStatus
from engine.seating_plan import SeatingPlan
from persistence.database.moments import rfc3339

Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]  # RFC 3339, UTC, milliseconds
BookingStatus = Annotated[str, Meta(extra_json_schema={"enum": list(STATUS_NAMES)})]
RefundState = Annotated[str, Meta(extra_json_schema={"enum": list(REFUND_NAMES)})]
PaymentState = Annotated[str, Meta(extra_json_schema={"enum": list(PAYMENT_NAMES)})]
CONTENT_TYPE = "application/cloudevents+json"


class EventError(ValueError):
    """The bytes are not one of our events."""


class Place(Struct, frozen=True, kw_only=True):
    """A seat, or one place of a standing area (which has no row, and its name as its number)."""

    id: str
    zone: str
    row: str
    number: str
    category: str


class PricedPlace(Place, frozen=True, kw_only=True):
    """A place with what it was sold for, in minor units."""

    price: int


class RefundedPlace(PricedPlace, frozen=True, kw_only=True):
    """A place given back, with what of its price is kept."""

    fee: int


class BookingFacts(Struct, frozen=True, kw_only=True):
    """The booking as it was after the event."""

    id: str
    customer_id: str
    status: BookingStatus
    seats: list[PricedPlace]
    amount: int  # minor units
    currency: str
    created_at: Moment
    expires_at: Moment | None  # when an unpaid hold ends; null once confirmed
    payer_id: str | UnsetType = UNSET  # who paid, where the seats have come from another customer


class PaymentFacts(Struct, frozen=True, kw_only=True):
    """One attempt to pay, as it was after the event."""

    id: str
    status: PaymentState
    amount: int
    currency: str
    provider: str
    reference: str | None  # the provider's own id
    reason: str | None  # why it was declined


class CancellationFacts(Struct, frozen=True, kw_only=True):
    id: str
    by: str  # customer | organizer | admin | system
    reason: str | None


class RefundFacts(Struct, frozen=True, kw_only=True):
    """Money given back, as it was after the event."""

    id: str
    payment_id: str
    booking_id: str
    status: RefundState
    amount: int  # what the customer gets, minor units
    currency: str
    fee: int | UnsetType = UNSET  # what is kept; said when the refund is requested
    seats: list[RefundedPlace] | UnsetType = UNSET  # free again; none where money came that could not have its seats
    by: str | UnsetType = UNSET  # customer | organizer | admin | system
    reason: str | UnsetType | None = UNSET
    reference: str | UnsetType = UNSET  # the provider's own id, once it has confirmed


class RefundStepFacts(Struct, frozen=True, kw_only=True):
    """Until so many days before the start, so much of a seat's price is kept."""

    days_before: int
    fee_percent: int


class TermsFacts(Struct, frozen=True, kw_only=True):
    """On what terms the schedule is sold from this event on."""

    currency: str
    prices: dict[str, int]  # category → minor units; those left out are not for sale
    starts_at: Moment
    sale_opens_at: Moment | None  # null: at once
    sale_closes_at: Moment
    max_seats_per_customer: int | None  # null: no limit
    hold_seconds: float
    refund_policy: list[RefundStepFacts] | UnsetType = UNSET  # events from before there were refunds lack it
    transferable: bool | UnsetType = UNSET  # customers may hand seats on to others
    refund_when_moved: bool | UnsetType = UNSET  # giving seats up is free if the start moves after the booking


class Data(Struct, frozen=True, kw_only=True):
    """What every event says; all there is to an event of a type unknown here."""

    schedule_id: str
    version: int  # 1, 2, 3 … per schedule, without gaps
    performance_id: str | UnsetType = UNSET


class BookingData(Data, frozen=True, kw_only=True):
    booking: BookingFacts


class PaymentData(BookingData, frozen=True, kw_only=True):
    payment: PaymentFacts
    reason: str | UnsetType = UNSET  # why it was declined


class CancellationData(BookingData, frozen=True, kw_only=True):
    cancellation: CancellationFacts
    reason: str | UnsetType = UNSET  # as it was given


class RefundData(Data, frozen=True, kw_only=True):
    refund: RefundFacts
    booking: BookingFacts | UnsetType = UNSET  # left out where it ended so long ago that it need not be told again
    reason: str | UnsetType = UNSET  # as it was given


class EndData(Data, frozen=True, kw_only=True):
    """The performance will not take place, or the schedule is gone."""

    by: str
    reason: str | UnsetType = UNSET


class SeatsData(Data, frozen=True, kw_only=True):
    """Places taken out of the sale, or put back."""

    seats: list[Place]
    by: str
    reason: str | UnsetType = UNSET


class TermsData(Data, frozen=True, kw_only=True):
    terms: TermsFacts


class TransferData(BookingData, frozen=True, kw_only=True):
    """Seats become another customer's: `booking` is the giver's as it was after that, then the taker's own."""

    other_booking_id: str
    seats: list[Place]


class PlanData(TermsData, frozen=True, kw_only=True):
    """The house's plan was corrected; whoever has seats keeps them."""

    plan_number: int  # how often it has been
    plan_digest: str


class EventEnvelope(Struct, frozen=True, kw_only=True):
    """A CloudEvent."""

    specversion: str
    id: str  # `<schedule_id>:<version>`
    source: str  # the schedule, as a path of the HTTP API
    type: str
    subject: str | UnsetType = UNSET  # the booking's id, where the event concerns one
    time: Moment
    datacontenttype: str
    data: Data  # of the type's own kind


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


class _Kind(Struct, frozen=True):
    """How one type of event is said."""

    data: type[Data]
    make: Callable[[_Facts, Any], Data]
    summary: str


_KINDS: dict[type[events.Event], _Kind] = {
    events.Opened: _Kind(
        TermsData, _terms_data, "The schedule exists, on these terms. Always a schedule's first event."
    ),
    events.TermsChanged: _Kind(
        TermsData, _terms_data, "The schedule is sold on other terms; bookings keep their prices."
    ),
    events.Held: _Kind(BookingData, _booking_data, "Seats are held for a customer until `expires_at`."),
    events.Extended: _Kind(BookingData, _booking_data, "The hold's time began anew."),
    events.Changed: _Kind(BookingData, _booking_data, "The booking's seats were exchanged, all at once."),
    events.Confirmed: _Kind(BookingData, _booking_data, "The booking is final: its seats are sold."),
    events.Expired: _Kind(BookingData, _booking_data, "The hold ended unpaid: its seats are free again."),
    events.Cancelled: _Kind(
        CancellationData, _cancellation_data, "The booking was cancelled: its seats are free again."
    ),
    events.HandedOn: _Kind(TransferData, _transfer_data, "Seats of the booking become another customer's."),
    events.TakenOver: _Kind(TransferData, _transfer_data, "A customer has seats that were another's."),
    events.PaymentRequested: _Kind(PaymentData, _payment_data, "Money is about to be asked for."),
    events.PaymentApproved: _Kind(PaymentData, _payment_data, "The provider has the money."),
    events.PaymentDeclined: _Kind(PaymentData, _payment_data, "The provider did not take the money."),
    events.PaymentLate: _Kind(
        RefundData, _refund_data, "Money came for a payment that can no longer have its seats; it goes back whole."
    ),
    events.RefundRequested: _Kind(
        RefundData, _refund_data, "Seats were given back: they are free again, and their money is owed."
    ),
    events.Refunded: _Kind(RefundData, _refund_data, "The provider gives the money back."),
    events.ScheduleCancelled: _Kind(
        EndData, _end_data, "The performance will not take place: nothing is sold, every booking is being ended."
    ),
    events.Withdrawn: _Kind(
        EndData, _withdrawn_data, "The schedule was taken out of the catalogue, and takes nothing any more."
    ),
    events.PlanChanged: _Kind(
        PlanData, _plan_data, "The house's plan was corrected: places may be new, gone, or called otherwise."
    ),
    events.Blocked: _Kind(SeatsData, _seats_data, "Places were taken out of the sale."),
    events.Unblocked: _Kind(SeatsData, _seats_data, "Blocked places are on sale again."),
}
_TYPES = {str(event.__struct_config__.tag): kind for event, kind in _KINDS.items()}


def _reader(data: type[Data]) -> Callable[[bytes], EventEnvelope]:
    """Reads events whose data is of this kind."""
    envelope = msgspec.defstruct(
        EventEnvelope.__name__, [("data", data)], bases=(EventEnvelope,), frozen=True, kw_only=True
    )
    return cast(Callable[[bytes], EventEnvelope], msgspec.json.Decoder(envelope).decode)


_READ = {name: _reader(kind.data) for name, kind in _TYPES.items()}
_read_unknown = _reader(Data)


def asyncapi_document(topic: str) -> dict[str, Any]:
    """The AsyncAPI 3.0.0 description of what is published to `topic`, made from the types above."""
    kinds = {kind.data for kind in _KINDS.values()}
    (_, *_), schemas = msgspec.json.schema_components(
        [EventEnvelope, *sorted(kinds, key=lambda kind: kind.__name__)], ref_template="#/components/schemas/{name}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Boxoffice events", "version": "1.0.0", "description": _DESCRIPTION, "license": _LICENSE},
        "defaultContentType": CONTENT_TYPE,
        "channels": {
            "bookingEvents": {
                "address": topic,
                "title": "What happens to the seats of every schedule",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _TYPES},
                "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
            }
        },
        "operations": {
            "publishBookingEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/bookingEvents"},
                "summary": "Every event of a schedule's journal, in order, at least once.",
            }
        },
        "components": {
            "messages": {name: _message(name, kind) for name, kind in _TYPES.items()},
            "schemas": schemas,
        },
    }


def _message(name: str, kind: _Kind) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "summary": kind.summary,
        "contentType": CONTENT_TYPE,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/EventEnvelope"},
                {
                    "properties": {
                        "type": {"const": name},
                        "data": {"$ref": f"#/components/schemas/{kind.data.__name__}"},
                    }
                },
            ]
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "The schedule's id: its events stay in order."},
                "bindingVersion": "0.5.0",
            }
        },
    }


_LICENSE = {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}
_DESCRIPTION = (
    "Each message is one CloudEvent in structured JSON mode; the key is the schedule's id. `data.version` rises by one"
    " per event of a schedule, without gaps. Delivery is at least once: drop a version you have seen. Times are RFC"
    " 3339, money is in minor units of the currency (KRW has none). New types and fields may appear: ignore them."
)
