"""Reaching PostgreSQL and migrating it: safe at any time, for many at once, and what results is `tables.py`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database import connection as connections
from persistence.database import tables
from persistence.database.away import DatabaseUnavailable, is_away
from persistence.database.connection import (
    MIGRATION_LOCK,
    MIGRATIONS,
    LaterRelease,
    _config,
    asyncpg_dsn,
    create_engine,
    current_revision,
    for_reading,
    head_revision,
    migrate,
)
from persistence.database.pools import open_pool
from persistence.database.roles import with_role
from persistence.database.suitable import OLDEST, UnsuitableDatabase, shortcomings
from tests.conftest import made_database
from tests.support.services.databases import execute, other_database
from tests.support.waiting import PATIENCE_SECONDS, until


@pytest.fixture
async def empty_url(postgres_url: str) -> AsyncIterator[str]:
    """A database without anything in it."""
    async with made_database(postgres_url) as url:
        yield url


async def differences(url: str) -> list[object]:
    """What an upgrade would still have to do to reach `tables.metadata`."""
    engine = create_engine(url)
    options = {"compare_server_default": True, "compare_type": True}
    async with engine.connect() as connection:
        found = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts=options), tables.metadata)
        )
    await engine.dispose()
    return list(found)


async def test_migrating_an_empty_database_gives_exactly_the_tables(empty_url: str) -> None:
    assert await current_revision(empty_url) is None
    await migrate(empty_url)
    assert await current_revision(empty_url) == head_revision()
    assert await differences(empty_url) == []


async def test_what_the_comparison_does_not_see_is_migrated_as_well(empty_url: str) -> None:
    await migrate(empty_url)
    engine = create_engine(empty_url)
    async with engine.connect() as connection:
        options = await names(connection, "SELECT unnest(reloptions) FROM pg_class WHERE relname = 'schedule_heads'")
        indexes = await names(connection, "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")
    await engine.dispose()
    assert options == {"fillfactor=50"}
    expected = {str(index.name) for table in tables.metadata.tables.values() for index in table.indexes}
    assert expected <= indexes


async def names(connection: AsyncConnection, query: str) -> set[str]:
    return set((await connection.execute(sa.text(query))).scalars())


async def test_queries_that_stand_by_themselves_are_in_no_transaction(database_url: str) -> None:
    """The moment a transaction has begun is the same for all its statements."""
    database = create_engine(database_url, pool_size=1)
    begun = {}
    for name, engine in {"reading": for_reading(database), "others": database}.items():
        async with engine.connect() as connection:
            query = sa.text("SELECT transaction_timestamp() FROM pg_sleep(0.001)")
            begun[name] = {(await connection.execute(query)).scalar_one() for _ in range(2)}
    await database.dispose()
    assert {name: len(moments) for name, moments in begun.items()} == {"reading": 2, "others": 1}


async def test_migrating_again_changes_nothing(empty_url: str) -> None:
    await migrate(empty_url)
    await migrate(empty_url)
    assert await current_revision(empty_url) == head_revision()


async def test_many_may_migrate_at_once(empty_url: str) -> None:
    await asyncio.gather(*(migrate(empty_url) for _ in range(5)))
    assert await differences(empty_url) == []


async def test_a_migration_waits_for_the_one_under_way(empty_url: str) -> None:
    other = await asyncpg.connect(empty_url)
    await other.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
    waiting = asyncio.create_task(migrate(empty_url))
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

    async def waits() -> bool:
        return bool(await other.fetchval(query))

    await until(waits)
    assert await current_revision(empty_url) is None
    await other.close()
    await waiting
    assert await current_revision(empty_url) == head_revision()


async def back_by_one(url: str) -> None:
    """Takes the newest step back."""
    engine = create_engine(url)

    def downgrade(connection: sa.Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
        connection.commit()

    async with engine.connect() as connection:
        await connection.run_sync(downgrade)
    await engine.dispose()


async def test_a_migration_that_has_to_wait_for_a_lock_has_nobody_wait_behind_it(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LOCK_WAIT_MS", 50)
    monkeypatch.setattr(connections, "LOCK_PAUSE_SECONDS", 0.0)
    await migrate(empty_url)
    await back_by_one(empty_url)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    writer = await asyncpg.connect(empty_url)
    tables_there = [
        table for (table,) in await writer.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    as_writing = [f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE" for table in tables_there]
    async with open_pool(empty_url, 2) as pool, writer.transaction():
        for lock in as_writing:
            await writer.execute(lock)
        migrating = asyncio.create_task(migrate(empty_url))

        async def waiting() -> bool:
            return bool(await pool.fetchval(waits))

        await until(waiting)
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            pool.acquire() as other,
        ):  # it would take as long as that writer writes
            for lock in as_writing:
                async with other.transaction():
                    await other.execute(lock)
        assert not migrating.done()
    await writer.close()
    await migrating
    assert await current_revision(empty_url) == head_revision()


async def test_a_database_of_a_later_release_is_left_alone(empty_url: str) -> None:
    await migrate(empty_url)
    await execute(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LaterRelease, match=f"revision 9999 by a later release; this one knows .* {head_revision()}"):
        await migrate(empty_url)
    assert await current_revision(empty_url) == "9999"


async def test_who_may_not_change_the_database_is_told_so(empty_url: str) -> None:
    with pytest.raises(UnsuitableDatabase, match=r"permission denied for schema public; make it the owner"):
        await migrate(with_role(empty_url, "pg_monitor"))


async def test_a_database_that_takes_no_writes_is_told_before_any_is_tried(empty_url: str) -> None:
    with pytest.raises(UnsuitableDatabase, match="default_transaction_read_only"):
        await migrate(f"{empty_url}&default_transaction_read_only=on")


@pytest.mark.parametrize(
    ("traits", "told"),
    [
        ((OLDEST * 10_000, "15.0", "UTF8", False, False), []),
        ((149_999, "14.20", "UTF8", False, False), ["PostgreSQL 14.20 is too old: 15 or later"]),
        ((180_000, "18.0", "SQL_ASCII", False, False), ["SQL_ASCII.*ENCODING 'UTF8'"]),
        ((180_000, "18.0", "UTF8", True, True), ["it is a standby"]),
        ((90_000, "9.0", "LATIN1", False, True), ["too old", "LATIN1", "takes no writes"]),
    ],
)
def test_why_a_database_will_not_do_is_told_with_what_to_do(
    traits: tuple[int, str, str, bool, bool], told: list[str]
) -> None:
    found = shortcomings(*traits)
    assert len(found) == len(told)
    assert all(re.search(pattern, said) for pattern, said in zip(told, found, strict=True))


def test_every_migration_ships_with_the_package() -> None:
    assert Path(tables.__file__).parent / "migrations" == MIGRATIONS
    assert sorted(path.name for path in (MIGRATIONS / "versions").glob("0*.py"))


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgresql://me:secret@db:5433/boxoffice", "postgresql://me:secret@db:5433/boxoffice"),
        ("postgresql+asyncpg://db/boxoffice", "postgresql://db/boxoffice"),
        ("postgres://db/boxoffice?sslmode=require", "postgresql://db/boxoffice?sslmode=require"),
        ("postgresql://postgres@/boxoffice?host=/run/pg", "postgresql://postgres@/boxoffice?host=/run/pg"),
    ],
)
def test_urls_are_understood_however_they_are_written(url: str, dsn: str) -> None:
    assert asyncpg_dsn(url) == dsn


@pytest.mark.parametrize("url", ["mysql://me:secret@db/boxoffice", "boxoffice", ""])
def test_other_urls_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(ValueError, match="PostgreSQL") as refused:
        asyncpg_dsn(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["postgresql://postgres@127.0.0.1:1/boxoffice", "postgresql://postgres@/boxoffice?host=/nowhere/at/all"],
)
async def test_a_server_that_is_not_there_is_unavailable(url: str) -> None:
    engine = create_engine(url)
    with pytest.raises(DatabaseUnavailable) as away:
        async with engine.connect():
            pass
    assert is_away(away.value)
    await engine.dispose()


async def test_a_database_that_is_not_there_is_unavailable(postgres_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        await current_revision(other_database(postgres_url, "nonexistent"))


async def test_a_pool_never_hands_out_a_connection_that_the_server_closed(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    async with engine.connect() as connection:
        first = (await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
        driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    await execute(database_url, f"SELECT pg_terminate_backend({first}, 5000)")
    await until(driver.is_closed)
    async with engine.connect() as connection:
        second = (await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
    assert second != first
    await engine.dispose()


async def test_a_pool_that_is_empty_is_unavailable_rather_than_waited_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.database.connection.POOL_WAIT_SECONDS", 0.05)
    engine = create_engine(database_url, pool_size=1)
    async with engine.connect():
        with pytest.raises(sa.exc.TimeoutError) as refused:
            async with engine.connect():
                pass
    assert is_away(refused.value)
    await engine.dispose()


async def test_what_was_begun_on_a_pooled_connection_ends_when_it_goes_back(database_url: str) -> None:
    async with open_pool(database_url, 1) as pool:
        async with pool.acquire() as connection:
            await connection.execute("BEGIN; CREATE TABLE begun ()")
        assert await pool.fetchval("SELECT to_regclass('begun')") is None


async def test_a_connection_of_a_pool_is_waited_for_no_longer_than_said_and_the_database_is_away_then(
    database_url: str,
) -> None:
    async with open_pool(database_url, 1, wait_seconds=0.01) as pool, pool.acquire(timeout=PATIENCE_SECONDS):
        asked = asyncio.create_task(pool.fetchval("SELECT 1"))
        await asyncio.wait([asked], timeout=PATIENCE_SECONDS)
        assert asked.done()
        error = asked.exception()
        assert error is not None
        assert is_away(error)
    async with open_pool(database_url, 1, wait_seconds=PATIENCE_SECONDS) as pool:
        assert await pool.fetchval("SELECT 1") == 1
