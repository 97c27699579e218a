"""Pools of asyncpg connections, for the journal and all that follows it; routes reach their tables by `database.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

from persistence.database import held
from persistence.database.dsn import asyncpg_dsn

if TYPE_CHECKING:
    _Pool: TypeAlias = asyncpg.Pool[Any]
    _Context: TypeAlias = PoolAcquireContext[Any]
else:  # generic for the type checker only
    _Pool, _Context = asyncpg.Pool, PoolAcquireContext

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any] | asyncpg.Pool[Any]"

# SQLSTATE classes: connection exception, transaction rollback (deadlock), insufficient resources, operator intervention
# (shutdown, cancelled), system error. All may be gone a moment later.
AWAY_CLASSES = ("08", "40", "53", "57", "58")
# Whoever holds a lock lets go in a moment, as a rule; and a server that takes no writes has become another's standby.
AWAY_STATES = ("55P03", "25006")
# What a statement fails by, be the fault the database's, the way's there, or its own.
FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# The driver's, of a connection whose server died while it waited for the end of an answer.
INTERRUPTED = "cannot switch to state"


def is_away(error: BaseException) -> bool:
    """Whether an error means that the database is in trouble, not that the statement is wrong: the one definition.

    Whatever else a statement fails by (a constraint, a missing column) fails again, however often it is tried.
    """
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)  # that one says a value cannot be sent
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate)[:2] in AWAY_CLASSES or error.sqlstate in AWAY_STATES
    if isinstance(error, asyncpg.InternalClientError):
        return str(error).startswith(INTERRUPTED)
    return isinstance(error, (TimeoutError, OSError))


# A connection is there in milliseconds. On a way that is broken the system tries one ever more rarely, after a minute
# every half: whoever began another one would have it as soon as the way is whole.
CONNECT_SECONDS = 5.0
# No statement takes longer, except when the server has fallen silent without hanging up: a machine that is gone says so
# to nobody, and whoever waited for it without end would wait for hours.
COMMAND_SECONDS = 60.0


class Pool(_Pool):
    """A pool that knows which task holds one of its connections, see `held.py`."""

    def acquire(self, *, timeout: float | None = None) -> PoolAcquireContext[Any]:
        return _Held(self, timeout)


class _Held(_Context):
    """A connection in the hand of the task that enters the context."""

    async def __aenter__(self) -> PoolConnectionProxy[Any]:
        self._task = held.taken()
        try:
            return await super().__aenter__()
        except BaseException:  # raised again: also of a wait that is called off no connection is held
            held.given_back(self._task)
            raise

    async def __aexit__(self, *failure: Any) -> None:
        try:
            await super().__aexit__(*failure)
        finally:
            held.given_back(self._task)


def open_pool(
    url: str,
    max_size: int,
    *,
    command_timeout: float = COMMAND_SECONDS,
    session: Mapping[str, str] | None = None,
) -> asyncpg.Pool[Any]:
    """A pool of at most `max_size` connections, none of them opened yet: enter it as a context, or close it.

    `session`: PostgreSQL's settings for all of them.

    Nobody may leave session state behind on its connections (settings, locks, listeners). So there is nothing to reset
    when one goes back but an open transaction, and each statement is one round trip instead of two.
    """
    return Pool(
        asyncpg_dsn(url),
        min_size=0,
        max_size=max_size,
        timeout=CONNECT_SECONDS,
        command_timeout=command_timeout,
        server_settings=dict(session or {}),
        reset=_leave_as_it_is,
        # As `asyncpg.create_pool` has them:
        max_queries=50_000,
        max_inactive_connection_lifetime=300.0,
        loop=None,
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
    )


async def _leave_as_it_is(connection: object) -> None:
    """Instead of the four statements by which a pool resets a connection."""
