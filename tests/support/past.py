"""Schedules with a long past: journaled, and as events, told to nobody yet."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import asyncpg

from engine import commands as c
from engine.booking import Booking
from engine.events import Opened
from engine.state import ScheduleState
from engine.turn import Request, Step, execute
from persistence.database.connection import create_engine
from persistence.events.cloud_events import render
from persistence.events.log import EventLog
from persistence.journal import history
from persistence.journal.journal import Batch, PostgresJournal
from persistence.journal.opening import open_schedule
from tests.engine.plans.houses import ANN, BOB, EVE, NOW, terms
from tests.persistence.journal.test_journal import PERFORMANCE, PLAN, SCHEDULE, VENUE, ident, plant_schedule

SCHEDULES = (SCHEDULE, ident(0xA1), ident(0xA2))


class Past:
    """The schedules and their events."""

    def __init__(self, url: str, pool: asyncpg.Pool[Any], random_: random.Random) -> None:
        self.pool = pool
        self.random = random_
        self.events: dict[str, list[bytes]] = {}
        self.url = url

    async def fill(self, events: int) -> None:
        """So many events in all, journaled and ready to be published."""
        await plant_schedule(self.url)
        await plant_others(self.url)
        for schedule_id in SCHEDULES:
            await self._fill(schedule_id, events // len(SCHEDULES))
        # Published and quiet for long: whoever has not heard of it reads it from the journal.
        await self.pool.execute("UPDATE schedule_heads SET published_seq = seq, updated_at = now() - interval '1 h'")

    async def publish(self, log: EventLog) -> None:
        for schedule_id, values in self.events.items():
            await log.publish(schedule_id, values)

    async def _fill(self, schedule_id: str, count: int) -> None:
        journal = PostgresJournal(self.pool)
        claim = await journal.claim(schedule_id)
        first = (await journal.read(schedule_id, 0, 1))[0]
        state = await history.state_at(journal, schedule_id, PLAN, 1)
        values = self.events[schedule_id] = [render(schedule_id, first, None, PLAN)]
        now_ms = NOW
        while len(values) < count:
            steps: list[Step] = []
            while len(steps) < 2_000:
                now_ms += 5_000  # so that holds expire, and there are figures of many hours
                steps += story(state, self.random, now_ms)
            await journal.append(claim, PLAN, Batch(steps))
            values += [render(schedule_id, step.record, step.booking, PLAN) for step in steps]

    @property
    def total(self) -> int:
        return sum(len(values) for values in self.events.values())


def story(state: ScheduleState, random_: random.Random, now_ms: int) -> list[Step]:
    """What some customer does next."""
    customer = random_.choice((ANN, BOB, EVE))
    steps: list[Step] = []

    def new_id() -> str:
        return str(UUID(int=random_.getrandbits(128), version=4))

    def do(command: c.AnyCommand) -> Booking | None:
        done = execute(state, Request("", command), now_ms)
        steps.extend(done.steps)
        return done.result if isinstance(done.result, Booking) else None

    booking = do(c.HoldBest(new_id(), customer, random_.randint(1, 3)))
    if booking is None:
        return steps
    fate = random_.random()
    if fate < 0.45:
        do(c.Cancel(booking.id, new_id(), customer))
    elif fate < 0.95:
        payment = new_id()
        do(c.RequestPayment(booking.id, customer, payment, "sandbox"))
        do(c.ApprovePayment(booking.id, payment, "ref"))
        do(c.Refund(booking.id, customer, new_id(), payment, fee_percent=10))
    return steps  # the others are held until they expire


async def plant_others(url: str) -> None:
    """More schedules of the performance that is there."""
    engine = create_engine(url)
    async with engine.begin() as connection:
        for schedule_id in SCHEDULES[1:]:
            await connection.exec_driver_sql(
                "INSERT INTO schedules (id, performance_id, venue_id, starts_at, currency, prices, hold_seconds)"
                f" VALUES ('{schedule_id}', '{PERFORMANCE}', '{VENUE}', now(), 'KRW', '{{}}', 600)"
            )
            await open_schedule(connection, schedule_id, NOW, Opened(PLAN.digest, terms()))
    await engine.dispose()
