"""What finding the best seats costs, by size of the house, how full it is, and what is asked for.

Before each question seats change: those found are sold and another one somewhere in the house changes hands, or both is
undone, so that no question is answered from what the one before has left behind.
"""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from engine.allocate import FreeSeats
from engine.state import FREE, HELD
from tests.benchmarks.large_house import plan

ROUNDS = 300
WISHES = {  # category, zone, adjacent
    "any": (None, None, False),
    "adjacent": (None, None, True),
    "category": (1, None, False),
    "zone": (None, 0, False),
}


@cache
def house(size: int, percent_full: int) -> FreeSeats:
    """Its taken seats lie anywhere: what is left of a house that is nearly full is single seats."""
    states = bytearray([FREE]) * size
    for index in Random(7).sample(range(size), size * percent_full // 100):
        states[index] = HELD
    seats = FreeSeats(plan(size))
    seats.restore(bytes(states))
    return seats


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("quantity", [1, 2, 4, 10])
@pytest.mark.parametrize("percent_full", [0, 50, 99])
@pytest.mark.parametrize("size", [3_000, 15_000, 50_000])
def test_best_available(benchmark: BenchmarkFixture, size: int, percent_full: int, quantity: int, wish: str) -> None:
    seats, dice = house(size, percent_full), Random(3)
    category, zone, adjacent = WISHES[wish]
    found = seats.best(quantity, category, zone, adjacent)
    enough = seats.count(category, zone) >= quantity
    assert (found is not None) == (enough and (not adjacent or seats.longest_run(category, zone) >= quantity))
    changed: list[int] = []

    def somebody_else() -> None:
        if not changed:
            changed[:] = {*(found or ()), dice.randrange(size)}
            flip(seats, changed)
        else:
            flip(seats, changed)
            changed.clear()

    benchmark.pedantic(seats.best, (quantity, category, zone, adjacent), setup=somebody_else, rounds=ROUNDS)
    flip(seats, changed)
    assert seats.best(quantity, category, zone, adjacent) == found


def flip(seats: FreeSeats, indexes: list[int]) -> None:
    """What was free is taken, and the other way round."""
    for index in indexes:
        (seats.take if seats.is_free(index) else seats.give)(index)
