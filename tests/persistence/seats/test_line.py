"""One contract for both lines, in Redis and in memory; and that the two are the same, story by story."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import msgspec
import pytest
from redis.asyncio import Redis

from persistence.seats.line import (
    ABSENT_MS,
    BACK_MS,
    PASS_MS,
    PASSED_OVER_AT_ONCE,
    TURN_MS,
    Counts,
    Doors,
    Line,
    LineUnavailable,
    MemoryLine,
    Standing,
    at_once,
)
from persistence.seats.redis_line import KEY, PARTS, TTL_SECONDS, RedisLine
from tests.support.clocks import ManualClock

NOWHERE = "redis://127.0.0.1:1"
OPENS = 1_800_000_000_000
DAY = 24 * 60 * 60 * 1000
DOORS = Doors(opens_ms=OPENS, closes_ms=OPENS + DAY, admitted_per_second=2.0, shopping_at_once=3)
BEFORE = OPENS - 60_000  # when tests begin


class Room:
    """A line before one schedule, as tests ask it."""

    def __init__(self, line: Line, clock: ManualClock, forget: Callable[[str], Awaitable[None]]) -> None:
        self.line = line
        self.clock = clock
        self.schedule_id = str(uuid4())
        self.doors = DOORS
        self._forget = forget
        self.scores: dict[str, float] = {}  # what tickets say

    async def join(self, account: str, lot: float = 0.5) -> Standing:
        found = await self.line.join(self.schedule_id, account, lot, self.doors)
        self.scores[account] = found.score
        return found

    async def look(self, account: str, lot: float = 0.5) -> Standing:
        return await self.line.look(self.schedule_id, account, lot, self.scores[account], self.doors)

    async def leave(self, account: str) -> None:
        await self.line.leave(self.schedule_id, account, self.scores[account])

    async def has_seats(self, account: str) -> None:
        await self.line.has_seats(self.schedule_id, account)

    async def lose_everything(self) -> None:
        """Redis comes back empty."""
        await self._forget(self.schedule_id)

    def at(self, seconds: float) -> None:
        """So long after the opening."""
        self.clock.ms = OPENS + round(seconds * 1000)


@asynccontextmanager
async def in_memory(redis_url: str, clock: ManualClock) -> AsyncIterator[Room]:
    line = MemoryLine(clock.now_ms)

    async def forget(_: str) -> None:
        line.lose_everything()

    yield Room(line, clock, forget)


@asynccontextmanager
async def in_redis(redis_url: str, clock: ManualClock) -> AsyncIterator[Room]:
    line = RedisLine(redis_url, now_ms=clock.now_ms)
    async with Redis.from_url(redis_url) as redis:

        async def forget(schedule_id: str) -> None:
            await redis.delete(*(KEY % schedule_id + part for part in PARTS))

        room = Room(line, clock, forget)
        yield room
        await forget(room.schedule_id)
    await line.close()


Opening = Callable[[str, ManualClock], AbstractAsyncContextManager[Room]]


@pytest.fixture(params=[in_redis, in_memory])
async def room(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Room]:
    opening: Opening = request.param
    async with opening(redis_url, ManualClock(BEFORE)) as opened:
        yield opened


def told(standing: Standing) -> tuple[str, int | None]:
    """What somebody is told, in short."""
    if standing.pass_ends_ms is not None:
        return "admitted", standing.pass_ends_ms
    return ("over", None) if standing.ahead is None else ("waiting", standing.ahead)


# --- places -----------------------------------------------------------------------------------------------------------
async def test_before_the_opening_the_lot_decides_and_joining_again_changes_nothing(room: Room) -> None:
    lots = {"a": 0.9, "b": 0.1, "c": 0.5}
    for account in "abcabc":
        standing = await room.join(account, lots[account])
        assert (standing.score, standing.pass_ends_ms) == (lots[account], None)
        room.clock.ms += 1_000
    assert [(await room.look(account, lots[account])).ahead for account in "bca"] == [0, 1, 2]


async def test_from_the_opening_on_the_order_of_arrival_decides_behind_all_who_were_there(room: Room) -> None:
    room.doors = msgspec.structs.replace(DOORS, shopping_at_once=1)
    await room.join("last of the lot", 0.99)
    await room.join("first of the lot", 0.01)
    room.at(0.4)  # nobody may come in yet
    assert told(await room.join("late", 0.5)) == ("waiting", 2)
    room.at(0.401)
    assert told(await room.join("later", 0.001)) == ("waiting", 3)
    assert told(await room.join("at the same time, and luckier", 0.0005)) == ("waiting", 3)
    assert told(await room.join("late", 0.5)) == ("waiting", 2)
    room.at(5)
    for account in ("first of the lot", "last of the lot", "late", "at the same time, and luckier", "later"):
        assert told(await room.look(account))[0] == "admitted", account
        await room.has_seats(account)
        room.clock.ms += 1_000


async def test_nobody_comes_in_before_the_opening_or_after_the_end(room: Room) -> None:
    room.at(-0.001)
    assert told(await room.join("early")) == ("waiting", 0)
    room.at(DAY / 1000)
    assert told(await room.look("early")) == ("waiting", 0)
    room.at(1)
    assert told(await room.look("early")) == ("admitted", OPENS + 1_000 + PASS_MS)


async def test_a_sale_that_was_always_open_lets_in_by_joining(room: Room) -> None:
    room.doors = msgspec.structs.replace(DOORS, opens_ms=0)
    assert [told(await room.join(account))[0] for account in "abc"] == ["admitted", "admitted", "waiting"]


async def test_a_pass_ends_with_the_sale_at_the_latest(room: Room) -> None:
    room.at(DAY / 1000 - 5)
    assert told(await room.join("a")) == ("admitted", OPENS + DAY)


async def test_when_the_opening_is_put_off_those_who_were_there_are_drawn_with_the_others(room: Room) -> None:
    room.at(0)
    await room.join("first come", 0.7)
    room.doors = msgspec.structs.replace(DOORS, opens_ms=OPENS + 3_600_000)
    assert told(await room.join("luckier", 0.2)) == ("waiting", 0)
    assert (await room.look("first come", 0.7)).score == 0.7
    assert told(await room.look("first come", 0.7)) == ("waiting", 1)


# --- turns ------------------------------------------------------------------------------------------------------------
async def test_who_holds_seats_makes_room_and_keeps_the_pass(room: Room) -> None:
    room.doors = msgspec.structs.replace(DOORS, shopping_at_once=1)
    room.at(10)
    first = await room.join("a")
    assert told(await room.join("b")) == ("waiting", 0)
    await room.has_seats("a")
    assert told(await room.look("b"))[0] == "admitted"
    assert told(await room.look("a")) == told(first) == told(await room.join("a"))
    room.at(10 + PASS_MS / 1000)
    assert told(await room.look("a")) == ("over", None)


async def test_a_turn_that_nobody_takes_is_lost_and_goes_on(room: Room) -> None:
    room.doors = msgspec.structs.replace(DOORS, shopping_at_once=1)
    room.at(-1)
    await room.join("away", 0.1)
    await room.join("here", 0.2)
    room.at(1)
    assert told(await room.look("here")) == ("waiting", 0)  # the other one is called in
    room.at(1 + TURN_MS / 1000 - 0.001)
    assert told(await room.look("here")) == ("waiting", 0)
    room.at(1 + TURN_MS / 1000)
    assert told(await room.look("here"))[0] == "admitted"
    assert told(await room.look("away")) == ("over", None)
    assert told(await room.join("away", 0.1)) == ("waiting", 0)
    assert told(await room.look("away")) == ("waiting", 0)


async def test_who_is_not_there_when_the_turn_comes_is_passed_over_and_keeps_the_place(room: Room) -> None:
    room.doors = msgspec.structs.replace(DOORS, shopping_at_once=1)
    for number in range(PASSED_OVER_AT_ONCE + 1):
        await room.join(f"gone-{number:03}", number / 1_000)
    room.clock.ms += ABSENT_MS + 1
    await room.join("here", 0.9)
    await room.join("here, too", 0.95)
    room.at(1)
    assert told(await room.look("here")) == ("waiting", 1)  # so many at a time
    assert told(await room.look("here"))[0] == "admitted"
    assert told(await room.look("here, too")) == ("waiting", 0)
    assert told(await room.look("gone-007", 0.007)) == ("waiting", 0)
    assert told(await room.look("here, too")) == ("waiting", 1)


async def test_who_leaves_has_neither_place_nor_turn_and_may_join_at_the_end(room: Room) -> None:
    room.at(10)
    for account in "abcd":
        await room.join(account)
        room.clock.ms += 500
    assert [told(await room.look(account))[0] for account in "abcd"] == [*["admitted"] * 3, "waiting"]
    await room.leave("a")
    assert told(await room.look("d"))[0] == "admitted"
    assert told(await room.look("a")) == ("over", None)
    assert told(await room.join("e")) == ("waiting", 0)
    room.clock.ms += 1
    assert told(await room.join("a")) == ("waiting", 1)
    await room.leave("e")
    assert told(await room.look("e")) == ("over", None)
    assert told(await room.look("a")) == ("waiting", 0)


async def test_by_leaving_before_the_opening_nobody_draws_another_lot(room: Room) -> None:
    await room.join("a", 0.8)
    await room.leave("a")
    assert told(await room.look("a", 0.8)) == ("over", None)
    assert (await room.join("a", 0.8)).score == 0.8


# --- what is left -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("most", "places_left", "may_be_in"),
    [(1_000, 15_000, 1_000), (1_000, 200, 100), (1_000, 3, 2), (1_000, 2, 1), (1_000, 1, 1), (1_000, 0, 0), (2, 20, 2)],
)
def test_no_more_may_be_in_than_could_each_have_a_pair_of_what_is_left(
    most: int, places_left: int, may_be_in: int
) -> None:
    assert at_once(most, places_left) == may_be_in


async def test_as_places_go_fewer_are_let_in_nobody_for_none_and_what_comes_back_is_for_the_first_in_line(
    room: Room,
) -> None:
    def left(places: int) -> None:
        room.doors = msgspec.structs.replace(DOORS, shopping_at_once=at_once(1_000, places))

    left(5)
    room.at(60)
    for account in "abcdef":
        await room.join(account)
        room.clock.ms += 1_000
    assert [told(await room.look(account)) for account in "def"] == [("waiting", ahead) for ahead in range(3)]
    await room.has_seats("a")
    left(3)  # a pair has gone, and with it its room
    assert told(await room.look("d")) == ("waiting", 0)
    assert (await room.look("d")).shopping == 2
    await room.leave("b")
    assert told(await room.look("d"))[0] == "admitted"
    await room.has_seats("c")
    left(0)
    stays = await room.look("d")
    assert (told(stays)[0], stays.shopping) == ("admitted", 1), "who is in stays in"
    await room.leave("d")
    room.clock.ms += 30_000
    assert [told(await room.look(account)) for account in "fe"] == [("waiting", 1), ("waiting", 0)]
    left(1)
    assert told(await room.look("f")) == ("waiting", 0)  # `e` is called in by it
    assert told(await room.look("e"))[0] == "admitted"


# --- what can be lost -------------------------------------------------------------------------------------------------
async def test_a_line_that_was_lost_is_made_again_from_tickets_in_whatever_order_they_come(room: Room) -> None:
    room.doors = msgspec.structs.replace(DOORS, shopping_at_once=1)
    lots = {"a": 0.3, "b": 0.1, "c": 0.2}
    for account, lot in lots.items():
        await room.join(account, lot)
    room.at(0.1)
    await room.join("d", 0.0)
    room.at(0.2)
    await room.join("e", 0.0)
    room.at(30)
    assert [told(await room.look(account))[0] for account in "bcade"] == ["admitted", *["waiting"] * 4]
    await room.lose_everything()
    for account in "edacb":
        assert told(await room.look(account))[0] == "waiting", "before others have come back"
    assert [(await room.look(account)).ahead for account in "bcade"] == [0, 1, 2, 3, 4]
    room.at(30 + BACK_MS / 1000)
    assert told(await room.look("e")) == ("waiting", 4)
    room.at(31 + BACK_MS / 1000)
    assert told(await room.look("e")) == ("waiting", 3)
    assert told(await room.look("b"))[0] == "admitted"


async def test_a_line_that_is_away_says_so() -> None:
    line = RedisLine(NOWHERE)
    for asked in (
        line.join("s", "a", 0.5, DOORS),
        line.look("s", "a", 0.5, 0.5, DOORS),
        line.leave("s", "a", 0.5),
        line.has_seats("s", "a"),
        line.counts("s"),
    ):
        with pytest.raises(LineUnavailable):
            await asked
    await line.close()


async def test_redis_keeps_a_line_for_a_day_and_goes_by_its_own_clock(redis_url: str) -> None:
    line, schedule_id = RedisLine(redis_url), str(uuid4())
    async with Redis.from_url(redis_url) as redis:
        doors = msgspec.structs.replace(DOORS, opens_ms=0, closes_ms=2**45, shopping_at_once=1)
        for account in "ab":
            await line.join(schedule_id, account, 0.5, doors)
        seconds, microseconds = await redis.time()
        standing = await line.join(schedule_id, "b", 0.5, doors)
        assert 0 <= standing.now_ms - (seconds * 1000 + microseconds // 1000) < 120_000
        assert int(standing.score) <= standing.now_ms
        keys = [KEY % schedule_id + part for part in PARTS]
        left = [await redis.ttl(key) for key in keys if await redis.exists(key)]
        assert len(left) == len(PARTS)
        assert all(TTL_SECONDS - 120 < each <= TTL_SECONDS for each in left)
        await redis.delete(*keys)
    await line.close()


# --- whatever happens -------------------------------------------------------------------------------------------------
class Watched:
    """Watches the line in memory from outside: who was let in when, and whether that was right."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.admitted_at: list[int] = []
        self._in: set[str] = set()

    def check(self) -> None:
        line, room = self.room.line, self.room
        assert isinstance(line, MemoryLine)
        queue, now, doors = line._of(room.schedule_id), room.clock.ms, room.doors
        called = set(queue.turns) - self._in
        self._in = set(queue.turns)
        assert not set(queue.line) & (set(queue.turns) | set(queue.passes)), "a place and a turn"
        if called:
            assert doors.opens_ms <= now < doors.closes_ms
            assert len(queue.turns) <= doors.shopping_at_once
            self.admitted_at += [now] * len(called)
            last = max(queue.over[each] for each in called)
            left = [queue.line[each] for each in queue.line if queue.seen[each] >= now - ABSENT_MS]
            assert all(score > last for score in left), "somebody was let in before others"
        times = self.admitted_at
        for first, since in enumerate(times):
            allowed = doors.burst + doors.admitted_per_second * (times[-1] - since) / 1000
            assert len(times) - first <= allowed + 1e-6, "more than the rate allows"


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_nobody_is_let_in_too_early_too_many_or_out_of_turn(seed: int, redis_url: str) -> None:
    """And both lines say the same all the time."""
    drawn, clock = random.Random(seed), ManualClock(BEFORE)
    accounts = {f"account-{number:02}": drawn.random() for number in range(24)}
    doors = msgspec.structs.replace(DOORS, admitted_per_second=drawn.choice([0.25, 1.0, 7.5]))
    most, left = drawn.choice([1, 3, 8]), 12
    async with in_memory(redis_url, clock) as first, in_redis(redis_url, clock) as second:
        watched = Watched(first)
        for _ in range(250):
            left = max(0, left + drawn.choice([-2, -1, 0, 0, 0, 0, 1, 2]))
            first.doors = second.doors = msgspec.structs.replace(doors, shopping_at_once=at_once(most, left))
            clock.ms += drawn.choice([0, 1, 40, 700, 3_000, 3_000, 20_000])
            account = drawn.choice([*accounts])
            lot, happening = accounts[account], drawn.random()
            if account not in first.scores or happening < 0.25:
                said = [await each.join(account, lot) for each in (first, second)]
            elif happening < 0.85:
                said = [await each.look(account, lot) for each in (first, second)]
            elif happening < 0.98:
                for each in (first, second):
                    await (each.leave(account) if happening < 0.9 else each.has_seats(account))
                continue
            else:
                for each in (first, second):
                    await each.lose_everything()
                watched = Watched(first)  # those who were in may come in once more
                continue
            watched.check()
            counts = [await each.line.counts(each.schedule_id) for each in (first, second)]
            assert counts == [Counts(waiting=said[0].waiting, shopping=said[0].shopping)] * 2
            one, other = (msgspec.structs.replace(each, flow=round(each.flow, 6)) for each in said)
            assert one == other
