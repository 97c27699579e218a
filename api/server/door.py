"""What goes wrong inside is answered with a problem document, once."""

from __future__ import annotations

import logging

from redis.exceptions import RedisError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.gateway.gateway import Unavailable, Unencodable
from api.http.problems import Problem, answer
from api.office.office import UnknownVenue
from api.views.readiness import OWNERS_SILENT
from persistence.database.connection import is_unavailable, is_unstorable
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import CacheUnavailable

logger = logging.getLogger(__name__)


class Rescue:
    """Answers whatever goes wrong further in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noticed(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noticed)
        except ClientDisconnect:
            pass  # nobody is left to answer
        except Exception as error:
            if begun or scope["type"] != "http":
                raise  # only the connection's end can tell the client
            await answer(problem_of_error(error), Request(scope))(scope, receive, send)


def problem_of_error(error: Exception) -> Problem:
    """What a client is told of an error that no route expected. The one place that knows what may be away."""
    if isinstance(error, Unavailable):
        OWNERS_SILENT.happened()
        return Problem("overloaded", retry_after=error.retry_after_seconds)
    if isinstance(error, UnknownSchedule):
        return Problem("schedule_not_found")
    if isinstance(error, UnknownVenue):
        return Problem("venue_not_found")
    if isinstance(error, PoolTimeoutError):
        return Problem("overloaded", retry_after=1)
    if isinstance(error, (JournalUnavailable, CacheUnavailable, RedisError)) or is_unavailable(error):
        logger.warning("a request failed because a service is away: %s", error)
        return Problem("dependency_unavailable", retry_after=2)
    if isinstance(error, Unencodable) or is_unstorable(error):
        logger.warning("a value got through that the database cannot store: %s", type(error).__name__)
        message = {"message": "holds a value that cannot be stored", "ko": "저장할 수 없는 값이 있습니다"}
        return Problem("validation_failed", errors=[{"field": "body", **message}])
    logger.error("unexpected error", exc_info=error)
    return Problem("internal_error")
