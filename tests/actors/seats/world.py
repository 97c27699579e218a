"""The read path without Redis, Postgres or an actor: an in-memory cache, and a journal that is a dictionary."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from actors.seats import copies
from actors.seats.copies import CategoryCount, Changes, Copy
from actors.seats.seat_views import SeatViews
from engine.plan_document import read_plan
from engine.seating_plan import SeatingPlan
from engine.state import BLOCKED, FREE, HELD, SOLD
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import AreaCounts, MemorySeatCache, SeatDelta, SeatView
from persistence.seats.redis_cache import RedisSeatCache
from tests.support.waiting import PATIENCE_SECONDS

SIZE = 6
DOCUMENT = {
    "name": "A small house",
    "categories": [{"name": "R", "color": "#f00"}, {"name": "S", "color": "#00f"}, {"name": "Floor", "color": "#0f0"}],
    "zones": [
        {
            "name": "Hall",
            "rows": [
                {
                    "row_number": "1",
                    "seats": [
                        {
                            "seat_guid": f"1-{n}",
                            "seat_number": str(n),
                            "position": {"x": n * 10, "y": 0},
                            "category": "R" if n < 2 else "S",
                        }
                        for n in range(SIZE)
                    ],
                }
            ],
            "general_admission": [{"guid": "floor", "name": "Floor", "category": "Floor", "capacity": 100}],
        }
    ],
}
PLAN = read_plan(DOCUMENT)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class World:
    """A schedule's owner and its journal, as far as readers can tell."""

    def __init__(self) -> None:
        self.cache = MemorySeatCache()
        self.clock = Clock()
        self.journal: dict[str, SeatView] = {}
        self.loads = 0
        self.compared = 0
        self.gate = asyncio.Event()  # closed: loading waits
        self.gate.set()
        self.journal_available = True

    async def load(self, schedule_id: str) -> SeatView | None:
        self.loads += 1
        await self.gate.wait()
        if not self.journal_available:
            raise JournalUnavailable("the database is away")
        return self.journal.get(schedule_id)

    async def plan_of(self, schedule_id: str, number: int) -> SeatingPlan:
        return PLAN

    async def journaled(self, schedule_ids: Collection[str]) -> Mapping[str, int]:
        self.compared += 1
        if not self.journal_available:
            raise JournalUnavailable("the database is away")
        return {each: self.journal[each].version for each in schedule_ids if each in self.journal}

    def opened(self, schedule_id: str, version: int = 1) -> SeatView:
        self.journal[schedule_id] = SeatView(schedule_id, version, bytes(SIZE), (AreaCounts(100, 0, 0, 0),))
        return self.journal[schedule_id]

    def commit(self, schedule_id: str, index: int, state: int) -> SeatDelta:
        """One more fact in the journal; nobody has been told yet."""
        view = self.journal[schedule_id]
        delta = SeatDelta(schedule_id, view.version, view.version + 1, ((index, state),), ())
        self.journal[schedule_id] = view.after(delta)
        return delta

    async def publish(self, schedule_id: str, index: int, state: int) -> SeatDelta:
        delta = self.commit(schedule_id, index, state)
        await self.cache.publish(self.journal[schedule_id], delta)
        return delta


@pytest.fixture
def world() -> World:
    return World()


@contextlib.asynccontextmanager
async def reading(world: World, capacity: int = 256, compare_seconds: float = 60.0) -> AsyncIterator[SeatViews]:
    views = SeatViews(
        world.cache,
        world.load,
        world.plan_of,
        world.journaled,
        capacity=capacity,
        mind_seconds=0.005,
        compare_seconds=compare_seconds,
        now=world.clock,
    )
    await views.start()
    try:
        yield views
    finally:
        await views.stop()


@pytest.fixture
async def views(world: World) -> AsyncIterator[SeatViews]:
    async with reading(world) as views:
        yield views


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def interrupted(world: World) -> AsyncIterator[None]:
    """The cache is away in the block; afterwards somebody listens again."""
    lost = set(world.cache._listeners)
    world.cache.available = False
    await until(lambda: not lost & world.cache._listeners)
    yield
    world.cache.available = True
    await until(lambda: bool(world.cache._listeners))


