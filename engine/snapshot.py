"""A schedule's state as bytes and back, and its hash.

`decode(plan, encode(capture(state)))` gives every answer that `state` would have given; `state_hash` is equal for two
copies exactly if they agree on terms, seats, standing room and live bookings at the same version.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from heapq import heapify

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from engine.booking import Booking, Ending
from engine.events import Terms
from engine.refund_policy import RefundPolicy
from engine.seating_plan import SeatingPlan
from engine.state import Remembered, ScheduleState

PIECE = 1_000  # entries encoded in one go: half a millisecond


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
    moving_promises: list[tuple[int, bool]] = []
    moved_ms: int = 0
    withdrawn: Ending | None = None
    plan_number: int = 0


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
        list(state.moving_promises),
        state.moved_ms,
        state.withdrawn,
        state.plan.number,
    )


def encode(snapshot: Snapshot) -> bytes:
    """The stored form. May run in a thread: between two pieces it lets others run, the loop above all."""
    fields = astuple(snapshot)
    pieces = [_array(1 + len(fields)), _encode(str(snapshot.__struct_config__.tag))]
    for field in fields:
        pieces += _list(field) if isinstance(field, list) else (_encode(field),)
    return b"".join(pieces)


def _list(items: list[object]) -> Iterator[bytes]:
    """A list as one call would encode it, which takes up to a twentieth of a second and lets nobody run meanwhile."""
    yield _array(len(items))
    for start in range(0, len(items), PIECE):
        piece = items[start : start + PIECE]
        yield _encode(piece)[len(_array(len(piece))) :]


def _array(length: int) -> bytes:
    """The head of an array (MessagePack specification, "array format family")."""
    if length < 16:
        return bytes((0x90 | length,))
    return b"\xdc" + length.to_bytes(2) if length < 65_536 else b"\xdd" + length.to_bytes(4)


def decode(plan: SeatingPlan, data: bytes) -> ScheduleState:
    """The state as it was captured; `plan` is the one its schedule was opened with, or any up to the snapshot's own.

    Raises `SnapshotError` when the bytes are damaged or of another plan.
    """
    try:
        snapshot = _decode(data)
        plan = plan.numbered(snapshot.plan_number)
    except (msgspec.DecodeError, LookupError) as error:
        raise SnapshotError(str(error)) from error
    if snapshot.plan_digest != plan.digest or len(snapshot.seats) != plan.size:
        raise SnapshotError("the snapshot belongs to another seating plan")
    state = ScheduleState(plan)
    state.seq = snapshot.seq
    state.terms = snapshot.terms
    state.seats[:] = snapshot.seats
    state.areas = snapshot.areas
    state.withhold()
    state.bookings = {booking.id: booking for booking in snapshot.bookings}
    for booking in snapshot.bookings:
        state.watch(booking)
    heapify(state.deadlines)
    state.pending_payments = dict(sorted(state.pending_payments.items(), key=lambda item: item[1]))
    state.ended.restore((booking.id, booking) for booking in snapshot.ended)
    state.requests.restore(snapshot.requests)
    state.policies = snapshot.policies or [(0, snapshot.terms.refund_policy)]  # none: made before there were any
    state.cancelled = snapshot.cancelled
    state.pending_refunds = snapshot.pending_refunds
    state.moving_promises = snapshot.moving_promises or [(0, snapshot.terms.refund_when_moved)]
    state.moved_ms = snapshot.moved_ms
    state.withdrawn = snapshot.withdrawn
    return state


class Fingerprint:
    """`state_hash` of one state, kept up to date: a call costs what has changed since the one before, not the house.

    Takes `state.touched` for itself: one per state. The first call takes in every booking, unless `refresh` has done so
    bit by bit.
    """

    def __init__(self, state: ScheduleState) -> None:
        self._state = state
        self._digests: dict[str, int] = {}
        self._sum = 0
        state.touched.update(state.bookings)

    def refresh(self, at_most: int | None = None) -> None:
        """Takes in what has changed, of no more than `at_most` bookings: some 2 µs each."""
        touched, bookings, digests = self._state.touched, self._state.bookings, self._digests
        for _ in range(len(touched) if at_most is None else min(at_most, len(touched))):
            booking_id = touched.pop()
            before = digests.pop(booking_id, 0)
            booking = bookings.get(booking_id)
            if booking is not None:
                digests[booking_id] = now = _digest(booking)
                self._sum += now - before
            else:
                self._sum -= before

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
        state.moving_promises,
        state.moved_ms,
        state.withdrawn,
    )
    return blake2b(_encode(content), digest_size=16).hexdigest()


def _digest(booking: Booking) -> int:
    return int.from_bytes(blake2b(_encode(booking), digest_size=16).digest())
