"""The background process: wakes schedules that have something to do, and settles payments in doubt.

It holds no state. Running none of it delays holds that expire and events that crashed owners left behind; running
several does no harm.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import asyncpg
import uvloop

from actors import telemetry
from actors.clock import SystemClock
from actors.cluster import open_gateway
from actors.settings import Settings
from actors.settlement import Settlement
from actors.sweeper import Sweeper
from persistence.database import create_engine
from persistence.dsn import asyncpg_dsn
from persistence.providers.sandbox import SandboxProvider


async def run(settings: Settings) -> None:
    """Works until SIGINT or SIGTERM. A task that fails takes the process with it; the supervisor starts another."""
    assert settings.database_url is not None
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    clock = SystemClock()
    async with (
        AsyncExitStack() as closing,
        asyncpg.create_pool(asyncpg_dsn(settings.database_url), min_size=0, max_size=2) as pool,
        open_gateway(settings) as gateway,
        asyncio.TaskGroup() as work,
    ):
        database = create_engine(settings.database_url, pool_size=2)
        closing.push_async_callback(database.dispose)
        publishing = settings.publish and settings.kafka_bootstrap_servers is not None
        work.create_task(Sweeper(pool, gateway, clock, publishing=publishing).run(stop))
        if settings.sandbox_url is not None:
            sandbox = SandboxProvider(settings.sandbox_url, settings.secret, clock.now_ms)
            closing.push_async_callback(sandbox.close)
            work.create_task(Settlement(database, gateway, sandbox, clock).run(stop))
        telemetry.logger.info("watching deadlines, unpublished events and payments in doubt")


if __name__ == "__main__":
    own_settings = Settings.from_environment()
    telemetry.configure(own_settings, "background")
    uvloop.run(run(own_settings))
