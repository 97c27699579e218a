"""What a schedule's owner, and a process of them, says of itself while it works: how long commits take and what they
made durable. Counting costs a commit a few microseconds; nothing is asked, opened or waited for.
"""

from __future__ import annotations

import os
import statistics
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from engine.turn import Step
from persistence.operations.vitals import ProcessVitals

if TYPE_CHECKING:
    from actors.owner.schedule import Schedule

WINDOW = 5  # seconds that rates and latencies are of
TOLD = 100  # schedules a process tells of: those used last
HELD, SOLD, ENDED = (
    "reservation.held",
    "reservation.confirmed",
    (
        "reservation.expired",
        "cancellation.completed",
        "refund.requested",
    ),
)
SLOW_SHARE = 100  # the slowest of so many commits is told


KEPT = 1_024  # commits between two beats, should nobody take them
SHOWN = 64  # commits that a schedule's latency is of


class Work:
    """What one owner has done since it was asked last."""

    __slots__ = ("_commits", "_counts", "_fresh")

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._fresh: deque[float] = deque(maxlen=KEPT)
        self._commits: deque[float] = deque(maxlen=SHOWN)

    def committed(self, seconds: float, steps: Sequence[Step]) -> None:
        """A commit of these steps took so long, from when it was begun."""
        self._fresh.append(seconds)
        self._commits.append(seconds)
        self._counts.update([step.record.event.type_name for step in steps])

    def taken(self) -> tuple[Counter[str], list[float]]:
        """Events by their name and the seconds of each commit, since this was called last."""
        taken = self._counts, list(self._fresh)
        self._counts = Counter()
        self._fresh.clear()
        return taken

    @property
    def commit_ms(self) -> float | None:
        """The median of the last commits."""
        return median_ms(self._commits)


class Pulse:
    """One process's, over all its schedules: `beat` once a second."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seconds: deque[tuple[Counter[str], list[float]]] = deque(maxlen=WINDOW)

    def beat(self, schedules: Sequence[Schedule], now_ms: int) -> ProcessVitals:
        """Takes what has happened since the last time, and tells how the process does."""
        counts: Counter[str] = Counter()
        commits: list[float] = []
        for schedule in schedules:
            made, took = schedule.work.taken()
            counts += made
            commits += took
        self._seconds.append((counts, commits))
        span = len(self._seconds)
        happened = sum((each for each, _ in self._seconds), Counter[str]())
        times = sorted(each for _, all_of in self._seconds for each in all_of)
        ready = [each for each in schedules if each.ready]
        told = sorted(ready, key=lambda each: -each.used_ms)[:TOLD]
        return ProcessVitals(
            name=self._name,
            pid=os.getpid(),
            at_ms=now_ms,
            open=len(schedules),
            commits=len(times) / span,
            events=happened.total() / span,
            held=happened[HELD] / span,
            sold=happened[SOLD] / span,
            ended=sum(happened[kind] for kind in ENDED) / span,
            commit_ms=median_ms(times),
            slow_commit_ms=None if not times else round(times[-1 - len(times) // SLOW_SHARE] * 1000, 1),
            owners=[schedule.vitals() for schedule in told],
            unpublished=sum(each.unpublished for each in ready),
            unsaved=max((each.unsaved for each in ready), default=0),
            failing_snapshots=sum(each.snapshot_failing for each in ready),
        )


def median_ms(seconds: Iterable[float]) -> float | None:
    """The median in milliseconds; None of nothing."""
    times = list(seconds)
    return round(statistics.median(times) * 1000, 1) if times else None
