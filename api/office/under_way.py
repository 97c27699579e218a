"""Work that goes on to its end although a client who waits for it may hang up: money that is moving, and its record.

Not durable: a process that dies takes it along, and whoever starts such work says what brings it to its end then.
"""

from __future__ import annotations

import asyncio
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
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import CacheUnavailable
from persistence.seats.line import LineUnavailable

logger = logging.getLogger(__name__)
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


def _done(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if task.cancelled() or (error := task.exception()) is None or isinstance(error, REFUSALS):
        return
    # Whoever waits gets it too; but perhaps nobody does any more.
    if isinstance(error, AWAY) or is_away(error):
        logger.warning("%s is not finished: %s", task.get_coro(), error)
    else:
        logger.error("%s is not finished", task.get_coro(), exc_info=error)
