"""Pools of asyncpg connections, for the journal and all that follows it; routes reach their tables by `database.py`."""

from __future__ import annotations

from typing import Any, TypeAlias

import asyncpg

from persistence.database.dsn import asyncpg_dsn

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any] | asyncpg.Pool[Any]"


def open_pool(url: str, max_size: int, *, command_timeout: float | None = None) -> asyncpg.Pool[Any]:
    """A pool of at most `max_size` connections, none of them opened yet: enter it as a context, or close it.

    Nobody may leave session state behind on its connections (settings, locks, listeners). So there is nothing to reset
    when one goes back but an open transaction, and each statement is one round trip instead of two.
    """
    return asyncpg.create_pool(
        asyncpg_dsn(url), min_size=0, max_size=max_size, command_timeout=command_timeout, reset=_leave_as_it_is
    )


async def _leave_as_it_is(connection: object) -> None:
    """Instead of the four statements by which a pool resets a connection."""
