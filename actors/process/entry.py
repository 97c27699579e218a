"""The entry of our processes that answer nobody: settings, logging, and work until somebody asks it to end.

SIGINT and SIGTERM set `stop`, and the work comes to its end by itself. Whatever it raises ends the process with a
traceback and exit code 1; whoever keeps it starts another.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import uvloop

from actors.process import pulse, telemetry
from actors.process.settings import Settings

Work = Callable[[Settings, asyncio.Event], Awaitable[None]]


def serve(program: str, work: Work) -> None:
    """Does the `work` as the process that is called `program` in each line of its log; returns when it has ended."""
    settings = Settings.from_environment()
    telemetry.configure(settings, program)
    uvloop.run(_until_told(settings, work))


async def _until_told(settings: Settings, work: Work) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pulse.begin()
    await work(settings, stop)
