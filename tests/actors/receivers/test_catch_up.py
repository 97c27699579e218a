"""The sales service, killed again and again while it catches up: every figure right, nothing counted twice.

The service runs as the process that the supervisor starts. PostgreSQL is made to take a tenth of a second between a
service's rows and its commit, so that the kills hit the middle of a transaction.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest

from persistence.embedded.process import Child, Program, child_environment, free_port
from persistence.events import positions
from persistence.events.log import KafkaEventLog
from persistence.events.options import KafkaOptions
from tests.support.past import SCHEDULES, Past
from tests.support.projections import money, positions_of, sales_made_again
from tests.support.waiting import PATIENCE_SECONDS, until

TOPICS = (f"catch-up-test-{number}" for number in itertools.count(1))
LIFE_SECONDS = 120.0  # to start, to be given its partitions, and to take the first events
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER UPDATE ON consumer_positions FOR EACH STATEMENT EXECUTE FUNCTION slow();
"""


class Backlog(Past):
    """A past of which nobody has heard, and the service that is to catch up with it."""

    lives = 0

    async def fill(self, events: int) -> None:
        await super().fill(events)
        await self.pool.execute(SLOW)

    async def taken(self) -> int:
        return sum((await positions_of(self.pool, "sales", SCHEDULES)).values())

    async def live(self, servers: str, topic: str) -> Child:
        """Starts the service, and waits until it has taken something new."""
        self.lives += 1
        before = await self.taken()
        program = Program(
            name=f"receivers, life {self.lives}",
            argv=(sys.executable, "-m", "actors.receivers.main"),
            address="",
            stop_seconds=PATIENCE_SECONDS,  # that it ends by itself is the point, not how soon on a busy machine
        )
        child = await Child.start(
            program,
            child_environment(
                os.environ, DATABASE_URL=self.url, KAFKA_BOOTSTRAP_SERVERS=servers, BOXOFFICE_TOPIC=topic
            ),
        )

        async def moves() -> bool:
            assert child.alive, f"life {self.lives} ended by itself"
            return await self.taken() > before

        try:
            await until(moves, LIFE_SECONDS)
        except BaseException:  # raised again: nobody else could end a child that was not handed over
            await child.kill()
            raise
        return child

    async def live_and_die(self, servers: str, topic: str) -> bool:
        """One life that ends at random; whether it ended before everything was taken."""
        child = await self.live(servers, topic)
        await asyncio.sleep(self.random.uniform(0, 0.2))  # the moment itself is what is random here
        await child.kill()
        return await self.taken() < self.total

    async def finish(self, servers: str, topic: str) -> None:
        """One more life, to the end."""
        await self.pool.execute("DROP TRIGGER slow ON consumer_positions")
        child = await self.live(servers, topic)

        async def done() -> bool:
            return await self.taken() == self.total

        try:
            await until(done, LIFE_SECONDS)
        finally:
            await child.stop()
        assert child.returncode == 0

    async def is_right(self) -> None:
        """What is in the tables is what the journal makes of them."""
        assert await positions_of(self.pool, "sales", SCHEDULES) == {
            key: len(all_) for key, all_ in self.events.items()
        }
        assert await positions.parked(self.pool, limit=1) == []
        is_now, must_be = await sales_made_again(self.pool)
        assert is_now == must_be
        figures, booked = await money(self.pool)
        assert figures == booked > 0


@pytest.fixture
async def backlog(database_url: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Backlog]:
    caplog.set_level(logging.INFO, __name__)
    seed = int(os.environ.get("CATCH_UP_SEED") or random.SystemRandom().randrange(2**32))
    logging.getLogger(__name__).info("again with CATCH_UP_SEED=%d", seed)
    async with asyncpg.create_pool(database_url, min_size=1, max_size=3) as pool:
        yield Backlog(database_url, pool, random.Random(seed))


async def kill_again_and_again(backlog: Backlog, kills: int, servers: str, topic: str, *, from_journal: bool) -> None:
    too_late = 0
    for _ in range(kills):
        if not await backlog.live_and_die(servers, topic):
            too_late += 1
        if from_journal:  # the next life need not wait for the feed to say what it has left out
            await backlog.pool.execute("UPDATE consumer_positions SET updated_at = now() - interval '1 h'")
    assert too_late <= kills // 5, "it was killed when there was nothing left to do"
    await backlog.finish(servers, topic)
    await backlog.is_right()


@pytest.mark.long
async def test_killed_fifty_times_while_it_reads_the_journal_it_counts_everything_once(backlog: Backlog) -> None:
    await backlog.fill(75_000)
    nobody = f"127.0.0.1:{free_port()}"  # there is no broker, so all of it comes from the journal
    await kill_again_and_again(backlog, 50, nobody, next(TOPICS), from_journal=True)


@pytest.mark.long
async def test_killed_while_it_reads_the_topic_it_counts_everything_once(backlog: Backlog, servers: str) -> None:
    await backlog.fill(45_000)
    await backlog.pool.execute("UPDATE schedule_heads SET published_seq = 0")  # nothing is missed, so nothing repaired
    options = KafkaOptions(servers=servers, topic=next(TOPICS))
    log = KafkaEventLog(options)
    await backlog.publish(log)
    await log.close()
    await kill_again_and_again(backlog, 15, servers, options.topic, from_journal=False)


async def test_killed_in_the_middle_of_a_transaction_it_counts_everything_once(backlog: Backlog) -> None:
    await backlog.fill(6_000)
    nobody = f"127.0.0.1:{free_port()}"
    await kill_again_and_again(backlog, 3, nobody, next(TOPICS), from_journal=True)
