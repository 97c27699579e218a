"""A schedule in memory: seat states in compact arrays, live bookings, and what must be remembered to answer repeats.

`apply` is the only thing that changes a `ScheduleState`, one journal record at a time; replaying a journal through it
gives the same state on every machine, for ever. It never refuses: what is in the journal has happened.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from engine import events
from engine.allocate import FreeSeats
from engine.booking import Booking, Ending, Status, can_expire, is_paying
from engine.events import Record, Terms
from engine.payment import MOVES, Move, Payment, PaymentStatus, Refund, RefundStatus
from engine.recent import Recent
from engine.refund_policy import RefundPolicy
from engine.seating_plan import BLOCKED as BLOCKED
from engine.seating_plan import FREE as FREE
from engine.seating_plan import HELD as HELD
from engine.seating_plan import SOLD as SOLD
from engine.seating_plan import SeatingPlan, carried, renumbering

# Accepted requests remembered per schedule: a house of 15,000 sells out, payments included, well within it, and the
# memory stays below 50 MB.
REQUESTS_REMEMBERED = 65_536
# Ended bookings kept to tell "already cancelled" from "unknown" without a query; older ones are in the tables.
ENDED_REMEMBERED = 16_384


class Done(Struct, frozen=True, gc=False, array_like=True, tag="done"):
    """The answer to a command that concerns no single booking."""

    version: int


Answer = Booking | Done


class Remembered(Struct, frozen=True, gc=False, array_like=True):
    """What an accepted request was answered, and the fingerprint that tells a repeat from a reused key."""

    fingerprint: str
    answer: Booking | int  # an int is the version of a `Done`


class ScheduleState:
    """Everything the schedule's owner knows. Read freely; change it through `apply` alone."""

    __slots__ = (
        "areas",
        "bookings",
        "cancelled",
        "deadlines",
        "dirty",
        "ended",
        "families",
        "free",
        "moved_ms",
        "moving_promises",
        "pending_payments",
        "pending_refunds",
        "places_of",
        "plan",
        "policies",
        "requests",
        "seats",
        "seq",
        "terms",
        "touched",
        "withdrawn",
        "withheld",
    )

    def __init__(self, plan: SeatingPlan) -> None:
        self.plan = plan
        self.seq = 0
        self.terms: Terms | None = None  # set by the first event, `Opened`
        self.policies: list[tuple[int, RefundPolicy]] = []  # from when on each was promised, oldest first
        self.moving_promises: list[tuple[int, bool]] = []  # the same of `refund_when_moved`
        self.moved_ms = 0  # when the start was moved last; 0: never
        self.cancelled: Ending | None = None  # the performance will not take place
        self.withdrawn: Ending | None = None  # out of the catalogue for good
        self.seats = bytearray(plan.size)  # FREE | HELD | SOLD | BLOCKED per seat index
        # Places per standing area, counted by the same four states: areas[k][FREE] are left.
        self.areas: list[list[int]] = [[area.capacity, 0, 0, 0] for area in plan.areas]
        self.bookings: dict[str, Booking] = {}  # those that own seats
        self.ended: Recent[Booking] = Recent()
        self.requests: Recent[Remembered] = Recent()
        self.pending_refunds: dict[str, str] = {}  # refund not yet confirmed → its booking
        # Derived from the above, never stored:
        self.free = FreeSeats(plan)  # and for sale
        self.withheld: frozenset[int] = frozenset()  # categories that are not for sale
        self.places_of: dict[str, int] = {}  # customer → places owned
        self.families: dict[str, set[str]] = {}  # booking that was paid for → live ones whose seats have come from it
        self.deadlines: list[tuple[int, str]] = []  # a heap of (expires_ms, booking id), with outdated entries
        self.pending_payments: dict[str, int] = {}  # booking id → requested_ms, oldest first
        self.dirty: set[int] = set()  # places that changed since somebody showed them to readers and cleared this
        self.touched: set[str] = set()  # bookings that changed since `snapshot.Fingerprint` cleared this

    @property
    def on(self) -> Terms:
        """The terms of sale; a schedule without its first event is a bug."""
        assert self.terms is not None, "the journal does not start with schedule.opened"
        return self.terms

    def find(self, booking_id: str) -> Booking | None:
        """The booking, live or ended; None too for one that ended so long ago that only the tables know it."""
        return self.bookings.get(booking_id) or self.ended.get(booking_id)

    def policy_of(self, booking: Booking) -> RefundPolicy:
        """The refund policy its customer was promised: the one in force when the booking was made.

        Many commands share a millisecond; of a change in the booking's own the customer cannot have known.
        """
        return _promised(self.policies, booking)

    def moved_for(self, booking: Booking) -> bool:
        """Whether its customer booked before the start was moved, and was promised all the money back in that case."""
        return booking.created_ms <= self.moved_ms and _promised(self.moving_promises, booking)

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
        """What the place costs today, in minor units; it must be for sale."""
        price = self.on.prices[self.plan.categories[self.plan.category_of[index]]]
        assert price is not None, "a place that is not for sale has no price"
        return price

    def withhold(self) -> None:
        """Brings the index of free seats to what the terms say is for sale."""
        categories, prices = self.plan.categories, self.on.prices
        self.withheld = frozenset(number for number, name in enumerate(categories) if prices.get(name) is None)
        seats = bytes(self.seats)
        if self.withheld:
            of_each = zip(seats, self.plan.category_of, strict=False)  # `category_of` goes on with the areas'
            seats = bytes(BLOCKED if category in self.withheld else seat for seat, category in of_each)
        self.free.restore(seats)

    def mark(self, places: tuple[int, ...], was: int, now: int) -> None:
        """Moves places from one state to another, in the arrays and in the index of free seats."""
        size, seats, free = self.plan.size, self.seats, self.free
        withheld, category_of = self.withheld, self.plan.category_of
        self.dirty.update(places)
        for index in places:
            if index >= size:
                counts = self.areas[index - size]
                counts[was] -= 1
                counts[now] += 1
                continue
            seats[index] = now
            if withheld and category_of[index] in withheld:
                continue
            if now == FREE:
                free.give(index)
            elif was == FREE:
                free.take(index)

    def watch(self, booking: Booking) -> None:
        """Enters a live booking into what is derived from it; `deadlines` becomes a heap only when all are in."""
        self.places_of[booking.customer_id] = self.places_of.get(booking.customer_id, 0) + len(booking.seats)
        if booking.origin:
            self.families.setdefault(booking.origin, set()).add(booking.id)
        if can_expire(booking):
            self.deadlines.append((booking.expires_ms, booking.id))
        if booking.payment is not None and is_paying(booking):
            self.pending_payments[booking.id] = booking.payment.requested_ms

    def _count(self, customer_id: str, places: int) -> None:
        left = self.places_of.get(customer_id, 0) + places
        if left:
            self.places_of[customer_id] = left
        else:
            self.places_of.pop(customer_id, None)