async def version_becomes(views: SeatViews, schedule_id: str, version: int) -> SeatView:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (view := await views.view(schedule_id)).version < version:
            await asyncio.sleep(0)
    return view


async def next_change(changes: AsyncIterator[SeatView | SeatDelta]) -> SeatView | SeatDelta:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(changes)


# --- reading ----------------------------------------------------------------------------------------------------------
async def test_a_cached_view_is_read_once_and_then_kept_live(world: World, views: SeatViews) -> None:
    await world.cache.put(world.opened("a"))
    await views.view("a")
    await world.publish("a", 0, HELD)
    view = await version_becomes(views, "a", 2)
    assert view == world.journal["a"]
    assert (world.cache.reads, world.loads) == (1, 0)


async def test_an_uncached_view_is_read_from_the_journal_and_cached(world: World, views: SeatViews) -> None:
    opened = world.opened("a")
    assert await views.view("a") == opened
    assert await views.view("a") == opened
    assert world.loads == 1
    assert await world.cache.get("a") == opened


async def test_an_unknown_schedule_is_unknown(views: SeatViews) -> None:
    with pytest.raises(UnknownSchedule):
        await views.view("nowhere")
    with pytest.raises(UnknownSchedule):
        await views.availability("nowhere")
    with pytest.raises(UnknownSchedule):
        async with views.subscribe("nowhere"):
            pass


async def test_many_readers_at_once_load_once(world: World, views: SeatViews) -> None:
    world.opened("a")
    world.gate.clear()
    readers = [asyncio.create_task(views.view("a")) for _ in range(50)]
    await until(lambda: world.loads > 0)
    world.gate.set()
    assert {view.version for view in await asyncio.gather(*readers)} == {1}
    assert world.loads == 1


