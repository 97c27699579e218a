"""A schedule in memory: seat states in compact arrays, live bookings, and what must be remembered to answer repeats.

`apply` is the only thing that changes a `ScheduleState`, one journal record at a time; replaying a journal through it
gives the same state on every machine, for ever. It never refuses: what is in the journal has happened.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engine import events
from engine.allocate import FreeSeats
from engine.booking import Booking, Ending, Payment, PaymentStatus, Status
from engine.events import Record, Terms
from engine.seating_plan import SeatingPlan

FREE, HELD, SOLD, BLOCKED = range(4)

# Accepted requests remembered per schedule: a house of 15,000 sells out, payments included, well within it, and the
# memory stays below 50 MB.
REQUESTS_REMEMBERED = 65_536
# Ended bookings kept to tell "already cancelled" from "unknown" without a query; older ones are in the tables.
ENDED_REMEMBERED = 16_384


class Done(Struct, frozen=True, array_like=True, tag="done"):
    """The answer to a command that concerns no single booking."""

    version: int


Answer = Booking | Done


class Remembered(Struct, frozen=True, array_like=True):
    """What an accepted request was answered, and the fingerprint that tells a repeat from a reused key."""

    fingerprint: str
    answer: Booking | int  # an int is the version of a `Done`


class ScheduleState:
    """Everything the schedule's owner knows. Read freely; change it through `apply` alone."""

    __slots__ = (
        "areas",
        "bookings",
        "deadlines",
        "dirty",
        "ended",
        "free",
        "pending_payments",
        "places_of",
        "plan",
        "requests",
        "seats",
        "seq",
        "terms",
    )

    def __init__(self, plan: SeatingPlan) -> None:
        self.plan = plan
        self.seq = 0
        self.terms: Terms | None = None  # set by the first event, `Opened`
        self.seats = bytearray(plan.size)  # FREE | HELD | SOLD | BLOCKED per seat index
        # Places per standing area, counted by the same four states: areas[k][FREE] are left.
        self.areas: list[list[int]] = [[area.capacity, 0, 0, 0] for area in plan.areas]
        self.bookings: dict[str, Booking] = {}  # those that own seats
        self.ended: OrderedDict[str, Booking] = OrderedDict()
        self.requests: OrderedDict[str, Remembered] = OrderedDict()
        # Derived from the above, never stored:
        self.free = FreeSeats(plan)
        self.places_of: dict[str, int] = {}  # customer → places owned
        self.deadlines: list[tuple[int, str]] = []  # a heap of (expires_ms, booking id), with outdated entries
        self.pending_payments: dict[str, int] = {}  # booking id → requested_ms, oldest first
        self.dirty: set[int] = set()  # places that changed since somebody showed them to readers and cleared this

    @property
    def on(self) -> Terms:
        """The terms of sale; a schedule without its first event is a bug."""
        assert self.terms is not None, "the journal does not start with schedule.opened"
        return self.terms

    def next_deadline_ms(self) -> int | None:
        """When the next hold expires; None while no hold can."""
        heap = self.deadlines
        while heap:
            expires_ms, booking_id = heap[0]
            booking = self.bookings.get(booking_id)
            if booking is not None and booking.expires_ms == expires_ms and can_expire(booking):
                return expires_ms
            heapq.heappop(heap)
        return None

    def oldest_payment_ms(self) -> int | None:
        """When the oldest payment without an outcome was requested."""
        return next(iter(self.pending_payments.values()), None)

    def price_of(self, index: int) -> int:
        """What the place costs today, in minor units."""
        return self.on.prices[self.plan.categories[self.plan.category_of[index]]]

    def mark(self, places: tuple[int, ...], was: int, now: int) -> None:
        """Moves places from one state to another, in the arrays and in the index of free seats."""
        size, seats, free = self.plan.size, self.seats, self.free
        self.dirty.update(places)
        for index in places:
            if index >= size:
                counts = self.areas[index - size]
                counts[was] -= 1
                counts[now] += 1
                continue
            seats[index] = now
            if now == FREE:
                free.give(index)
            elif was == FREE:
                free.take(index)

    def watch(self, booking: Booking) -> None:
        """Enters a live booking into what is derived from it."""
        self.places_of[booking.customer_id] = self.places_of.get(booking.customer_id, 0) + len(booking.seats)
        if can_expire(booking):
            heapq.heappush(self.deadlines, (booking.expires_ms, booking.id))
        if booking.payment is not None and booking.payment.status is PaymentStatus.REQUESTED:
            self.pending_payments[booking.id] = booking.payment.requested_ms

    def _count(self, customer_id: str, places: int) -> None:
        left = self.places_of.get(customer_id, 0) + places
        if left:
            self.places_of[customer_id] = left
        else:
            self.places_of.pop(customer_id, None)


def can_expire(booking: Booking) -> bool:
    """Whether time alone may end the booking: not once confirmed, and not while money may be on its way."""
    paying = booking.payment is not None and booking.payment.status is PaymentStatus.REQUESTED
    return booking.status is Status.HELD and not paying


def apply(state: ScheduleState, record: Record) -> Booking | None:
    """Makes one fact true. Returns the booking it made or changed, if it concerns one."""
    assert record.seq == state.seq + 1, f"record {record.seq} does not follow {state.seq}"
    state.seq = record.seq
    booking = _APPLY[type(record.event)](state, record, record.event)
    if record.request_id:
        answer = record.seq if booking is None else booking
        state.requests[record.request_id] = Remembered(record.fingerprint, answer)
        if len(state.requests) > REQUESTS_REMEMBERED:
            state.requests.popitem(last=False)
    return booking


