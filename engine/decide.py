"""Commands in, events or a refusal out. `decide` changes nothing; every rule of the sale stands in this file, once.

A group is all or nothing, a refusal carries what its sender needs to go on, and no rule refuses a sale for the sake of
a tidier house.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from engine import commands, events, refund_policy
from engine.booking import Booking, Status, can_expire, is_over, is_paying
from engine.events import AnyEvent
from engine.payment import MOVES, Move
from engine.refusals import Code, Refusal, Why
from engine.state import BLOCKED, FREE, ScheduleState

# More in one booking is no longer a group of friends; it also bounds what one command can cost.
MAX_PLACES_PER_BOOKING = 100
# A hold can be extended until this many hold times after it was made.
MAX_HOLD_TIMES = 2

Decision = tuple[AnyEvent, ...] | Refusal


def decide(state: ScheduleState, command: commands.AnyCommand, now_ms: int) -> Decision:
    """What the command leads to. Holds whose time is up must have been expired before (see `turn.execute`)."""
    if state.withdrawn is not None and type(command) not in STILL_TAKEN:
        return Refusal(Code.SCHEDULE_NOT_FOUND)
    return _DECIDE[type(command)](state, command, now_ms)


# What ends what there is, gives money back or says that it has moved; a schedule that was withdrawn takes nothing else.
STILL_TAKEN = frozenset(
    {
        commands.Cancel,
        commands.Expire,
        commands.ApprovePayment,
        commands.DeclinePayment,
        commands.ReturnPayment,
        commands.Refund,
        commands.CompleteRefund,
        commands.EndBookings,
    }
)


def _called_off(state: ScheduleState) -> Refusal | None:
    """Why nothing about the sale is changed any more: the performance is cancelled."""
    return None if state.cancelled is None else Refusal(Code.SCHEDULE_CANCELLED, at_ms=state.cancelled.at_ms)


def _off(state: ScheduleState, now_ms: int) -> Refusal | None:
    """Why nobody pays, confirms, prolongs or blocks anything any more: the performance is cancelled, or has begun."""
    if (refusal := _called_off(state)) is not None:
        return refusal
    if now_ms >= state.on.starts_at_ms:
        return Refusal(Code.SALE_CLOSED, at_ms=state.on.starts_at_ms)
    return None


# --- holds ------------------------------------------------------------------------------------------------------------
def _sale_window(state: ScheduleState, now_ms: int) -> Refusal | None:
    terms = state.on
    if (refusal := _off(state, now_ms)) is not None:
        return refusal
    if now_ms < terms.sale_opens_at_ms:
        return Refusal(Code.SALE_NOT_OPEN, at_ms=terms.sale_opens_at_ms)
    if terms.is_closed(now_ms):
        return Refusal(Code.SALE_CLOSED, at_ms=terms.sale_closes_at_ms)
    return None


def _customer_limit(state: ScheduleState, customer_id: str, more: int, *, for_many: bool = False) -> Refusal | None:
    limit = 0 if for_many else state.on.max_seats_per_customer
    if limit and (owned := state.places_of.get(customer_id, 0)) + more > limit:
        return Refusal(Code.CUSTOMER_LIMIT_REACHED, limit=limit, available=max(limit - owned, 0))
    return None


def _indexes(state: ScheduleState, seats: tuple[str, ...]) -> tuple[int, ...] | Refusal:
    """The plan indexes of the seat ids, in their order."""
    if not 1 <= len(seats) <= MAX_PLACES_PER_BOOKING:
        return Refusal(Code.INVALID_QUANTITY, limit=MAX_PLACES_PER_BOOKING)
    index_of = state.plan.index
    try:
        places = tuple(map(index_of.__getitem__, seats))
    except KeyError:
        return Refusal(Code.UNKNOWN_SEAT, seats=tuple(seat for seat in seats if seat not in index_of))
    return _named_twice(state, places) or places


def _named_twice(state: ScheduleState, places: tuple[int, ...]) -> Refusal | None:
    """The refusal that names the seats named more than once, if there are any; of a standing area each is a place."""
    if len(places) < 2 or len(set(places)) == len(places):
        return None
    size = state.plan.size
    twice = [index for index in dict.fromkeys(places) if index < size and places.count(index) > 1]
    return Refusal(Code.DUPLICATE_SEAT, seats=tuple(state.plan.ids[index] for index in twice)) if twice else None


def _not_in_state(state: ScheduleState, places: tuple[int, ...], wanted: int) -> tuple[str, ...]:
    """The ids of those places that are not in the wanted state; a standing area counts as one place too many."""
    size, seats = state.plan.size, state.seats
    for index in places:
        if index >= size or seats[index] != wanted:
            break
    else:
        return ()  # as a rule: numbered seats, and all is well
    ids = state.plan.ids
    wrong = [ids[index] for index in places if index < size and seats[index] != wanted]
    standing = [index for index in dict.fromkeys(places) if index >= size]
    wrong += [ids[index] for index in standing if state.areas[index - size][wanted] < places.count(index)]
    return tuple(wrong)


def _not_for_sale(state: ScheduleState, places: tuple[int, ...]) -> tuple[str, ...]:
    """The ids of those places whose category has no price."""
    if not state.withheld:
        return ()
    plan = state.plan
    return tuple(plan.ids[index] for index in dict.fromkeys(places) if plan.category_of[index] in state.withheld)


def _hold(state: ScheduleState, booking_id: str, customer_id: str, places: tuple[int, ...], now_ms: int) -> Decision:
    terms, plan = state.on, state.plan
    price, name, category_of = terms.prices, plan.categories, plan.category_of
    prices = tuple([price[name[category_of[index]]] or 0 for index in places])  # all of them are for sale
    expires_ms = now_ms + terms.hold_ms
    if expires_ms > terms.starts_at_ms:  # nobody pays for a seat in a house that is already playing
        expires_ms = min(expires_ms, max(terms.starts_at_ms, now_ms + 1))
    return (events.Held(booking_id, customer_id, places, prices, terms.currency, expires_ms),)


def _hold_seats(state: ScheduleState, command: commands.HoldSeats, now_ms: int) -> Decision:
    if (refusal := _sale_window(state, now_ms)) is not None:
        return refusal
    places = _indexes(state, command.seats)
    if isinstance(places, Refusal):
        return places
    if taken := _not_in_state(state, places, FREE) or _not_for_sale(state, places):
        return Refusal(Code.SEATS_UNAVAILABLE, seats=taken)
    if (refusal := _customer_limit(state, command.customer_id, len(places), for_many=command.for_many)) is not None:
        return refusal
    return _hold(state, command.booking_id, command.customer_id, places, now_ms)


def _hold_best(state: ScheduleState, command: commands.HoldBest, now_ms: int) -> Decision:
    if (refusal := _sale_window(state, now_ms)) is not None:
        return refusal
    if not 1 <= command.quantity <= MAX_PLACES_PER_BOOKING:
        return Refusal(Code.INVALID_QUANTITY, limit=MAX_PLACES_PER_BOOKING)
    places = _best(state, command) if not command.exclude else _best_but(state, command, ())
    if isinstance(places, Refusal):
        return places
    if (refusal := _customer_limit(state, command.customer_id, len(places), for_many=command.for_many)) is not None:
        return refusal
    return _hold(state, command.booking_id, command.customer_id, places, now_ms)


def _best(
    state: ScheduleState, wish: commands.HoldBest | commands.ChangeBest, own: tuple[int, ...] = ()
) -> tuple[int, ...] | Refusal:
    """The best places there are for the wish. Those in standing areas that are the customer's `own` count as free."""
    plan, category, zone = state.plan, None, None
    if wish.category is not None and (category := plan.category_number(wish.category)) is None:
        return Refusal(Code.UNKNOWN_CATEGORY)
    if wish.zone is not None and (zone := plan.zone_number(wish.zone)) is None:
        return Refusal(Code.UNKNOWN_ZONE)
    places = state.free.best(wish.quantity, category, zone, wish.adjacent)
    if places is None:
        places = _standing(state, wish, category, zone, own)
    if places is None:
        return Refusal(Code.NOT_ENOUGH_SEATS, available=_available(state, wish, category, zone, own))
    return places


