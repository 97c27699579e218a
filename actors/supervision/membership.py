"""This machine's place in a cluster: its row, kept fresh for as long as the supervisor lives.

The supervisor does it because everything here ends with it, and because it has nothing else to do: its beats are late
only if the machine is in trouble. A machine leaves in good order by `drain`: its schedules are opened elsewhere first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg

from persistence.database.away import Outage
from persistence.database.pools import Connection, open_pool
from persistence.journal import nodes
from persistence.journal.journal import JournalUnavailable, outages_told
from persistence.journal.nodes import SERVING, STARTING, Node

BEAT_TIMEOUT_SECONDS = 1.0
JOIN_SECONDS = 10.0  # how long somebody of our name may go on, such as our own former life
DRAIN_SECONDS = 20.0  # then what has not left is left to be taken over
LOOK_SECONDS = 0.2
TOLD_SECONDS = 2 * nodes.BEAT_SECONDS  # for so long a machine may go by an older list of them

logger = logging.getLogger(__name__)


class CannotJoin(RuntimeError):
    """This machine cannot have its place; the message says why and what to do."""


class Membership:
    """One life of this machine in its cluster, or, with an empty name, as the only one that uses its database.

    `on_loss` is called when its name has become another's, or when it can no longer say that it lives. `known_by`: by
    what the others know it (`actors.wire.secured.known_by`).
    """

    def __init__(
        self,
        database_url: str,
        name: str,
        address: str,
        processes: int,
        on_loss: Callable[[BaseException], None],
        known_by: Sequence[str] = (),
    ) -> None:
        self._name = name
        self._called = f"machine {name}" if name else "this machine"
        self._node = Node(
            name=name,
            incarnation=secrets.token_hex(8),
            address=address,
            processes=processes,
            state=STARTING,
            beat="",
            silent_seconds=0.0,
            known_by=known_by,
        )
        self._on_loss = on_loss
        self._pool: asyncpg.Pool[Any] = open_pool(database_url, 2, command_timeout=BEAT_TIMEOUT_SECONDS)
        self._beating: asyncio.Task[None] | None = None
        self._pausing: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Takes the name, when a former life under it is over, and nobody is there who does not go with us.

        Raises `CannotJoin`.
        """
        until = time.monotonic() + JOIN_SECONDS
        try:
            with outages_told():
                await self._pool
            while (against := await self._taken()) is not None:
                if time.monotonic() > until:
                    raise CannotJoin(against)
                await asyncio.sleep(LOOK_SECONDS)
        except JournalUnavailable as error:
            raise CannotJoin(f"{self._called} cannot join, the database is in trouble: {error}") from error
        self._beating = asyncio.create_task(self._beat())
        self._beating.add_done_callback(self._ended)

    async def _taken(self) -> str | None:
        """Takes the name; what there is against it, where it has not been taken or there are others it cannot be with.

        The others are looked at after they can see us: of two that do not go together one finds the other.
        """
        if not await nodes.join(self._pool, self._node):
            if self._name:
                return f"another machine is called {self._name}: give this one a BOXOFFICE_NODE of its own"
            return (
                "another machine by itself uses this database: give both a BOXOFFICE_NODE, or this one another database"
            )
        others = [each for each in await nodes.look(self._pool) if each.name != self._name and not each.silent]
        against = self._against(others)
        if against is not None:
            await nodes.leave(self._pool, self._name, self._node.incarnation)
        return against

    def _against(self, others: Sequence[Node]) -> str | None:
        there = ", ".join(each.name for each in others)
        if others and not self._name:
            return f"machines of a cluster ({there}) use this database: set BOXOFFICE_NODE to join them"
        if any(not each.name for each in others):
            return "a machine by itself uses this database: stop it, or start it with a BOXOFFICE_NODE, too"
        strangers = ", ".join(each.name for each in others if not self._node.talks_to(each))
        if strangers:
            return (
                f"machine {self._name} and {strangers} would not talk: they have another BOXOFFICE_SECRET, or one"
                " of them has a certificate (BOXOFFICE_NODE_CERTIFICATE) and another none"
            )
        return None

    def _ended(self, beating: asyncio.Task[None]) -> None:
        """Whoever does not beat is given up by the others, and has to know."""
        if not beating.cancelled() and (error := beating.exception()) is not None:
            self._on_loss(error)

    def pause(self) -> None:
        """Has none of its schedules any more, and takes none in until it serves again."""
        if not self._name:
            return
        self._pausing = asyncio.create_task(self._turn(SERVING, STARTING))

    async def serve(self) -> None:
        """Takes schedules in from now on."""
        if not self._name:
            return
        if self._pausing is not None:
            await self._pausing
        await self._turn(STARTING, SERVING)
        logger.info("machine %s has joined, at %s", self._name, self._node.address)

    async def leave(self) -> None:
        """Has its schedules opened elsewhere, as far as that is possible soon, and gives the name up."""
        try:
            if self._beating is not None and not self._beating.done():
                await self._drain()
        except JournalUnavailable as error:
            logger.warning("%s leaves without a word, the database is in trouble: %r", self._called, error)
        finally:
            if self._beating is not None:
                self._beating.cancel()
                await asyncio.gather(self._beating, return_exceptions=True)

    async def close(self) -> None:
        """When nothing of this machine runs any more."""
        with contextlib.suppress(JournalUnavailable):
            await nodes.leave(self._pool, self._name, self._node.incarnation)
        self._pool.terminate()

    async def _drain(self) -> None:
        if not await nodes.drain(self._pool, self._name):
            return  # nobody is there to take over: whoever asks waits for the next start
        if left := await emptied(self._pool, self._name, within_seconds=DRAIN_SECONDS):
            logger.warning("%d schedules have not left in time", left)

    async def _turn(self, former: str, state: str) -> None:
        """Not where somebody has said otherwise meanwhile: a machine that is being drained goes on being so."""
        outage = Outage(f"the word that {self._called} is {state}", logger)
        while True:
            try:
                await nodes.turn(self._pool, self._name, state, former)
                return
            except JournalUnavailable as error:
                outage.met(error)
                await asyncio.sleep(LOOK_SECONDS)

    async def _beat(self) -> None:
        outage = Outage(f"the beat of {self._called}", logger)
        while True:
            began = time.monotonic()
            try:
                if await nodes.beat(self._pool, self._name, self._node.incarnation) is None:
                    self._on_loss(CannotJoin(f"{self._called} has lost its place: another one has it now"))
                    return
            except JournalUnavailable as error:
                outage.met(error)
            else:
                outage.over()
            await asyncio.sleep(max(0.0, nodes.BEAT_SECONDS - (time.monotonic() - began)))


async def emptied(connection: Connection, name: str, *, within_seconds: float) -> int:
    """Waits until a machine that is being drained has no schedule; returns how many are left there.

    None must have been there for a while: others may still go by what they were told of machines a moment ago.
    """
    now = time.monotonic()
    until, since = now + within_seconds, now
    while True:
        left, now = (await nodes.schedules(connection)).get(name, 0), time.monotonic()
        since = now if left else since
        if now - since > TOLD_SECONDS or now > until:
            return left
        await asyncio.sleep(LOOK_SECONDS)
