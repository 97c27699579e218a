"""What a client is told of an error that no route expected: the one place that knows what may be away."""

from __future__ import annotations

import logging

from redis.exceptions import RedisError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from actors.gateway.gateway import Unavailable, Unencodable
from api.http.problems import Problem
from api.office.plans import UnknownVenue
from api.views.readiness import OWNERS_SILENT
from persistence.database.away import is_away
from persistence.database.connection import is_unstorable
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import CacheUnavailable
from persistence.seats.line import LineUnavailable

logger = logging.getLogger(__name__)


def problem_of_error(error: Exception) -> Problem:
    """The error as a problem; whoever asks about one that should not be is answered, and it stands in the log."""
    if isinstance(error, Unavailable):
        OWNERS_SILENT.happened()
        return Problem("overloaded", retry_after=error.retry_after_seconds)
    if isinstance(error, UnknownSchedule):
        return Problem("schedule_not_found")
    if isinstance(error, UnknownVenue):
        return Problem("venue_not_found")
    if isinstance(error, PoolTimeoutError):
        return Problem("overloaded", retry_after=1)
    if isinstance(error, LineUnavailable):
        logger.warning("nobody can be told where they stand: %s", error)
        return Problem("overloaded", retry_after=2, reason="waiting_room")
    if isinstance(error, (JournalUnavailable, CacheUnavailable, RedisError)) or is_away(error):
        logger.warning("a request failed because a service is away: %s", error)
        return Problem("dependency_unavailable", retry_after=2)
    if isinstance(error, Unencodable) or is_unstorable(error):
        logger.warning("a value got through that the database cannot store: %s", type(error).__name__)
        message = {"message": "holds a value that cannot be stored", "ko": "저장할 수 없는 값이 있습니다"}
        return Problem("validation_failed", errors=[{"field": "body", **message}])
    logger.error("unexpected error", exc_info=error)
    return Problem("internal_error")
