"""Work that goes on to its end although a client who waits for it may hang up: money that is moving, and its record.

Not durable: a process that dies takes it along, and whoever starts such work says what brings it to its end then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from api.http.problems import Problem
from persistence.database.asked_once import shared

logger = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")

_tasks: set[asyncio.Task[Any]] = set()  # the loop itself holds tasks only weakly


def begun(work: Coroutine[Any, Any, ResultT]) -> asyncio.Task[ResultT]:
    """Work that goes on from here, whether or not anybody waits for it."""
    task = asyncio.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_done)
    return task


async def finished(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """What `work` comes to. Whoever stops waiting does not stop it."""
    return await shared(begun(work))


def _done(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Problem):
        # Whoever waits gets it too; but perhaps nobody does any more.
        logger.error("%s is not finished", task.get_coro(), exc_info=error)
