"""Pools of asyncpg connections, for the journal and all that follows it; routes have those of `connection.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

from persistence.database import away, held
from persistence.database.dsn import asyncpg_dsn

if TYPE_CHECKING:
    _Pool: TypeAlias = asyncpg.Pool[Any]
    _Context: TypeAlias = PoolAcquireContext[Any]
else:  # generic for the type checker only
    _Pool, _Context = asyncpg.Pool, PoolAcquireContext

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any] | asyncpg.Pool[Any]"

# A connection is there in milliseconds. On a way that is broken the system tries one ever more rarely, after a minute
# every half: whoever began another one would have it as soon as the way is whole.
CONNECT_SECONDS = 5.0
# No statement takes longer, except when the server has fallen silent without hanging up: a machine that is gone says so
# to nobody, and whoever waited for it without end would wait for hours.
COMMAND_SECONDS = 60.0


class Pool(_Pool):
    """A pool that knows which task holds one of its connections, see `held.py`, and for how long one is waited for."""

    def __init__(self, *arguments: Any, wait_seconds: float | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._wait_seconds = wait_seconds

    def acquire(self, *, timeout: float | None = None) -> PoolAcquireContext[Any]:
        return _Held(self, self._wait_seconds if timeout is None else timeout)


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
    wait_seconds: float | None = None,
    session: Mapping[str, str] | None = None,
) -> asyncpg.Pool[Any]:
    """A pool of at most `max_size` connections, none of them opened yet: enter it as a context, or close it.

    `wait_seconds`: for one of them, before that fails as if the database were away; None: for as long as it takes.
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
        wait_seconds=wait_seconds,
        server_settings=dict(session or {}),
        connect=away.connect,
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
