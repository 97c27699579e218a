"""The facts of a schedule's journal. What stands here once must decode for ever.

Compatibility rule: an event is encoded as an array, so a new field goes at the end and has a default; a field is never
removed, renamed in meaning or reordered, and a tag is never reused. `tests/engine/golden` holds old journals that must
replay.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from engine.refund_policy import DEFAULT_POLICY, Clocks, RefundPolicy


class Terms(Struct, frozen=True, array_like=True):
    """On what terms a schedule is sold."""

    currency: str  # ISO 4217
    prices: dict[str, int | None]  # category name → minor units; None: not for sale
    starts_at_ms: int
    sale_opens_at_ms: int  # 0: at once
    sale_closes_at_ms: int  # the start of the performance unless set
    max_seats_per_customer: int  # 0: no limit
    hold_ms: int  # how long an unpaid hold lasts
    refund_policy: RefundPolicy = DEFAULT_POLICY  # of the bookings made from here on
    refund_when_moved: bool = True  # who booked before the start is moved may give seats up for nothing until it
    clocks: Clocks = ()  # what days are where it is played
    transferable: bool = True  # customers may hand seats on to others

    def is_closed(self, now_ms: int) -> bool:
        """Whether the sale is over."""
        return now_ms >= self.sale_closes_at_ms


class Event(Struct, frozen=True, gc=False, array_like=True):
    """A fact. `type_name` is its public name."""

    @property
    def type_name(self) -> str:
        return str(self.__struct_config__.tag)


class Opened(Event, frozen=True, tag="schedule.opened"):
    """Always the first event: the schedule exists, with this plan and these terms."""

    plan_digest: str
    terms: Terms


class TermsChanged(Event, frozen=True, tag="schedule.terms_changed"):
    terms: Terms


class Held(Event, frozen=True, tag="reservation.held"):
    booking_id: str
    customer_id: str
    seats: tuple[int, ...]
    prices: tuple[int, ...]
    currency: str
    expires_ms: int


class Extended(Event, frozen=True, tag="reservation.extended"):
    booking_id: str
    expires_ms: int


class Changed(Event, frozen=True, tag="reservation.changed"):
    """The booking's seats were exchanged, all at once."""

    booking_id: str
    seats: tuple[int, ...]
    prices: tuple[int, ...]


class Confirmed(Event, frozen=True, tag="reservation.confirmed"):
    booking_id: str


class Expired(Event, frozen=True, tag="reservation.expired"):
    booking_id: str


class Cancelled(Event, frozen=True, tag="cancellation.completed"):
    booking_id: str
    cancellation_id: str
    reason: str
    by: str


class HandedOn(Event, frozen=True, tag="reservation.handed_on"):
    """Seats of a booking become another customer's, by the next event."""

    booking_id: str
    to_booking_id: str
    seats: tuple[int, ...]


class TakenOver(Event, frozen=True, tag="reservation.taken_over"):
    """A customer has seats that were another's, by a booking of their own. Who paid for them has paid."""

    booking_id: str
    customer_id: str
    from_booking_id: str
    seats: tuple[int, ...]
    prices: tuple[int, ...]


class PaymentRequested(Event, frozen=True, tag="payment.requested"):
    """Money is about to be asked for: from here on the hold cannot expire until the outcome is known."""

    booking_id: str
    payment_id: str
    amount: int
    provider: str


class PaymentApproved(Event, frozen=True, tag="payment.approved"):
    booking_id: str
    payment_id: str
    reference: str


class PaymentDeclined(Event, frozen=True, tag="payment.declined"):
    booking_id: str
    payment_id: str
    reason: str


class PaymentLate(Event, frozen=True, tag="payment.late"):
    """Money came for a payment that can no longer have its seats: it goes back whole, by the refund named here."""

    booking_id: str
    customer_id: str
    payment_id: str
    amount: int
    currency: str
    provider: str
    reference: str
    refund_id: str


class RefundRequested(Event, frozen=True, tag="refund.requested"):
    """The seats are free again, and from here on their money is owed to the customer."""

    booking_id: str
    refund_id: str
    payment_id: str
    seats: tuple[int, ...]
    amount: int  # what is owed
    fee: int  # what is kept
    currency: str
    reason: str
    by: str
    prices: tuple[int, ...] = ()  # what each of `seats` had cost
    fees: tuple[int, ...] = ()  # what of it is kept


class Refunded(Event, frozen=True, tag="payment.refunded"):
    """The provider gives the money back."""

    booking_id: str
    refund_id: str
    payment_id: str
    amount: int
    currency: str
    reference: str


class ScheduleCancelled(Event, frozen=True, tag="schedule.cancelled"):
    """The performance will not take place: nothing is sold any more, and every booking is to be ended."""

    reason: str
    by: str


class Withdrawn(Event, frozen=True, tag="schedule.withdrawn"):
    """The schedule was taken out of the catalogue, for good: nobody may book or pay there any more."""

    by: str


class PlanChanged(Event, frozen=True, tag="schedule.plan_changed"):
    """The house's plan was corrected: from here on places are numbered by this one.

    Nobody holds or owns a place that is gone or called otherwise, so whoever has seats keeps them under their ids.
    """

    plan_number: int
    plan_digest: str
    terms: Terms  # with a price for each of its categories


class Blocked(Event, frozen=True, tag="seats.blocked"):
    seats: tuple[int, ...]
    reason: str
    by: str


class Unblocked(Event, frozen=True, tag="seats.unblocked"):
    seats: tuple[int, ...]
    by: str


AnyEvent = (
    Opened
    | TermsChanged
    | Held
    | Extended
    | Changed
    | Confirmed
    | Expired
    | Cancelled
    | HandedOn
    | TakenOver
    | PaymentRequested
    | PaymentApproved
    | PaymentDeclined
    | PaymentLate
    | RefundRequested
    | Refunded
    | ScheduleCancelled
    | Withdrawn
    | PlanChanged
    | Blocked
    | Unblocked
)


class Record(Struct, frozen=True, gc=False, array_like=True):
    """One line of the journal: an event with its place, its time and the request that caused it."""

    seq: int  # 1, 2, 3 … per schedule, without gaps
    at_ms: int
    event: AnyEvent
    request_id: str = ""  # empty: nobody asked (an expiry)
    fingerprint: str = ""  # of the request's body: tells a repeated request from a reused key


encode_event = msgspec.msgpack.Encoder().encode
decode_event = msgspec.msgpack.Decoder(AnyEvent).decode
