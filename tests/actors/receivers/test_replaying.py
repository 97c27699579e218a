"""A service's data made again from the topic, on both brokers: the same as from the journal, or not touched at all."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator

import asyncpg
import pytest

from actors.process.settings import Settings
from actors.receivers.replaying import Replay
from actors.receivers.sales import Sales
from actors.receivers.taker import Taker
from api.command_line.events_report import EventsError, Replayed, replay
from persistence.events import positions
from persistence.events.log import KafkaEventLog
from persistence.events.reader import read_through
from persistence.journal.journal import PostgresJournal
from persistence.sales import figures
from tests.support.past import SCHEDULES, Past
from tests.support.projections import positions_of, sales_made_again

TOPICS = (f"replay-test-{number}" for number in itertools.count(1))


class World:
    """A past that the sales service has taken, and the topic."""

    def __init__(self, past: Past, settings: Settings, log: KafkaEventLog) -> None:
        self.past = past
        self.pool = past.pool
        self.settings = settings
        self.log = log
        self.total = 0
        self.done: list[int] = []

    async def replay(self, schedule_id: str | None = None) -> Replayed:
        def started(total: int) -> None:
            self.total = total

        return await replay(self.settings, "sales", schedule_id, started, self.done.append, from_kafka=True)

    async def falsify(self) -> None:
        await self.pool.execute("UPDATE sales SET sold = sold + 1")
        await self.pool.execute("DELETE FROM sales_bookings")


@pytest.fixture
async def world(database_url: str, servers: str) -> AsyncIterator[World]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=3) as pool:
        past = Past(database_url, pool, random.Random(5))
        await past.fill(6_000)
        taker = Taker(Sales(), pool, PostgresJournal(pool))
        for schedule_id, values in past.events.items():
            await taker.catch_up(schedule_id, len(values))
        settings = Settings(database_url=database_url, kafka_bootstrap_servers=servers, topic=next(TOPICS))
        assert settings.kafka is not None
        log = KafkaEventLog(settings.kafka)
        yield World(past, settings, log)
        await log.close()


async def test_data_made_again_from_the_whole_topic_is_the_same(world: World) -> None:
    await world.past.publish(world.log)
    await world.log.publish(SCHEDULES[1], world.past.events[SCHEDULES[1]][3:9])  # and some of it twice
    before = await figures.checksum(world.pool)
    await world.falsify()
    result = await world.replay()
    assert (result.events, result.after) == (world.past.total, before)
    assert result.before != before
    assert (world.total, sum(world.done)) == (world.past.total, world.past.total + 6)
    is_now, must_be = await sales_made_again(world.pool)
    assert is_now == must_be == before
    assert await positions_of(world.pool, "sales", SCHEDULES) == {
        schedule_id: len(values) for schedule_id, values in world.past.events.items()
    }


async def test_one_schedule_is_made_again_and_the_others_are_left_alone(world: World) -> None:
    await world.past.publish(world.log)
    one, other = SCHEDULES[:2]
    right = {each: await figures.checksum(world.pool, each) for each in SCHEDULES}
    await world.falsify()
    wrong = await figures.checksum(world.pool, other)
    result = await world.replay(one)
    assert (result.events, result.after) == (len(world.past.events[one]), right[one])
    assert await figures.checksum(world.pool, other) == wrong != right[other]


@pytest.mark.parametrize(
    ("kept", "said"),
    [(slice(7, None), "its beginning is gone"), (slice(0, 50), "what follows on version 50 is missing")],
    ids=["beginning", "end"],
)
async def test_a_topic_that_has_not_everything_is_refused_and_nothing_is_changed(
    world: World, kept: slice, said: str
) -> None:
    for schedule_id, values in world.past.events.items():
        await world.log.publish(schedule_id, values[kept] if schedule_id == SCHEDULES[1] else values)
    before = await figures.checksum(world.pool)
    with pytest.raises(EventsError, match=f"schedule {SCHEDULES[1]}: {said}; replay from the journal"):
        await world.replay()
    assert await figures.checksum(world.pool) == before
    assert await positions_of(world.pool, "sales", SCHEDULES) == {
        schedule_id: len(values) for schedule_id, values in world.past.events.items()
    }
    assert (await world.replay(SCHEDULES[0])).before  # of which it has everything


async def test_an_empty_topic_is_refused(world: World) -> None:
    with pytest.raises(EventsError, match="its beginning is gone"):
        await world.replay()


async def test_a_replay_broken_off_goes_on_and_throws_nothing_away_twice(world: World) -> None:
    await world.past.publish(world.log)
    before = await figures.checksum(world.pool)
    assert world.settings.kafka is not None
    options = world.settings.kafka
    again = Replay(world.pool, PostgresJournal(world.pool), Sales())

    def broken(taken: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await again.run_from_topic(None, lambda: read_through(options), broken)
    had = sum((await positions_of(world.pool, "sales", SCHEDULES)).values())
    assert 0 < had < world.past.total
    assert (await world.replay()).events == world.past.total - had
    assert await figures.checksum(world.pool) == before
    assert (await world.replay()).events == world.past.total
    standings = await world.pool.fetch("SELECT DISTINCT consumer FROM consumer_positions")
    assert [row[0] for row in standings] == ["sales"]
    assert await positions.parked(world.pool, limit=1) == []


async def test_bytes_that_are_no_event_are_named(world: World) -> None:
    await world.past.publish(world.log)
    await world.log.publish(SCHEDULES[0], [b"?"])
    with pytest.raises(EventsError, match=r"partition \d+, offset \d+: .*; replay from the journal"):
        await world.replay()


async def test_one_schedule_is_made_again_from_the_journal(world: World) -> None:
    before = await figures.checksum(world.pool)
    await world.falsify()
    again = Replay(world.pool, PostgresJournal(world.pool), Sales())
    for schedule_id, values in world.past.events.items():
        assert await again.again(schedule_id) == len(values)
    assert await figures.checksum(world.pool) == before


async def test_without_a_broker_there_is_no_topic(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    with pytest.raises(EventsError, match="KAFKA_BOOTSTRAP_SERVERS is not set"):
        await replay(settings, "sales", None, lambda total: None, lambda taken: None, from_kafka=True)


async def test_a_broker_that_is_away_is_said_to_be(database_url: str) -> None:
    settings = Settings(database_url=database_url, kafka_bootstrap_servers="127.0.0.1:1")
    with pytest.raises(EventsError, match=r"cannot read booking-events on 127\.0\.0\.1:1"):
        await replay(settings, "sales", None, lambda total: None, lambda taken: None, from_kafka=True)