PromiseT = TypeVar("PromiseT")


def _promised(history: list[tuple[int, PromiseT]], booking: Booking) -> PromiseT:
    """What was in force before the booking was made; for one that was made at once, what came first."""
    promised = [promise for since_ms, promise in history if since_ms < booking.created_ms]
    return promised[-1] if promised else history[0][1]


def apply(state: ScheduleState, record: Record) -> Booking | None:
    """Makes one fact true. Returns the booking it made or changed, if it concerns one."""
    assert record.seq == state.seq + 1, f"record {record.seq} does not follow {state.seq}"
    state.seq = record.seq
    booking = _APPLY[type(record.event)](state, record, record.event)
    if booking is not None:
        state.touched.add(booking.id)
    if record.request_id:
        answer = record.seq if booking is None else booking
        state.requests.remember(record.request_id, Remembered(record.fingerprint, answer), REQUESTS_REMEMBERED)
    return booking


def _opened(state: ScheduleState, record: Record, event: events.Opened) -> None:
    assert event.plan_digest == state.plan.digest, "the journal belongs to another seating plan"
    _set_terms(state, record.at_ms, event.terms)


def _terms_changed(state: ScheduleState, record: Record, event: events.TermsChanged) -> None:
    _set_terms(state, record.at_ms, event.terms)


def _set_terms(state: ScheduleState, at_ms: int, terms: Terms) -> None:
    before, state.terms = state.terms, terms
    if before is not None and before.starts_at_ms != terms.starts_at_ms:
        state.moved_ms = at_ms
    if not state.moving_promises or state.moving_promises[-1][1] != terms.refund_when_moved:
        state.moving_promises.append((at_ms, terms.refund_when_moved))
    if (set() if before is None else _withheld(before)) != _withheld(terms):
        state.withhold()
    if not state.policies or state.policies[-1][1] != terms.refund_policy:
        state.policies.append((at_ms, terms.refund_policy))


def _withheld(terms: Terms) -> set[str]:
    return {name for name, price in terms.prices.items() if price is None}


