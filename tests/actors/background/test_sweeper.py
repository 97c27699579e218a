"""The sweeper on a real database: it wakes what has something to do, and lets everything else sleep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from actors.background.sweeper import Sweeper
from actors.gateway.gateway import Gateway
from actors.process.clock import SystemClock
from actors.receivers.names import RECEIVERS
from actors.wire.messages import decode_call, encode_answer
from engine.events import ScheduleCancelled
from persistence.database.connection import create_engine
from persistence.events import positions
from persistence.journal import heads, overruling
from persistence.journal.journal import PostgresJournal
from persistence.journal.placement import OneMachine, Placement
from persistence.reconciliation import findings
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
    plan = await pool.fetch(f"EXPLAIN {heads.DUE}", 0, True, timedelta(seconds=10), timedelta(seconds=30), 50)
    lines = [row[0] for row in plan]
    assert any("ix_schedules_sale_opens_at" in line for line in lines), lines
    assert not any("Seq Scan on schedules" in line for line in lines), lines


# --- what rests -------------------------------------------------------------------------------------------------------
PLAYED = "seq = 9, published_seq = 9, epoch = 1, updated_at = now() - interval '1 hour'"
ALL = dict.fromkeys(RECEIVERS, 9)


@pytest.mark.parametrize(
    ("head", "taken", "rests"),
    [
        (PLAYED, ALL, True),
        ("updated_at = now() - interval '1 hour'", {}, True),  # only opened
        ("seq = 3, updated_at = now() - interval '1 hour'", {}, True),  # and cancelled, before it had an owner
        (f"{PLAYED}, host = 'owners-0'", ALL, False),
        (f"{PLAYED}, next_deadline_ms = 9000000000000", ALL, False),
        (f"{PLAYED}, oldest_payment_ms = 1", ALL, False),
        (f"{PLAYED}, overruled_at = now()", ALL, False),
        (PLAYED.replace("published_seq = 9", "published_seq = 8"), ALL, False),
        (PLAYED.replace("interval '1 hour'", "interval '1 minute'"), ALL, False),
        (PLAYED, {}, False),
        (PLAYED, {RECEIVERS[0]: 9}, False),
        (PLAYED, ALL | {RECEIVERS[1]: 8}, False),
    ],
)
async def test_a_schedule_rests_exactly_if_nothing_of_it_is_due_and_all_of_it_was_taken(
    pool: asyncpg.Pool, head: str, taken: dict[str, int], rests: bool
) -> None:
    await pool.execute(f"UPDATE schedule_heads SET {head}")
    await pool.executemany(
        "INSERT INTO consumer_positions (consumer, schedule_id, version) VALUES ($1, $2, $3)",
        [(consumer, SCHEDULE, version) for consumer, version in taken.items()],
    )
    sweeper = Sweeper(pool, Gateway(Bell(), OneHost(exists)), SystemClock(), publishing=True)
    assert await sweeper.let_rest() == rests
    assert await pool.fetchval("SELECT resting FROM schedule_heads") == rests


async def test_whoever_is_given_a_place_rests_no_longer(pool: asyncpg.Pool) -> None:
    await pool.execute("UPDATE schedule_heads SET resting = true")
    await Placement(pool, OneMachine(1)).host_of(SCHEDULE)
    assert not await pool.fetchval("SELECT resting FROM schedule_heads")


async def test_whoever_is_written_to_past_its_owner_rests_no_longer(pool: asyncpg.Pool, database_url: str) -> None:
    await pool.execute("UPDATE schedule_heads SET resting = true")
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        held = await overruling.hold(connection, [SCHEDULE])
        await overruling.write(connection, held, SystemClock().now_ms(), ScheduleCancelled("flooded", "organizer"))
    await engine.dispose()
    assert not await pool.fetchval("SELECT resting FROM schedule_heads")


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (heads.DUE, (0, True, timedelta(seconds=10), timedelta(seconds=30), 50)),
        (positions.BEHIND, ("sales", timedelta(seconds=10), 20)),
        (positions.LAG, ("sales",)),
        (heads.REST, (timedelta(minutes=10), list(RECEIVERS))),
        (heads.UNPUBLISHED, ()),
        (heads.NOT_RESTING, ()),
        (findings.DUE, (datetime.now(UTC), 8, True)),
    ],
    ids=["the sweep", "what a service has missed", "its lag", "letting rest", "readiness", "tail", "reconciliation"],
)
async def test_what_looks_for_something_due_passes_by_what_has_been_played(
    pool: asyncpg.Pool, statement: str, arguments: tuple[object, ...]
) -> None:
    await pool.execute(
        "INSERT INTO schedule_heads (schedule_id, epoch, seq, published_seq, resting)"
        " SELECT gen_random_uuid(), 1, 9, 9, true FROM generate_series(1, 5000)"
    )
    await pool.execute(
        "INSERT INTO reconciliations SELECT schedule_id::text, 9, now(), true, '[]' FROM schedule_heads WHERE resting"
    )
    await pool.execute("ANALYZE schedule_heads, reconciliations")
    lines = [row[0] for row in await pool.fetch(f"EXPLAIN {statement}", *arguments)]
    assert any("ix_schedule_heads_not_resting" in line for line in lines), lines
    assert not any("Seq Scan on schedule_heads" in line for line in lines), lines
    assert not any("Seq Scan on reconciliations" in line for line in lines), lines


async def test_what_was_written_before_the_first_owner_delays_nothing(pool: asyncpg.Pool) -> None:
    """An evening called off before anybody has booked tells of it with its first owner, which it may never have."""
    await pool.execute(f"UPDATE schedule_heads SET seq = 3, epoch = 0, {LONG_AGO}")
    assert await pool.fetchval(heads.UNPUBLISHED) is None
    await pool.execute("UPDATE schedule_heads SET epoch = 1")
    assert await pool.fetchval(heads.UNPUBLISHED) is not None


async def test_what_was_written_before_the_first_owner_waits_since_there_is_one(pool: asyncpg.Pool) -> None:
    journal = PostgresJournal(pool)
    await pool.execute(f"UPDATE schedule_heads SET seq = 3, {LONG_AGO}")
    await journal.claim(SCHEDULE)
    assert await pool.fetchval(heads.UNPUBLISHED) < 60
    await pool.execute(
        "INSERT INTO journal (schedule_id, seq, at_ms, type, request_id, fingerprint, payload)"
        " SELECT $1, n, (extract(epoch FROM now()) - 600 / n) * 1000, 'seats.blocked', '', '', ''"
        "   FROM generate_series(2, 3) AS n",
        SCHEDULE,
    )
    assert 290 < await pool.fetchval(heads.UNPUBLISHED) < 360
    await pool.execute("UPDATE schedule_heads SET published_seq = 2")
    assert 190 < await pool.fetchval(heads.UNPUBLISHED) < 260