def _best_but(
    state: ScheduleState, wish: commands.HoldBest | commands.ChangeBest, own: tuple[int, ...]
) -> tuple[int, ...] | Refusal:
    """The best places besides those that are excluded, the customer's own among the free ones."""
    index_of, size, free = state.plan.index, state.plan.size, state.free
    excluded = {index for seat in wish.exclude if (index := index_of.get(seat, size)) < size}
    given = [index for index in own if index < size and index not in excluded]
    with free.supposing(given, [index for index in excluded if free.is_free(index)]):
        return _best(state, wish, own)


def _areas(state: ScheduleState, category: int | None, zone: int | None) -> list[int]:
    """The plan indexes of the standing areas the filter lets through."""
    plan = state.plan
    return [
        index
        for index in range(plan.size, plan.size + len(plan.areas))
        if category in (None, plan.category_of[index])
        and zone in (None, plan.zone_of[index])
        and plan.category_of[index] not in state.withheld
    ]


def _standing(
    state: ScheduleState,
    wish: commands.HoldBest | commands.ChangeBest,
    category: int | None,
    zone: int | None,
    own: tuple[int, ...],
) -> tuple[int, ...] | None:
    """The group stays together: one area, the first in the plan that has room for all."""
    for index in _areas(state, category, zone):
        if _room(state, wish, index, own) >= wish.quantity:
            return (index,) * wish.quantity
    return None


