"""The process of a schedule's owner: builds the plain `Schedule`, translates bytes, and ends when it has left.

It knows no Ray, which makes an actor of it (`actors/gateway/ray_owners.py`). Nothing here survives a crash, and nothing
needs to.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from actors.owner.schedule import Schedule
from actors.owner.seat_board import Readers
from actors.process import garbage
from actors.process.clock import SystemClock
from actors.process.settings import Settings
from actors.wire import channel
from actors.wire.messages import decode_requests, encode_inspection, encode_replies
from persistence.database.pools import open_pool
from persistence.embedded.instance import run_directory
from persistence.events.log import KafkaEventLog
from persistence.journal.journal import PostgresJournal, UnknownSchedule
from persistence.seats.cache import SeatDelta, SeatView

logger = logging.getLogger(__name__)


class RedisLater:
    """The seat cache, for an owner: connected at its first use.

    The client takes a third of a second to import, for which a sale without its owner should not have to wait.
    """

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._cache: Readers | None = None

    async def publish(self, view: SeatView, delta: SeatDelta) -> None:
        if self._cache is None:
            self._cache = await asyncio.to_thread(self._open)
        await self._cache.publish(view, delta)

    def _open(self) -> Readers:
        from persistence.seats.redis_cache import RedisSeatCache

        return RedisSeatCache(self._url)


class OwnerProcess:
    """The body of the Ray actor: builds the plain `Schedule`, translates bytes, and ends the process when it has left.

    Nothing here survives a crash, and nothing needs to.
    """

    def __init__(self, schedule_id: str, settings: bytes) -> None:
        self._id = schedule_id
        self._settings = msgspec.json.decode(settings, type=Settings)
        self._running: asyncio.Task[None] | None = None
        self._schedule: Schedule | None = None
        self._socket: Path | None = None
        self._starting = asyncio.Lock()  # several processes look for an owner at once when a sale begins

    async def start(self) -> str:
        """Begins to activate; answers at once, as a sign of life, with the path of the socket it is called on."""
        async with self._starting:
            if self._socket is None:
                self._socket = await self._begin()
            return str(self._socket)

    async def _begin(self) -> Path:
        settings = self._settings
        assert settings.database_url is not None
        assert settings.redis_url is not None
        directory = run_directory(settings.data_path) / "owners"
        directory.mkdir(mode=0o700, exist_ok=True)  # for nobody else, even where others may pass through its parent
        # A name that occurs nowhere else: on another machine it finds nobody rather than somebody else.
        socket = directory / secrets.token_hex(8)
        self._server = await channel.serve(socket, self.submit)  # nobody knows of it yet
        # One connection for the group commit, one for what goes on beside it (snapshots, watermark, catching up).
        pool = open_pool(settings.database_url, 3, command_timeout=30)
        log = KafkaEventLog(settings.kafka) if settings.publish and settings.kafka else None
        self._schedule = Schedule(
            self._id,
            journal=PostgresJournal(pool),
            cache=RedisLater(settings.redis_url),
            log=log,
            clock=SystemClock(),
            idle_seconds=settings.actor_idle_seconds,
        )
        self._running = asyncio.create_task(self._run(pool))
        return socket

    async def _run(self, pool: asyncpg.Pool[Any]) -> None:
        """The owner's life; the process ends with it, whichever way."""
        assert self._schedule is not None
        try:
            await pool
            await self._schedule.activate()
            await asyncio.to_thread(self._configure_logging)
            garbage.spare_what_is_here()
            await self._schedule.left.wait()
        except UnknownSchedule:
            logger.warning("there is no schedule %s", self._id)
        except Exception:  # whatever it is: the process ends with it, and the log must say why
            logger.exception("the owner of schedule %s fails", self._id)
        finally:
            if self._socket is not None:
                self._socket.unlink(missing_ok=True)
            logging.shutdown()
            os._exit(0)  # what counts is in the journal, and callers look for the next owner

    def _configure_logging(self) -> None:
        # A third of a second to import, which nobody should have to wait for while a sale is without its owner.
        from actors.process import telemetry

        telemetry.configure(self._settings, "schedule", schedule_id=self._id)

    async def submit(self, data: bytes) -> bytes:
        assert self._schedule is not None, "start comes first"
        return encode_replies(await self._schedule.submit(decode_requests(data)))

    async def inspect(self) -> bytes:
        assert self._schedule is not None, "start comes first"
        return encode_inspection(await self._schedule.inspect())
