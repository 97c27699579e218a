"""A schedule's state as bytes and back, and its hash.

`decode(plan, encode(capture(state)))` gives every answer that `state` would have given; `state_hash` is equal for two
copies exactly if they agree on terms, seats, standing room and live bookings at the same version.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec
from msgspec import Struct

from engine.booking import Booking
from engine.events import Terms
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
    return state


def state_hash(state: ScheduleState) -> str:
    """32 hexadecimal digits over what the schedule has sold to whom, on what terms, at which version."""
    bookings = sorted(state.bookings.values(), key=lambda booking: booking.id)
    content = (state.plan.digest, state.seq, state.on, bytes(state.seats), state.areas, bookings)
    return blake2b(_encode(content), digest_size=16).hexdigest()
