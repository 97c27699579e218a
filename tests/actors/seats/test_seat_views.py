"""The read path without Redis, Postgres or an actor: a copy is read once, kept live, and never goes back."""

from __future__ import annotations

import asyncio

import pytest

from actors.seats.copies import CategoryCount
from actors.seats.seat_views import SeatViews
from engine.state import BLOCKED, FREE, HELD, SOLD
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import AreaCounts, SeatDelta, SeatView
from tests.actors.seats.world import World, interrupted, next_change, reading, version_becomes
from tests.support.waiting import soon


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
    await soon(lambda: world.loads > 0)
    world.gate.set()
    assert {view.version for view in await asyncio.gather(*readers)} == {1}
    assert world.loads == 1


async def test_a_reader_that_goes_away_does_not_take_the_load_from_the_others(world: World, views: SeatViews) -> None:
    world.opened("a")
    world.gate.clear()
    leaving = asyncio.create_task(views.view("a"))
    staying = asyncio.create_task(views.view("a"))
    await soon(lambda: world.loads > 0)
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
    await soon(lambda: world.loads > 0)
    await world.publish("a", 0, HELD)
    newest = world.journal["a"]
    world.journal["a"] = stale  # the load began before the commit and answers what was true then
    await soon(lambda: next(iter(world.cache._listeners)).empty())
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
        await soon(lambda: world.loads > 0)
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
    await soon(lambda: not lost & world.cache._listeners)
    await world.publish("a", 0, HELD)  # nobody listens
    await soon(lambda: bool(world.cache._listeners))
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
        await soon(lambda: bool(world.cache._listeners))
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