def _opened(state: ScheduleState, record: Record, event: events.Opened) -> None:
    assert event.plan_digest == state.plan.digest, "the journal belongs to another seating plan"
    state.terms = event.terms


def _terms_changed(state: ScheduleState, record: Record, event: events.TermsChanged) -> None:
    state.terms = event.terms


def _held(state: ScheduleState, record: Record, event: events.Held) -> Booking:
    booking = Booking(
        event.booking_id,
        event.customer_id,
        Status.HELD,
        event.seats,
        event.prices,
        event.currency,
        record.at_ms,
        event.expires_ms,
        record.seq,
    )
    state.mark(event.seats, FREE, HELD)
    state.bookings[booking.id] = booking
    state.watch(booking)
    return booking


def _extended(state: ScheduleState, record: Record, event: events.Extended) -> Booking:
    booking = replace(state.bookings[event.booking_id], expires_ms=event.expires_ms, version=record.seq)
    state.bookings[booking.id] = booking
    heapq.heappush(state.deadlines, (booking.expires_ms, booking.id))
    return booking


def _changed(state: ScheduleState, record: Record, event: events.Changed) -> Booking:
    before = state.bookings[event.booking_id]
    owned = HELD if before.status is Status.HELD else SOLD
    state.mark(before.seats, owned, FREE)
    state.mark(event.seats, FREE, owned)
    state._count(before.customer_id, len(event.seats) - len(before.seats))
    booking = replace(before, seats=event.seats, prices=event.prices, version=record.seq)
    state.bookings[booking.id] = booking
    return booking


def _confirmed(state: ScheduleState, record: Record, event: events.Confirmed) -> Booking:
    booking = replace(state.bookings[event.booking_id], status=Status.CONFIRMED, expires_ms=0, version=record.seq)
    state.mark(booking.seats, HELD, SOLD)
    state.bookings[booking.id] = booking
    return booking


def _end(state: ScheduleState, booking_id: str, status: Status, ending: Ending, seq: int) -> Booking:
    before = state.bookings.pop(booking_id)
    state.mark(before.seats, HELD if before.status is Status.HELD else SOLD, FREE)
    state._count(before.customer_id, -len(before.seats))
    booking = replace(before, status=status, ending=ending, version=seq)
    state.ended[booking.id] = booking
    if len(state.ended) > ENDED_REMEMBERED:
        state.ended.popitem(last=False)
    return booking


def _expired(state: ScheduleState, record: Record, event: events.Expired) -> Booking:
    return _end(state, event.booking_id, Status.EXPIRED, Ending("", record.at_ms, by="system"), record.seq)


def _cancelled(state: ScheduleState, record: Record, event: events.Cancelled) -> Booking:
    ending = Ending(event.cancellation_id, record.at_ms, event.reason, event.by)
    return _end(state, event.booking_id, Status.CANCELLED, ending, record.seq)


def _payment_requested(state: ScheduleState, record: Record, event: events.PaymentRequested) -> Booking:
    payment = Payment(event.payment_id, event.amount, PaymentStatus.REQUESTED, record.at_ms, event.provider)
    booking = replace(state.bookings[event.booking_id], payment=payment, version=record.seq)
    state.bookings[booking.id] = booking
    state.pending_payments[booking.id] = record.at_ms
    return booking


def _settle(state: ScheduleState, record: Record, booking_id: str, **outcome: Any) -> Booking:
    before = state.bookings[booking_id]
    assert before.payment is not None, "a payment is settled only after it was requested"
    payment = replace(before.payment, settled_ms=record.at_ms, **outcome)
    booking = replace(before, payment=payment, version=record.seq)
    state.bookings[booking_id] = booking
    del state.pending_payments[booking_id]
    return booking


def _payment_approved(state: ScheduleState, record: Record, event: events.PaymentApproved) -> Booking:
    return _settle(state, record, event.booking_id, status=PaymentStatus.APPROVED, reference=event.reference)


def _payment_declined(state: ScheduleState, record: Record, event: events.PaymentDeclined) -> Booking:
    booking = _settle(state, record, event.booking_id, status=PaymentStatus.DECLINED, reason=event.reason)
    heapq.heappush(state.deadlines, (booking.expires_ms, booking.id))  # its time counts again
    return booking


def _blocked(state: ScheduleState, record: Record, event: events.Blocked) -> None:
    state.mark(event.seats, FREE, BLOCKED)


def _unblocked(state: ScheduleState, record: Record, event: events.Unblocked) -> None:
    state.mark(event.seats, BLOCKED, FREE)


_APPLY: dict[type[events.Event], Callable[[ScheduleState, Record, Any], Booking | None]] = {
    events.Opened: _opened,
    events.TermsChanged: _terms_changed,
    events.Held: _held,
    events.Extended: _extended,
    events.Changed: _changed,
    events.Confirmed: _confirmed,
    events.Expired: _expired,
    events.Cancelled: _cancelled,
    events.PaymentRequested: _payment_requested,
    events.PaymentApproved: _payment_approved,
    events.PaymentDeclined: _payment_declined,
    events.Blocked: _blocked,
    events.Unblocked: _unblocked,
}
