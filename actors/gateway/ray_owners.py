"""The only file that knows Ray: how a process of owners (`actors/owner/process.py`) comes to be, and how it is found,
asked and replaced.

One detached, named actor per process. Ray does not restart it: whoever misses it creates it anew under the same name,
which is quicker and the same path for every way of going (see docs/adr/0001). Two may be alive for a while, when a
silent one was replaced and wakes: the journal's fence lets only the newest owner of each schedule write.

Ray says where a process is; requests then go to it directly, over a socket (see docs/adr/0009). In a cluster this is
about the processes of this machine; those of others are found without Ray (`actors/gateway/machines.py`).
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import ray
from ray.exceptions import GetTimeoutError, RayError

from actors.gateway.gateway import Gateway, OwnerLost
from actors.gateway.machines import EveryOwner, Machines, RemoteOwner, trust_of, watching
from actors.owner.process import OwnerProcess
from actors.process.settings import Settings
from actors.wire.channel import Channel
from actors.wire.secured import encode_trust
from persistence.database.pools import open_pool
from persistence.database.roles import OWNER, has_role, with_role
from persistence.journal import nodes
from persistence.journal.placement import OneMachine, Placement

logger = logging.getLogger(__name__)

NAMESPACE = "boxoffice"
PLACING, PLACING_SECONDS = 1, 5.0  # connections that look places up, and how long that may take
STARTS_AT_ONCE = 2  # processes being looked for, and perhaps started: each takes two seconds of a core
START_SECONDS = 30.0  # a new process on a busy machine; measured 1.2–2 s on an idle one


def connect(settings: Settings) -> None:
    """Joins the Ray cluster at `settings.ray`. Raises `ConnectionError` when there is none."""
    host = settings.ray.rpartition(":")[0]
    own_address = {"_node_ip_address": host} if host.startswith("127.") else {}
    ray.init(
        address=settings.ray,
        namespace=NAMESPACE,
        log_to_driver=False,
        logging_level="ERROR",
        ignore_reinit_error=True,
        **own_address,
    )
    # Imports what the first call would otherwise: a third of a second, better now than in a customer's booking.
    ray.put(None)


def _take_back_sigterm() -> None:
    """Whoever handled it before Ray was joined handles it again.

    Ray's native half ends the process by it with a stack trace, past all that is to be put away first.
    """
    handler = signal.getsignal(signal.SIGTERM)  # as Python knows it
    if threading.current_thread() is threading.main_thread() and handler is not None:
        signal.signal(signal.SIGTERM, handler)


class RayOwner:
    """A handle on one process of owners. Every failure to get an answer is `OwnerLost`.

    `socket` is where it is called on its own machine. Where that leads nowhere it is called by way of Ray.
    """

    def __init__(self, handle: Any, socket: Path | None = None) -> None:
        self.handle = handle
        self._channel = None if socket is None else Channel(socket)

    async def submit(self, data: bytes) -> bytes:
        if self._channel is not None:
            try:
                return await self._channel.call(data)
            except FileNotFoundError:  # it is on another machine of an outside Ray, or gone
                self._channel = None
            except OSError as error:
                raise OwnerLost(str(error)) from error
        answer: bytes = await _answer(self.handle.submit.remote(data))
        return answer

    async def inspect(self, schedule_id: str) -> bytes | None:
        answer: bytes | None = await _answer(self.handle.inspect.remote(schedule_id))
        return answer

    async def retire(self, schedule_id: str) -> None:
        await _answer(self.handle.retire.remote(schedule_id))

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


AnyOwner: TypeAlias = RayOwner | RemoteOwner


class RayOwners:
    """Finds, creates and replaces processes of owners."""

    def __init__(self, settings: Settings) -> None:
        # Such a process has another working directory.
        self._settings = msgspec.json.encode(_for_owners(settings))
        self._trust = encode_trust(trust_of(settings)) if settings.node else None
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._actor_class = ray.remote(OwnerProcess)  # once: each one made is pickled and sent to the cluster

    async def find(self, name: str) -> RayOwner:
        """The process of this name, created if there is none, alive a moment ago. Raises `OwnerLost`."""
        async with self._starts:
            return await self._found(name)

    async def _found(self, name: str) -> RayOwner:
        handle = await asyncio.to_thread(self._get_or_create, name)
        try:
            socket = await asyncio.wait_for(_answer(handle.start.remote()), START_SECONDS)
        except TimeoutError as error:
            await self.replace(name, RayOwner(handle))
            raise OwnerLost("did not start") from error
        return RayOwner(handle, Path(socket))

    async def current(self, name: str) -> RayOwner | None:
        """The process of this name if it is there."""
        try:
            return RayOwner(await asyncio.to_thread(ray.get_actor, name, namespace=NAMESPACE))
        except (RayError, ValueError):
            return None

    async def replace(self, name: str, owner: AnyOwner) -> None:
        """Kills a process, unless somebody else has replaced it already."""
        assert isinstance(owner, RayOwner), "others look after theirs"
        await asyncio.to_thread(self._kill_if_current, name, owner.handle)

    def _get_or_create(self, name: str) -> Any:
        try:
            return self._actor_class.options(
                name=name,
                get_if_exists=True,
                lifetime="detached",
                num_cpus=0,  # they share the cores; their number is bounded by `BOXOFFICE_OWNER_PROCESSES`
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=1000,
                enable_task_events=False,
            ).remote(name, self._settings, self._trust)
        except (RayError, ValueError) as error:  # ValueError: the name went away between look-up and use
            raise OwnerLost(str(error)) from error

    def _kill_if_current(self, name: str, handle: Any) -> None:
        try:
            if ray.get_actor(name, namespace=NAMESPACE) == handle:
                ray.kill(handle, no_restart=True)
        except (RayError, ValueError):
            return  # gone already


def _for_owners(settings: Settings) -> Settings:
    """What an owner's process is given of its caller's settings."""
    url = settings.database_url
    if url is not None and has_role(url):
        url = with_role(url, OWNER)
    own = msgspec.structs.replace(settings, data_dir=str(settings.data_path), database_url=url)
    return own.for_process("owner")


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway[AnyOwner]]:
    """The way to every schedule, for an API worker or a background process."""
    await asyncio.to_thread(connect, settings)
    _take_back_sigterm()
    async with AsyncExitStack() as closing:
        pool = await closing.enter_async_context(open_pool(settings.database, PLACING, command_timeout=PLACING_SECONDS))
        local = RayOwners(settings)
        machines = Machines(partial(nodes.look, pool), settings.node) if settings.node else None
        gateway: Gateway[AnyOwner] = Gateway(
            local if machines is None else EveryOwner(local, pool, settings.node, trust_of(settings)),
            Placement(pool, OneMachine(settings.hosts) if machines is None else machines),
            machines,
            call_timeout_seconds=settings.call_timeout_seconds,
            deadline_seconds=settings.deadline_seconds,
        )
        closing.push_async_callback(asyncio.to_thread, ray.shutdown)
        closing.push_async_callback(gateway.close)
        if machines is not None:
            await machines.look()
            await closing.enter_async_context(watching(machines, gateway.abandon_lost))
        yield gateway