def _room(state: ScheduleState, wish: commands.HoldBest | commands.ChangeBest, index: int, own: tuple[int, ...]) -> int:
    if wish.exclude and state.plan.ids[index] in wish.exclude:
        return 0
    return state.areas[index - state.plan.size][FREE] + own.count(index)


def _available(
    state: ScheduleState,
    wish: commands.HoldBest | commands.ChangeBest,
    category: int | None,
    zone: int | None,
    own: tuple[int, ...],
) -> int:
    """The largest quantity that the same wish would have been granted for."""
    seated = state.free.longest_run(category, zone) if wish.adjacent else state.free.count(category, zone)
    return max([seated, *(_room(state, wish, index, own) for index in _areas(state, category, zone))])


# --- bookings ---------------------------------------------------------------------------------------------------------
def _owned(state: ScheduleState, booking_id: str, customer_id: str, now_ms: int) -> Booking | Refusal:
    """The live booking, if it is this customer's (an empty id asks for anybody's)."""
    booking = state.find(booking_id)
    if booking is None or customer_id not in ("", booking.customer_id):
        return Refusal(Code.BOOKING_NOT_FOUND)
    if booking.status is Status.TRANSFERRED:
        return Refusal(Code.BOOKING_TRANSFERRED)
    if booking.status in (Status.CANCELLED, Status.REFUNDED):
        return Refusal(Code.BOOKING_ALREADY_CANCELLED)
    if booking.status is Status.EXPIRED or is_over(booking, now_ms):
        return Refusal(Code.BOOKING_EXPIRED)
    return booking


def _extend(state: ScheduleState, command: commands.Extend, now_ms: int) -> Decision:
    booking = _owned(state, command.booking_id, command.customer_id, now_ms)
    if isinstance(booking, Refusal):
        return booking
    if booking.status is not Status.HELD:
        return Refusal(Code.BOOKING_NOT_CHANGEABLE, reason=Why.PAID)
    if (refusal := _off(state, now_ms)) is not None:
        return refusal
    terms = state.on
    latest_ms = min(booking.created_ms + MAX_HOLD_TIMES * terms.hold_ms, terms.starts_at_ms)
    expires_ms = min(now_ms + terms.hold_ms, latest_ms)
    if expires_ms <= booking.expires_ms:
        return Refusal(Code.BOOKING_NOT_CHANGEABLE, at_ms=booking.expires_ms, reason=Why.LONGEST)
    return (events.Extended(booking.id, expires_ms),)


