"""What travels between gateway and schedule: many requests in one msgpack `bytes`, as many replies back.

The codecs live in a module of their own because Ray pickles an actor's class with the globals of its module.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from engine.booking import Booking
from engine.refusals import Refusal
from engine.state import Done
from engine.turn import Request

# One reply per request, in order: a booking, the version of a `Done`, a refusal, or None for "not durable yet".
Reply = Booking | int | Refusal | None


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


encode_requests = msgspec.msgpack.Encoder().encode
decode_requests = msgspec.msgpack.Decoder(list[Request]).decode
encode_replies = msgspec.msgpack.Encoder().encode
decode_replies = msgspec.msgpack.Decoder(list[Reply]).decode
encode_inspection = msgspec.msgpack.Encoder().encode
decode_inspection = msgspec.msgpack.Decoder(Inspection).decode


def reply_of(result: Booking | Done | Refusal) -> Reply:
    """The wire form of a turn's result."""
    return result.version if isinstance(result, Done) else result
