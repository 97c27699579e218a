"""The read path: what an API process knows of the schedules somebody looks at, without ever asking a schedule's owner.

Local copies are kept live by the cache's announcements. Guarantees: a version is never followed by an older one; a copy
that may have missed something is validated before it is shown again, against the cache or, failing that, the journal;
with the cache away a reader still gets an answer no older than 250 ms (or five times what reading the journal takes);
with an owner that cannot reach the cache, so that there is nothing to be missed, one no older than two comparisons with
the journal, which are 2 s apart; memory does not grow with slow consumers, who get changes merged or a fresh view.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from actors.process.unending import kept_up
from actors.seats.copies import OFFLINE_PATIENCE_SECONDS, Availability, Changes, Copy, Counts
from engine.seating_plan import SeatingPlan
from persistence.database.asked_once import shared
from persistence.database.away import Outage
from persistence.database.ending_tasks import end
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import CacheUnavailable, SeatCache, SeatDelta, SeatView

logger = logging.getLogger(__name__)

COPIES = 256  # 13 MB of states if every one is a 50,000-seat house
CACHE_PAUSE_SECONDS = (
    1.0  # after a failure the cache is left alone for so long: its time-outs must not slow readers down
)
MIND_SECONDS = 1.0  # how often copies with subscribers are looked after
COMPARE_SECONDS = 2.0  # an announcement takes a twentieth of that, on a machine that is swamped perhaps half
BACK_OFF_FIRST_SECONDS = 0.05
BACK_OFF_MOST_SECONDS = 2.0

Load = Callable[[str], Awaitable[SeatView | None]]
PlanOf = Callable[[str, int], Awaitable[SeatingPlan]]
Journaled = Callable[[Collection[str]], Awaitable[Mapping[str, int]]]


class SeatViews:
    """Local copies of seat views: at most `capacity`, and besides those that somebody subscribes to.

    `load` reads a schedule's view from the journal (None: no such schedule), `plan_of` gives a plan of its house by its
    number, `journaled` the newest versions there are of schedules. Methods that read raise `UnknownSchedule`, and what
    `load` raises when neither of both can be read.
    """

    def __init__(
        self,
        cache: SeatCache,
        load: Load,
        plan_of: PlanOf,
        journaled: Journaled,
        *,
        capacity: int = COPIES,
        mind_seconds: float = MIND_SECONDS,
        compare_seconds: float = COMPARE_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._load = load
        self._plan_of = plan_of
        self._journaled = journaled
        self._capacity = capacity
        self._mind_seconds = mind_seconds
        self._compare_seconds = compare_seconds
        self._now = now
        self._copies: OrderedDict[str, Copy] = OrderedDict()
        self._flights: dict[str, _Flight] = {}
        self._subscription = 0  # the number of the current subscription
        self._subscribed = False
        self._attempted = asyncio.Event()
        self._cache_paused_until = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to listen. Returns when the first attempt to subscribe is through, successful or not."""
        comparing = kept_up(self._compare, "comparing seats with the journal")
        self._tasks = [asyncio.create_task(work) for work in (self._follow(), self._mind(), comparing)]
        for task in self._tasks:
            task.add_done_callback(_report)
        await self._attempted.wait()

    async def stop(self) -> None:
        """Ends every subscription and lets go of everything."""
        for copy in self._copies.values():
            copy.end()
        await end([*self._tasks, *(flight.task for flight in self._flights.values())])
        self._copies.clear()

    # --- reading ------------------------------------------------------------------------------------------------------
    async def view(self, schedule_id: str) -> SeatView:
        """The schedule's seats now."""
        return (await self._current(schedule_id)).view

    async def newer_than(self, view: SeatView) -> SeatView:
        """The schedule's seats after that view, which is known to be outdated."""
        copy = self._copies.get(view.schedule_id)
        if copy is not None:
            copy.announced = max(copy.announced, view.version + 1)
        return await self.view(view.schedule_id)

    async def availability(self, schedule_id: str) -> Availability:
        """The schedule's counts now; computed once, then kept up to date change by change."""
        copy = await self._current(schedule_id)
        while copy.counts is None:
            plan = await self._plan_of(schedule_id, copy.view.plan_number)
            # From the view as it is now: it may have moved on during the wait.
            if copy.counts is None and plan.number == copy.view.plan_number:
                copy.counts = Counts(plan, copy.view)
        return copy.counts.availability(copy.view.version)

    def deltas_since(self, schedule_id: str, version: int) -> list[SeatDelta] | None:
        """What leads from `version` to the local copy, oldest first; None if that is no longer known."""
        copy = self._copies.get(schedule_id)
        return None if copy is None else copy.deltas_since(version)

    def subscribe(self, schedule_id: str, *, after: int | None = None) -> AbstractAsyncContextManager[Changes]:
        """What happens to the schedule: first the view, then changes, merged as far as the consumer falls behind.

        With `after`, the version a consumer has from before, the view is left out if the changes since are still known.
        """
        return self._subscribe(schedule_id, after)

    @asynccontextmanager
    async def _subscribe(self, schedule_id: str, after: int | None) -> AsyncIterator[Changes]:
        copy = await self._current(schedule_id)
        if after is not None and after > copy.view.version:
            # Another process was ahead of this one when it served this consumer: do not send it back in time.
            copy = await self._fly(schedule_id)
        while self._copies.get(schedule_id) is not copy:  # evicted while this waited
            copy = await self._current(schedule_id)
        changes = Changes(copy, None if after is None or copy.deltas_since(after) is None else after)
        copy.subscribers.add(changes)
        try:
            yield changes
        finally:
            copy.subscribers.discard(changes)

    async def _current(self, schedule_id: str) -> Copy:
        copy = self._copies.get(schedule_id)
        if copy is None or not self._is_fresh(copy):
            return await self._fly(schedule_id)
        self._copies.move_to_end(schedule_id)
        return copy

    def _is_fresh(self, copy: Copy) -> bool:
        if self._subscribed:
            return copy.live_in == self._subscription and copy.view.version >= copy.announced
        return self._now() - copy.checked_at < copy.patience_seconds

    # --- fetching -----------------------------------------------------------------------------------------------------
    async def _fly(self, schedule_id: str) -> Copy:
        """Fetches the schedule's view, together with everybody who wants it at the same time."""
        return await shared(self._start_flight(schedule_id).task, "reading a schedule's seats")

    def _start_flight(self, schedule_id: str) -> _Flight:
        flight = self._flights.get(schedule_id)
        if flight is None:
            flight = self._flights[schedule_id] = _Flight()
            flight.task = asyncio.create_task(self._fetch(schedule_id, flight))
            flight.task.add_done_callback(lambda task: self._land(schedule_id, task))
        return flight

    def _land(self, schedule_id: str, task: asyncio.Task[Copy]) -> None:
        self._flights.pop(schedule_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.info("cannot read the seats of schedule %s: %r", schedule_id, error)

    async def _fetch(self, schedule_id: str, flight: _Flight) -> Copy:
        # Taken before reading: what is announced from here on is heard, so that the copy is live from the start.
        live_in = self._subscription if self._subscribed else None
        patience_seconds = OFFLINE_PATIENCE_SECONDS
        view = await self._cached(schedule_id)
        copy = self._copies.get(schedule_id)
        heard = max(flight.announced, 0 if copy is None else max(copy.announced, copy.view.version))
        if view is None or view.version < heard:
            started = self._now()
            view = await self._loaded(schedule_id)
            # No more than a fifth of the time goes into reading one journal.
            patience_seconds = max(patience_seconds, 5 * (self._now() - started))
            await self._store(view)
        if view.withdrawn:
            self._drop(schedule_id)
            raise UnknownSchedule(schedule_id)
        return self._install(view, flight.announced, live_in, patience_seconds)

    async def _cached(self, schedule_id: str) -> SeatView | None:
        if self._now() < self._cache_paused_until:
            return None
        try:
            return await self._cache.get(schedule_id)
        except CacheUnavailable:
            self._cache_paused_until = self._now() + CACHE_PAUSE_SECONDS
            return None

    async def _loaded(self, schedule_id: str) -> SeatView:
        view = await self._load(schedule_id)
        if view is None:
            self._drop(schedule_id)
            raise UnknownSchedule(schedule_id)
        return view

    def _drop(self, schedule_id: str) -> None:
        """Nobody is shown the schedule any more; its subscriptions end."""
        if gone := self._copies.pop(schedule_id, None):
            gone.end()

    async def _store(self, view: SeatView) -> None:
        if self._now() < self._cache_paused_until:
            return
        try:
            await self._cache.put(view)
        except CacheUnavailable:
            self._cache_paused_until = self._now() + CACHE_PAUSE_SECONDS

    def _install(self, view: SeatView, announced: int, live_in: int | None, patience_seconds: float) -> Copy:
        copy = self._copies.get(view.schedule_id)
        if copy is None:
            copy = self._copies[view.schedule_id] = Copy(view)
            self._evict()
        elif view.plan_number != copy.view.plan_number:
            if view.version > copy.view.version:
                copy.replace(view)
        elif view.version > copy.view.version:
            copy.advance(view.since(copy.view))
        self._copies.move_to_end(view.schedule_id)
        copy.announced = max(copy.announced, announced)
        copy.live_in = live_in
        copy.checked_at = self._now()
        copy.patience_seconds = patience_seconds
        return copy

    def _evict(self) -> None:
        """Forgets those not read for longest; the newest is the one being read now."""
        excess = len(self._copies) - self._capacity
        idle = [schedule_id for schedule_id, copy in self._copies.items() if not copy.subscribers][:-1]
        for schedule_id in idle[: max(excess, 0)]:
            del self._copies[schedule_id]

    # --- listening ----------------------------------------------------------------------------------------------------
    async def _follow(self) -> None:
        pause_seconds = BACK_OFF_FIRST_SECONDS
        outage = Outage("hearing of seats, which are read from the journal meanwhile,", logger)
        while True:
            since = self._now()
            try:
                async with self._cache.deltas() as deltas:
                    self._connected()
                    outage.over()
                    async for delta in deltas:
                        self._receive(delta)
            except CacheUnavailable as error:
                outage.met(error)
            finally:
                self._subscribed = False
                self._attempted.set()
            if self._now() - since > BACK_OFF_MOST_SECONDS:
                pause_seconds = BACK_OFF_FIRST_SECONDS
            # Spread, so that not every process comes back in the same moment.
            await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.0))
            pause_seconds = min(2 * pause_seconds, BACK_OFF_MOST_SECONDS)

    def _connected(self) -> None:
        self._subscription += 1
        self._subscribed = True
        self._cache_paused_until = 0.0
        self._attempted.set()
        self._refresh_subscribed()

    def _receive(self, delta: SeatDelta) -> None:
        if flight := self._flights.get(delta.schedule_id):
            flight.announced = max(flight.announced, delta.version)
        copy = self._copies.get(delta.schedule_id)
        if copy is None or delta.version <= copy.view.version:
            return
        copy.announced = max(copy.announced, delta.version)
        # Equal, not merely older: an owner that does not know what readers have announces from 0, to make them read.
        if delta.from_version == copy.view.version:
            copy.advance(delta)
            copy.live_in = self._subscription
        elif copy.subscribers:
            self._start_flight(delta.schedule_id)

    async def _mind(self) -> None:
        """Keeps subscribers going where no announcement does: with the cache away, or after a failed fetch."""
        while True:
            await asyncio.sleep(self._mind_seconds)
            self._refresh_subscribed()

    async def _compare(self) -> None:
        """For ever: has copies looked at anew that still lack what was in the journal a round ago."""
        former: Mapping[str, int] = {}
        outage = Outage("comparing seats with the journal", logger)
        while True:
            await asyncio.sleep(self._compare_seconds)
            for schedule_id, version in former.items():
                if (copy := self._copies.get(schedule_id)) is not None and copy.view.version < version:
                    copy.announced = max(copy.announced, version)
            asked = list(self._copies) if self._subscribed else []
            try:
                former = await self._journaled(asked) if asked else {}
            except JournalUnavailable as error:
                former = {}
                outage.met(error)
            else:
                outage.over()

    def _refresh_subscribed(self) -> None:
        for schedule_id, copy in self._copies.items():
            if copy.subscribers and not self._is_fresh(copy):
                self._start_flight(schedule_id)


class _Flight:
    """A fetch under way."""

    __slots__ = ("announced", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[Copy]
        self.announced = 0  # the newest version heard of meanwhile


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        # From here on reads go by the clock instead of announcements: right, but slower.
        logger.error("listening to seat announcements ended by an error", exc_info=error)