def _change(state: ScheduleState, command: commands.Change, now_ms: int) -> Decision:
    booking = _owned(state, command.booking_id, command.customer_id, now_ms)
    if isinstance(booking, Refusal):
        return booking
    if (refusal := _sale_window(state, now_ms)) is not None:
        return refusal
    if is_paying(booking):
        return Refusal(Code.PAYMENT_IN_PROGRESS)
    places = _indexes(state, command.seats)
    if isinstance(places, Refusal):
        return places
    wanted = places  # those not the customer's already
    if not set(places).isdisjoint(booking.seats):
        wanted = tuple((Counter(places) - Counter(booking.seats)).elements())
    if taken := _not_in_state(state, wanted, FREE) or _not_for_sale(state, wanted):
        return Refusal(Code.SEATS_UNAVAILABLE, seats=taken)
    more = len(places) - len(booking.seats)
    # A limit that was lowered since takes away nothing that somebody has.
    if (
        more > 0
        and (refusal := _customer_limit(state, booking.customer_id, more, for_many=command.for_many)) is not None
    ):
        return refusal
    kept = _prices_paid(booking)
    # A seat that stays keeps its price; of places in standing room as many as stay.
    prices = tuple(kept[index].pop(0) if kept.get(index) else state.price_of(index) for index in places)
    if booking.sold and sum(prices) != booking.amount:
        return Refusal(Code.BOOKING_NOT_CHANGEABLE, reason=Why.OTHER_PRICE)
    return (events.Changed(booking.id, places, prices),)


def _change_best(state: ScheduleState, command: commands.ChangeBest, now_ms: int) -> Decision:
    booking = _owned(state, command.booking_id, command.customer_id, now_ms)
    if isinstance(booking, Refusal):
        return booking
    if (refusal := _sale_window(state, now_ms)) is not None:
        return refusal
    if not 1 <= command.quantity <= MAX_PLACES_PER_BOOKING:
        return Refusal(Code.INVALID_QUANTITY, limit=MAX_PLACES_PER_BOOKING)
    plan = state.plan
    if command.category is None and len({plan.category_of[index] for index in booking.seats}) == 1:
        same = plan.categories[plan.category_of[booking.seats[0]]]
        command = msgspec.structs.replace(command, category=same)
    places = _best_but(state, command, booking.seats)
    if isinstance(places, Refusal):
        return places
    seats = tuple(plan.ids[index] for index in places)
    return _change(state, commands.Change(command.booking_id, command.customer_id, seats, command.for_many), now_ms)


def _prices_paid(booking: Booking) -> dict[int, list[int]]:
    """What each of its places cost, in order: places in standing room share an index and may differ in price."""
    prices: dict[int, list[int]] = {}
    for index, price in zip(booking.seats, booking.prices, strict=True):
        prices.setdefault(index, []).append(price)
    return prices


def _confirm(state: ScheduleState, command: commands.Confirm, now_ms: int) -> Decision:
    booking = _owned(state, command.booking_id, command.customer_id, now_ms)
    if isinstance(booking, Refusal):
        return booking
    if booking.sold:
        return Refusal(Code.BOOKING_ALREADY_PAID)
    if (refusal := _off(state, now_ms)) is not None:
        return refusal
    if is_paying(booking):
        return Refusal(Code.PAYMENT_IN_PROGRESS)
    if booking.amount:
        return Refusal(Code.PAYMENT_REQUIRED)
    return (events.Confirmed(booking.id),)


def _cancel(state: ScheduleState, command: commands.Cancel, now_ms: int) -> Decision:
    booking = _owned(state, command.booking_id, command.customer_id, now_ms)
    if isinstance(booking, Refusal):
        return booking
    if is_paying(booking):
        return Refusal(Code.PAYMENT_IN_PROGRESS)
    if booking.sold and booking.amount:
        return Refusal(Code.BOOKING_PAID)
    if booking.sold and command.customer_id and now_ms >= state.on.starts_at_ms:
        return Refusal(Code.BOOKING_NOT_CHANGEABLE, at_ms=state.on.starts_at_ms, reason=Why.BEGUN)
    return (events.Cancelled(booking.id, command.cancellation_id, command.reason, command.by),)


def _transfer(state: ScheduleState, command: commands.Transfer, now_ms: int) -> Decision:
    booking = _owned(state, command.booking_id, command.customer_id, now_ms)
    if isinstance(booking, Refusal):
        return booking
    if (refusal := _off(state, now_ms)) is not None:
        return refusal
    known = state.find(command.to_booking_id) is not None
    if not booking.sold or not state.on.transferable or command.to_customer_id == booking.customer_id or known:
        return Refusal(Code.TRANSFER_NOT_ALLOWED)
    places = _indexes(state, command.seats) if command.seats else booking.seats
    if isinstance(places, Refusal):
        return places
    if extra := Counter(places) - Counter(booking.seats):
        return Refusal(Code.TRANSFER_NOT_ALLOWED, seats=tuple(state.plan.ids[index] for index in extra))
    if (refusal := _customer_limit(state, command.to_customer_id, len(places))) is not None:
        return refusal
    paid = _prices_paid(booking)
    prices = tuple(paid[index].pop(0) for index in places)
    return (
        events.HandedOn(booking.id, command.to_booking_id, places),
        events.TakenOver(command.to_booking_id, command.to_customer_id, booking.id, places, prices),
    )


