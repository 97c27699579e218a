"""Whoever holds a connection waits for nothing far away: asyncpg's pools and SQLAlchemy's know who that is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import asyncpg
import pytest

from persistence.database import held
from persistence.database.connection import create_engine
from persistence.database.pools import open_pool

Take: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]


@pytest.fixture(params=["asyncpg", "sqlalchemy"])
async def take(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Take]:
    """Takes a connection out of a pool of two."""
    if request.param == "asyncpg":
        async with open_pool(database_url, 2) as pool:
            yield pool.acquire
        return
    engine = create_engine(database_url, pool_size=2)
    held.watch(engine)
    yield engine.connect
    await engine.dispose()


async def test_a_far_call_with_a_connection_in_hand_raises_and_one_without_does_not(take: Take) -> None:
    for _ in range(2):
        held.holds_none("a call")
        async with take():
            with pytest.raises(AssertionError, match="a database connection is held across a call"):
                held.holds_none("a call")
    held.holds_none("a call")


async def test_nobody_waits_for_a_second_connection_with_one_in_hand(take: Take) -> None:
    async with take():
        with pytest.raises(AssertionError, match="across waiting for a second one"):
            async with take():
                pass
    async with take():
        pass


async def test_what_one_task_holds_is_not_another_s(take: Take) -> None:
    async with take():

        async def other() -> None:
            held.holds_none("a call")

        await asyncio.create_task(other())


async def test_whoever_is_given_no_connection_holds_none(database_url: str) -> None:
    async with open_pool(database_url, 1) as pool, pool.acquire():

        async def patient() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), pool.acquire():  # the only one is taken
                    pass
            held.holds_none("a call")

        await asyncio.create_task(patient())


async def test_a_connection_that_breaks_is_held_by_nobody(database_url: str) -> None:
    async with open_pool(database_url, 1) as pool:
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
            async with pool.acquire() as connection:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        held.holds_none("a call")
        assert await pool.fetchval("SELECT 1") == 1
