"""Services that somebody else runs: checked for reachability, with a message that says which variable to look at.

Clients are imported where they are used: they take half a second, and most who import this need `reach_tcp` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from urllib.parse import parse_qsl, urlsplit

from persistence.database.dsn import asyncpg_dsn

SECONDS = 5.0


class UnreachableError(RuntimeError):
    """An outside service does not answer; the message names the variable and what happened, never a password."""


async def reach_postgres(url: str) -> None:
    """Raises `UnreachableError` unless PostgreSQL at `url` lets us in."""
    import asyncpg

    from persistence.database.away import FAILURES

    try:
        connection = await asyncpg.connect(asyncpg_dsn(url), timeout=SECONDS)
    except (*FAILURES, ValueError) as error:
        raise unreachable("DATABASE_URL", "PostgreSQL", shown(url), error) from error
    await connection.close()


async def reach_redis(url: str) -> None:
    """Raises `UnreachableError` unless Redis at `url` answers PING."""
    from redis.asyncio import Redis

    try:
        async with Redis.from_url(url, socket_connect_timeout=SECONDS, socket_timeout=SECONDS) as client:
            await client.ping()
    except Exception as error:  # the client raises its own errors, OSError and ValueError alike
        raise unreachable("REDIS_URL", "Redis", shown(url), error) from error


async def reach_kafka(servers: str) -> None:
    """Raises `UnreachableError` unless one of the brokers accepts a connection."""
    failures: list[OSError | ValueError | TimeoutError] = []
    for server in servers.split(","):
        try:
            await reach_tcp(server.strip())
        except (OSError, ValueError, TimeoutError) as error:
            failures.append(error)
        else:
            return
    raise unreachable("KAFKA_BOOTSTRAP_SERVERS", "Kafka", servers, failures[-1]) from failures[-1]


async def reach_ray(address: str) -> None:
    """Raises `UnreachableError` unless the Ray head accepts a connection."""
    try:
        await reach_tcp(address)
    except (OSError, ValueError, TimeoutError) as error:
        raise unreachable("RAY_ADDRESS", "Ray", address, error) from error


async def reach_tcp(address: str) -> None:
    """Connects to `host:port` and lets go. Raises `OSError`, `TimeoutError`, `ValueError` for what is no address."""
    host, _, port = address.rpartition(":")
    if not host:
        raise ValueError("expected host:port")
    _, writer = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), SECONDS)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def own_address(database_url: str) -> str:
    """This machine's address on the way to the database, by which others of its network reach it, too."""
    parts = urlsplit(database_url)
    host = parts.hostname or dict(parse_qsl(parts.query)).get("host", "")
    if not host or host.startswith("/"):
        return "127.0.0.1"  # it is on this machine
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, parts.port or 5432, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(place)  # sends nothing
            address: str = probe.getsockname()[0]
    except (OSError, ValueError) as error:  # ValueError: more than one host, or what is no port
        raise unreachable("DATABASE_URL", "PostgreSQL", shown(database_url), error) from error
    return address


def unreachable(variable: str, service: str, address: str, error: Exception) -> UnreachableError:
    """The error that says which service cannot be reached, by which variable, and what to do."""
    reason = str(error) or type(error).__name__
    if isinstance(error, ValueError) and "***" in address:  # what it says may quote the password
        reason = "such a URL is written otherwise; / ? # [ ] @ : in a password are %2F %3F %23 %5B %5D %40 %3A"
    return UnreachableError(
        f"{service} at {address} (from {variable}) cannot be reached: {reason}. "
        f"Start it, correct {variable}, or unset {variable} to use the embedded one."
    )


def shown(url: str) -> str:
    """The URL without its password, also where it is not written as a URL has to be."""
    scheme, separator, rest = url.partition("://")
    who, at, place = rest.rpartition("@")
    user, colon, _ = who.partition(":")
    if colon:
        url = f"{scheme}{separator}{user}:***{at}{place}"
    return re.sub(r"(?<=password=)[^&#]+", "***", url)
