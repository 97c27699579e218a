"""A past that is written down instead of lived through, and what cannot be sampled."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from actors.process.clock import SystemClock
from engine.booking import Status
from loadtest import recovery
from loadtest.bench.profile import sample
from loadtest.stack import Stack, StackError
from persistence.database.dsn import asyncpg_dsn
from persistence.events.options import KafkaOptions
from persistence.journal import history
from persistence.journal.journal import PostgresJournal
from tests.persistence.journal.test_journal import SCHEDULE, plant_schedule


async def test_a_past_is_as_if_it_had_been_lived_through(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PAST_AT_ONCE", 20)
    monkeypatch.setattr("actors.owner.snapshots.SNAPSHOT_EVERY", 50)
    await plant_schedule(database_url, SystemClock().now_ms())
    kafka = KafkaOptions(servers="127.0.0.1:1", topic="t")
    stack = Stack(url="", admin_email="", admin_password="", database_url=database_url, kafka=kafka)
    await recovery.write_past(stack, SCHEDULE, 45)
    async with asyncpg.create_pool(asyncpg_dsn(database_url), min_size=1, max_size=1) as pool:
        journal = PostgresJournal(pool)
        claim = await journal.claim(SCHEDULE)
        state = await history.state_at(journal, SCHEDULE, await journal.plan(SCHEDULE), claim.seq)
        statuses = await pool.fetch("SELECT status, count(*) FROM bookings GROUP BY status")
    assert claim.seq == 1 + 2 * 45
    assert 50 <= claim.snapshot_seq < claim.seq
    assert not state.bookings
    assert [tuple(row) for row in statuses] == [(Status.CANCELLED.name.lower(), 45)]


async def test_a_process_that_is_not_there_has_no_flame_graph(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="py-spy cannot sample process 4194303"):
        await sample(4_194_303, tmp_path / "none.svg", 1)
