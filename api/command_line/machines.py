"""The machines of a cluster for whoever sits at the command line: which there are, and emptying one."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from actors.process.settings import Settings
from actors.supervision.membership import emptied
from persistence.database.dsn import asyncpg_dsn
from persistence.database.pools import FAILURES
from persistence.journal import leases, nodes
from persistence.journal.nodes import DRAINING, SERVING, Node

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
        return [Row(node, counts.get(node.name, 0), node.name == leader) for node in await nodes.look(connection)]
    finally:
        await connection.close()


async def drain(settings: Settings, name: str, *, within_seconds: float) -> int:
    """Has a machine's schedules opened elsewhere; returns how many are left there. Raises `MachinesError`."""
    connection = await _connected(settings)
    try:
        others = [each for each in await nodes.look(connection) if each.name != name]
        if not any(each.state == SERVING and not each.silent for each in others):
            raise MachinesError("no other machine takes schedules in: start one first")
        await _turn(connection, name, DRAINING)
        return await emptied(connection, name, within_seconds=within_seconds)
    finally:
        await connection.close()


async def resume(settings: Settings, name: str) -> None:
    """Has a machine take schedules in again. Raises `MachinesError`."""
    connection = await _connected(settings)
    try:
        await _turn(connection, name, SERVING)
    finally:
        await connection.close()


async def _turn(connection: asyncpg.Connection[asyncpg.Record], name: str, state: str) -> None:
    if not await nodes.turn(connection, name, state):
        raise MachinesError(f"there is no machine {name}: `boxoffice nodes` shows those there are")


async def _connected(settings: Settings) -> asyncpg.Connection[asyncpg.Record]:
    try:
        return await asyncpg.connect(asyncpg_dsn(settings.database), timeout=5)
    except FAILURES as error:
        raise MachinesError(f"PostgreSQL does not let us in: {error}") from error
