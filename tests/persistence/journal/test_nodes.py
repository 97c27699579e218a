"""Machines of a cluster as rows: one has a name at a time; work is one's at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest

from persistence.journal import leases, nodes
from persistence.journal.nodes import DRAINING, SERVING, STARTING, Node, Process
from tests.persistence.journal.test_journal import ident

A = Node(name="a", incarnation="1", address="10.0.0.1", processes=2, state=STARTING, beat="", silent_seconds=0.0)
AGAIN = msgspec.structs.replace(A, incarnation="2")


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def fall_silent(connection: asyncpg.Connection) -> None:
    """As if all machines had been silent for long."""
    await connection.execute("UPDATE nodes SET beat_at = beat_at - interval '1 minute'")


async def test_a_name_is_one_machine_s_as_long_as_it_lives(connection: asyncpg.Connection) -> None:
    assert await nodes.join(connection, A)
    assert not await nodes.join(connection, AGAIN)
    await fall_silent(connection)
    assert await nodes.join(connection, AGAIN)
    assert await nodes.beat(connection, "a", "1") is None  # it wakes, and learns that it is another's
    assert await nodes.beat(connection, "a", "2") == STARTING
    await nodes.leave(connection, "a", "1")
    assert [each.incarnation for each in await nodes.look(connection)] == ["2"]
    await nodes.leave(connection, "a", "2")
    assert await nodes.look(connection) == []


async def test_of_several_that_take_a_name_at_once_one_has_it(
    connection: asyncpg.Connection, database_url: str
) -> None:
    async with asyncpg.create_pool(database_url, min_size=4, max_size=4) as pool:
        lives = [msgspec.structs.replace(A, incarnation=str(number)) for number in range(8)]
        assert sum(await asyncio.gather(*(nodes.join(pool, each) for each in lives))) == 1


async def test_of_two_that_are_drained_at_once_one_is_left(connection: asyncpg.Connection, database_url: str) -> None:
    for name in ("a", "b"):
        await nodes.join(connection, msgspec.structs.replace(A, name=name))
        await nodes.turn(connection, name, SERVING)
    async with asyncpg.create_pool(database_url, min_size=2, max_size=2) as pool:
        assert sorted(await asyncio.gather(nodes.drain(pool, "a"), nodes.drain(pool, "b"))) == [False, True]
    assert sorted(each.state for each in await nodes.look(connection)) == [DRAINING, SERVING]


async def test_nobody_takes_over_from_a_machine_where_the_others_are_lost(connection: asyncpg.Connection) -> None:
    for name in ("a", "b"):
        await nodes.join(connection, msgspec.structs.replace(A, name=name))
        await nodes.turn(connection, name, SERVING)
    await connection.execute("UPDATE nodes SET beat_at = beat_at - interval '1 minute' WHERE name = 'b'")
    assert not await nodes.drain(connection, "a")
    assert await nodes.state_of(connection, "a") == SERVING


async def test_a_machine_that_was_lost_long_ago_is_forgotten(connection: asyncpg.Connection) -> None:
    await nodes.join(connection, A)
    await connection.execute("UPDATE nodes SET beat_at = beat_at - make_interval(days => $1)", nodes.FORGOTTEN_DAYS + 1)
    await nodes.join(connection, msgspec.structs.replace(A, name="b"))
    assert [each.name for each in await nodes.look(connection)] == ["b"]


async def test_a_machine_is_told_the_state_it_is_to_be_in(connection: asyncpg.Connection) -> None:
    await nodes.join(connection, A)
    assert await nodes.turn(connection, "a", SERVING)
    assert await nodes.beat(connection, "a", "1") == SERVING
    assert await nodes.turn(connection, "a", DRAINING)
    assert await nodes.state_of(connection, "a") == DRAINING
    assert not await nodes.turn(connection, "a", STARTING, SERVING)  # it is draining, and goes on being so
    assert await nodes.state_of(connection, "a") == DRAINING
    assert not await nodes.turn(connection, "b", DRAINING)
    assert await nodes.state_of(connection, "b") is None


async def test_a_machine_that_does_not_beat_is_silent_and_none_that_does(connection: asyncpg.Connection) -> None:
    await nodes.join(connection, A)
    assert [each.silent for each in await nodes.look(connection)] == [False]
    await fall_silent(connection)
    assert [each.silent for each in await nodes.look(connection)] == [True]
    await nodes.beat(connection, "a", "1")
    assert [each.silent for each in await nodes.look(connection)] == [False]


async def test_a_process_is_found_where_it_was_started_last(connection: asyncpg.Connection, database_url: str) -> None:
    async with asyncpg.create_pool(database_url, min_size=0, max_size=1) as pool:
        assert await nodes.find(pool, "owners-0@a") is None
        first, second = Process("10.0.0.1", 4001, "x"), Process("10.0.0.1", 4002, "y")
        await nodes.register(connection, "owners-0@a", first)
        await nodes.register(connection, "owners-0@a", second)
        assert await nodes.find(pool, "owners-0@a") == second
    assert first.identity("owners-0@a") != second.identity("owners-0@a") != second.identity("owners-1@a")


async def test_schedules_are_counted_by_machine(connection: asyncpg.Connection) -> None:
    hosts = ["owners-0@a", "owners-1@a", "owners-0@b", None]
    await connection.executemany(
        "INSERT INTO schedule_heads (schedule_id, epoch, seq, host) VALUES ($1, 0, 1, $2)",
        [(ident(number), host) for number, host in enumerate(hosts, 1)],
    )
    assert await nodes.schedules(connection) == {"a": 2, "b": 1}


async def test_work_is_one_s_at_a_time_and_the_next_s_when_it_is_let_go_or_over(
    connection: asyncpg.Connection,
) -> None:
    assert await leases.hold(connection, "work", "a")
    assert await leases.hold(connection, "work", "a")
    assert not await leases.hold(connection, "work", "b")
    assert await leases.holder_of(connection, "work") == "a"
    await leases.let_go(connection, "work", "b")  # not its own
    assert not await leases.hold(connection, "work", "b")
    await leases.let_go(connection, "work", "a")
    assert await leases.hold(connection, "work", "b")
    await connection.execute("UPDATE leases SET until = until - interval '1 minute'")
    assert await leases.holder_of(connection, "work") is None
    assert await leases.hold(connection, "work", "a")
