"""What travels between gateways and the processes of owners: the requests of many schedules in one msgpack `bytes`, as
many replies back.

Each request and each reply stands for itself: one that cannot be written or read is named as such, and the others
travel on. The codecs live in a module of their own because Ray pickles an actor's class with the globals of its module.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import msgspec
from msgspec import Struct

from engine.booking import Booking
from engine.refusals import Refusal
from engine.state import Done
from engine.turn import Request


class Fault(Struct, frozen=True, array_like=True, tag="fault"):
    """Why a request cannot be carried out at all, however often it is sent."""

    reason: str
    ours: bool  # rather than something in the request


class BookingByPlan(Booking, frozen=True, gc=False, array_like=True, tag="booking.by_plan"):
    """A booking whose seats are numbered by a plan that took the place of the house's first one."""

    by_plan: int = 0

    @property
    def plan_number(self) -> int:
        return self.by_plan


# One reply per request, in order: a booking, the version of a `Done`, a refusal, a fault, or None: "not durable yet".
Reply = Booking | BookingByPlan | int | Refusal | Fault | None


# How a value fails that cannot be written: half a character, a number beyond 64 bits.
UNENCODABLE = (ValueError, OverflowError, TypeError, msgspec.MsgspecError)


class Standing(IntEnum):
    """Why a schedule's requests were not taken; none of them has happened."""

    CLOSED = 1  # it is not open here, or not yet: ask for it to be opened
    ELSEWHERE = 2  # it belongs to another process
    UNKNOWN = 3  # there is no such schedule
    FULL = 4  # there is no memory for it now


# What comes back for each schedule of a call: replies, or a `Standing`.
Answered = Sequence[Reply] | Standing


class Inspection(Struct, frozen=True, array_like=True):
    """What a schedule's owner holds in memory, for auditors."""

    schedule_id: str
    epoch: int
    version: int
    durable_version: int
    published_version: int
    state_hash: str  # of `version`
    bookings: int
    pid: int


# A call: schedules with their requests. One without requests asks that the schedule be opened.
encode_call = msgspec.msgpack.Encoder().encode
_decode_call = msgspec.msgpack.Decoder(list[tuple[str, list[Request]]]).decode
_decode_raw_call = msgspec.msgpack.Decoder(list[tuple[str, list[msgspec.Raw]]]).decode
_decode_request = msgspec.msgpack.Decoder(Request).decode
_encode_answer = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(list[list[Reply] | Standing]).decode
encode_inspection = msgspec.msgpack.Encoder().encode
decode_inspection = msgspec.msgpack.Decoder(Inspection).decode


def why_unencodable(request: Request) -> str | None:
    """What keeps the request from travelling; None if nothing does."""
    try:
        encode_call(request)
    except UNENCODABLE as error:
        return f"{type(error).__name__}: {error}"
    return None


def decode_call(data: bytes) -> list[tuple[str, list[Request | Fault]]]:
    """The call as it was sent; in the place of a request that cannot be read stands why."""
    try:
        return _decode_call(data)  # type: ignore[return-value]  # a list of requests alone is one, too
    except msgspec.DecodeError:
        return [(schedule_id, [_request(each) for each in raw]) for schedule_id, raw in _decode_raw_call(data)]


def _request(raw: msgspec.Raw) -> Request | Fault:
    try:
        return _decode_request(raw)
    except msgspec.DecodeError as error:
        return Fault(str(error), ours=True)


def encode_answer(answer: Sequence[Answered]) -> bytes:
    """What comes back for a call; a reply that cannot be written becomes the fault that says so."""
    try:
        return _encode_answer(answer)
    except UNENCODABLE:  # one of them
        return _encode_answer([each if isinstance(each, Standing) else [_written(r) for r in each] for each in answer])


def _written(reply: Reply) -> msgspec.Raw | Fault:
    try:
        return msgspec.Raw(_encode_answer(reply))
    except UNENCODABLE as error:
        return Fault(f"its answer cannot be written: {type(error).__name__}", ours=True)


def decode_answer(data: bytes) -> list[list[Reply] | Standing]:
    """What came back for a call, schedule by schedule."""
    return _decode_answer(data)


def reply_of(result: Booking | Done | Refusal, plan_number: int = 0) -> Reply:
    """The wire form of a turn's result. Who reads it may know another plan of the house than the owner goes by."""
    if isinstance(result, Done):
        return result.version
    if plan_number and isinstance(result, Booking):
        return BookingByPlan(**msgspec.structs.asdict(result), by_plan=plan_number)
    return result
