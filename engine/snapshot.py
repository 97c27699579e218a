"""A schedule's state as bytes and back, and its hash.

`decode(plan, encode(capture(state)))` gives every answer that `state` would have given; `state_hash` is equal for two
copies exactly if they agree on terms, seats, standing room and live bookings at the same version.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec
from msgspec import Struct

from engine.booking import Booking, Ending
from engine.events import Terms
from engine.refund_policy import RefundPolicy
from engine.seating_plan import SeatingPlan
from engine.state import FREE, Remembered, ScheduleState


class SnapshotError(ValueError):
    """The bytes are not a snapshot of this plan's schedule."""


class Snapshot(Struct, frozen=True, array_like=True, tag="snapshot.1"):
    """What is stored; everything else in the state is derived from it."""

    plan_digest: str
    seq: int
    terms: Terms
    seats: bytes
    areas: list[list[int]]
    bookings: list[Booking]
    ended: list[Booking]
    requests: list[tuple[str, Remembered]]
    policies: list[tuple[int, RefundPolicy]] = []
    cancelled: Ending | None = None
    pending_refunds: dict[str, str] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


def capture(state: ScheduleState) -> Snapshot:
    """A consistent copy that no later event changes: cheap (references and two small copies), encode it elsewhere."""
    return Snapshot(
        state.plan.digest,
        state.seq,
        state.on,
        bytes(state.seats),
        [list(counts) for counts in state.areas],
        list(state.bookings.values()),
        list(state.ended.values()),
        list(state.requests.items()),
        list(state.policies),
        state.cancelled,
        dict(state.pending_refunds),
    )


def encode(snapshot: Snapshot) -> bytes:
    """The stored form. May run in a thread."""
    return _encode(snapshot)


def decode(plan: SeatingPlan, data: bytes) -> ScheduleState:
    """The state as it was captured. Raises `SnapshotError` when the bytes are damaged or of another plan."""
    try:
        snapshot = _decode(data)
    except msgspec.DecodeError as error:
        raise SnapshotError(str(error)) from error
    if snapshot.plan_digest != plan.digest or len(snapshot.seats) != plan.size:
        raise SnapshotError("the snapshot belongs to another seating plan")
    state = ScheduleState(plan)
    state.seq = snapshot.seq
    state.terms = snapshot.terms
    state.seats[:] = snapshot.seats
    state.areas = snapshot.areas
    for index, seat in enumerate(snapshot.seats):
        if seat != FREE:
            state.free.take(index)
    for booking in snapshot.bookings:
        state.bookings[booking.id] = booking
        state.watch(booking)
    state.pending_payments = dict(sorted(state.pending_payments.items(), key=lambda item: item[1]))
    state.ended.update((booking.id, booking) for booking in snapshot.ended)
    state.requests.update(snapshot.requests)
    state.policies = snapshot.policies or [(0, snapshot.terms.refund_policy)]  # none: made before there were any
    state.cancelled = snapshot.cancelled
    state.pending_refunds = snapshot.pending_refunds
    return state


class Fingerprint:
    """`state_hash` of one state, kept up to date: a call costs what has changed since the one before, not the house.

    Takes `state.touched` for itself: one per state.
    """

    def __init__(self, state: ScheduleState) -> None:
        self._state = state
        self._digests = {booking.id: _digest(booking) for booking in state.bookings.values()}
        self._sum = sum(self._digests.values())
        state.touched.clear()

    def refresh(self) -> None:
        """Takes in what has changed."""
        state, digests = self._state, self._digests
        for booking_id in state.touched:
            self._sum -= digests.pop(booking_id, 0)
            booking = state.bookings.get(booking_id)
            if booking is not None:
                digests[booking_id] = _digest(booking)
                self._sum += digests[booking_id]
        state.touched.clear()

    def hexdigest(self) -> str:
        self.refresh()
        return _state_hash(self._state, self._sum)


def state_hash(state: ScheduleState) -> str:
    """32 hexadecimal digits over what the schedule has sold to whom, on what terms, at which version."""
    return _state_hash(state, sum(_digest(booking) for booking in state.bookings.values()))


def _state_hash(state: ScheduleState, bookings: int) -> str:
    # The sum of digests does not depend on an order, so one booking's change is one subtraction and one addition.
    content = (
        state.plan.digest,
        state.seq,
        state.on,
        bytes(state.seats),
        state.areas,
        f"{bookings:x}",
        state.policies,
        state.cancelled,
        sorted(state.pending_refunds.items()),
    )
    return blake2b(_encode(content), digest_size=16).hexdigest()


def _digest(booking: Booking) -> int:
    return int.from_bytes(blake2b(_encode(booking), digest_size=16).digest())
