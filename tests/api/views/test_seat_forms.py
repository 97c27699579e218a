"""The packed form of states and changes: the same as the lists say, in few bytes."""

from __future__ import annotations

import json
import random
import zlib
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.demo.venues import arena
from api.views.seat_forms import PACKED, Offer, Terms, packed_states, two_bits
from engine.plan_document import read_plan
from engine.state import FREE, HELD, SOLD
from persistence.seats.cache import AreaCounts, SeatDelta, SeatView

AREAS = (AreaCounts(700, 50, 150, 0), AreaCounts(900, 0, 0, 0), AreaCounts(0, 0, 600, 0), AreaCounts(1, 2, 597, 0))


def unpacked(text: str, count: int) -> bytes:
    packed = b64decode(text)
    assert len(packed) == -(-count // 4)
    return bytes(packed[i // 4] >> 2 * (i % 4) & 3 for i in range(count))


@given(st.binary(max_size=50).map(lambda data: bytes(byte & 3 for byte in data)))
def test_two_bits_a_seat_are_read_back(states: bytes) -> None:
    packed = two_bits(states)
    assert bytes(packed[i // 4] >> 2 * (i % 4) & 3 for i in range(len(states))) == states
    assert len(packed) == -(-len(states) // 4)


def test_states_say_what_every_place_costs_and_how_it_stands() -> None:
    plan = read_plan(arena())
    offer = Offer.of(plan, "KRW", {"R": 165_000}, Terms(max_seats_per_customer=4, hold_seconds=300))
    view = SeatView("s", 9, bytes(index % 4 for index in range(plan.size)), AREAS)
    answer = json.loads(packed_states(offer, "abc", view))
    assert unpacked(answer.pop("seats"), plan.size) == view.states
    assert answer == {
        "schedule_id": "s",
        "layout": "abc",
        "version": 9,
        "terms": offer.tag,
        "currency": "KRW",
        "prices": {"R": 165_000, "S": None, "A": None, "B": None, "Standing": None},
        "max_seats_per_customer": 4,
        "hold_seconds": 300,
        "starts_at": None,
        "sale_opens_at": None,
        "sale_closes_at": None,
        "waiting_room": False,
        "cancelled": False,
        "areas": [[700, 50, 150, 0], [900, 0, 0, 0], [0, 0, 600, 0], [1, 2, 597, 0]],
    }


@pytest.mark.parametrize("sold", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_states_of_fifteen_thousand_are_three_kilobytes_at_most(sold: float) -> None:
    """In parties of one to four side by side, as seats are sold; one in ten of them still held."""
    plan = read_plan(arena())
    chance = random.Random(7)
    states = bytearray()
    while len(states) < plan.size:
        state = FREE if chance.random() >= sold else HELD if chance.random() < 0.1 else SOLD
        states += bytes([state]) * chance.randint(1, 4)
    offer = Offer.of(plan, "KRW", dict.fromkeys(plan.categories, 100_000))
    body = packed_states(offer, "abc", SeatView("s", 1, bytes(states[: plan.size]), AREAS))
    assert len(zlib.compress(body, 1)) <= 3_000


def test_a_stream_tells_numbers_and_states() -> None:
    view = SeatView("s", 3, bytes([0, 1, 2, 3, 1]), AREAS[:1])
    snapshot = json.loads(PACKED.snapshot(view))
    assert unpacked(snapshot.pop("seats"), 5) == view.states
    assert snapshot == {"version": 3, "areas": [[700, 50, 150, 0]]}
    delta = SeatDelta("s", 3, 5, ((2, 0), (4, 2)), ((0, AreaCounts(1, 2, 3, 4)),))
    assert json.loads(PACKED.delta(delta)) == {
        "from": 3,
        "version": 5,
        "seats": [[2, 0], [4, 2]],
        "areas": [[0, [1, 2, 3, 4]]],
    }
