"""Embedded Ray: one head node on loopback, that asks everybody for a token.

127.0.0.1 and the variable that says "no cluster" belong together: only with both does Ray keep every port of its own on
loopback. Its drivers (API workers, background processes) need the same variables: `client_environment`.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from pathlib import Path

from persistence.embedded.instance import kept_secret, run_directory
from persistence.embedded.process import Program, free_port

MODULE = "actors.supervision.ray_process"
HOST = "127.0.0.1"
STARTED = "Ray runtime started"
OBJECT_STORE_BYTES = 80_000_000  # about the least Ray takes; commands travel inside calls, not through the store


def ray_head(data_dir: Path) -> Program:
    """A head node on a free port (the same at each restart); its log directory is linked from `logs/ray`."""
    directory = run_directory(data_dir) / "ray"
    link = data_dir / "logs" / "ray"
    logfile = data_dir / "logs" / "ray.log"
    port = free_port(HOST)

    async def prepare() -> None:
        clear(directory, logfile, link)

    async def ready() -> None:
        if STARTED not in logfile.read_text(errors="replace"):
            raise ConnectionError("it is still starting")
        _, writer = await asyncio.open_connection(HOST, port)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    return Program(
        name="ray",
        argv=(sys.executable, "-m", MODULE, str(port), str(directory)),
        module=MODULE,
        address=f"{HOST}:{port}",
        ready=ready,
        prepare=prepare,
        environment={
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # an owner serves customers: with 15, Ray's own, the API workers starve it
        },
        log=logfile,
    )


def client_environment(data_dir: Path) -> dict[str, str]:
    """What the head and everybody who connects to it must have in the environment."""
    token = data_dir / "ray-token"
    kept_secret(token)
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # named after where it is the default: stay on loopback
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
    }


def clear(directory: Path, logfile: Path, link: Path) -> None:
    """Removes what an earlier head left: its sockets, its log with the line that says "started"."""
    shutil.rmtree(directory, ignore_errors=True)
    logfile.parent.mkdir(parents=True, exist_ok=True)
    logfile.unlink(missing_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(directory / "session_latest" / "logs")
