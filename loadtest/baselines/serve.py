"""One process of a baseline: `python -m loadtest.baselines.serve NAME`, on the listening socket it inherits.

The server's settings are those of our own workers (`api/server/worker.py`), so that what differs is the application.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from actors.supervision.programs import LISTEN_FD_VARIABLE, READY_FILE_VARIABLE
from api.http.corked import Protocol
from loadtest.baselines.app import create_app
from loadtest.baselines.coalescer import UNDER_WAY, Coalescer
from loadtest.baselines.conditional_update import ConditionalUpdate
from loadtest.baselines.noop import create_noop_app
from loadtest.baselines.postgres import opening as over_postgres
from loadtest.baselines.redis_lua import opening as over_redis
from loadtest.baselines.row_locks import RowLocks
from loadtest.baselines.short_way import ShortWay

SECRET_VARIABLE = "BASELINE_SECRET"  # noqa: S105  # the name of the variable
STORE_VARIABLE = "BASELINE_STORE"  # the URL of its database

SERVER: dict[str, Any] = {
    "loop": "uvloop",
    "http": Protocol,
    "ws": "none",
    "lifespan": "on",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "timeout_keep_alive": 75,
    "timeout_graceful_shutdown": 6,
}


def application(name: str, secret: str, store_url: str) -> ASGIApp:
    """The baseline of that name."""
    if name == "coalescer_short_way":
        return ShortWay(framed("coalescer", secret, store_url))
    return framed(name, secret, store_url)


def framed(name: str, secret: str, store_url: str) -> FastAPI:
    """The baseline of that name, all of it within the framework."""
    if name == "noop":
        return create_noop_app(secret)
    openings = {
        "row_locks": over_postgres(RowLocks, store_url),
        "conditional_update": over_postgres(ConditionalUpdate, store_url),
        # As many transactions as are under way at a time, and one for reading a plan.
        "coalescer": over_postgres(Coalescer, store_url, UNDER_WAY + 1),
        "redis_lua": over_redis(store_url),
    }
    return create_app(secret, openings[name])


class Server(uvicorn.Server):
    """Says when it accepts connections, and keeps the collector away from what its start has made, as ours does."""

    def __init__(self, config: uvicorn.Config, ready_file: Path) -> None:
        super().__init__(config)
        self._ready_file = ready_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to accept connections, and says so."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        if self.started:
            self._ready_file.touch()


def main() -> None:
    """The process entry of one worker; ends with 3 where it did not start."""
    app = application(sys.argv[1], os.environ[SECRET_VARIABLE], os.environ[STORE_VARIABLE])
    listener = socket.socket(fileno=int(os.environ[LISTEN_FD_VARIABLE]))
    server = Server(uvicorn.Config(app, **SERVER), Path(os.environ[READY_FILE_VARIABLE]))
    server.run(sockets=[listener])
    if not server.started:
        raise SystemExit(3)  # its log says why


if __name__ == "__main__":
    main()