def _plan_changed(state: ScheduleState, record: Record, event: events.PlanChanged) -> None:
    before, plan = state.plan, state.plan.numbered(event.plan_number)
    assert plan.digest == event.plan_digest, "the journal goes on by another seating plan"
    to = renumbering(before, plan)
    state.plan, state.free = plan, FreeSeats(plan)
    state.seats, state.areas = carried(before, plan, to, state.seats, state.areas)
    state.bookings = {booking.id: _renumbered(booking, to) for booking in state.bookings.values()}
    state.ended.restore([(booking.id, _renumbered(booking, to)) for booking in state.ended.values()])
    state.requests.restore(
        [
            (key, kept if isinstance(kept.answer, int) else replace(kept, answer=_renumbered(kept.answer, to)))
            for key, kept in state.requests.items()
        ]
    )
    state.dirty = set(range(len(plan.zone_of)))
    state.touched.update(state.bookings)
    _set_terms(state, record.at_ms, event.terms)
    state.withhold()


def _renumbered(booking: Booking, to: Sequence[int]) -> Booking:
    """The same seats by the numbers of another plan."""
    return replace(
        booking,
        seats=tuple([to[index] for index in booking.seats]),
        refunds=tuple(replace(each, seats=tuple([to[index] for index in each.seats])) for each in booking.refunds),
    )


def _withdrawn(state: ScheduleState, record: Record, event: events.Withdrawn) -> None:
    state.withdrawn = Ending("", record.at_ms, by=event.by)


def _schedule_cancelled(state: ScheduleState, record: Record, event: events.ScheduleCancelled) -> None:
    state.cancelled = Ending("", record.at_ms, event.reason, event.by)


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
    state.places_of[booking.customer_id] = state.places_of.get(booking.customer_id, 0) + len(event.seats)
    heapq.heappush(state.deadlines, (booking.expires_ms, booking.id))
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


def _end(state: ScheduleState, before: Booking, status: Status, ending: Ending, seq: int) -> Booking:
    del state.bookings[before.id]
    if before.origin:
        state.families[before.origin].discard(before.id)
    state.mark(before.seats, HELD if before.status is Status.HELD else SOLD, FREE)
    state._count(before.customer_id, -len(before.seats))
    booking = replace(before, status=status, ending=ending, version=seq)
    state.ended.remember(booking.id, booking, ENDED_REMEMBERED)
    return booking


def _handed_on(state: ScheduleState, record: Record, event: events.HandedOn) -> Booking:
    before = state.bookings[event.booking_id]
    left = without(before, event.seats)
    if not left:
        ending = Ending(event.to_booking_id, record.at_ms, by="customer")
        return _end(state, before, Status.TRANSFERRED, ending, record.seq)
    state.mark(event.seats, SOLD, FREE)
    state._count(before.customer_id, -len(event.seats))
    seats, prices = zip(*left, strict=True)
    return _keep(state, replace(before, seats=seats, prices=prices, version=record.seq))


def _taken_over(state: ScheduleState, record: Record, event: events.TakenOver) -> Booking:
    source = state.find(event.from_booking_id)
    assert source is not None, "seats are handed on by the event before"
    booking = Booking(
        event.booking_id,
        event.customer_id,
        Status.CONFIRMED,
        event.seats,
        event.prices,
        source.currency,
        source.created_ms,
        0,
        record.seq,
        payment=source.payment,
        origin=source.origin or source.id,
        payer=source.payer or source.customer_id,
    )
    state.mark(event.seats, FREE, SOLD)
    state.bookings[booking.id] = booking
    state.watch(booking)
    return booking


def _kin(state: ScheduleState, booking: Booking) -> list[Booking]:
    """The other live bookings whose seats were paid for together with this one's."""
    origin = booking.origin or booking.id
    ids = {*state.families.get(origin, ()), origin} - {booking.id}
    return [each for key in sorted(ids) if (each := state.bookings.get(key)) is not None and each.payment is not None]


def _expired(state: ScheduleState, record: Record, event: events.Expired) -> Booking:
    ending = Ending("", record.at_ms, by="system")
    return _end(state, state.bookings[event.booking_id], Status.EXPIRED, ending, record.seq)


def _cancelled(state: ScheduleState, record: Record, event: events.Cancelled) -> Booking:
    ending = Ending(event.cancellation_id, record.at_ms, event.reason, event.by)
    return _end(state, state.bookings[event.booking_id], Status.CANCELLED, ending, record.seq)


def _payment_requested(state: ScheduleState, record: Record, event: events.PaymentRequested) -> Booking:
    payment = Payment(event.payment_id, event.amount, PaymentStatus.REQUESTED, record.at_ms, event.provider)
    booking = replace(state.bookings[event.booking_id], payment=payment, version=record.seq)
    state.bookings[booking.id] = booking
    state.pending_payments[booking.id] = record.at_ms
    return booking


