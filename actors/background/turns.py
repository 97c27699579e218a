"""Work that one machine of a cluster does at a time, whoever has its lease; the next takes over when that one dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import asyncpg

from persistence.database.away import Outage
from persistence.journal import leases
from persistence.journal.journal import JournalUnavailable

WORK = "background"

logger = logging.getLogger(__name__)


class Lease(Protocol):
    """A lease as its holder knows it. Both may raise `JournalUnavailable`."""

    async def hold(self) -> bool:
        """Takes or renews it; False while somebody else has it, or this one should not."""

    async def let_go(self) -> None: ...


class DatabaseLease:
    """The lease of `persistence/journal/leases.py`, which a machine that is being drained does not want."""

    def __init__(self, pool: asyncpg.Pool[Any], holder: str, unwanted: Callable[[], bool]) -> None:
        self._pool = pool
        self._holder = holder
        self._unwanted = unwanted

    async def hold(self) -> bool:
        return not self._unwanted() and await leases.hold(self._pool, WORK, self._holder)

    async def let_go(self) -> None:
        await leases.let_go(self._pool, WORK, self._holder)


async def in_turn(
    lease: Lease,
    stop: asyncio.Event,
    work: Callable[[asyncio.Event], Coroutine[None, None, None]],
    *,
    renew_seconds: float = leases.RENEW_SECONDS,
    lease_seconds: float = leases.LEASE_SECONDS,
) -> None:
    """Whenever this process has the lease: `work`, which ends soon after the event it is given is set.

    It is set when the lease is lost, or could not be renewed for so long that somebody else may have it.
    """
    outage = Outage("the look at whose turn it is", logger)
    while not stop.is_set():
        if await _held(lease, outage):
            logger.info("this machine does the background work")
            over = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(work(over))
                held_at = time.monotonic()
                while not await _set_within(renew_seconds, stop):
                    held = await _held(lease, outage)
                    if held:
                        held_at = time.monotonic()
                    elif held is False or time.monotonic() - held_at > lease_seconds - renew_seconds:
                        break
                over.set()
            logger.info("this machine does the background work no longer")
            with contextlib.suppress(JournalUnavailable):  # it ends by itself, too
                await lease.let_go()
        await _set_within(renew_seconds, stop)


async def _held(lease: Lease, outage: Outage) -> bool | None:
    """Whether we have it; None where that cannot be seen."""
    try:
        held = await lease.hold()
    except JournalUnavailable as error:
        outage.met(error)
        return None
    outage.over()
    return held


async def _set_within(seconds: float, event: asyncio.Event) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
