"""One contract for every feed and every broker: in order, from where one was, and again what was not taken care of."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from persistence.embedded.kafka import kafka
from persistence.embedded.process import Program, running
from persistence.events.feed import EventFeed, KafkaEventFeed, MemoryEventFeed
from persistence.events.log import EventLog, KafkaEventLog, LogUnavailable, MemoryEventLog, Message
from persistence.events.options import KafkaOptions
from tests.support.waiting import PATIENCE_SECONDS

TOPICS = (f"event-feed-test-{number}" for number in itertools.count(1))
QUIET_SECONDS = 0.5  # two of a broker's answers that there is nothing new


class World:
    """A log, and the feeds that are opened on it."""

    def __init__(self, log: EventLog, make: Callable[[str], EventFeed]) -> None:
        self.log = log
        self._make = make
        self._feeds: list[EventFeed] = []

    def feed(self, service: str = "sales") -> EventFeed:
        """A feed as a process of that service has it."""
        made = self._make(service)
        self._feeds.append(made)
        return made

    async def close(self) -> None:
        for feed in self._feeds:
            await feed.close()
        await self.log.close()


def in_memory() -> World:
    log = MemoryEventLog()
    done: dict[str, dict[int, int]] = {}
    return World(log, lambda service: MemoryEventFeed(log, done.setdefault(service, {})))


def on_kafka(servers: str) -> World:
    options = KafkaOptions(servers=servers, topic=next(TOPICS))
    return World(KafkaEventLog(options), lambda service: KafkaEventFeed(options, service))


@pytest.fixture(params=["memory", "kafka_servers", "apache_kafka_servers"])
def made(request: pytest.FixtureRequest) -> World:
    return in_memory() if request.param == "memory" else on_kafka(request.getfixturevalue(request.param))


@pytest.fixture
async def world(made: World) -> AsyncIterator[World]:
    yield made
    await made.close()


@pytest.fixture
async def shared(servers: str) -> AsyncIterator[World]:
    """On a real broker only: the twin in memory has no groups."""
    made = on_kafka(servers)
    yield made
    await made.close()


async def listen(feed: EventFeed, count: int) -> list[Message]:
    """The next `count` messages or more, however long the broker is away."""
    heard: list[Message] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(heard) < count:
            try:
                heard += await feed.next(QUIET_SECONDS)
            except LogUnavailable:
                await asyncio.sleep(0.05)  # as who takes its events pauses
    return heard


async def hear(feed: EventFeed, count: int) -> list[bytes]:
    return [message.value for message in await listen(feed, count)]


def numbered(what: str, count: int) -> list[bytes]:
    return [f"{what}-{number}".encode() for number in range(count)]


async def test_events_are_told_in_order_per_schedule(world: World) -> None:
    feed = world.feed()
    for key in "abc":
        await world.log.publish(key, numbered(key, 50))
    heard = await listen(feed, 150)
    for key in "abc":
        assert [message.value for message in heard if message.key == key] == numbered(key, 50)


async def test_what_was_there_before_the_first_feed_is_told_to_it(world: World) -> None:
    await world.log.publish("a", [b"before"])
    assert await hear(world.feed(), 1) == [b"before"]


async def test_more_than_one_hand_over_holds_stays_in_order(world: World) -> None:
    await world.log.publish("a", numbered("a", 5_000))
    assert await hear(world.feed(), 5_000) == numbered("a", 5_000)


async def test_a_feed_that_has_told_all_is_silent(world: World) -> None:
    feed = world.feed()
    for key in "abcdef":
        await world.log.publish(key, numbered(key, 40))
    await hear(feed, 240)
    assert [await feed.next(QUIET_SECONDS) for _ in range(4)] == [[]] * 4


@pytest.mark.long
async def test_what_was_done_is_not_told_again(world: World) -> None:
    feed = world.feed()
    await world.log.publish("a", [b"one", b"two"])
    await hear(feed, 2)
    await feed.done()
    await feed.close()
    await world.log.publish("a", [b"three"])
    assert await hear(world.feed(), 1) == [b"three"]


@pytest.mark.long
async def test_what_was_not_done_is_told_again_to_the_next(world: World) -> None:
    feed = world.feed()
    await world.log.publish("a", [b"one"])
    await hear(feed, 1)
    await feed.done()
    await world.log.publish("a", [b"two"])
    await hear(feed, 1)
    await feed.close()
    assert await hear(world.feed(), 1) == [b"two"]


@pytest.mark.long
async def test_a_feed_that_was_closed_begins_again_where_it_was_done(world: World) -> None:
    feed = world.feed()
    await world.log.publish("a", [b"one"])
    await hear(feed, 1)
    await feed.close()
    await feed.close()
    assert await hear(feed, 1) == [b"one"]


async def test_each_service_is_told_everything(world: World) -> None:
    await world.log.publish("a", [b"one"])
    for service in ("sales", "notifications"):
        feed = world.feed(service)
        assert await hear(feed, 1) == [b"one"]
        await feed.done()


async def test_done_before_anything_was_told_is_nothing(world: World) -> None:
    feed = world.feed()
    await feed.done()
    await world.log.publish("a", [b"one"])
    assert await hear(feed, 1) == [b"one"]


@pytest.mark.long
async def test_two_processes_of_a_service_share_its_work_and_one_takes_over(shared: World) -> None:
    one, other = shared.feed(), shared.feed()
    keys = [f"schedule-{number}" for number in range(40)]  # more than there are partitions

    async def round_of(number: int, *feeds: EventFeed) -> list[set[int]]:
        """The partitions from which each was told the round's events."""
        for key in keys:
            await shared.log.publish(key, [b"%d" % number])
        told: list[set[int]] = [set() for _ in feeds]
        seen: set[str] = set()
        while len(seen) < len(keys):
            for partitions, messages in zip(told, await asyncio.gather(*map(next_of, feeds)), strict=True):
                fresh = [message for message in messages if message.value == b"%d" % number]
                partitions |= {message.partition for message in fresh}
                seen |= {message.key for message in fresh}
        for feed in feeds:
            await done(feed)
        return told

    async with asyncio.timeout(PATIENCE_SECONDS):
        rounds = itertools.count(1)
        while True:
            alone, with_it = await round_of(next(rounds), one, other)
            if alone and with_it and not alone & with_it:
                break
        await other.close()
        (all_of_them,) = await round_of(next(rounds), one)
    assert all_of_them == alone | with_it