async def test_a_reader_that_goes_away_does_not_take_the_load_from_the_others(world: World, views: SeatViews) -> None:
    world.opened("a")
    world.gate.clear()
    leaving = asyncio.create_task(views.view("a"))
    staying = asyncio.create_task(views.view("a"))
    await until(lambda: world.loads > 0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    world.gate.set()
    assert (await staying).version == 1


async def test_copies_are_bounded_and_the_longest_unread_goes_first(world: World) -> None:
    async with reading(world, capacity=2) as views:
        for name in "abc":
            world.opened(name)
        for name in ("a", "b", "a", "c", "a"):
            await views.view(name)
        assert world.loads == 3
        await views.view("b")
        assert views.deltas_since("c", 1) is None
        assert views.deltas_since("a", 1) == []


async def test_copies_with_subscribers_are_not_evicted(world: World) -> None:
    async with reading(world, capacity=1) as views:
        for name in "abc":
            await world.cache.put(world.opened(name))
        async with views.subscribe("a") as changes:
            await next_change(changes)
            await views.view("b")
            await views.view("c")
            await world.publish("a", 0, HELD)
            change = await next_change(changes)
            assert (type(change), change.version) == (SeatDelta, 2)


# --- versions ---------------------------------------------------------------------------------------------------------
async def test_a_gap_is_repaired_from_the_cache(world: World, views: SeatViews) -> None:
    world.opened("a")
    await views.view("a")
    world.commit("a", 0, SOLD)  # its announcement is lost
    await world.publish("a", 1, HELD)
    view = await version_becomes(views, "a", 3)
    assert view == world.journal["a"]
    assert world.loads == 1  # the first; the gap took the cache alone


async def test_an_announcement_from_an_unknown_start_makes_readers_read(world: World, views: SeatViews) -> None:
    """A schedule's new owner announces from 0, without the changes: it does not know what readers have."""
    world.opened("a", version=5)
    await views.view("a")
    world.commit("a", 0, SOLD)
    await world.cache.publish(world.journal["a"], SeatDelta("a", 0, 6, (), ()))
    assert (await version_becomes(views, "a", 6)).states[0] == SOLD


async def test_a_cache_behind_its_own_announcement_is_not_believed(world: World, views: SeatViews) -> None:
    world.opened("a")
    await views.view("a")
    world.commit("a", 0, SOLD)
    await world.cache.announce(world.commit("a", 1, HELD))  # announced, never stored
    assert (await version_becomes(views, "a", 3)) == world.journal["a"]


async def test_an_older_announcement_changes_nothing(world: World, views: SeatViews) -> None:
    world.opened("a", version=9)
    await views.view("a")
    await world.cache.announce(SeatDelta("a", 3, 4, ((0, SOLD),), ()))
    await world.publish("a", 1, HELD)
    assert (await version_becomes(views, "a", 10)) == world.journal["a"]
    assert (world.journal["a"].states[0], world.loads) == (FREE, 1)


async def test_an_older_cached_view_never_replaces_a_newer_copy(world: World, views: SeatViews) -> None:
    await world.cache.put(world.opened("a"))
    await views.view("a")
    async with interrupted(world):
        for _ in range(3):
            world.commit("a", 0, SOLD)
        world.clock.seconds += 1
        assert (await views.view("a")).version == 4
    stored = await world.cache.get("a")
    assert stored is not None
    assert stored.version == 1
    assert (await views.view("a")).version == 4


async def test_what_is_announced_during_a_load_is_not_lost(world: World, views: SeatViews) -> None:
    stale = world.opened("a")
    world.gate.clear()
    reader = asyncio.create_task(views.view("a"))
    await until(lambda: world.loads > 0)
    await world.publish("a", 0, HELD)
    newest = world.journal["a"]
    world.journal["a"] = stale  # the load began before the commit and answers what was true then
    await until(lambda: next(iter(world.cache._listeners)).empty())
    world.gate.set()
    assert (await reader).version == 1
    assert await version_becomes(views, "a", 2) == newest


# --- the cache away ---------------------------------------------------------------------------------------------------
async def test_without_the_cache_reads_come_from_the_journal_at_most_every_250_ms(world: World) -> None:
    world.cache.available = False
    async with reading(world) as views:
        world.opened("a")
        for _ in range(100):
            await views.view("a")
        assert world.loads == 1
        world.commit("a", 0, HELD)
        world.clock.seconds += 0.249
        assert (await views.view("a")).version == 1
        world.clock.seconds += 0.002
        assert (await views.view("a")).version == 2
        assert world.loads == 2


async def test_a_slow_journal_is_asked_less_often(world: World) -> None:
    world.cache.available = False
    async with reading(world) as views:
        world.opened("a")
        world.gate.clear()
        reader = asyncio.create_task(views.view("a"))
        await until(lambda: world.loads > 0)
        world.clock.seconds += 0.2
        world.gate.set()
        await reader
        world.clock.seconds += 0.9
        await views.view("a")
        assert world.loads == 1
        world.clock.seconds += 0.2
        await views.view("a")
        assert world.loads == 2


async def test_a_failing_cache_is_left_alone_for_a_while(world: World) -> None:
    world.cache.available = False
    async with reading(world) as views:
        for name in "abcdefgh":
            world.opened(name)
            await views.view(name)
        assert world.cache.reads == 1


async def test_with_cache_and_journal_away_a_reader_is_told_and_later_served(world: World) -> None:
    world.cache.available = False
    world.journal_available = False
    async with reading(world) as views:
        world.opened("a")
        with pytest.raises(JournalUnavailable):
            await views.view("a")
        world.journal_available = True
        assert (await views.view("a")).version == 1


async def test_a_broken_subscription_makes_every_copy_doubtful(world: World, views: SeatViews) -> None:
    await world.cache.put(world.opened("a"))
    await views.view("a")
    lost = set(world.cache._listeners)
    world.cache.drop_subscriptions()
    await until(lambda: not lost & world.cache._listeners)
    await world.publish("a", 0, HELD)  # nobody listens
    await until(lambda: bool(world.cache._listeners))
    assert (await views.view("a")).version == 2
    assert world.loads == 0


async def test_a_cache_that_lost_everything_is_filled_again(world: World, views: SeatViews) -> None:
    await world.cache.put(world.opened("a"))
    await views.view("a")
    async with interrupted(world):
        world.cache.lose_everything()
    assert (await views.view("a")).version == 1
    assert await world.cache.get("a") == world.journal["a"]


async def test_a_reader_starts_without_the_cache_and_finds_it_later(world: World) -> None:
    world.cache.available = False
    async with reading(world) as views:
        world.opened("a")
        await views.view("a")
        world.cache.available = True
        await until(lambda: bool(world.cache._listeners))
        await views.view("a")
        await world.publish("a", 0, HELD)
        loads = world.loads
        assert (await version_becomes(views, "a", 2)) == world.journal["a"]
        assert world.loads == loads


# --- counts -----------------------------------------------------------------------------------------------------------
async def test_availability_counts_seats_and_standing_room_by_category(world: World, views: SeatViews) -> None:
    states = bytes([HELD, SOLD, FREE, BLOCKED, SOLD, FREE])
    world.journal["a"] = SeatView("a", 7, states, (AreaCounts(90, 7, 2, 1),))
    availability = await views.availability("a")
    assert availability.version == 7
    assert availability.by_category == {
        "R": CategoryCount(total=2, free=0, held=1, sold=1, blocked=0),
        "S": CategoryCount(total=4, free=2, held=0, sold=1, blocked=1),
        "Floor": CategoryCount(total=100, free=90, held=7, sold=2, blocked=1),
    }


async def test_counts_follow_changes_and_equal_counting_anew(world: World, views: SeatViews) -> None:
    world.opened("a")
    await views.availability("a")
    for index, state in [(0, HELD), (0, SOLD), (5, BLOCKED), (5, FREE), (3, HELD)]:
        await world.publish("a", index, state)
    before = world.journal["a"]
    after = SeatView("a", before.version + 1, before.states, (AreaCounts(80, 20, 0, 0),))
    world.journal["a"] = after
    await world.cache.publish(after, after.since(before))
    await version_becomes(views, "a", after.version)
    followed = await views.availability("a")
    async with reading(world) as fresh:
        assert followed == await fresh.availability("a")


async def test_availability_of_one_version_is_computed_once(world: World, views: SeatViews) -> None:
    world.opened("a")
    assert await views.availability("a") is await views.availability("a")


# --- subscriptions ----------------------------------------------------------------------------------------------------
async def test_a_subscriber_gets_the_view_and_then_every_change(world: World, views: SeatViews) -> None:
    opened = world.opened("a")
    async with views.subscribe("a") as changes:
        assert await next_change(changes) == opened
        for index in range(3):
            delta = await world.publish("a", index, HELD)
            assert await next_change(changes) == delta


async def test_a_slow_consumer_gets_changes_merged(world: World, views: SeatViews) -> None:
    view = world.opened("a")
    async with views.subscribe("a") as changes:
        await next_change(changes)
        for index, state in [(0, HELD), (1, HELD), (0, SOLD), (1, FREE)]:
            await world.publish("a", index, state)
        await version_becomes(views, "a", 5)
        change = await next_change(changes)
        assert isinstance(change, SeatDelta)
        assert (change.from_version, change.version, change.seats) == (1, 5, ((0, SOLD), (1, FREE)))
        assert view.after(change) == world.journal["a"]


def test_what_leads_on_from_a_version_is_merged_once_for_all_who_have_it() -> None:
    copy = Copy(SeatView("a", 1, bytes(SIZE), ()))
    early, late = [Changes(copy, 1) for _ in range(2)], Changes(copy, 2)
    for version in (1, 2, 3):
        copy.advance(SeatDelta("a", version, version + 1, ((version, HELD),), ()))
    first, second = [each.at_once() for each in early]
    assert isinstance(first, SeatDelta)
    assert first is second
    assert (first.from_version, first.version, first.seats) == (1, 4, ((1, HELD), (2, HELD), (3, HELD)))
    other = late.at_once()
    assert isinstance(other, SeatDelta)
    assert (other.from_version, other.seats) == (2, ((2, HELD), (3, HELD)))
    assert early[0].at_once() is None
    copy.advance(SeatDelta("a", 4, 5, ((1, FREE),), ()))
    assert early[0].at_once() == SeatDelta("a", 4, 5, ((1, FREE),), ())


async def test_a_consumer_that_lags_too_far_gets_a_fresh_view_and_memory_stays_bounded(
    world: World, views: SeatViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "RECENT_DELTAS", 10)
    world.opened("a")
    async with views.subscribe("a") as changes:
        await next_change(changes)
        for n in range(25):
            await world.publish("a", n % SIZE, HELD + n % 2)
        await version_becomes(views, "a", 26)
        assert await next_change(changes) == world.journal["a"]
        assert views.deltas_since("a", 15) is None
        known = views.deltas_since("a", 16)
        assert known is not None
        assert len(known) == 10


async def test_the_changes_kept_are_bounded_too(
    world: World, views: SeatViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "RECENT_CHANGES", 3)
    world.opened("a")
    await views.view("a")
    for n in range(5):
        await world.publish("a", n, HELD)
    await version_becomes(views, "a", 6)
    assert views.deltas_since("a", 2) is None
    assert len(views.deltas_since("a", 3) or ()) == 3


async def test_a_consumer_resumes_where_it_left_off(world: World, views: SeatViews) -> None:
    world.opened("a")
    await views.view("a")
    deltas = [await world.publish("a", index, HELD) for index in range(4)]
    await version_becomes(views, "a", 5)
    assert views.deltas_since("a", 2) == deltas[1:]
    async with views.subscribe("a", after=4) as changes:
        assert await next_change(changes) == deltas[3]


async def test_a_consumer_that_missed_nothing_waits_for_the_next_change(world: World, views: SeatViews) -> None:
    world.opened("a")
    async with views.subscribe("a", after=1) as changes:
        waiting = asyncio.create_task(next_change(changes))
        delta = await world.publish("a", 0, HELD)
        assert await waiting == delta


@pytest.mark.parametrize("after", [-1, 0, 10**30])
async def test_a_consumer_with_a_version_nobody_knows_starts_anew(world: World, views: SeatViews, after: int) -> None:
    opened = world.opened("a")
    async with views.subscribe("a", after=after) as changes:
        assert await next_change(changes) == opened


async def test_a_consumer_served_by_a_process_that_was_ahead_is_not_sent_back(world: World, views: SeatViews) -> None:
    await world.cache.put(world.opened("a"))
    await views.view("a")
    world.commit("a", 0, HELD)
    await world.cache.put(world.journal["a"])  # its announcement is still on the way
    async with views.subscribe("a", after=2) as changes:
        waiting = asyncio.create_task(next_change(changes))
        delta = await world.publish("a", 1, HELD)
        assert await waiting == delta


async def test_waiting_for_a_change_may_be_cancelled_and_taken_up_again(world: World, views: SeatViews) -> None:
    world.opened("a")
    async with views.subscribe("a") as changes:
        await next_change(changes)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):  # nothing comes
                await anext(changes)
        delta = await world.publish("a", 0, HELD)
        assert await next_change(changes) == delta


