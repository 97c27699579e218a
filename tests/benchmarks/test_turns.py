"""What a turn costs: decided and applied, as an owner does it. A round is 500 turns unless the name says otherwise."""

from __future__ import annotations

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from engine import commands as c
from engine.state import HELD, ScheduleState, apply
from engine.turn import Request, execute
from tests.benchmarks.large_house import asked, holds, identity, opened, play, purchase
from tests.engine.plans.houses import NOW

BATCH = 500  # turns in a round: what one call brings an owner
BATCHES = 20
TURNS = BATCH * BATCHES
ROUNDS = 9  # where a round needs a state of its own
decode_requests = msgspec.msgpack.Decoder(list[Request]).decode


def measure(benchmark: BenchmarkFixture, state: ScheduleState, requests: list[Request], now_ms: int = NOW) -> int:
    """Plays the requests to the state, a batch a round, each batch decoded right before as an owner gets it.

    Returns how many records they have led to.
    """
    batches = iter([msgspec.msgpack.encode(requests[at : at + BATCH]) for at in range(0, len(requests), BATCH)])
    before = state.seq

    def setup() -> tuple[tuple[ScheduleState, list[Request], int], dict[str, object]]:
        return (state, decode_requests(next(batches)), now_ms), {}

    rounds = len(requests) // BATCH if benchmark.enabled else 1
    benchmark.pedantic(play, setup=setup, rounds=rounds)
    if benchmark.stats is not None:
        benchmark.extra_info["turns_per_second"] = round(BATCH / benchmark.stats.stats.median)
    for batch in batches:
        play(state, decode_requests(batch), now_ms)
    return state.seq - before


@pytest.mark.parametrize("each", [1, 2, 4])
@pytest.mark.parametrize("size", [15_000, 50_000])
def test_holds_by_seat(benchmark: BenchmarkFixture, size: int, each: int) -> None:
    requests = holds(size, min(TURNS, size // each // BATCH * BATCH), each)
    assert measure(benchmark, opened(size), requests) == len(requests)


def test_refusals_of_taken_seats(benchmark: BenchmarkFixture) -> None:
    requests = holds(50_000, TURNS)
    state = opened(50_000)
    play(state, requests)
    again = [asked(number, request.command, 9) for number, request in enumerate(requests)]
    assert measure(benchmark, state, again) == 0


def test_repeats_of_requests(benchmark: BenchmarkFixture) -> None:
    requests = holds(50_000, TURNS)
    state = opened(50_000)
    play(state, requests)
    assert measure(benchmark, state, requests) == 0


def test_holds_in_standing_room(benchmark: BenchmarkFixture) -> None:
    requests = [
        asked(number, c.HoldSeats(identity(number, 1), identity(number, 2), ("pit", "pit"))) for number in range(TURNS)
    ]
    assert measure(benchmark, opened(3_000), requests) == TURNS


def test_whole_purchases(benchmark: BenchmarkFixture) -> None:
    """Three turns each, four records."""
    requests = [turn for number, hold in enumerate(holds(50_000, TURNS)) for turn in purchase(hold, number)]
    assert measure(benchmark, opened(50_000), requests) == 4 * TURNS


def test_exchanges(benchmark: BenchmarkFixture) -> None:
    state, requests = opened(50_000), holds(50_000, 2 * TURNS)
    play(state, requests[:TURNS])
    changes = [
        asked(number, c.Change(identity(number, 1), identity(number, 2), other.command.seats), 6)  # type: ignore[union-attr]  # it holds seats
        for number, other in enumerate(requests[TURNS:])
    ]
    assert measure(benchmark, state, changes) == TURNS


def test_10_000_holds_expiring_at_once(benchmark: BenchmarkFixture) -> None:
    requests, expire = holds(50_000, TURNS), [Request("", c.Expire())]

    def setup() -> tuple[tuple[ScheduleState, list[Request], int], dict[str, object]]:
        state = opened(50_000)
        play(state, requests)
        return (state, expire, NOW + 600_000), {}

    assert benchmark.pedantic(play, setup=setup, rounds=ROUNDS) == TURNS


@pytest.mark.parametrize("size", [3_000, 50_000])
def test_650_groups_by_best_available(benchmark: BenchmarkFixture, size: int) -> None:
    """A round sells most of 3,000 seats to groups of two, four and ten."""
    quantities = [(2, 4, 2, 10)[number % 4] for number in range(650)]
    requests = [
        asked(number, c.HoldBest(identity(number, 1), identity(number, 2), quantity))
        for number, quantity in enumerate(quantities)
    ]

    def setup() -> tuple[tuple[ScheduleState, list[Request]], dict[str, object]]:
        return (opened(size), requests), {}

    assert benchmark.pedantic(play, setup=setup, rounds=ROUNDS) == 650


def test_applying_10_000_holds(benchmark: BenchmarkFixture) -> None:
    state = opened(50_000)
    records = [step.record for request in holds(50_000, TURNS) for step in execute(state, request, NOW).steps]

    def setup() -> tuple[tuple[ScheduleState], dict[str, object]]:
        return (opened(50_000),), {}

    def replay(copy: ScheduleState) -> ScheduleState:
        for record in records:
            apply(copy, record)
        return copy

    copy: ScheduleState = benchmark.pedantic(replay, setup=setup, rounds=ROUNDS)
    assert (copy.seq, copy.seats.count(HELD)) == (TURNS + 1, TURNS)
