"""Who subscribes to a schedule's seats gets the view and then every change, whatever is away meanwhile."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from actors.seats import copies
from actors.seats.copies import Changes, Copy
from actors.seats.seat_views import SeatViews
from engine.state import FREE, HELD, SOLD
from persistence.seats.cache import SeatDelta, SeatView
from persistence.seats.redis_cache import RedisSeatCache
from tests.actors.seats.world import SIZE, World, interrupted, next_change, reading, version_becomes
from tests.support.waiting import soon


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
        await soon(lambda: world.loads > loads)
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
    await soon(lambda: not world.cache._listeners)
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
        await soon(lambda: world.compared > compared)
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
        await soon(lambda: world.compared > compared + 3)
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