async def test_a_subscriber_is_kept_up_to_date_through_a_gap(world: World, views: SeatViews) -> None:
    world.opened("a")
    async with views.subscribe("a") as changes:
        view = await next_change(changes)
        assert isinstance(view, SeatView)
        world.commit("a", 0, SOLD)
        await world.publish("a", 1, HELD)
        change = await next_change(changes)
        assert isinstance(change, SeatDelta)
        assert view.after(change) == world.journal["a"]


async def test_a_subscriber_hears_of_changes_while_the_cache_is_away_and_after(world: World, views: SeatViews) -> None:
    world.opened("a")
    async with views.subscribe("a") as changes:
        await next_change(changes)
        async with interrupted(world):
            first = world.commit("a", 0, HELD)
            world.clock.seconds += 1
            assert await next_change(changes) == first
            second = world.commit("a", 1, HELD)  # never announced
            world.cache.lose_everything()
        assert await next_change(changes) == second
        third = await world.publish("a", 2, HELD)
        assert await next_change(changes) == third


async def test_a_subscriber_survives_a_journal_that_is_away_for_a_while(world: World, views: SeatViews) -> None:
    world.opened("a")
    async with views.subscribe("a") as changes:
        await next_change(changes)
        loads = world.loads
        world.cache.available = world.journal_available = False
        world.clock.seconds += 1
        delta = world.commit("a", 0, HELD)
        await until(lambda: world.loads > loads)
        world.journal_available = True
        assert await next_change(changes) == delta


