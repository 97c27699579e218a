"""The sweeper on a real database: it wakes what has something to do, and lets everything else sleep."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from actors.background.sweeper import DUE, Sweeper
from actors.gateway.gateway import Gateway
from actors.process.clock import SystemClock
from actors.wire.messages import decode_call, encode_answer
from tests.persistence.journal.test_journal import SCHEDULE, plant_schedule
from tests.support.local_owners import OneHost


class Bell:
    """Stands for the process of every schedule's owner, and counts who was woken."""

    def __init__(self) -> None:
        self.woken: list[str] = []

    async def find(self, name: str) -> Bell:
        return self

    async def current(self, name: str) -> Bell | None:
        return self

    async def replace(self, name: str, owner: Bell) -> None:
        raise AssertionError("nobody is silent")

    async def submit(self, data: bytes) -> bytes:
        call = decode_call(data)
        self.woken += [schedule_id for schedule_id, requests in call if requests]
        return encode_answer([[1] * len(requests) for _, requests in call])

    async def inspect(self, schedule_id: str) -> bytes | None:
        raise AssertionError("nobody asks")

    async def retire(self, schedule_id: str) -> None:
        raise AssertionError("nobody asks")

    def close(self) -> None:
        """Nothing reaches it but this object."""


async def exists(schedule_id: str) -> bool:
    return True


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    await plant_schedule(database_url, SystemClock().now_ms())
    async with asyncpg.create_pool(database_url, min_size=0, max_size=2) as pool:
        yield pool


async def swept(pool: asyncpg.Pool, *, publishing: bool = True) -> list[str]:
    bell = Bell()
    gateway = Gateway(bell, OneHost(exists))
    found = await Sweeper(pool, gateway, SystemClock(), publishing=publishing).run_once()
    await gateway.close()
    assert found == bell.woken
    return found


LONG_AGO = "updated_at = now() - interval '1 minute'"


@pytest.mark.parametrize(
    ("head", "publishing", "woken"),
    [
        ("seq = 1", True, False),  # only opened, whenever that was
        (f"seq = 1, {LONG_AGO}", True, False),
        (f"seq = 9, published_seq = 9, {LONG_AGO}", True, False),
        (f"seq = 9, published_seq = 8, epoch = 1, {LONG_AGO}", True, True),
        (f"seq = 3, published_seq = 0, epoch = 0, {LONG_AGO}", True, False),  # it never had an owner
        (f"seq = 9, published_seq = 8, {LONG_AGO}", False, False),  # this system publishes nothing
        ("seq = 9, published_seq = 8, updated_at = now()", True, False),  # its owner is at it
        ("seq = 9, published_seq = 9, next_deadline_ms = 1", True, True),
        ("seq = 9, published_seq = 9, next_deadline_ms = 9000000000000", True, False),
    ],
)
async def test_a_schedule_is_woken_exactly_if_it_has_something_to_do(
    pool: asyncpg.Pool, head: str, publishing: bool, woken: bool
) -> None:
    await pool.execute(f"UPDATE schedule_heads SET {head}")
    assert await swept(pool, publishing=publishing) == ([SCHEDULE] if woken else [])


async def test_an_owner_is_there_shortly_before_its_sale_opens(pool: asyncpg.Pool) -> None:
    await pool.execute("UPDATE schedules SET sale_opens_at = now() + interval '10 seconds'")
    assert await swept(pool) == [SCHEDULE]
    await pool.execute("UPDATE schedules SET sale_opens_at = now() + interval '10 minutes'")
    assert await swept(pool) == []


async def test_a_schedule_that_is_due_for_two_reasons_is_woken_once(pool: asyncpg.Pool) -> None:
    await pool.execute("UPDATE schedules SET sale_opens_at = now() + interval '10 seconds'")
    await pool.execute("UPDATE schedule_heads SET next_deadline_ms = 1")
    assert await swept(pool) == [SCHEDULE]


async def test_a_sweep_looks_at_no_schedule_that_is_over(pool: asyncpg.Pool) -> None:
    """The table of a house that has played for years is large, and a sweep is due every second."""
    await pool.execute(
        "INSERT INTO schedules (id, performance_id, venue_id, starts_at, sale_opens_at, currency, prices, hold_seconds)"
        " SELECT gen_random_uuid(), performance_id, venue_id, now() - n * interval '1 hour',"
        " now() - n * interval '1 hour' - interval '30 days', currency, prices, hold_seconds"
        " FROM schedules, generate_series(1, 5000) AS n"
    )
    await pool.execute("ANALYZE schedules")
    plan = await pool.fetch(f"EXPLAIN {DUE}", 0, True, 10, 30, 50)
    lines = [row[0] for row in plan]
    assert any("ix_schedules_sale_opens_at" in line for line in lines), lines
    assert not any("Seq Scan on schedules" in line for line in lines), lines
