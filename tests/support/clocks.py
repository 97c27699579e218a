"""Time as tests have it: the machine's, set forward at will, or one that stands still until it is told."""

from __future__ import annotations

from actors.process.clock import SystemClock
from tests.engine.plans.houses import NOW


class MovableClock(SystemClock):
    """The machine's clock, set forward at will."""

    def __init__(self, ahead_ms: int = 0) -> None:
        self.ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class ManualClock:
    """Time that only moves when told, for owners: they make no ids."""

    def __init__(self) -> None:
        self.ms = NOW

    def now_ms(self) -> int:
        return self.ms

    def new_id(self) -> str:
        raise AssertionError("an owner makes no ids")
