"""Clients of Redis: they give up soon, and one that was closed leaves no connection open.

The library's own pool goes on after it was closed: a call that was just connecting keeps its connection, and one that
comes later opens another, which nobody closes any more.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError


def redis_client(url: str, *, timeout_seconds: float, retries: int) -> Redis:
    """A client that waits so long for a connection, and for each answer, and tries again so often without a pause.

    Its errors are `redis.exceptions.RedisError` and `OSError`, also once it was closed (`aclose`).
    """
    pool = _Pool.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), retries),
    )
    return Redis.from_pool(pool)


class _Pool(ConnectionPool):
    """One that knows when it is over. What is in use then is left to its user: it is closed when it is given back."""

    _closed = False

    async def get_connection(self, *arguments: Any, **options: Any) -> AbstractConnection:
        if self._closed:
            raise RedisConnectionError("the client of Redis was closed")
        found: AbstractConnection = await super().get_connection(*arguments, **options)  # type: ignore[no-untyped-call]  # it has no types here
        return found

    async def release(self, connection: AbstractConnection) -> None:
        await super().release(connection)
        if self._closed:
            await connection.disconnect()

    async def aclose(self) -> None:
        self._closed = True
        await super().aclose()

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections and not self._closed)
