"""The only file that knows Ray: how a schedule's owner becomes a process, and how it is found, asked and replaced.

One detached, named actor per schedule. Ray does not restart it: whoever misses it creates it anew under the same
name, which is quicker and the same path for every way of going (see docs/adr/0001). Two may be alive for a while,
when a silent one was replaced and wakes: the journal's fence lets only the newest write.

Ray says where an owner is; requests then go to it directly, over a socket, and only from another machine as calls of
the actor (see docs/adr/0009).
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import ray
from ray.exceptions import GetTimeoutError, RayError

from actors.gateway.gateway import Gateway, OwnerLost
from actors.owner.schedule import Schedule
from actors.owner.seat_board import Readers
from actors.process import garbage
from actors.process.clock import SystemClock
from actors.process.settings import Settings
from actors.wire import channel
from actors.wire.channel import Channel
from actors.wire.messages import decode_requests, encode_inspection, encode_replies
from persistence.database.pools import open_pool
from persistence.embedded.instance import run_directory
from persistence.events.log import KafkaEventLog
from persistence.journal.journal import PostgresJournal, UnknownSchedule
from persistence.seats.cache import SeatDelta, SeatView

logger = logging.getLogger(__name__)

NAMESPACE = "boxoffice"
START_SECONDS = 30.0  # a new process on a busy machine; measured 1.2–2 s on an idle one


def connect(settings: Settings) -> None:
    """Joins the Ray cluster at `settings.ray_address`. Raises `ConnectionError` when there is none."""
    assert settings.ray_address is not None, "the supervisor or the environment names the Ray head"
    host = settings.ray_address.rpartition(":")[0]
    own_address = {"_node_ip_address": host} if host.startswith("127.") else {}
    ray.init(
        address=settings.ray_address,
        namespace=NAMESPACE,
        log_to_driver=False,
        logging_level="ERROR",
        ignore_reinit_error=True,
        **own_address,
    )
    # Imports what the first call would otherwise: a third of a second, better now than in a customer's booking.
    ray.put(None)


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


class RayOwner:
    """A handle on one owner's process. Every failure to get an answer is `OwnerLost`.

    `socket` is where it is called on its own machine.
    """

    def __init__(self, handle: Any, socket: Path | None = None) -> None:
        self.handle = handle
        self._channel = None if socket is None else Channel(socket)

    async def submit(self, data: bytes) -> bytes:
        if self._channel is not None:
            try:
                return await self._channel.call(data)
            except FileNotFoundError:  # it is on another machine, or gone
                self._channel = None
            except OSError as error:
                raise OwnerLost(str(error)) from error
        answer: bytes = await _answer(self.handle.submit.remote(data))
        return answer

    async def inspect(self) -> bytes:
        answer: bytes = await _answer(self.handle.inspect.remote())
        return answer

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()


async def _answer(reference: Any) -> Any:
    try:
        return await reference
    except GetTimeoutError:
        raise
    except RayError as error:
        raise OwnerLost(type(error).__name__) from error


class RayOwners:
    """Finds, creates and replaces owners."""

    def __init__(self, settings: Settings) -> None:
        # An owner's process has another working directory.
        self._settings = msgspec.json.encode(msgspec.structs.replace(settings, data_dir=str(settings.data_path)))
        self._actor_class = ray.remote(OwnerProcess)  # once: each one made is pickled and sent to the cluster

    async def find(self, schedule_id: str) -> RayOwner:
        """The schedule's owner, created if there is none, alive a moment ago. Raises `OwnerLost`."""
        handle = await asyncio.to_thread(self._get_or_create, schedule_id)
        try:
            socket = await asyncio.wait_for(_answer(handle.start.remote()), START_SECONDS)
        except TimeoutError as error:
            await self.replace(schedule_id, RayOwner(handle))
            raise OwnerLost("did not start") from error
        return RayOwner(handle, Path(socket))

    async def current(self, schedule_id: str) -> RayOwner | None:
        """The schedule's owner if its process is there."""
        try:
            return RayOwner(await asyncio.to_thread(ray.get_actor, _name(schedule_id), namespace=NAMESPACE))
        except (RayError, ValueError):
            return None

    async def replace(self, schedule_id: str, owner: RayOwner) -> None:
        """Kills an owner, unless somebody else has replaced it already."""
        await asyncio.to_thread(self._kill_if_current, schedule_id, owner.handle)

    def _get_or_create(self, schedule_id: str) -> Any:
        try:
            return self._actor_class.options(
                name=_name(schedule_id),
                get_if_exists=True,
                lifetime="detached",
                num_cpus=0,  # owners share the cores; the number of schedules is bounded by memory
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=1000,
                enable_task_events=False,
            ).remote(schedule_id, self._settings)
        except (RayError, ValueError) as error:  # ValueError: the name went away between look-up and use
            raise OwnerLost(str(error)) from error

    def _kill_if_current(self, schedule_id: str, handle: Any) -> None:
        try:
            if ray.get_actor(_name(schedule_id), namespace=NAMESPACE) == handle:
                ray.kill(handle, no_restart=True)
        except (RayError, ValueError):
            return  # gone already


def _name(schedule_id: str) -> str:
    return f"schedule-{schedule_id}"


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway[RayOwner]]:
    """The way to every schedule, for an API worker or a background process."""
    assert settings.database_url is not None
    await asyncio.to_thread(connect, settings)
    async with open_pool(settings.database_url, 2) as pool:

        async def exists(schedule_id: str) -> bool:
            query = "SELECT true FROM schedule_heads WHERE schedule_id = $1"
            return bool(await pool.fetchval(query, schedule_id))

        gateway = Gateway(
            RayOwners(settings),
            exists,
            call_timeout_seconds=settings.call_timeout_seconds,
            deadline_seconds=settings.deadline_seconds,
        )
        try:
            yield gateway
        finally:
            await gateway.close()
            await asyncio.to_thread(ray.shutdown)
