"""What a process of owners says of itself: rates of the last seconds, latencies of its commits, and no more."""

from __future__ import annotations

from typing import cast

from actors.owner.pulse import TOLD, WINDOW, Pulse, Work
from actors.owner.schedule import Schedule
from engine.events import AnyEvent, Confirmed, Expired, Held, Record
from engine.turn import Step
from persistence.operations.vitals import OwnerVitals

NOW_MS = 1_790_000_000_000
HELD = Held("b", "c", (1, 2), (10, 10), "KRW", NOW_MS)


def steps(*events: AnyEvent) -> list[Step]:
    return [Step(Record(number, NOW_MS, event), None) for number, event in enumerate(events, 1)]


class Owner:
    """As much of a `Schedule` as a pulse takes."""

    def __init__(self, number: int = 0, ready: bool = True, *, unsaved: int = 0, failing: bool = False) -> None:
        self.id, self.used_ms, self.ready = f"schedule {number}", number, ready
        self.unpublished, self.unsaved, self.snapshot_failing = number, unsaved, failing
        self.work = Work()

    def vitals(self) -> OwnerVitals:
        return OwnerVitals(
            schedule_id=self.id,
            version=1,
            unpublished=0,
            unsaved=0,
            waiting=0,
            held=0,
            sold=0,
            commit_ms=self.work.commit_ms,
        )


def owners(*given: Owner) -> list[Schedule]:
    return cast(list[Schedule], list(given))


def test_rates_are_of_the_last_seconds_and_every_commit_counts_once() -> None:
    owner, pulse = Owner(), Pulse("owners-0")
    owner.work.committed(0.002, steps(HELD, HELD, Confirmed("b"), Expired("b")))
    first = pulse.beat(owners(owner), NOW_MS)
    assert (first.held, first.sold, first.ended, first.events, first.commits) == (2, 1, 1, 4, 1)
    second = pulse.beat(owners(owner), NOW_MS)
    assert (second.held, second.events) == (1, 2), "over two seconds now"
    for _ in range(WINDOW):
        last = pulse.beat(owners(owner), NOW_MS)
    assert (last.events, last.commit_ms, last.slow_commit_ms) == (0, None, None)
    assert last.owners[0].commit_ms == 2.0, "the schedule's own stays until there are others"


def test_the_median_and_the_slowest_of_a_hundred_are_told() -> None:
    owner, pulse = Owner(), Pulse("owners-0")
    for _ in range(200):
        owner.work.committed(0.002, ())
    owner.work.committed(0.9, ())
    owner.work.committed(0.9, ())
    told = pulse.beat(owners(owner), NOW_MS)
    assert told.commit_ms == 2.0
    assert told.slow_commit_ms == 2.0, "two of 202 are the slowest of a hundred"
    owner.work.committed(0.7, ())
    assert pulse.beat(owners(owner), NOW_MS).slow_commit_ms == 700.0


def test_those_used_last_are_told_of_and_all_are_counted() -> None:
    many = [Owner(number) for number in range(TOLD + 50)]
    told = Pulse("owners-0").beat(owners(*many, Owner(9_999, ready=False)), NOW_MS)
    assert told.open == TOLD + 51
    assert [each.schedule_id for each in told.owners] == [f"schedule {number}" for number in range(TOLD + 49, 49, -1)]


def test_what_waits_is_told_of_all_that_are_ready() -> None:
    many = [Owner(number, unsaved=10 * number, failing=number > TOLD) for number in range(TOLD + 3)]
    told = Pulse("owners-0").beat(owners(*many, Owner(9_999, ready=False, unsaved=9_999, failing=True)), NOW_MS)
    assert told.unpublished == sum(range(TOLD + 3))
    assert (told.unsaved, told.failing_snapshots) == (10 * (TOLD + 2), 2)
    nothing = Pulse("owners-0").beat((), NOW_MS)
    assert (nothing.unpublished, nothing.unsaved, nothing.failing_snapshots) == (0, 0, 0)
