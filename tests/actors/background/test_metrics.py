"""What Prometheus is told of the processes of owners."""

from __future__ import annotations

from prometheus_client import REGISTRY

from actors.background.metrics import OwnersMetrics
from persistence.operations.vitals import ProcessVitals, Vitals, WorkerVitals
from tests.support.clocks import ManualClock

METRICS = (
    "boxoffice_schedules_open",
    "boxoffice_events_unpublished",
    "boxoffice_events_unsaved",
    "boxoffice_snapshots_failing",
)


def process(name: str, opened: int, unpublished: int, unsaved: int, failing: int) -> ProcessVitals:
    return ProcessVitals(
        name=name,
        pid=1,
        at_ms=0,
        open=opened,
        commits=0,
        events=0,
        held=0,
        sold=0,
        ended=0,
        commit_ms=None,
        slow_commit_ms=None,
        owners=[],
        unpublished=unpublished,
        unsaved=unsaved,
        failing_snapshots=failing,
    )


class Board:
    """Says what it was given; None: it is away."""

    def __init__(self, *said: Vitals) -> None:
        self.said: list[Vitals] | None = list(said)

    async def read(self, now_ms: int) -> list[Vitals] | None:
        return self.said


def told() -> list[float | None]:
    return [REGISTRY.get_sample_value(name) for name in METRICS]


async def test_what_this_machine_s_processes_say_is_told_and_stays_while_nobody_can_be_heard() -> None:
    worker = WorkerVitals(name="worker 7", pid=7, at_ms=0, unanswered=0, waiting={})
    board = Board(
        process("owners-0@a", 3, 20, 700, 0),
        process("owners-1@a", 4, 5, 900, 1),
        process("owners-0@b", 9, 9, 9_999, 9),
        worker,
    )
    metrics = OwnersMetrics(board, ("owners-0@a", "owners-1@a"), ManualClock())
    await metrics.run_once()
    assert told() == [7, 25, 900, 1]
    board.said = None
    await metrics.run_once()
    assert told() == [7, 25, 900, 1]
    board.said = [worker]
    await metrics.run_once()
    assert told() == [0, 0, 0, 0], "all have left"
