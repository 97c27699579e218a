"""Snapshots: the bytes are those of one plain MessagePack call, and the hash is kept up to date piece by piece."""

from __future__ import annotations

import msgspec
import pytest

from engine import commands as c
from engine import snapshot as snapshot_module
from engine.plan_document import read_plan
from engine.snapshot import Fingerprint, capture, decode, encode, state_hash
from engine.state import ScheduleState
from engine.turn import Request, execute
from tests.engine.plans.houses import ANN, BOB, NOW, opened, plan_document

HALL = read_plan(plan_document(rows=10, seats=60))


def sold(seats: int) -> ScheduleState:
    """A sale in which this many seats are held one by one, and every third is given back."""
    state = opened(HALL)
    for number, seat in enumerate(HALL.ids[:seats]):
        execute(state, Request(f"h{number}", c.HoldSeats(f"b{number}", ANN, (seat,)), "body"), NOW)
        if number % 3 == 0:
            execute(state, Request(f"c{number}", c.Cancel(f"b{number}", f"x{number}", ANN)), NOW)
    return state


@pytest.mark.parametrize("piece", [1, 7, 15, 16, 17, 1_000])
@pytest.mark.parametrize("seats", [0, 1, 15, 16, 17, 100, 600])
def test_a_snapshot_made_in_pieces_is_the_one_made_at_once(
    seats: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_module, "PIECE", piece)
    captured = capture(sold(seats))
    assert encode(captured) == msgspec.msgpack.encode(captured)


def test_the_longest_lists_have_the_head_that_is_due_to_them() -> None:
    captured = msgspec.structs.replace(capture(opened(HALL)), areas=[[0]] * 65_536)
    assert encode(captured) == msgspec.msgpack.encode(captured)


def test_nothing_that_happens_after_a_capture_shows_in_it() -> None:
    state = sold(30)
    captured, due = capture(state), encode(capture(state))
    execute(state, Request("more", c.HoldSeats("more", BOB, (HALL.ids[0], "pit"))), NOW)
    assert encode(captured) == due


def test_seats_are_free_after_a_restore_as_they_were_before() -> None:
    state = sold(100)
    restored = decode(HALL, encode(capture(state)))
    assert [restored.free.is_free(index) for index in range(HALL.size)] == [
        state.free.is_free(index) for index in range(HALL.size)
    ]
    assert restored.free.free == state.free.free
    for quantity in (1, 4, 50, 300):
        assert restored.free.best(quantity) == state.free.best(quantity)
    assert (restored.free.count(0), restored.free.count()) == (state.free.count(0), state.free.count())


def test_a_fingerprint_takes_in_changes_bit_by_bit() -> None:
    state = sold(60)
    kept = Fingerprint(state)
    kept.refresh(7)
    assert len(state.touched) == len(state.bookings) + 20 - 7  # the twenty that ended were touched as well
    for number in range(40, 50):
        execute(state, Request(f"e{number}", c.Cancel(f"b{number}", f"y{number}", ANN)), NOW)
        kept.refresh(5)
    assert kept.hexdigest() == state_hash(state)
    assert not state.touched
    kept.refresh(5)
    assert kept.hexdigest() == state_hash(state)