def _expire(state: ScheduleState, command: commands.Expire, now_ms: int) -> Decision:
    due: dict[str, int] = {}
    heap, branches = state.deadlines, [0]
    while branches:  # walks only that top of the heap which is due, and leaves the heap as it is
        position = branches.pop()
        if position < len(heap) and heap[position][0] <= now_ms:
            expires_ms, booking_id = heap[position]
            booking = state.bookings.get(booking_id)
            if booking is not None and booking.expires_ms == expires_ms and can_expire(booking):
                due[booking_id] = expires_ms
            branches += (2 * position + 1, 2 * position + 2)
    return tuple(events.Expired(booking_id) for booking_id in sorted(due, key=lambda each: (due[each], each)))


# --- payments ---------------------------------------------------------------------------------------------------------
def _request_payment(state: ScheduleState, command: commands.RequestPayment, now_ms: int) -> Decision:
    booking = _owned(state, command.booking_id, command.customer_id, now_ms)
    if isinstance(booking, Refusal):
        return booking
    if booking.sold:
        return Refusal(Code.BOOKING_ALREADY_PAID)
    if (refusal := _off(state, now_ms)) is not None:
        return refusal
    if is_paying(booking):
        return Refusal(Code.PAYMENT_IN_PROGRESS)
    return (events.PaymentRequested(booking.id, command.payment_id, booking.amount, command.provider),)


def _payment(state: ScheduleState, booking_id: str, payment_id: str, move: Move) -> Refusal | None:
    booking = state.bookings.get(booking_id)
    if booking is None or booking.payment is None or booking.payment.id != payment_id:
        return Refusal(Code.PAYMENT_NOT_FOUND)
    if move not in MOVES[booking.payment.status]:
        return Refusal(Code.PAYMENT_ALREADY_SETTLED)
    return None


def _approve_payment(state: ScheduleState, command: commands.ApprovePayment, now_ms: int) -> Decision:
    if (refusal := _payment(state, command.booking_id, command.payment_id, Move.APPROVE)) is not None:
        return refusal
    return (
        events.PaymentApproved(command.booking_id, command.payment_id, command.reference),
        events.Confirmed(command.booking_id),
    )


def _decline_payment(state: ScheduleState, command: commands.DeclinePayment, now_ms: int) -> Decision:
    if (refusal := _payment(state, command.booking_id, command.payment_id, Move.DECLINE)) is not None:
        return refusal
    return (events.PaymentDeclined(command.booking_id, command.payment_id, command.reason),)


def _return_payment(state: ScheduleState, command: commands.ReturnPayment, now_ms: int) -> Decision:
    booking = state.find(command.booking_id)
    if booking is not None:
        if any(refund.payment_id == command.payment_id for refund in booking.refunds):
            return Refusal(Code.ALREADY_REFUNDED)
        payment = booking.payment
        if payment is not None and payment.id == command.payment_id and Move.RETURN not in MOVES[payment.status]:
            return Refusal(Code.PAYMENT_IN_PROGRESS if is_paying(booking) else Code.PAYMENT_ALREADY_SETTLED)
    if command.refund_id in state.pending_refunds:
        return Refusal(Code.ALREADY_REFUNDED)
    return (
        events.PaymentLate(
            command.booking_id,
            command.customer_id,
            command.payment_id,
            command.amount,
            command.currency,
            command.provider,
            command.reference,
            command.refund_id,
        ),
    )


