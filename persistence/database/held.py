"""Who holds a connection of a pool, so that nobody waits for something far away with one in hand.

There are few of them, and the locks of a transaction are held with them: a call to a schedule's owner, to Redis or to a
payment provider in between, or a wait for a second connection, lets one slow service stop everybody. So whoever makes
such a call says so here, and holding one is a bug that raises, in every test that comes by.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

HOLDER = "boxoffice.holder"  # in a pool entry's `info`: the task that checked it out

# Module state, and safe as such: keyed by tasks, which are each loop's own, and gone with them.
_held: WeakKeyDictionary[asyncio.Task[object], int] = WeakKeyDictionary()


def watch(engine: AsyncEngine) -> None:
    """Counts the engine's connections from here on. Those of `pools.open_pool` are counted anyway."""
    event.listen(engine.sync_engine, "checkout", _checked_out)
    event.listen(engine.sync_engine, "checkin", _checked_in)


def holds_none(what: str) -> None:
    """Called by whoever is about to do `what`, which may take as long as another service likes."""
    if not _held:  # as a rule
        return
    task = asyncio.current_task()
    assert task is None or not _held.get(task), f"a database connection is held across {what}"


def taken() -> asyncio.Task[object] | None:
    """Counts a connection that this task is about to have; gives whose it is, for `given_back`."""
    holds_none("waiting for a second one")
    task = asyncio.current_task()
    if task is not None:
        _held[task] = _held.get(task, 0) + 1
    return task


def given_back(task: asyncio.Task[object] | None) -> None:
    """The task has one less."""
    if task is None:
        return
    left = _held.get(task, 0) - 1
    if left > 0:
        _held[task] = left
    else:
        _held.pop(task, None)


def _checked_out(connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
    entry.info[HOLDER] = taken()


def _checked_in(connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
    # By the task that took it, whichever task gives it back: SQLAlchemy closes in one of its own.
    given_back(entry.info.pop(HOLDER, None))
