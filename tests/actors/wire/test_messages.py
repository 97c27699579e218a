"""What travels between gateways and owners: each request and each reply stands for itself."""

from __future__ import annotations

import msgspec

from actors.wire.messages import (
    Fault,
    Reply,
    Standing,
    decode_answer,
    decode_call,
    encode_answer,
    encode_call,
    why_unencodable,
)
from engine import commands
from engine.booking import Booking, Status
from engine.refusals import Code, Refusal
from engine.turn import Request

HALF = "\ud800"  # half a character


def hold(number: int, seat: str = "A-1") -> Request:
    return Request(f"r{number}", commands.HoldSeats(f"b{number}", "ann", (seat,)), "f")


def booking(booking_id: str) -> Booking:
    return Booking(booking_id, "ann", Status.HELD, (0,), (1,), "KRW", 1, 2, 3)


def test_a_call_carries_requests_of_many_schedules_and_some_to_be_opened() -> None:
    call = [("s1", [hold(1), hold(2)]), ("s2", []), ("s3", [hold(3)])]
    assert decode_call(encode_call(call)) == call


def test_every_kind_of_reply_comes_back_as_it_was() -> None:
    replies: list[Reply] = [booking("b"), 7, Refusal(Code.SALE_CLOSED), Fault("no", ours=False), None]
    assert decode_answer(encode_answer([replies, Standing.ELSEWHERE, []])) == [replies, Standing.ELSEWHERE, []]


def test_a_request_that_cannot_be_read_is_a_fault_among_sound_ones() -> None:
    damaged = msgspec.msgpack.encode([("s1", [hold(1), ["r2", ["no such command"]], hold(3)]), ("s2", [hold(4)])])
    (_, first), second = decode_call(damaged)
    assert [first[0], first[2], second] == [hold(1), hold(3), ("s2", [hold(4)])]
    assert isinstance(first[1], Fault)


def test_a_reply_that_cannot_be_written_is_a_fault_among_sound_ones() -> None:
    sound = booking("b")
    (replies,) = decode_answer(encode_answer([[sound, booking(HALF), None]]))
    assert isinstance(replies, list)
    assert [replies[0], replies[2]] == [sound, None]
    assert isinstance(replies[1], Fault)


def test_what_cannot_be_encoded_says_why() -> None:
    assert why_unencodable(hold(1)) is None
    assert "surrogates" in str(why_unencodable(hold(1, HALF)))
    assert why_unencodable(Request("r", commands.HoldBest("b", "ann", 2**70))) is not None