# --- refunds ----------------------------------------------------------------------------------------------------------
def _refund(state: ScheduleState, command: commands.Refund, now_ms: int) -> Decision:
    booking = state.find(command.booking_id)
    if booking is None or command.customer_id not in ("", booking.customer_id):
        return Refusal(Code.BOOKING_NOT_FOUND)
    payment = booking.payment
    # What cost nothing goes with the paid seats of its booking, then or later; where nothing was paid it is cancelled.
    given_back = [each for each in booking.refunds if each.payment_id == command.payment_id]
    if not booking.sold or payment is None or payment.id != command.payment_id or not payment.amount:
        if booking.status is Status.TRANSFERRED:
            return Refusal(Code.NOT_REFUNDABLE, reason=Why.HANDED_ON)
        last = given_back[-1] if given_back else None
        return Refusal(Code.NOT_REFUNDABLE) if last is None else nothing_left(last.amount, last.fee)
    if command.customer_id and booking.payer not in ("", booking.customer_id):
        # The money is another's: who has paid, or an organizer, asks for it.
        return Refusal(Code.NOT_REFUNDABLE, reason=Why.HANDED_ON)
    if command.refund_id in state.pending_refunds or any(each.id == command.refund_id for each in booking.refunds):
        return Refusal(Code.ALREADY_REFUNDED)  # a provider gives back once for one id
    places = _indexes(state, command.seats) if command.seats else booking.seats
    if isinstance(places, Refusal):
        return places
    if extra := Counter(places) - Counter(booking.seats):
        names = tuple(state.plan.ids[index] for index in extra)
        gone = [each for each in given_back if not extra.keys().isdisjoint(each.seats)]
        if {index for each in gone for index in each.seats}.issuperset(extra):
            refusal = nothing_left(sum(each.amount for each in gone), sum(each.fee for each in gone))
            return msgspec.structs.replace(refusal, seats=names)
        return Refusal(Code.NOT_REFUNDABLE, seats=names)
    percent = command.fee_percent
    if percent is None:
        percent = fee_percent(state, booking, now_ms)
    if percent is None:
        return Refusal(Code.NOT_REFUNDABLE, at_ms=refundable_until_ms(state, booking))
    return _give_back(booking, command.refund_id, places, percent, command.reason, command.by)


def nothing_left(amount: int, fee: int) -> Refusal:
    """Why seats are not given back that have been: so much of their price went back, and so much was kept."""
    if fee and not amount:
        return Refusal(Code.NOT_REFUNDABLE, reason=Why.KEPT)
    return Refusal(Code.ALREADY_REFUNDED)


def fee_percent(state: ScheduleState, booking: Booking, now_ms: int) -> int | None:
    """What giving seats of the booking up costs its customer now; None where it is too late for that."""
    if state.cancelled is not None or state.withdrawn is not None:
        return 0  # whoever asks before `EndBookings` gets to them loses nothing by it
    if state.moved_for(booking) and now_ms < state.on.starts_at_ms:
        return 0
    return refund_policy.fee_percent(state.policy_of(booking), state.on.starts_at_ms, now_ms, state.on.clocks)


def refundable_until_ms(state: ScheduleState, booking: Booking) -> int | None:
    """Until when its customer can give seats up at all; None where that was never promised."""
    if state.moved_for(booking):
        return state.on.starts_at_ms
    return refund_policy.last_moment_ms(state.policy_of(booking), state.on.starts_at_ms, state.on.clocks)


def _give_back(
    booking: Booking, refund_id: str, places: tuple[int, ...], percent: int, reason: str, by: str
) -> tuple[AnyEvent, ...]:
    """The seats, and their money less the fee, for a paid booking."""
    assert booking.payment is not None, "only what was paid is refunded"
    paid = _prices_paid(booking)
    prices = tuple(paid[index].pop(0) for index in places)
    step = refund_policy.step_of(booking.currency)
    fees = tuple(refund_policy.fee_of(price, percent, step) for price in prices)
    fee, amount = sum(fees), sum(prices) - sum(fees)
    ids, currency = (booking.id, refund_id, booking.payment.id), booking.currency
    requested = events.RefundRequested(*ids, places, amount, fee, currency, reason, by, prices, fees)
    if amount:
        return (requested,)
    return (requested, events.Refunded(*ids, 0, currency, "nothing"))  # nothing to ask a provider for


