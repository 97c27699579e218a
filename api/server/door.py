"""What every request passes on its way in and out, as plain ASGI: it costs microseconds and never touches a stream.

Guarantees: whatever goes wrong inside is answered with a problem document, once; every answer is counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import lru_cache

from prometheus_client import Counter, Histogram
from redis.exceptions import RedisError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.gateway.gateway import Unavailable
from api.http.office import UnknownVenue
from api.http.problems import Problem, answer
from api.http.security_log import told_path
from persistence.database.connection import is_unavailable, is_unstorable
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import CacheUnavailable

SERVER_ERROR = 500
STOPPING_RETRY_AFTER_SECONDS = 1  # another worker serves meanwhile; the one that stops is replaced within seconds

REQUESTS = Counter("boxoffice_http_requests_total", "Answered requests", ("method", "route", "status"))
SECONDS = Histogram(
    "boxoffice_http_request_seconds",
    "Time to the first byte of the answer",
    ("method", "route"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)

logger = logging.getLogger(__name__)


class Watch:
    """The outermost layer: counts what was answered, logs a line for what is our own fault, and answers who is called
    off because the server stops. Such a request may or may not have had its effect; sent again with its
    `Idempotency-Key` it has it once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                _count(scope, message["status"], time.perf_counter() - started)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            if begun:
                raise
            away = Problem("overloaded", retry_after=STOPPING_RETRY_AFTER_SECONDS)
            await answer(away, Request(scope))(scope, receive, watched)


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


def _count(scope: Scope, status: int, seconds: float) -> None:
    # The route's template: a label per booking id would never stop growing.
    requests, taken = _counters(scope["method"], getattr(scope.get("route"), "path", "none"), status)
    requests.inc()
    taken.observe(seconds)
    if status >= SERVER_ERROR:
        logger.warning("%s %s → %d after %.0f ms", scope["method"], told_path(scope), status, seconds * 1000)


@lru_cache(maxsize=1024)  # as many as there are routes, methods and statuses; looking them up costs more than counting
def _counters(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), SECONDS.labels(method, route)


def problem_of_error(error: Exception) -> Problem:
    """What a client is told of an error that no route expected. The one place that knows what may be away."""
    if isinstance(error, Unavailable):
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
    if is_unstorable(error):
        logger.warning("a value got through that the database cannot store: %s", type(error).__name__)
        message = {"message": "holds a value that cannot be stored", "ko": "저장할 수 없는 값이 있습니다"}
        return Problem("validation_failed", errors=[{"field": "body", **message}])
    logger.error("unexpected error", exc_info=error)
    return Problem("internal_error")
