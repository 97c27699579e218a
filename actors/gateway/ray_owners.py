"""The only file that knows Ray: how a schedule's owner (`actors/owner/host.py`) becomes a process, and how it is found,
asked and replaced.

One detached, named actor per schedule. Ray does not restart it: whoever misses it creates it anew under the same
name, which is quicker and the same path for every way of going (see docs/adr/0001). Two may be alive for a while,
when a silent one was replaced and wakes: the journal's fence lets only the newest write.

Ray says where an owner is; requests then go to it directly, over a socket, and only from another machine as calls of
the actor (see docs/adr/0009).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.exceptions import GetTimeoutError, RayError

from actors.gateway.gateway import Gateway, OwnerLost
from actors.owner.host import OwnerProcess
from actors.process.settings import Settings
from actors.wire.channel import Channel
from persistence.database.pools import open_pool

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
