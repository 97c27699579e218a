"""Times that are taken at every request: gathered in memory, told to Prometheus ten times a second and when it asks.

Counting is then an append. Told one by one, each would be three writes into the file that the port's processes share.
Who is asked for `/metrics` tells its own first (`tell_all`); what another worker has counted is seen a tenth of a
second later, and the last of one that is killed, never.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from weakref import WeakSet

from prometheus_client import Counter, Histogram

TELL_SECONDS = 0.1


class Seconds(Histogram):
    """A histogram that takes many observations at once."""

    def observe_all(self, times: Sequence[float]) -> None:
        """As `observe` of each of them."""
        self._raise_if_not_observable()  # type: ignore[no-untyped-call]  # the library has no types here
        found = [0] * len(self._upper_bounds)
        for each in times:
            found[bisect_left(self._upper_bounds, each)] += 1
        self._sum.inc(sum(times))
        for bucket, more in zip(self._buckets, found, strict=True):
            if more:
                bucket.inc(more)


class Tally:
    """The times of one kind of request, counted by `counter` and spread by `seconds`."""

    __slots__ = ("_counter", "_seconds", "times")

    def __init__(self, counter: Counter, seconds: Seconds) -> None:
        self._counter = counter
        self._seconds = seconds
        self.times: list[float] = []  # not told yet

    def tell(self) -> None:
        """Tells what has gathered."""
        times, self.times = self.times, []
        self._counter.inc(len(times))
        self._seconds.observe_all(times)


class Tallies:
    """Those of one loop, and when they are told next."""

    def __init__(self) -> None:
        self._untold: list[Tally] = []
        self._timer: asyncio.TimerHandle | None = None
        _all.add(self)

    def take(self, tally: Tally, seconds: float) -> None:
        """One more request, which took so long."""
        if not tally.times:
            self._untold.append(tally)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(TELL_SECONDS, self.tell)
        tally.times.append(seconds)

    def tell(self) -> None:
        """Tells what has gathered in all of them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        untold, self._untold = self._untold, []
        for tally in untold:
            tally.tell()


# Module state, and safe as such: it is added to when an application is built, and told from its own loop alone.
_all: WeakSet[Tallies] = WeakSet()


def tell_all() -> None:
    """Tells what has gathered in this process."""
    for each in list(_all):
        each.tell()