async def next_of(feed: EventFeed) -> list[Message]:
    try:
        return await feed.next(QUIET_SECONDS)
    except LogUnavailable:
        return []


async def done(feed: EventFeed) -> None:
    """While work is being shared anew, what is done cannot be said: it is told again, to whoever has it now."""
    try:
        await feed.done()
    except LogUnavailable:
        return


@pytest.mark.long
async def test_a_feed_goes_on_when_the_broker_is_back(own_broker: Program) -> None:
    world = on_kafka(own_broker.address)
    feed = world.feed()
    async with running(own_broker):
        await publish(world.log, "a", numbered("before", 20))
        assert await hear(feed, 20) == numbered("before", 20)
        await feed.done()
    for _ in range(3):
        assert await next_of(feed) == []
    async with running(own_broker):
        # The embedded broker has forgotten everything, and begins at offsets this feed is past.
        await publish(world.log, "a", [b"after-0", b"after-1"])
        heard = await hear(feed, 2)
        assert list(dict.fromkeys(value for value in heard if value.startswith(b"after"))) == numbered("after", 2)
        await world.close()


async def test_a_feed_opened_while_the_broker_is_away_says_so_and_works_later(own_broker: Program) -> None:
    world = on_kafka(own_broker.address)
    feed = world.feed()
    with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1"):
        await feed.next(QUIET_SECONDS)
    async with running(own_broker):
        await publish(world.log, "a", [b"one"])
        assert await hear(feed, 1) == [b"one"]
        await world.close()


async def test_a_log_that_came_back_empty_is_read_from_its_beginning_while_others_are_busy(tmp_path: Path) -> None:
    program = kafka(tmp_path)
    world = on_kafka(program.address)
    feed = world.feed()
    async with running(program):
        for key in "abcdef":
            await publish(world.log, key, numbered(key, 100))
        await hear(feed, 600)
        await feed.done()
    async with running(program):
        for key in "abcdef":
            await publish(world.log, key, [f"{key}-again".encode()])
        heard: set[bytes] = set()
        while len(heard) < 6:
            await publish(world.log, "busy", [b"busy"])
            heard |= {value for value in await hear(feed, 1) if value != b"busy"}
        assert heard == {f"{key}-again".encode() for key in "abcdef"}
        await world.close()


async def publish(log: EventLog, key: str, values: list[bytes]) -> None:
    """As the publisher does: again until it is acknowledged."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await log.publish(key, values)
            except LogUnavailable:
                await asyncio.sleep(0.05)  # as who takes its events pauses
