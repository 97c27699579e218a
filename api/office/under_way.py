"""Work that goes on to its end although a client who waits for it may hang up: money that is moving, and its record.

Not durable: a process that dies takes it along, and whoever starts such work says what brings it to its end then. A
process that stops waits for it, but not for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from redis.exceptions import RedisError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from actors.gateway.gateway import Unavailable, Unencodable
from api.http.problems import Problem
from api.office.plans import UnknownVenue
from persistence.database.asked_once import shared
from persistence.database.away import is_away
from persistence.database.ending_tasks import end
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import CacheUnavailable
from persistence.seats.line import LineUnavailable

logger = logging.getLogger(__name__)
LAST_STEPS_SECONDS = 1.0  # after the requests that began it were answered or turned away
ResultT = TypeVar("ResultT")

# Answers like any other, and services that are away: what both mean to a client, `api.views.failures` says.
REFUSALS = (Problem, UnknownSchedule, UnknownVenue, Unencodable)
AWAY = (Unavailable, JournalUnavailable, CacheUnavailable, LineUnavailable, RedisError, PoolTimeoutError)

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


async def all_ended() -> None:
    """Returns when all that was begun has ended; what takes longer than `LAST_STEPS_SECONDS` is called off.

    For whoever is about to close what such work needs: owners, the database, Redis.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_STEPS_SECONDS):
            while _tasks:  # one may begin another
                await asyncio.wait(_tasks)
    for task in _tasks:
        logger.warning("%s is called off: the server is stopping", task.get_coro())
    await end(list(_tasks))


def _done(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if task.cancelled() or (error := task.exception()) is None or isinstance(error, REFUSALS):
        return
    # Whoever waits gets it too; but perhaps nobody does any more.
    if isinstance(error, AWAY) or is_away(error):
        logger.warning("%s is not finished: %s", task.get_coro(), error)
    else:
        logger.error("%s is not finished", task.get_coro(), exc_info=error)
