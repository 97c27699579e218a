"""How many people there are at each moment of a run: pure functions of the time.

A shape is asked once a second and says how many there should be and how many may come or go in a second; None: it is
over. Every shape reaches the number of users that was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Tick = tuple[int, float]
Shape = Callable[[float, int, float], Tick | None]

LOBBY_SHARE = 0.2  # of a rush's time, and of its crowd, before the sale opens
LONGEST_LOBBY_SECONDS = 10.0
SHORTEST_LOBBY_SECONDS = 2.0  # Locust looks once a second, and the crowd must be there when the sale opens
ARRIVAL_SECONDS = 1.0
LONGEST_RAMP_SECONDS = 60.0


def opening_seconds(seconds: float) -> float:
    """When the sale of a rush opens, counted from its start."""
    return min(LONGEST_LOBBY_SECONDS, max(SHORTEST_LOBBY_SECONDS, LOBBY_SHARE * seconds))


def spike(elapsed: float, users: int, seconds: float) -> Tick | None:
    """A few wait in the lobby; everybody else comes in the last second before the sale opens, and stays."""
    if elapsed >= seconds:
        return None
    if elapsed < opening_seconds(seconds) - ARRIVAL_SECONDS:
        few = math.ceil(LOBBY_SHARE * users)
        return few, float(few)
    return users, float(users)


def steps(elapsed: float, users: int, seconds: float) -> Tick | None:
    """A quarter at a time, at equal distances over the first half; the whole crowd for the second."""
    if elapsed >= seconds:
        return None
    quarter = min(4, 1 + int(elapsed / (seconds / 8)))
    return math.ceil(users * quarter / 4), float(users)


def steady(elapsed: float, users: int, seconds: float) -> Tick | None:
    """They come one by one over the first tenth, and stay."""
    if elapsed >= seconds:
        return None
    ramp = min(LONGEST_RAMP_SECONDS, max(1.0, seconds / 10))
    return users, max(1.0, users / ramp)


def waves(elapsed: float, users: int, seconds: float) -> Tick | None:
    """Half the crowd, all of it, half, all: people come in waves, and some leave in between."""
    if elapsed >= seconds:
        return None
    half = math.ceil(users / 2)
    return (half if int(elapsed / (seconds / 4)) % 2 == 0 else users), float(max(1, half))