def _complete_refund(state: ScheduleState, command: commands.CompleteRefund, now_ms: int) -> Decision:
    booking_id = state.pending_refunds.get(command.refund_id)
    if booking_id is None:
        return Refusal(Code.REFUND_NOT_FOUND)
    what = (command.refund_id, command.payment_id, command.amount, command.currency, command.reference)
    return (events.Refunded(booking_id, *what),)


# --- the end of a schedule --------------------------------------------------------------------------------------------
def _cancel_schedule(state: ScheduleState, command: commands.CancelSchedule, now_ms: int) -> Decision:
    if (refusal := _called_off(state)) is not None:
        return refusal
    return (events.ScheduleCancelled(command.reason, command.by),)


def _end_bookings(state: ScheduleState, command: commands.EndBookings, now_ms: int) -> Decision:
    if state.cancelled is None:
        return Refusal(Code.SCHEDULE_NOT_CANCELLED)
    reason, by = state.cancelled.reason, state.cancelled.by
    endings: list[AnyEvent] = []
    live = (booking for booking in state.bookings.values() if not is_paying(booking))
    for booking, ending_id in zip(live, command.ids, strict=False):
        if booking.sold and booking.amount:
            endings += _give_back(booking, ending_id, booking.seats, 0, reason, by)
        else:
            endings.append(events.Cancelled(booking.id, ending_id, reason, by))
    return tuple(endings)


# --- the organizer's --------------------------------------------------------------------------------------------------
def _block(state: ScheduleState, command: commands.Block, now_ms: int) -> Decision:
    if (refusal := _off(state, now_ms)) is not None:
        return refusal
    unknown = tuple(seat for seat in command.seats if seat not in state.plan.index)
    if unknown:
        return Refusal(Code.UNKNOWN_SEAT, seats=unknown)
    places = tuple(state.plan.index[seat] for seat in command.seats)
    if (refusal := _named_twice(state, places)) is not None:
        return refusal
    if taken := _not_in_state(state, places, FREE):
        return Refusal(Code.SEATS_UNAVAILABLE, seats=taken)
    return (events.Blocked(places, command.reason, command.by),) if places else ()


def _unblock(state: ScheduleState, command: commands.Unblock, now_ms: int) -> Decision:
    if (refusal := _off(state, now_ms)) is not None:
        return refusal
    unknown = tuple(seat for seat in command.seats if seat not in state.plan.index)
    if unknown:
        return Refusal(Code.UNKNOWN_SEAT, seats=unknown)
    size = state.plan.size
    wanted = Counter(state.plan.index[seat] for seat in command.seats)
    places: list[int] = []
    for index, times in wanted.items():
        blocked = int(state.seats[index] == BLOCKED) if index < size else state.areas[index - size][BLOCKED]
        places += [index] * min(times, blocked)
    return (events.Unblocked(tuple(places), command.by),) if places else ()


def _change_terms(state: ScheduleState, command: commands.ChangeTerms, now_ms: int) -> Decision:
    if (refusal := _called_off(state)) is not None:
        return refusal
    missing = set(state.plan.categories) - set(command.terms.prices)
    if missing:
        return Refusal(Code.UNKNOWN_CATEGORY)
    # What days are follows from the place, and terms of old do not say it.
    if command.before is not None and msgspec.structs.replace(command.before, clocks=state.on.clocks) != state.on:
        return Refusal(Code.TERMS_CHANGED)
    return () if command.terms == state.on else (events.TermsChanged(command.terms),)


_DECIDE: dict[type[commands.Command], Callable[[ScheduleState, Any, int], Decision]] = {
    commands.HoldSeats: _hold_seats,
    commands.HoldBest: _hold_best,
    commands.Extend: _extend,
    commands.Change: _change,
    commands.ChangeBest: _change_best,
    commands.Confirm: _confirm,
    commands.Cancel: _cancel,
    commands.Transfer: _transfer,
    commands.Expire: _expire,
    commands.RequestPayment: _request_payment,
    commands.ApprovePayment: _approve_payment,
    commands.DeclinePayment: _decline_payment,
    commands.ReturnPayment: _return_payment,
    commands.Refund: _refund,
    commands.CompleteRefund: _complete_refund,
    commands.CancelSchedule: _cancel_schedule,
    commands.EndBookings: _end_bookings,
    commands.Block: _block,
    commands.Unblock: _unblock,
    commands.ChangeTerms: _change_terms,
}