async def test_subscriptions_end_when_the_views_are_stopped(world: World) -> None:
    async with reading(world) as views:
        world.opened("a")
        async with views.subscribe("a") as changes:
            await next_change(changes)
            waiting = asyncio.create_task(next_change(changes))
            await views.stop()
            with pytest.raises(StopAsyncIteration):
                await waiting


async def test_a_subscription_ends_when_its_schedule_is_gone(world: World, views: SeatViews) -> None:
    world.opened("a")
    async with views.subscribe("a") as changes:
        await next_change(changes)
        del world.journal["a"]
        world.cache.available = False
        world.clock.seconds += 1
        with pytest.raises(StopAsyncIteration):
            await next_change(changes)


async def test_an_announcement_that_does_not_fit_stops_listening_but_not_reading(
    world: World, views: SeatViews, caplog: pytest.LogCaptureFixture
) -> None:
    world.opened("a")
    await views.view("a")
    await world.cache.announce(SeatDelta("a", 1, 2, ((SIZE + 99, HELD),), ()))
    await until(lambda: not world.cache._listeners)
    world.commit("a", 0, HELD)
    world.clock.seconds += 1
    assert (await views.view("a")) == world.journal["a"]
    assert "ended by an error" in caplog.text


async def test_what_an_owner_cannot_announce_is_seen_all_the_same(world: World) -> None:
    """Its way to the cache is broken, and readers' is not: they hear nothing, and do not know it."""
    world.opened("a")
    async with reading(world, compare_seconds=0.005) as views, views.subscribe("a") as changes:
        assert await next_change(changes) == world.journal["a"]
        world.commit("a", 0, HELD)
        assert (await next_change(changes)).version == 2
        world.journal_available = False
        compared = world.compared
        await until(lambda: world.compared > compared)
        world.journal_available = True
        world.commit("a", 1, HELD)
        assert await version_becomes(views, "a", 3) == world.journal["a"]


