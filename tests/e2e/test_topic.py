"""The embedded broker forgets everything when it ends: its topic is made again, and nobody misses what was on it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from actors.process.settings import Settings
from actors.receivers.names import PROGRAM
from actors.receivers.services import SERVICES
from persistence.database.dsn import asyncpg_dsn
from persistence.events.feed import FETCH_WAIT_MS
from persistence.events.log import KafkaEventLog, LogUnavailable
from tests.conftest import MakeStack, Stack
from tests.support.projections import as_consumed, journal_events, notifications_made_again, sales_made_again
from tests.support.sale import Sale, open_sale, paid_booking, refund, sign_up
from tests.support.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.long]

TOPIC, PARTITIONS = "events-here", 5
SETTLED_SECONDS = 120.0


@pytest.fixture(scope="module")
async def own_stack(make_stack: MakeStack) -> AsyncIterator[Stack]:
    async with make_stack(workers=1, BOXOFFICE_TOPIC=TOPIC, BOXOFFICE_TOPIC_PARTITIONS=str(PARTITIONS)) as stack:
        yield stack


@pytest.fixture
async def log(own_stack: Stack) -> AsyncIterator[KafkaEventLog]:
    options = Settings.from_environment({**own_stack.run.environment, "BOXOFFICE_TOPIC": TOPIC}).kafka
    assert options is not None
    opened = KafkaEventLog(options)
    yield opened
    await opened.close()


async def topic_is_there(log: KafkaEventLog) -> bool:
    try:
        topic, _ = await log.describe()
    except LogUnavailable:
        return False
    return topic is not None and topic.partitions == PARTITIONS


async def test_the_topic_is_made_at_the_start_and_again_when_the_broker_came_back_empty(
    own_stack: Stack, log: KafkaEventLog
) -> None:
    assert await topic_is_there(log)
    await own_stack.replaced("kafka", await own_stack.kill("kafka"))
    await until(lambda: topic_is_there(log))


class Watched:
    """A sale, and how far its events and those who take them have come."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], http: httpx.AsyncClient, sale: Sale) -> None:
        self.pool = pool
        self.http = http
        self.sale = sale

    async def buy(self, *seats: str) -> None:
        """Each seat by a customer of its own; the first one is given back."""
        for number, seat in enumerate(seats):
            customer = await sign_up(self.http)
            _, payment = await paid_booking(self.http, self.sale, customer, seat)
            if number == 0:
                assert (await refund(self.http, payment, customer)).status_code == httpx.codes.CREATED

    async def head(self) -> tuple[int, int]:
        row = await self.pool.fetchrow(
            "SELECT seq, published_seq FROM schedule_heads WHERE schedule_id = $1", self.sale.schedule_id
        )
        assert row is not None
        return row[0], row[1]

    async def published(self) -> bool:
        seq, published = await self.head()
        return seq == published

    async def positions(self) -> dict[str, int]:
        query = "SELECT consumer, version FROM consumer_positions WHERE schedule_id = $1"
        return {row[0]: row[1] for row in await self.pool.fetch(query, self.sale.schedule_id)}

    async def taken(self) -> bool:
        seq, _ = await self.head()
        return await self.positions() == dict.fromkeys(SERVICES, seq)


async def test_what_an_emptied_broker_has_lost_the_services_read_from_the_journal_by_themselves(
    own_stack: Stack, log: KafkaEventLog
) -> None:
    async with (
        own_stack.client(60) as http,
        asyncpg.create_pool(asyncpg_dsn(own_stack.database_url), min_size=1, max_size=3) as pool,
    ):
        watched = Watched(pool, http, await open_sale(http))
        await watched.buy("A-1", "A-2")
        await until(watched.taken, SETTLED_SECONDS)
        heard = await watched.positions()

        # The services hear nothing of what is published now, and then it is gone.
        pid = own_stack.pause(PROGRAM)
        try:
            await asyncio.sleep(3 * FETCH_WAIT_MS / 1000)  # what they have asked for by now is answered: with nothing
            await watched.buy("B-1", "B-2", "B-3")
            await until(watched.published, SETTLED_SECONDS)
            lost, _ = await watched.head()
            await own_stack.replaced("kafka", await own_stack.kill("kafka"))
            await until(lambda: topic_is_there(log))
            assert as_consumed(await log.read_all(), watched.sale.schedule_id) == {}
            assert await watched.positions() == heard
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(watched.taken, SETTLED_SECONDS)
        assert own_stack.run.processes[PROGRAM] == pid
        for name in SERVICES:
            assert f"{name} reads schedule {watched.sale.schedule_id} from the journal" in own_stack.log.read_text()

        # What happens from now on is on the new topic, and taken from there.
        await watched.buy("C-1")
        await until(watched.published, SETTLED_SECONDS)
        await until(watched.taken, SETTLED_SECONDS)
        due = await journal_events(pool, watched.sale.schedule_id)
        told = as_consumed(await log.read_all(), watched.sale.schedule_id)
        assert told == {version: value for version, value in due.items() if version > lost}
        is_now, must_be = await sales_made_again(pool)
        assert is_now == must_be
        mails, must_be_mails = await notifications_made_again(pool)
        assert mails == must_be_mails
        assert len(mails) == 6 + 3  # bought, and given back
