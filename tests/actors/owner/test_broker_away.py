"""An owner whose broker is away for a whole sale answers everything, keeps little, and publishes all of it later."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from actors.owner import publisher
from actors.owner.schedule import Schedule
from actors.process.clock import SystemClock
from engine import commands as c
from engine.booking import Booking
from engine.turn import Request
from persistence.embedded.process import Program, running
from persistence.events.log import KafkaEventLog
from persistence.events.options import KafkaOptions
from persistence.journal.journal import PostgresJournal
from persistence.seats.cache import MemorySeatCache
from tests.engine.plans.houses import ANN
from tests.persistence.journal.test_journal import SCHEDULE, plant_schedule
from tests.support.projections import as_consumed, journal_events
from tests.support.waiting import until

ROUND = 500  # requests handed over at a time
STEP_BYTES = 400  # of one that is kept for publishing, as measured here, with the publisher made to keep all


class Sale:
    """A schedule's owner on a real journal, and a broker that may or may not be there."""

    def __init__(self, pool: asyncpg.Pool[Any], servers: str) -> None:
        self.pool = pool
        self.clock = SystemClock()
        self.log = KafkaEventLog(KafkaOptions(servers=servers, topic="broker-away"))
        self.owner = Schedule(
            SCHEDULE, journal=PostgresJournal(pool), cache=MemorySeatCache(), log=self.log, clock=self.clock
        )
        self.most_queued = 0

    async def sell(self, events: int) -> None:
        """Holds that are given up again; each must be answered with its booking."""
        while self.owner._state.seq < events:
            requests = []
            for _ in range(ROUND // 2):
                booking_id = self.clock.new_id()
                requests.append(Request("", c.HoldSeats(booking_id, ANN, ("A-1",))))
                requests.append(Request("", c.Cancel(booking_id, self.clock.new_id(), ANN)))
            answers = await self.owner.submit(requests)
            assert all(isinstance(answer, Booking) for answer in answers)
            assert self.owner._publisher is not None
            self.most_queued = max(self.most_queued, len(self.owner._publisher._queue))

    async def published(self) -> int:
        query = "SELECT published_seq FROM schedule_heads WHERE schedule_id = $1"
        seq: int = await self.pool.fetchval(query, SCHEDULE)
        return seq


@pytest.fixture
def kept_mb() -> Iterator[Callable[[], float]]:
    """How much is kept of what was made from now on. The process is larger by what its allocator holds in reserve."""

    def kept() -> float:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / 2**20

    tracemalloc.start()
    yield kept
    tracemalloc.stop()


@pytest.fixture
async def sale(database_url: str, own_broker: Program) -> AsyncIterator[Sale]:
    clock = SystemClock()
    await plant_schedule(database_url, clock.now_ms())
    async with asyncpg.create_pool(database_url, min_size=1, max_size=4) as pool:
        made = Sale(pool, own_broker.address)
        await made.owner.activate()
        yield made
        await made.owner.stop()
        await made.log.close()


async def sell_without_a_broker(sale: Sale, broker: Program, events: int, limit: int) -> None:
    await sale.sell(events)
    assert 0 < sale.most_queued <= limit < events // 2
    assert await sale.published() == 0
    async with running(broker):

        async def all_published() -> bool:
            return await sale.published() == sale.owner._state.seq

        await until(all_published, 180)
        told = as_consumed(await sale.log.read_all(), SCHEDULE)
        assert told == await journal_events(sale.pool, SCHEDULE)


async def test_a_broker_away_for_the_whole_sale_costs_no_answer_and_gets_everything_later(
    sale: Sale, own_broker: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "QUEUE_LIMIT", 1_500)
    await sell_without_a_broker(sale, own_broker, 5_000, 1_500)


@pytest.mark.long
async def test_what_an_owner_keeps_while_the_broker_is_away_does_not_grow_with_the_sale(
    kept_mb: Callable[[], float], sale: Sale, own_broker: Program
) -> None:
    limit = publisher.QUEUE_LIMIT
    await sale.sell(2 * limit)
    before_mb = kept_mb()
    await sale.sell(5 * limit)
    grown_mb = kept_mb() - before_mb
    assert grown_mb < 3 * limit * STEP_BYTES / 2**20 / 3, "a third of what it would be to keep them"
    await sell_without_a_broker(sale, own_broker, 5 * limit, limit)
