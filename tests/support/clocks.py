"""Time as tests have it: the machine's, set forward at will; one that stands still until it is told; or an event loop's
that jumps to the next timer, so that minutes of a story take milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from actors.process.clock import SystemClock
from tests.engine.plans.houses import NOW
from tests.support.waiting import PATIENCE_SECONDS


class MovableClock(SystemClock):
    """The machine's clock, set forward at will."""

    def __init__(self, ahead_ms: int = 0) -> None:
        self.ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class ManualClock:
    """Time that only moves when told, for owners and others who make no ids."""

    def __init__(self, ms: int = NOW) -> None:
        self.ms = ms

    def now_ms(self) -> int:
        return self.ms

    def new_id(self) -> str:
        raise AssertionError("whoever has this clock makes no ids")


class ManualClockOfIds(ManualClock):
    """For those who do make ids."""

    def new_id(self) -> str:
        return SystemClock().new_id()


class ManualSeconds:
    """What a machine counts since it was started, as `time.monotonic` has it, when told."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class ClockApart(ManualClock):
    """Another machine's, so far ahead of this one or, below 0, behind it."""

    def __init__(self, clock: ManualClock, ahead_ms: int) -> None:
        self._clock = clock
        self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return self._clock.ms + self._ahead_ms


class Jumping(selectors.SelectSelector):
    """Where a real selector would wait, time jumps."""

    now_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            if ready := super().select(PATIENCE_SECONDS):  # such as the thread's that a loop ends its executor by
                return ready
            raise AssertionError("everybody waits for ever")
        self.now_seconds += max(timeout, 0.0)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time and threads run at once."""

    def __init__(self) -> None:
        self._jumping = Jumping()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-6  # times are added up, so they are not exact
        self.set_default_executor(AtOnce())

    def time(self) -> float:
        return self._jumping.now_seconds


class AtOnce(ThreadPoolExecutor):
    """What would go to a thread is done when it is asked for."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done
