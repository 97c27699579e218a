"""The machines of a cluster for whoever sits at the command line: which there are, and emptying one."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from actors.process.settings import Settings
from actors.supervision.membership import emptied
from persistence.database.away import FAILURES
from persistence.database.dsn import asyncpg_dsn
from persistence.journal import leases, nodes
from persistence.journal.nodes import DRAINING, SERVING, STARTING, Node

BACKGROUND = "background"  # the work that one of them does for all


class MachinesError(RuntimeError):
    """The machines cannot be looked at or changed; the message says why and what to do."""


class Row(Struct, frozen=True):
    """One machine: what it is, and what it does."""

    node: Node
    schedules: int  # that have their place there
    leads: bool  # it does the background work

    @property
    def state(self) -> str:
        return "lost" if self.node.silent else self.node.state


async def listed(settings: Settings) -> Sequence[Row]:
    """All machines there are. Raises `MachinesError`."""
    connection = await _connected(settings)
    try:
        counts = await nodes.schedules(connection)
        leader = await leases.holder_of(connection, BACKGROUND)
        found = [node for node in await nodes.look(connection) if node.name]
        return [Row(node, counts.get(node.name, 0), node.name == leader) for node in found]
    finally:
        await connection.close()


async def drain(settings: Settings, name: str, *, within_seconds: float) -> int:
    """Has a machine's schedules opened elsewhere; returns how many are left there. Raises `MachinesError`."""
    connection = await _connected(settings)
    try:
        if (await _found(connection, name)).silent:
            raise MachinesError(f"{name} is lost: its schedules are opened elsewhere as they are asked for")
        if not await nodes.drain(connection, name):
            raise MachinesError("no other machine takes schedules in: start one first, or take another drain back")
        left = await emptied(connection, name, within_seconds=within_seconds)
        if await nodes.state_of(connection, name) == SERVING:
            raise MachinesError(f"{name} takes schedules in again: the drain was taken back meanwhile")
        return left
    finally:
        await connection.close()


async def resume(settings: Settings, name: str) -> None:
    """Has a machine take schedules in again. Raises `MachinesError`."""
    connection = await _connected(settings)
    try:
        if await nodes.turn(connection, name, SERVING, DRAINING):
            return
        if (await _found(connection, name)).state == STARTING:
            raise MachinesError(f"{name} is starting: it takes schedules in by itself as soon as it can")
    finally:
        await connection.close()


async def _found(connection: asyncpg.Connection[asyncpg.Record], name: str) -> Node:
    for node in await nodes.look(connection):
        if node.name == name:
            return node
    raise MachinesError(f"there is no machine {name}: `boxoffice nodes` shows those there are")


async def _connected(settings: Settings) -> asyncpg.Connection[asyncpg.Record]:
    try:
        return await asyncpg.connect(asyncpg_dsn(settings.database), timeout=5)
    except FAILURES as error:
        raise MachinesError(f"PostgreSQL does not let us in: {error}") from error
