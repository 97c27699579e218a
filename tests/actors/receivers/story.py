"""A schedule whose story is journaled and on the log, for tests of the services that live on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import msgspec
import pytest

from actors.receivers.hearing import Hearing
from actors.receivers.replaying import Replay
from actors.receivers.sales import Sales
from actors.receivers.taker import Service, Taker
from engine import commands as c
from engine.state import ScheduleState
from engine.turn import Request, Step, execute
from persistence.database.pools import Connection
from persistence.database.roles import RECEIVER, with_role
from persistence.events import positions
from persistence.events.cloud_events import render
from persistence.events.event_data import EventEnvelope
from persistence.events.feed import MemoryEventFeed
from persistence.events.log import MemoryEventLog, Message
from persistence.journal import history
from persistence.journal.journal import Batch, PostgresJournal
from persistence.sales import figures
from tests.engine.plans.houses import ANN, BOB, EVE, NOW
from tests.persistence.journal.test_journal import PLAN, SCHEDULE, ident, plant_schedule

STORY: tuple[c.AnyCommand, ...] = (
    c.HoldSeats(ident(1), ANN, ("A-3", "A-4")),
    c.HoldBest(ident(2), BOB, 3),
    c.RequestPayment(ident(1), ANN, ident(11), "sandbox"),
    c.ApprovePayment(ident(1), ident(11), "ref-1"),
    c.Cancel(ident(2), ident(22), BOB),
    c.HoldSeats(ident(3), EVE, ("pit", "pit", "C-1")),
    c.Change(ident(3), EVE, ("pit", "C-1", "C-2")),
    c.RequestPayment(ident(3), EVE, ident(13), "sandbox"),
    c.ApprovePayment(ident(3), ident(13), "ref-3"),
    c.Refund(ident(3), EVE, ident(33), ident(13), ("pit",), fee_percent=10),
    c.CompleteRefund(ident(33), ident(13), 81_000, "KRW", "back-3"),
    c.HoldSeats(ident(4), BOB, ("B-1",)),
    c.Expire(),
)


class Story:
    """One schedule whose story is journaled and on the log, and a service that lives on it."""

    def __init__(self, pool: asyncpg.Pool[Any], own_pool: asyncpg.Pool[Any], events: list[bytes]) -> None:
        self.pool = pool
        self.own_pool = own_pool  # under the role that receiving services have
        self.journal = PostgresJournal(pool)
        self.events = events
        self.log = MemoryEventLog(partitions=1)
        self.feed = MemoryEventFeed(self.log)
        self.service = Sales()
        self.hearing = self.heard_by(self.service)
        (self.taker,) = self.hearing.takers

    def heard_by(self, *services: Service) -> Hearing:
        journal = PostgresJournal(self.own_pool)
        return Hearing([Taker(each, self.own_pool, journal) for each in services], self.own_pool, journal)

    def messages(self, *versions: int) -> list[Message]:
        return [Message(0, number, SCHEDULE, self.events[version - 1]) for number, version in enumerate(versions)]

    async def position(self) -> int:
        return await positions.of(self.pool, self.service.name, SCHEDULE)

    async def checksum(self) -> str:
        return await figures.checksum(self.pool)

    async def right(self) -> str:
        """The checksum of a making from the journal alone; leaves the data made so."""
        await Replay(self.pool, self.journal, self.service).run(None, lambda taken: None)
        return await self.checksum()


@pytest.fixture
async def story(database_url: str) -> AsyncIterator[Story]:
    await plant_schedule(database_url)
    async with asyncpg.create_pool(database_url, min_size=1, max_size=4) as pool:
        journal = PostgresJournal(pool)
        claim = await journal.claim(SCHEDULE)
        state = await history.state_at(journal, SCHEDULE, PLAN, 1)
        first = (await journal.read(SCHEDULE, 0, 1))[0]
        events = [render(SCHEDULE, first, None, PLAN)]
        for number, command in enumerate(STORY):
            steps = turn(state, command, NOW + number * 60_000 + number // 12 * 7_200_000)
            await journal.append(claim, PLAN, Batch(list(steps), published_seq=steps[-1].record.seq))
            events += [render(SCHEDULE, step.record, step.booking, PLAN) for step in steps]
        reached = with_role(database_url, RECEIVER)
        async with asyncpg.create_pool(reached, min_size=0, max_size=4) as own_pool:
            yield Story(pool, own_pool, events)


def turn(state: ScheduleState, command: c.AnyCommand, now_ms: int) -> Sequence[Step]:
    done = execute(state, Request("", command), now_ms)
    assert done.steps, done.result
    return done.steps


def forged(story: Story, version: int, **changes: Any) -> Message:
    """An event of the story, made to say something else: members of the envelope, of `data` with `data__…`."""
    event: dict[str, Any] = msgspec.json.decode(story.events[version - 1])
    for name, value in changes.items():
        *path, last = name.split("__")
        inner = event
        for step in path:
            inner = inner[step]
        inner[last] = value
    return Message(0, 0, SCHEDULE, msgspec.json.encode(event))


CONFIRMED = 6  # in the story: Ann's booking


class Choking(Sales):
    """Cannot digest one version, until it is cured."""

    def __init__(self, version: int) -> None:
        self.version: int | None = version

    async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
        if any(event.data.version == self.version for event in events):
            await connection.execute("SELECT 1 / 0")
        await super().take(connection, events)
