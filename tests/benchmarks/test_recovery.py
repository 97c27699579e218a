"""What it costs to save a state and to have it back: replay, snapshot, fingerprint."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from engine import commands as c
from engine.events import Record, decode_event, encode_event
from engine.snapshot import Fingerprint, capture, decode, encode, state_hash
from engine.state import SOLD, ScheduleState, apply
from engine.turn import execute
from tests.benchmarks.large_house import asked, holds, identity, opened, plan, purchase, sold_out
from tests.engine.plans.houses import NOW

SIZE = 50_000
RECORDS = 100_000
ROUNDS = 7

Row = tuple[int, int, bytes, str, str]


@pytest.fixture(scope="module")
def journal() -> list[Row]:
    """100,000 rows as the database gives them: two thirds of the holds are cancelled again, the others paid for."""
    state = opened(SIZE)
    rows: list[Row] = []
    for number, hold in enumerate(holds(SIZE, SIZE)):
        ids = (identity(number, 1), identity(number, 6), identity(number, 2))
        turns = purchase(hold, number) if number % 3 == 0 else (hold, asked(number, c.Cancel(*ids), 7))
        for turn in turns:
            for step in execute(state, turn, NOW + number).steps:
                record = step.record
                rows.append(
                    (record.seq, record.at_ms, encode_event(record.event), record.request_id, record.fingerprint)
                )
    return rows[:RECORDS]


def test_replay_of_100_000_records(benchmark: BenchmarkFixture, journal: list[Row]) -> None:
    def setup() -> tuple[tuple[ScheduleState], dict[str, object]]:
        return (opened(SIZE),), {}

    def replay(state: ScheduleState) -> ScheduleState:
        for seq, at_ms, payload, request_id, fingerprint in journal:
            apply(state, Record(seq, at_ms, decode_event(payload), request_id, fingerprint))
        return state

    state: ScheduleState = benchmark.pedantic(replay, setup=setup, rounds=ROUNDS)
    assert state.seq == journal[-1][0] == RECORDS + 1


def test_capture_of_50_000_bookings(benchmark: BenchmarkFixture) -> None:
    """The part of a snapshot that stops the owner."""
    snapshot = benchmark.pedantic(capture, (sold_out(SIZE),), rounds=4 * ROUNDS)
    assert len(snapshot.bookings) == snapshot.seats.count(SOLD) == SIZE


def test_encoding_50_000_bookings(benchmark: BenchmarkFixture) -> None:
    payload: bytes = benchmark.pedantic(encode, (capture(sold_out(SIZE)),), rounds=ROUNDS)
    assert len(payload) > 10_000_000


def test_decoding_50_000_bookings(benchmark: BenchmarkFixture) -> None:
    payload = encode(capture(sold_out(SIZE)))
    state: ScheduleState = benchmark.pedantic(decode, (plan(SIZE), payload), rounds=ROUNDS)
    assert state_hash(state) == state_hash(sold_out(SIZE))


def test_fingerprint_of_5_000_changed_bookings(benchmark: BenchmarkFixture) -> None:
    state = sold_out(SIZE)
    fingerprint = Fingerprint(state)
    fingerprint.refresh()
    changed = list(state.bookings)[:5_000]

    def setup() -> None:
        state.touched.update(changed)

    benchmark.pedantic(fingerprint.refresh, setup=setup, rounds=ROUNDS)
    assert fingerprint.hexdigest() == state_hash(state)
