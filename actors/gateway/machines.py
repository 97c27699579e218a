"""Owners on several machines: those of this one by way of Ray, those of others by a socket of our own.

Who is there is looked up in the machines' rows, twice a second, never by asking Ray; so a request needs no head, and a
machine that has fallen silent is given up within a few seconds by everybody who can still look. Whoever cannot look
goes on with what it knew: what another has taken over meanwhile is fenced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import asyncpg

from actors.gateway.lane import Owner, OwnerLost, Unreachable
from actors.process import keys
from actors.process.settings import Settings
from actors.process.unending import kept_up
from actors.wire.remote import RemoteProcess
from actors.wire.secured import Refused, SecuredChannel, Trust
from persistence.database.away import Outage
from persistence.journal import nodes
from persistence.journal.journal import JournalUnavailable
from persistence.journal.nodes import DRAINING, STARTING, Node
from persistence.journal.placement import names, node_of, serving

logger = logging.getLogger(__name__)

OwnT = TypeVar("OwnT", bound=Owner)


class Machines:
    """The machines there are, as they were a moment ago. `own` is this one's name.

    One that is starting has no schedule open. One is lost when it was silent at two looks in a row: after a pause of
    the database all of them are, at the first.
    """

    def __init__(self, look: Callable[[], Awaitable[Sequence[Node]]], own: str) -> None:
        self._look = look
        self._own = own
        self._nodes: dict[str, Node] = {}  # those that are not lost
        self._silent: dict[str, str] = {}  # and their last beats

    @property
    def draining(self) -> bool:
        """Whether this machine is to be left alone."""
        own = self._nodes.get(self._own)
        return own is not None and own.state == DRAINING

    def candidates(self) -> Sequence[str]:
        """The processes schedules may be given to."""
        return serving(self._nodes.values())

    def holds(self, host: str) -> bool:
        node = self._nodes.get(node_of(host))
        return node is not None and node.state != STARTING and host in names(node.processes, node.name)

    async def look(self) -> bool:
        """Looks once; says whether there is a machine less that may have schedules open."""
        seen = {node.name: node for node in await self._look()}
        silent = {name: node.beat for name, node in seen.items() if node.silent}
        lost = {name for name, beat in silent.items() if self._silent.get(name) == beat}
        self._silent = silent
        former, self._nodes = self._nodes, {name: node for name, node in seen.items() if name not in lost}
        ended = _working(former) - _working(self._nodes)
        for name in ended:
            logger.warning("machine %s %s", name, "starts anew" if name in self._nodes else "is lost")
        return bool(ended)

    async def watch(self, on_loss: Callable[[], None]) -> None:
        """For ever: looks, and tells of losses."""
        outage = Outage("the look at the machines", logger)
        while True:
            await asyncio.sleep(nodes.BEAT_SECONDS)
            try:
                if await self.look():
                    on_loss()
            except JournalUnavailable as error:
                outage.met(error)
            else:
                outage.over()


def _working(machines: Mapping[str, Node]) -> set[str]:
    return {name for name, node in machines.items() if node.state != STARTING}


def trust_of(settings: Settings) -> Trust:
    """What the machines of a cluster know each other by."""
    return Trust(
        settings.keys_for(keys.MACHINES),
        certificate=settings.node_certificate,
        private_key=settings.node_private_key,
        authority=settings.node_authority,
    )


class RemoteOwner:
    """A process of owners on another machine. Every failure to get an answer is `OwnerLost`."""

    def __init__(self, process: RemoteProcess) -> None:
        self._process = process

    async def submit(self, data: bytes) -> bytes:
        with _losing():
            return await self._process.submit(data)

    async def inspect(self, schedule_id: str) -> bytes | None:
        with _losing():
            return await self._process.inspect(schedule_id)

    async def retire(self, schedule_id: str) -> None:
        with _losing():
            await self._process.retire(schedule_id)

    def close(self) -> None:
        self._process.close()


@contextlib.contextmanager
def _losing() -> Any:
    try:
        yield
    except TimeoutError:
        raise  # a kind of OSError, but of whoever waits
    except OSError as error:
        raise OwnerLost(str(error)) from error


class Local(Protocol[OwnT]):
    """Where this machine's own processes come from (`actors.gateway.ray_owners.RayOwners`)."""

    async def find(self, name: str) -> OwnT: ...

    async def current(self, name: str) -> OwnT | None: ...

    async def replace(self, name: str, owner: OwnT) -> None: ...


class EveryOwner(Generic[OwnT]):
    """`Owners` of a cluster. Each machine brings its own processes up, and does away with its own that are silent."""

    def __init__(self, local: Local[OwnT], pool: asyncpg.Pool[Any], own: str, trust: Trust) -> None:
        self._local = local
        self._pool = pool
        self._own = own
        self._trust = trust

    async def find(self, name: str) -> OwnT | RemoteOwner:
        if node_of(name) == self._own:
            return await self._local.find(name)
        return await self._remote(name)

    async def current(self, name: str) -> OwnT | RemoteOwner | None:
        if node_of(name) == self._own:
            return await self._local.current(name)
        try:
            return await self._remote(name)
        except OwnerLost:
            return None

    async def replace(self, name: str, owner: OwnT | RemoteOwner) -> None:
        if isinstance(owner, RemoteOwner):
            owner.close()  # its own machine finds out by itself
        else:
            await self._local.replace(name, owner)

    async def _remote(self, name: str) -> RemoteOwner:
        try:
            found = await nodes.find(self._pool, name)
        except JournalUnavailable as error:
            raise OwnerLost(str(error)) from error
        if found is None:
            raise OwnerLost("it is not there yet")
        channel = SecuredChannel(found.address, found.port, found.identity(name), self._trust)
        try:
            await channel.reach()
        except (ConnectionRefusedError, Refused) as error:  # the machine is there, the process is another one
            raise OwnerLost(str(error)) from error
        except OSError as error:
            raise Unreachable(str(error)) from error
        return RemoteOwner(RemoteProcess(channel))


@asynccontextmanager
async def watching(machines: Machines, on_loss: Callable[[], None]) -> AsyncIterator[None]:
    """Keeps `machines` up to date for the time of the block."""
    watch = asyncio.create_task(kept_up(partial(machines.watch, on_loss), "looking at the machines"))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
