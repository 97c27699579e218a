"""What events say, as the outside reads it: an envelope, and data by kind. Times are RFC 3339, money is minor units.

Types and fields may be added, and are never taken away or given another meaning: `tests/persistence/events` keeps every
event there ever was.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from engine.booking import STATUS_NAMES
from engine.payment import PAYMENT_NAMES, REFUND_NAMES

Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]  # RFC 3339, UTC, milliseconds
BookingStatus = Annotated[str, Meta(extra_json_schema={"enum": list(STATUS_NAMES)})]
RefundState = Annotated[str, Meta(extra_json_schema={"enum": list(REFUND_NAMES)})]
PaymentState = Annotated[str, Meta(extra_json_schema={"enum": list(PAYMENT_NAMES)})]


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
