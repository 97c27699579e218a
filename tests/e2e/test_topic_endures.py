"""A sale whose broker is killed, comes back (the embedded one empty) or is away: nothing is lost, nothing told wrongly.

The whole system runs, with a broker of the test's own. Afterwards each schedule's events on the topic, less what is
told twice, are exactly its journal, and what the receiving services have written is what a recomputation from the
journal writes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping

import asyncpg
import pytest

from actors.receivers.services import SERVICES
from loadtest.apache_kafka import apache_kafka
from persistence.database.dsn import asyncpg_dsn
from persistence.embedded.kafka import kafka
from persistence.embedded.process import Child, Program, child_environment
from persistence.events.log import KafkaEventLog
from persistence.events.options import KafkaOptions
from tests.conftest import MakeStack, Stack
from tests.support.busy_sale import BusySale, open_busy_sale
from tests.support.projections import as_consumed, journal_events, money, notifications_made_again, sales_made_again
from tests.support.waiting import until

pytestmark = pytest.mark.stack

SETTLED_SECONDS = 240.0  # a busy machine; the services themselves take up to 15 s to miss what a broker has lost


class Broker:
    """A broker that is killed and started again on the same port."""

    def __init__(self, program: Program, keeps: bool) -> None:
        self.keeps = keeps  # what was on it, over a restart
        self.address = program.address
        self._program = program
        self._child: Child | None = None

    async def start(self) -> None:
        self._child = await Child.start(self._program, child_environment(os.environ))
        await self._child.until_ready()

    async def kill(self) -> None:
        assert self._child is not None
        await self._child.kill()


class System:
    """A running system, its broker, and whoever looks into both."""

    def __init__(self, stack: Stack, broker: Broker, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self.stack = stack
        self.broker = broker
        self.pool = pool

    async def settled(self, sale: BusySale) -> None:
        """Until everything of the sale is published, and every service has taken it."""

        async def is_settled() -> bool:
            left = await self.pool.fetchval(
                "SELECT count(*) FROM schedule_heads h CROSS JOIN unnest($2::text[]) AS service"
                " LEFT JOIN consumer_positions p ON p.schedule_id = h.schedule_id AND p.consumer = service"
                " WHERE h.schedule_id = ANY($1::uuid[])"
                " AND (h.published_seq < h.seq OR coalesce(p.version, 0) < h.seq)",
                sale.schedules,
                list(SERVICES),
            )
            return bool(left == 0)

        await until(is_settled, SETTLED_SECONDS)

    async def on_topic(self, sale: BusySale) -> dict[str, dict[int, bytes]]:
        """Each schedule's events on the topic, as a consumer takes them."""
        log = KafkaEventLog(KafkaOptions(servers=self.broker.address, topic="booking-events"))
        try:
            messages = await log.read_all()
        finally:
            await log.close()
        return {each: as_consumed(messages, each) for each in sale.schedules}

    async def projections_are_right(self) -> None:
        """Sales figures and notifications are what the journal makes of them, and the figures what was paid."""
        sales_are, sales_must_be = await sales_made_again(self.pool)
        assert sales_are == sales_must_be
        told, must_be_told = await notifications_made_again(self.pool)
        assert told == must_be_told
        assert told, "nobody was told anything"
        figures, booked = await money(self.pool)
        assert figures == booked > 0


@pytest.fixture(scope="module", params=["embedded", "apache"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Broker:
    directory = tmp_path_factory.mktemp("broker")
    if request.param == "embedded":
        return Broker(kafka(directory), keeps=False)
    return Broker(apache_kafka(request.getfixturevalue("apache_kafka_jars"), directory), keeps=True)


@pytest.fixture(scope="module")
async def system(broker: Broker, make_stack: MakeStack) -> AsyncIterator[System]:
    await broker.start()
    try:
        async with (
            make_stack(workers=1, KAFKA_BOOTSTRAP_SERVERS=broker.address) as stack,
            asyncpg.create_pool(asyncpg_dsn(stack.database_url), min_size=1, max_size=3) as pool,
        ):
            yield System(stack, broker, pool)
    finally:
        await broker.kill()


async def sell_while_it_is_killed(system: System, events: int, kills: int) -> tuple[BusySale, Mapping[str, int]]:
    """A sale of so many events with the broker away again and again, and where it stood at the last restart."""
    sale = await open_busy_sale(system.stack.base_url, system.pool)
    back: Mapping[str, int] = {}
    async with sale.going_on():
        for number in range(kills):
            await sale.reach((number + 1) * events // (kills + 1))
            await system.broker.kill()
            await sale.reach(await sale.events() + events // (8 * kills))  # it goes on without
            await system.broker.start()
            back = await sale.heads()
        await sale.reach(max(events, await sale.events() + events // (8 * kills)))
    assert sale.refused == []
    return sale, back


async def everything_is_right(system: System, sale: BusySale, back: Mapping[str, int]) -> None:
    """`back`: how far the schedules were when the broker had come back for the last time."""
    await system.settled(sale)
    for schedule_id, told in (await system.on_topic(sale)).items():
        due = await journal_events(system.pool, schedule_id)
        first = 1 if system.broker.keeps else min(told)
        # What was on the embedded broker is gone with it. All that has happened since it came back is there, without
        # gaps, and before that whatever was still to be published.
        assert first <= back[schedule_id] + 1
        assert list(told) == list(range(first, len(due) + 1))
        assert [version for version in told if told[version] != due[version]] == []
    await system.projections_are_right()


@pytest.mark.parametrize("broker", ["embedded"], indirect=True, scope="module")
async def test_a_sale_goes_on_while_the_broker_is_killed_and_afterwards_everything_is_there(system: System) -> None:
    sale, back = await sell_while_it_is_killed(system, events=2_000, kills=1)
    await everything_is_right(system, sale, back)


@pytest.mark.long
async def test_twenty_thousand_events_and_a_broker_killed_three_times(system: System) -> None:
    sale, back = await sell_while_it_is_killed(system, events=20_000, kills=3)
    assert len(sale.schedules) == 3
    assert await sale.events() >= 20_000
    await everything_is_right(system, sale, back)


@pytest.mark.long
async def test_a_broker_that_is_away_for_the_whole_sale_gets_all_of_it_afterwards(system: System) -> None:
    await system.broker.kill()
    sale = await open_busy_sale(system.stack.base_url, system.pool, seed=2)
    async with sale.going_on():
        await sale.reach(4_000)
    assert sale.refused == []
    assert set(sale.answers) <= {200, 201}, sale.answers
    published = "SELECT sum(published_seq) FROM schedule_heads WHERE schedule_id = ANY($1::uuid[])"
    assert await system.pool.fetchval(published, sale.schedules) == 0
    await system.broker.start()
    await everything_is_right(system, sale, dict.fromkeys(sale.schedules, 0))