def _moved(payment: Payment | None, move: Move, **facts: Any) -> Payment:
    assert payment is not None, "a payment moves only after it was requested"
    return replace(payment, status=MOVES[payment.status][move], **facts)


def _settle(state: ScheduleState, record: Record, booking_id: str, move: Move, **outcome: str) -> Booking:
    before = state.bookings[booking_id]
    payment = _moved(before.payment, move, settled_ms=record.at_ms, **outcome)
    booking = replace(before, payment=payment, version=record.seq)
    state.bookings[booking_id] = booking
    del state.pending_payments[booking_id]
    return booking


def _payment_approved(state: ScheduleState, record: Record, event: events.PaymentApproved) -> Booking:
    return _settle(state, record, event.booking_id, Move.APPROVE, reference=event.reference)


def _payment_declined(state: ScheduleState, record: Record, event: events.PaymentDeclined) -> Booking:
    booking = _settle(state, record, event.booking_id, Move.DECLINE, reason=event.reason)
    heapq.heappush(state.deadlines, (booking.expires_ms, booking.id))  # its time counts again
    return booking


# --- refunds ----------------------------------------------------------------------------------------------------------
def _payment_late(state: ScheduleState, record: Record, event: events.PaymentLate) -> Booking | None:
    state.pending_refunds[event.refund_id] = event.booking_id
    before = state.find(event.booking_id)
    if before is None:
        return None
    refund = Refund(
        event.refund_id, event.payment_id, event.amount, 0, (), RefundStatus.REQUESTED, record.at_ms, "late", "system"
    )
    payment = before.payment
    if payment is not None and payment.id == event.payment_id:
        payment = _moved(payment, Move.RETURN, settled_ms=record.at_ms, reference=event.reference)
    return _keep(state, replace(before, payment=payment, refunds=(*before.refunds, refund), version=record.seq))


def _refund_requested(state: ScheduleState, record: Record, event: events.RefundRequested) -> Booking:
    before = state.bookings[event.booking_id]
    refund = Refund(
        event.refund_id,
        event.payment_id,
        event.amount,
        event.fee,
        event.seats,
        RefundStatus.REQUESTED,
        record.at_ms,
        event.reason,
        event.by,
    )
    state.pending_refunds[refund.id] = before.id
    left = without(before, event.seats)
    kin = _kin(state, before) if state.families else []
    payment = _moved(before.payment, Move.REFUND_PART if left or kin else Move.REFUND_WHOLE)
    for each in kin:
        state.bookings[each.id] = replace(each, payment=payment)
        state.touched.add(each.id)
    before = replace(before, payment=payment, refunds=(*before.refunds, refund))
    if not left:
        ending = Ending(refund.id, record.at_ms, event.reason, event.by)
        return _end(state, before, Status.REFUNDED, ending, record.seq)
    state.mark(event.seats, SOLD, FREE)
    state._count(before.customer_id, -len(event.seats))
    seats, prices = zip(*left, strict=True)
    booking = replace(before, status=Status.PARTIALLY_REFUNDED, seats=seats, prices=prices, version=record.seq)
    return _keep(state, booking)


def _refunded(state: ScheduleState, record: Record, event: events.Refunded) -> Booking | None:
    del state.pending_refunds[event.refund_id]
    before = state.find(event.booking_id)
    if before is None:
        return None
    refunds = tuple(
        replace(refund, status=RefundStatus.COMPLETED, settled_ms=record.at_ms, reference=event.reference)
        if refund.id == event.refund_id
        else refund
        for refund in before.refunds
    )
    return _keep(state, replace(before, refunds=refunds, version=record.seq))


def without(booking: Booking, seats: tuple[int, ...]) -> list[tuple[int, int]]:
    """The booking's places with their prices, less these; of places in standing room the first ones go."""
    gone = Counter(seats)
    left = []
    for index, price in zip(booking.seats, booking.prices, strict=True):
        if gone[index]:
            gone[index] -= 1
        else:
            left.append((index, price))
    return left


def _keep(state: ScheduleState, booking: Booking) -> Booking:
    """Puts a booking back where it was found."""
    (state.bookings if booking.id in state.bookings else state.ended)[booking.id] = booking
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
    events.HandedOn: _handed_on,
    events.TakenOver: _taken_over,
    events.PaymentRequested: _payment_requested,
    events.PaymentApproved: _payment_approved,
    events.PaymentDeclined: _payment_declined,
    events.PaymentLate: _payment_late,
    events.RefundRequested: _refund_requested,
    events.Refunded: _refunded,
    events.ScheduleCancelled: _schedule_cancelled,
    events.Withdrawn: _withdrawn,
    events.PlanChanged: _plan_changed,
    events.Blocked: _blocked,
    events.Unblocked: _unblocked,
}
