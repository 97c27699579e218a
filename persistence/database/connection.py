"""How everything but an owner's journal reaches PostgreSQL, and how a database is brought to today's shape.

Guarantees: one spelling of a database URL (`postgresql://…`, also over a unix socket) works everywhere; a pooled
connection that the server has closed is replaced before it is used; any number of processes may `migrate` at once, and
it is done once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy import Connection, event, exc, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, PoolProxiedConnection

from persistence.database import away
from persistence.database.away import DatabaseUnavailable, is_away
from persistence.database.dsn import asyncpg_dsn
from persistence.database.pools import CONNECT_SECONDS
from persistence.database.suitable import TRAITS, UnsuitableDatabase, shortcomings

if TYPE_CHECKING:
    # Imported where it is used: it takes a second, which every process would wait for and few need.
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_WAIT_MS, LOCK_PAUSE_SECONDS, LOCK_TRIES = 2_000, 1.0, 100
MIGRATION_LOCK = 0x626F786F66666963  # "boxoffic" in ASCII: the advisory lock that migrations take

COMMAND_TIMEOUT_SECONDS = 10  # no statement of a route takes longer, except when the database is in trouble
POOL_WAIT_SECONDS = 5  # then the request is answered 503


class LaterRelease(UnsuitableDatabase):
    """The database has the shape of a release after this one, which may have written what this one cannot read."""


def create_engine(url: str, *, pool_size: int = 10, lock_timeout_seconds: float = 0) -> AsyncEngine:
    """A pool of at most `pool_size` connections. Nothing is connected yet: call `dispose()` when done.

    A statement that waits longer for a lock than `lock_timeout_seconds` fails as if the database were in trouble; 0: it
    waits as long as a statement may take.
    """
    settings = {"lock_timeout": str(round(lock_timeout_seconds * 1000))} if lock_timeout_seconds else {}
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: _connect(url, command_timeout_seconds=COMMAND_TIMEOUT_SECONDS, settings=settings),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def for_reading(database: AsyncEngine) -> AsyncEngine:
    """The same connections for queries that each stand by themselves: around them no transaction is begun and ended,
    which would be two more round trips. What locks, or writes, or must see one moment has a transaction of its own.
    """
    return database.execution_options(isolation_level="AUTOCOMMIT")


async def migrate(url: str) -> None:
    """Brings the database to the newest revision; does nothing if it is there.

    A step that would have everybody wait behind it for a lock that somebody keeps gives way and is tried again: those
    who sell meanwhile do not notice. Raises `UnsuitableDatabase` where it will not do or does not let us, and
    `LaterRelease`, which is one, where it is ahead of this code.
    """
    async with _unpooled(url) as connection:
        if found := shortcomings(*(await connection.execute(text(TRAITS))).one()):
            raise UnsuitableDatabase("; ".join(found))
        # A session lock, so that a migration may commit in between. It goes with the connection, whatever happens.
        await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        await connection.execute(text(f"SET lock_timeout = {LOCK_WAIT_MS}"))
        await connection.commit()
        for tries in range(LOCK_TRIES, 0, -1):
            try:
                await connection.run_sync(_upgrade)
            except exc.DBAPIError as error:
                if isinstance(error.driver_exception, asyncpg.InsufficientPrivilegeError):
                    may_not = f"the user of DATABASE_URL may not change the database: {error.driver_exception}"
                    raise UnsuitableDatabase(f"{may_not}; make it the owner of the database") from error
                if not _waited_for_a_lock(error) or tries == 1:
                    if is_away(error):
                        raise DatabaseUnavailable(f"PostgreSQL is in trouble: {error.driver_exception}") from error
                    raise
                await connection.rollback()
                await asyncio.sleep(LOCK_PAUSE_SECONDS)
            else:
                break
        await connection.commit()


async def current_revision(url: str) -> str | None:
    """The database's revision; None if it was never migrated."""
    from alembic.runtime.migration import MigrationContext

    async with _unpooled(url) as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


def head_revision() -> str:
    """The revision that this code needs."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "the migrations directory ships with this package"
    return head


def _waited_for_a_lock(error: exc.DBAPIError) -> bool:
    return isinstance(error.driver_exception, asyncpg.LockNotAvailableError)


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = _config()
    current = MigrationContext.configure(connection).get_current_revision()
    connection.commit()  # a migration has transactions of its own
    known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise LaterRelease(
            f"the database has been brought to revision {current} by a later release; this one knows those up to"
            f" {max(known)}: start that release, or restore the backup from before it"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@asynccontextmanager
async def _unpooled(url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: _connect(url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def _connect(
    url: str, *, command_timeout_seconds: float | None = None, settings: Mapping[str, str] | None = None
) -> asyncpg.Connection[asyncpg.Record]:
    dsn = asyncpg_dsn(url)
    try:
        return await away.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=command_timeout_seconds,
            # Compiling short queries costs more than it saves, and slows asyncpg's own look-ups at connect.
            server_settings={"application_name": "boxoffice", "jit": "off", "timezone": "UTC", **(settings or {})},
        )
    except OSError as error:
        raise DatabaseUnavailable(f"PostgreSQL cannot be reached: {str(error) or type(error).__name__}") from error


def _refuse_closed(connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
    """asyncpg notices at once when the server hangs up, so asking it is free; a ping would cost a round trip."""
    driver = entry.driver_connection
    if driver is not None and driver.is_closed():
        raise exc.DisconnectionError("the server closed this connection")


def is_unstorable(error: BaseException) -> bool:
    """Whether the database cannot hold a value: a NUL character, an integer that is too large, a lone surrogate."""
    if isinstance(error, exc.DBAPIError):
        error = error.driver_exception
    if isinstance(error, asyncpg.InterfaceError):
        return isinstance(error, ValueError)
    return isinstance(error, (asyncpg.DataError, UnicodeEncodeError))


def violated(error: exc.IntegrityError) -> str | None:
    """The name of the constraint that refused a statement."""
    driver = error.driver_exception
    return driver.constraint_name if isinstance(driver, asyncpg.PostgresError) else None
