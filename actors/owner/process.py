"""A process of owners: builds the plain `Host`, and what its schedules share: one connection to the cache, one
producer, one committer, a small pool.

It knows no Ray, which makes an actor of it (`actors/gateway/ray_owners.py`). Nothing here survives a crash, and nothing
needs to. On a machine of a cluster it answers the calls of the others, too, and follows its machine's row: while that
says `draining`, its schedules leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from actors.owner.host import Host
from actors.owner.own_process import OwnProcess
from actors.owner.pulse import Pulse
from actors.owner.readers import SharedReaders, TakesNews
from actors.owner.schedule import Schedule
from actors.process import garbage
from actors.process.clock import SystemClock
from actors.process.settings import Settings
from actors.process.unending import kept_up
from actors.wire import channel
from actors.wire.remote import answered
from actors.wire.secured import Listener, Trust, decode_trust
from persistence.database.away import Outage
from persistence.database.pools import open_pool
from persistence.embedded.instance import run_directory
from persistence.events.log import KafkaEventLog
from persistence.journal import nodes, own_process, placement
from persistence.journal.committer import Committer
from persistence.journal.journal import JournalUnavailable, PostgresJournal
from persistence.journal.plans import SharedPlans
from persistence.seats.cache import News

if TYPE_CHECKING:
    from persistence.operations.board import VitalsBoard  # imported when it is used, like the cache's client

# Connections: one for the group commit, the others for what goes on beside it (opening, snapshots, watermarks).
COMMITTING, BESIDE = 1, 2
COMMAND_SECONDS = 30.0
LOCK_SECONDS = 0.2  # how long a statement waits for somebody else's lock before it makes way and is tried again
FIRST_SECONDS = 2.0  # in which a process that was started for a schedule has opened it
PULSE_SECONDS = 1.0
UNUSED_SECONDS = 900.0  # a process that nobody has asked for anything for so long ends

logger = logging.getLogger(__name__)


class RedisLater:
    """The seat cache, for owners: connected at its first use.

    The client takes a third of a second to import, for which a sale without its owner should not have to wait.
    """

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._cache: TakesNews | None = None

    async def publish_together(self, news: Sequence[News]) -> None:
        if self._cache is None:
            self._cache = await asyncio.to_thread(self._open)
        await self._cache.publish_together(news)

    def _open(self) -> TakesNews:
        from persistence.seats.redis_cache import RedisSeatCache

        return RedisSeatCache(self._url)


def _board(settings: Settings) -> VitalsBoard:
    from persistence.operations.board import VitalsBoard

    return VitalsBoard.at(settings.redis, settings.database)


class Places:
    """The head rows of the schedules that live in one process."""

    def __init__(self, pool: asyncpg.Pool[Any], host: str) -> None:
        self._pool = pool
        self._host = host

    async def placed(self) -> dict[str, int]:
        return await placement.placed(self._pool, self._host)

    async def vacate(self, epochs: dict[str, int]) -> None:
        await placement.vacate(self._pool, self._host, epochs)


class Neighbours:
    """The processes beside this one, and who is where."""

    def __init__(self, pool: asyncpg.Pool[Any], host: str, settings: Settings) -> None:
        self._pool = pool
        self._host = host
        self._settings = settings

    async def hosts(self) -> Sequence[str]:
        if not self._settings.node:
            return placement.names(self._settings.hosts)
        return placement.serving(each for each in await nodes.look(self._pool) if not each.silent)

    async def counted(self) -> Mapping[str, int]:
        return await placement.counted(self._pool)

    async def marked(self) -> Sequence[own_process.Marked]:
        return await own_process.marked(self._pool)

    async def take_temperatures(self, hot: Mapping[str, bool]) -> None:
        await own_process.take_temperatures(self._pool, self._host, hot)


class OwnerProcess:
    """The body of the Ray actor. `trust`: what the machines of its cluster know each other by, if it is in one."""

    def __init__(self, name: str, settings: bytes, trust: bytes | None = None) -> None:
        self._name = name
        self._trust = None if trust is None else decode_trust(trust)
        self._settings = msgspec.json.decode(settings, type=Settings)
        self._running: asyncio.Task[None] | None = None
        self._host: Host | None = None
        self._socket: Path | None = None
        self._starting = asyncio.Lock()  # several processes look for it at once when a sale begins
        self._used = time.monotonic()

    async def start(self) -> str:
        """Ready for calls at once, as a sign of life; answers with the path of the socket it is called on."""
        self._used = time.monotonic()
        async with self._starting:
            if self._socket is None:
                self._socket = await self._begin()
            return str(self._socket)

    async def _begin(self) -> Path:
        settings = self._settings
        directory = run_directory(settings.data_path) / "owners"
        directory.mkdir(mode=0o700, exist_ok=True)  # for nobody else, even where others may pass through its parent
        # A name that occurs nowhere else: on another machine it finds nobody rather than somebody else.
        socket = directory / secrets.token_hex(8)
        self._server = await channel.serve(socket, self.submit)  # nobody knows of it yet
        session = {"lock_timeout": f"{LOCK_SECONDS * 1000:.0f}"}
        commits = open_pool(settings.database, COMMITTING, command_timeout=COMMAND_SECONDS, session=session)
        pool = open_pool(settings.database, BESIDE, command_timeout=COMMAND_SECONDS, session=session)
        plans = SharedPlans()
        journal = Committer(
            PostgresJournal(pool, host=self._name, plans=plans),
            PostgresJournal(commits, host=self._name, plans=plans),
        )
        readers, clock = SharedReaders(RedisLater(settings.redis)), SystemClock()
        log = KafkaEventLog(broker) if (broker := settings.publishing) is not None else None

        def start(schedule_id: str) -> Schedule:
            return Schedule(
                schedule_id,
                journal=journal,
                cache=readers,
                log=log,
                clock=clock,
                idle_seconds=settings.actor_idle_seconds,
            )

        self._host = Host(start, Places(pool, self._name), memory_mb=settings.memory_per_host_mb)
        self._running = asyncio.create_task(self._run(self._host, pool, commits))
        return socket

    async def _run(self, host: Host, *pools: asyncpg.Pool[Any]) -> None:
        """The process ends with this, whichever way."""
        try:
            for pool in pools:
                await pool
            if self._trust is not None:
                await self._be_found(self._trust, pools[0])
            # Not while the first schedule is missed: what follows takes half a second that it would need.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(host.first_opened.wait(), FIRST_SECONDS)
            await asyncio.to_thread(self._configure_logging)
            garbage.spare_what_is_here()
            own = OwnProcess(
                self._name,
                host,
                Neighbours(pools[0], self._name, self._settings),
                hot_per_second=self._settings.hot_records_per_second,
            )
            works: dict[str, Callable[[], Awaitable[None]]] = {
                "tidying": host.tidy,
                "saying how it does": partial(self._tell, host),
                "making way": own.run,
            }
            if self._trust is not None:
                works["following its machine"] = partial(self._follow, host, pools[0])
            beside = [asyncio.create_task(kept_up(work, f"{self._name}: {name}")) for name, work in works.items()]
            await self._until_unused(host)
            for task in beside:
                task.cancel()
            logger.info("%s ends, unused", self._name)
        except Exception:  # whatever it is: the process ends with it, and the log must say why
            logger.exception("%s fails", self._name)
        finally:
            if self._socket is not None:
                self._socket.unlink(missing_ok=True)
            logging.shutdown()
            os._exit(0)  # what counts is in the journal, and callers look for the next process

    async def _tell(self, host: Host) -> None:
        """For ever: says once a second how the process does."""
        board = await asyncio.to_thread(_board, self._settings)
        pulse, clock = Pulse(self._name), SystemClock()
        while True:
            await board.say(pulse.beat(host.schedules, clock.now_ms()))
            await asyncio.sleep(PULSE_SECONDS)

    # --- in a cluster -------------------------------------------------------------------------------------------------
    async def _be_found(self, trust: Trust, pool: asyncpg.Pool[Any]) -> None:
        """Answers other machines from now on, and says where."""
        address, token = self._settings.node_address, secrets.token_hex(8)
        process = nodes.Process(address, 0, token)
        self._listener = Listener(process.identity(self._name), trust, partial(answered, self))
        port = await self._listener.listen(address)
        await nodes.register(pool, self._name, nodes.Process(address, port, token))

    async def _follow(self, host: Host, pool: asyncpg.Pool[Any]) -> None:
        """For ever: does as the machine's row says."""
        outage = Outage(f"{self._name}: the look at the machine's row", logger)
        while True:
            await asyncio.sleep(nodes.BEAT_SECONDS)
            try:
                state = await nodes.state_of(pool, self._settings.node)
            except JournalUnavailable as error:
                outage.met(error)
                continue
            outage.over()
            if state == nodes.DRAINING:
                await host.drain()
            else:
                host.resume()

    async def _until_unused(self, host: Host) -> None:
        """In a cluster for ever: other machines could not bring it up again."""
        while len(host) or time.monotonic() - self._used < UNUSED_SECONDS or self._trust is not None:
            if len(host):
                self._used = time.monotonic()
            await asyncio.sleep(1)

    def _configure_logging(self) -> None:
        # A third of a second to import, which nobody should have to wait for while a sale is without its owner.
        from actors.process import telemetry

        telemetry.configure(self._settings, self._name)

    async def submit(self, data: bytes) -> bytes:
        assert self._host is not None, "start comes first"
        return await self._host.submit(data)

    async def inspect(self, schedule_id: str) -> bytes | None:
        assert self._host is not None, "start comes first"
        return await self._host.inspect(schedule_id)

    async def retire(self, schedule_id: str) -> None:
        assert self._host is not None, "start comes first"
        await self._host.retire(schedule_id)