async def test_a_copy_that_is_told_of_everything_is_read_once_however_often_it_is_compared(world: World) -> None:
    world.opened("a")
    async with reading(world, compare_seconds=0.005) as views:
        await views.view("a")
        await world.publish("a", 0, HELD)
        await version_becomes(views, "a", 2)
        compared = world.compared
        await until(lambda: world.compared > compared + 3)
        await views.view("a")
        assert world.loads == 1


async def test_all_of_it_holds_with_redis_too(redis_url: str) -> None:
    world = World()
    cache = RedisSeatCache(redis_url)
    schedule_id = str(uuid4())
    opened = world.opened(schedule_id)
    views = SeatViews(cache, world.load, world.plan_of, world.journaled)
    await views.start()
    async with views.subscribe(schedule_id) as changes, Redis.from_url(redis_url) as redis:
        assert await next_change(changes) == opened
        first = world.commit(schedule_id, 0, HELD)
        await cache.publish(world.journal[schedule_id], first)
        assert await next_change(changes) == first
        await redis.client_kill_filter(_type="pubsub")
        second = world.commit(schedule_id, 1, HELD)
        await cache.publish(world.journal[schedule_id], second)
        assert await next_change(changes) == second
        assert await views.view(schedule_id) == world.journal[schedule_id]
    assert world.loads == 1
    await views.stop()
    await cache.close()
