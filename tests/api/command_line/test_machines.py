"""The machines of a cluster at the command line."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from actors.process.settings import Settings
from api.command_line.machines import MachinesError, drain, listed, resume
from persistence.journal import leases, nodes
from persistence.journal.nodes import DRAINING, SERVING, STARTING, Node
from tests.persistence.journal.test_journal import ident
from tests.support.waiting import until


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url)


async def add(database_url: str, *names: str, state: str = SERVING) -> None:
    connection = await asyncpg.connect(database_url)
    for name in names:
        node = Node(name=name, incarnation="1", address="10.0.0.1", processes=2, state=state, beat="", silent_seconds=0)
        assert await nodes.join(connection, node)
        await nodes.turn(connection, name, state)
    await connection.close()


async def execute(database_url: str, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(statement, *arguments)
    await connection.close()


async def test_machines_are_listed_with_what_they_do(settings: Settings, database_url: str) -> None:
    assert await listed(settings) == []
    await add(database_url, "a", "b")
    await execute(database_url, "UPDATE nodes SET beat_at = beat_at - interval '1 minute' WHERE name = 'b'")
    host = "INSERT INTO schedule_heads (schedule_id, epoch, seq, host) VALUES ($1, 0, 1, 'owners-1@a')"
    await execute(database_url, host, ident(1))
    connection = await asyncpg.connect(database_url)
    assert await leases.hold(connection, "background", "a")
    await connection.close()
    rows = [(row.node.name, row.state, row.schedules, row.leads) for row in await listed(settings)]
    assert rows == [("a", "serving", 1, True), ("b", "lost", 0, False)]


async def test_draining_waits_until_nothing_is_left(settings: Settings, database_url: str) -> None:
    await add(database_url, "a", "b")
    host = "INSERT INTO schedule_heads (schedule_id, epoch, seq, host) VALUES ($1, 0, 1, 'owners-1@b')"
    await execute(database_url, host, ident(1))
    draining = asyncio.create_task(drain(settings, "b", within_seconds=60))

    async def is_draining() -> bool:
        return [row.state for row in await listed(settings)] == [SERVING, DRAINING]

    await until(is_draining)
    assert not draining.done()
    await execute(database_url, "UPDATE schedule_heads SET host = NULL")
    assert await draining == 0
    await resume(settings, "b")
    assert [row.state for row in await listed(settings)] == [SERVING, SERVING]


async def test_a_drain_that_was_taken_back_meanwhile_is_no_leave_to_stop(settings: Settings, database_url: str) -> None:
    await add(database_url, "a", "b")
    draining = asyncio.create_task(drain(settings, "b", within_seconds=60))

    async def is_draining() -> bool:
        return [row.state for row in await listed(settings)] == [SERVING, DRAINING]

    await until(is_draining)
    await resume(settings, "b")
    with pytest.raises(MachinesError, match="b takes schedules in again"):
        await draining


async def test_a_machine_that_starts_or_is_lost_is_neither_resumed_nor_drained(
    settings: Settings, database_url: str
) -> None:
    await add(database_url, "a", "b")
    await add(database_url, "c", state=STARTING)
    with pytest.raises(MachinesError, match="c is starting: it takes schedules in by itself"):
        await resume(settings, "c")
    await resume(settings, "b")  # it serves: there is nothing to do
    await execute(database_url, "UPDATE nodes SET beat_at = beat_at - interval '1 minute' WHERE name = 'b'")
    with pytest.raises(MachinesError, match="b is lost: its schedules are opened elsewhere"):
        await drain(settings, "b", within_seconds=60)
    assert [row.state for row in await listed(settings)] == [SERVING, "lost", STARTING]


async def test_a_machine_by_itself_is_no_machine_of_a_cluster(settings: Settings, database_url: str) -> None:
    await add(database_url, "", state=STARTING)
    assert await listed(settings) == []


async def test_what_does_not_leave_in_time_is_told(settings: Settings, database_url: str) -> None:
    await add(database_url, "a", "b")
    host = "INSERT INTO schedule_heads (schedule_id, epoch, seq, host) VALUES ($1, 0, 1, 'owners-1@b')"
    await execute(database_url, host, ident(1))
    assert await drain(settings, "b", within_seconds=0.01) == 1


async def test_the_last_machine_is_not_drained_and_none_that_is_not_there(
    settings: Settings, database_url: str
) -> None:
    await add(database_url, "a")
    with pytest.raises(MachinesError, match="no other machine"):
        await drain(settings, "a", within_seconds=1)
    with pytest.raises(MachinesError, match="no machine z"):
        await drain(settings, "z", within_seconds=1)
    with pytest.raises(MachinesError, match="no machine z"):
        await resume(settings, "z")
