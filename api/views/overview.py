"""How the system does, as admins see it at a glance: what its processes say, and what waits in the tables.

It is cheap, so that it may be looked at during the rush it is there for: processes say how they do anyway, the tables
are asked one small question a second by all workers together, and no owner is woken or asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence

import msgspec
from cachetools import LRUCache
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import Clock
from persistence.catalogue.titles import Title, titles
from persistence.database.asked_once import AskedOnce, latest_within
from persistence.database.away import is_away
from persistence.database.moments import milliseconds, rfc3339
from persistence.operations.board import VitalsBoard
from persistence.operations.standing import Standing, Waiting, read_standing, standing
from persistence.operations.vitals import OwnerVitals, ProcessVitals, WorkerVitals

FRESH_SECONDS = 0.9  # of what a worker keeps: a little less than from one event of its streams to the next
STREAM_SECONDS = 1.0
OWNERS_SHOWN = 50
TITLES_SECONDS = 60.0  # titles change once in a while
TITLES_KEPT = 10_000


class Rates(Struct, frozen=True, kw_only=True):
    """A second, over the last five."""

    held: float
    sold: float
    ended: float
    events: float
    commits: float


class ProcessView(Struct, frozen=True, kw_only=True):
    """A process of owners. Its commits are shared by its schedules; `slow_commit_ms` is the slowest of a hundred."""

    name: str
    pid: int
    open: int
    commits: float
    commit_ms: float | None
    slow_commit_ms: float | None


class WorkerView(Struct, frozen=True, kw_only=True):
    """An API worker, and how many of its requests wait for owners."""

    pid: int
    unanswered: int


class AwakeOwnerView(Struct, frozen=True, kw_only=True):
    """A schedule whose owner is awake. `queue` waits in workers and for a commit; `unpublished` waits for Kafka;
    `unsaved` are the events since its newest snapshot, which a recovery would replay.
    """

    schedule_id: str
    title: str | None
    title_en: str | None
    starts_at: str | None
    time_zone: str | None
    process: str
    version: int
    held: int
    sold: int
    queue: int
    commit_ms: float | None
    unpublished: int
    unsaved: int


class WaitingView(Struct, frozen=True, kw_only=True):
    """How many wait, since when, and what they come to in minor units by currency."""

    count: int
    oldest_at: str | None
    amounts: dict[str, int]


class StandingView(Struct, frozen=True, kw_only=True):
    """What waits, by the tables."""

    unpublished: WaitingView  # events on their way to Kafka
    payments: WaitingView
    refunds: WaitingView
    mails: WaitingView
    mails_failed: int
    parked_events: int
    examined: int
    failing: int
    oldest_examination_at: str | None
    overall_holds: bool | None


class OverviewView(Struct, frozen=True, kw_only=True):
    """How the system does now. `vitals`: whether processes could be heard (Redis); `standing` is null while the
    database is away. The owners are those with the longest queue first, and then those used last."""

    at: str
    vitals: bool
    rates: Rates
    held: int
    sold: int
    queue: int
    commit_ms: float | None
    slow_commit_ms: float | None
    open: int
    processes: list[ProcessView]
    workers: list[WorkerView]
    owners: list[AwakeOwnerView]
    standing: StandingView | None


class Titles:
    """What schedules are called, remembered for a while."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._known: LRUCache[str, tuple[Title, float]] = latest_within(TITLES_KEPT)

    async def of(self, schedule_ids: Collection[str]) -> dict[str, Title]:
        """By id. Those it does not know while the database is away are left out."""
        since = time.monotonic() - TITLES_SECONDS
        if wanted := [each for each in schedule_ids if each not in self._known or self._known[each][1] < since]:
            try:
                found = await titles(self._database, wanted)
            except Exception as error:
                if not is_away(error):
                    raise
                found = {}
            self._known.update({each: (title, time.monotonic()) for each, title in found.items()})
        return {each: self._known[each][0] for each in schedule_ids if each in self._known}


class Overviews:
    """One worker's overviews: made once a second at most, however many look."""

    def __init__(self, database: AsyncEngine, board: VitalsBoard, clock: Clock) -> None:
        self._database = database
        self._board = board
        self._clock = clock
        self._made: AskedOnce[OverviewView] = AskedOnce(1)
        self.titles = Titles(database)
        self.stopping = False
        self.watched = 0  # streams

    async def now(self) -> OverviewView:
        """The newest one."""
        return await self._made.ask("now", self._make, within_seconds=FRESH_SECONDS)

    async def awake(self) -> dict[str, OwnerVitals]:
        """How the schedules do whose owners are awake, by id: those used last."""
        return {
            owner.schedule_id: owner
            for each in await self._board.read(self._clock.now_ms()) or ()
            if isinstance(each, ProcessVitals)
            for owner in each.owners
        }

    async def stream(self, may_go_on: Callable[[], Awaitable[bool]]) -> AsyncGenerator[bytes]:
        """One a second as Server-Sent Events, as long as whoever looks may look."""
        self.watched += 1
        try:
            yield b"retry: 2000\n\n"
            while not self.stopping and await may_go_on():
                yield b"event: overview\ndata: %s\n\n" % msgspec.json.encode(await self.now())
                await asyncio.sleep(STREAM_SECONDS)
        finally:
            self.watched -= 1

    def stop(self) -> None:
        """Ends every stream within a second, and opens no further one."""
        self.stopping = True

    async def _make(self) -> OverviewView:
        said = await self._board.read(self._clock.now_ms())
        processes = [each for each in said or () if isinstance(each, ProcessVitals)]
        workers = [each for each in said or () if isinstance(each, WorkerVitals)]
        waiting = _waiting(workers)
        busiest = sorted(
            ((owner, process.name) for process in processes for owner in process.owners),
            key=lambda each: -(each[0].waiting + waiting.get(each[0].schedule_id, 0)),
        )
        shown = busiest[:OWNERS_SHOWN]
        named = await self.titles.of([owner.schedule_id for owner, _ in shown])
        return OverviewView(
            at=rfc3339(self._clock.now_ms()),
            vitals=said is not None,
            rates=_rates(processes),
            held=sum(owner.held for owner, _ in busiest),
            sold=sum(owner.sold for owner, _ in busiest),
            queue=sum(each.unanswered for each in workers),
            commit_ms=_worst([each.commit_ms for each in processes]),
            slow_commit_ms=_worst([each.slow_commit_ms for each in processes]),
            open=sum(each.open for each in processes),
            processes=[_process(each) for each in processes],
            workers=[WorkerView(pid=each.pid, unanswered=each.unanswered) for each in workers],
            owners=[_owner(owner, process, waiting, named.get(owner.schedule_id)) for owner, process in shown],
            standing=await self._standing(),
        )

    async def _standing(self) -> StandingView | None:
        try:
            found = read_standing(await self._board.shared(lambda: standing(self._database)))
        except Exception as error:
            if not is_away(error):
                raise
            return None
        return _standing_view(found)


def _waiting(workers: Sequence[WorkerVitals]) -> dict[str, int]:
    """Requests that wait in workers, by schedule."""
    waiting: dict[str, int] = {}
    for worker in workers:
        for schedule_id, count in worker.waiting.items():
            waiting[schedule_id] = waiting.get(schedule_id, 0) + count
    return waiting


def _rates(processes: Sequence[ProcessVitals]) -> Rates:
    return Rates(**{name: round(sum(getattr(each, name) for each in processes), 1) for name in Rates.__struct_fields__})


def _worst(times: Sequence[float | None]) -> float | None:
    return max((each for each in times if each is not None), default=None)


def _process(said: ProcessVitals) -> ProcessView:
    return ProcessView(
        name=said.name,
        pid=said.pid,
        open=said.open,
        commits=round(said.commits, 1),
        commit_ms=said.commit_ms,
        slow_commit_ms=said.slow_commit_ms,
    )


def _owner(said: OwnerVitals, process: str, waiting: dict[str, int], title: Title | None) -> AwakeOwnerView:
    return AwakeOwnerView(
        schedule_id=said.schedule_id,
        title=None if title is None else title.title,
        title_en=None if title is None else title.title_en,
        starts_at=None if title is None else rfc3339(milliseconds(title.starts_at)),
        time_zone=None if title is None else title.time_zone,
        process=process,
        version=said.version,
        held=said.held,
        sold=said.sold,
        queue=said.waiting + waiting.get(said.schedule_id, 0),
        commit_ms=said.commit_ms,
        unpublished=said.unpublished,
        unsaved=said.unsaved,
    )


def _standing_view(found: Standing) -> StandingView:
    unpublished = Waiting(count=found.events_unpublished, oldest_ms=found.oldest_unpublished_ms)
    return StandingView(
        unpublished=_waits(unpublished),
        payments=_waits(found.payments),
        refunds=_waits(found.refunds),
        mails=_waits(found.mails),
        mails_failed=found.mails_failed,
        parked_events=found.parked_events,
        examined=found.examined,
        failing=found.failing,
        oldest_examination_at=_at(found.oldest_examination_ms),
        overall_holds=found.overall_holds,
    )


def _waits(waiting: Waiting) -> WaitingView:
    return WaitingView(count=waiting.count, oldest_at=_at(waiting.oldest_ms), amounts=waiting.amounts)


def _at(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


OVERVIEW_EXAMPLE = {
    "at": "2026-11-22T14:05:40.117+00:00",
    "vitals": True,
    "rates": {"held": 812.4, "sold": 96.2, "ended": 12.0, "events": 1104.8, "commits": 211.0},
    "held": 402,
    "sold": 1830,
    "queue": 37,
    "commit_ms": 2.1,
    "slow_commit_ms": 9.4,
    "open": 1,
    "processes": [
        {"name": "owners-0", "pid": 4711, "open": 1, "commits": 211.0, "commit_ms": 2.1, "slow_commit_ms": 9.4}
    ],
    "workers": [{"pid": 4702, "unanswered": 37}],
    "owners": [
        {
            "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
            "title": "카르멘",
            "title_en": "Carmen",
            "starts_at": "2026-12-24T10:30:00.000+00:00",
            "time_zone": "Asia/Seoul",
            "process": "owners-0",
            "version": 4211,
            "held": 402,
            "sold": 1830,
            "queue": 24,
            "commit_ms": 2.1,
            "unpublished": 180,
            "unsaved": 4211,
        }
    ],
    "standing": {
        "unpublished": {"count": 180, "oldest_at": "2026-11-22T14:05:39.870+00:00", "amounts": {}},
        "payments": {"count": 2, "oldest_at": "2026-11-22T14:05:38.002+00:00", "amounts": {"KRW": 170000}},
        "refunds": {"count": 0, "oldest_at": None, "amounts": {}},
        "mails": {"count": 4, "oldest_at": "2026-11-22T14:05:39.410+00:00", "amounts": {}},
        "mails_failed": 0,
        "parked_events": 0,
        "examined": 12,
        "failing": 0,
        "oldest_examination_at": "2026-11-22T14:01:12.000+00:00",
        "overall_holds": True,
    },
}
