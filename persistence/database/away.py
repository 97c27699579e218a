"""When the database is away: the one definition, asked by all who wait for it to pass; and how any outage is told.

It is asked of whatever asyncpg raises, our pools of its connections, and SQLAlchemy's engines over them. What it says
decides between waiting and giving up, so each of the driver's classes and messages has its place in
`tests/persistence/database/test_away.py`: a new one is missing there until somebody has thought about it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import asyncpg
from sqlalchemy import exc


class DatabaseUnavailable(Exception):
    """PostgreSQL cannot be reached, or does not let us in; the message says which."""


class NotLetIn(DatabaseUnavailable):
    """The server answers, and gives us no connection: a wrong password or user, no database of that name, too many
    connections already.

    It is away for us then, however certain it is that it will say so again. A password is changed in the database
    first and in our settings afterwards. In between, whoever has connections goes on selling with them; who ended over
    it would take them along, and not come up again, since nothing starts without its database. Who waits comes back by
    itself when the password is right again, or with the restart that brings the new one. Nothing is acknowledged
    meanwhile, nor decided in a circle: an owner decides after it has read its journal, for which it has to be let in.
    Whoever waits says the message in the log, and /readyz names the driver's class.
    """

    @property
    def reason(self) -> str:
        """The driver's class, which names neither user nor database."""
        return type(self.__cause__).__name__


# What a statement fails by, be the fault the database's, the way's there, or its own.
FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, DatabaseUnavailable)

# SQLSTATE classes: connection exception, invalid authorization, invalid catalog name (see `NotLetIn` for these two),
# transaction rollback (deadlock), insufficient resources, operator intervention (shutdown, cancelled), system error.
# All may be gone a moment later.
AWAY_CLASSES = ("08", "28", "3D", "40", "53", "57", "58")
# Whoever holds a lock lets go in a moment, as a rule; a server that takes no writes has become another's standby; and a
# session that the server ended over the time of its transaction is followed by another.
AWAY_STATES = ("55P03", "25006", "25P03", "25P04")
# A limit that the server's settings put on the size of one statement: it is met again.
NOT_AWAY_STATES = ("53400",)
# What is prepared or known about a type no longer fits, because a migration went by: the driver has dropped it, and
# asks anew.
OUTDATED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
# How the driver's messages end where the connection is gone, or the pool with this process. It takes a connection that
# breaks from whoever has it, and calls that "released". Of its other complaints of how it is used, none passes.
GONE = (
    "connection is closed",
    "connection has been released back to the pool",
    "pool is closing",
    "pool is closed",
)
# And how they begin, of a connection whose server died while it waited for the end of an answer.
INTERRUPTED = ("cannot switch to ", "not connected")


def is_away(error: BaseException) -> bool:
    """Whether an error means that the database is in trouble, not that the statement is wrong.

    Whatever else a statement fails by (a constraint, a missing column, a missing argument) fails again, however often
    it is tried: whoever waited for that to pass would wait for ever.
    """
    if isinstance(error, exc.DBAPIError):
        error = error.driver_exception
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError) and str(error).endswith(GONE)  # those say a value cannot be sent
    if isinstance(error, (asyncpg.TargetServerAttributeNotMatched, *OUTDATED)):
        return True
    if isinstance(error, asyncpg.PostgresError):
        state = str(error.sqlstate)
        return (state[:2] in AWAY_CLASSES or state in AWAY_STATES) and state not in NOT_AWAY_STATES
    if isinstance(error, asyncpg.InternalClientError):
        return str(error).startswith(INTERRUPTED)
    # The last is an engine's whose connections are all in use.
    return isinstance(error, (DatabaseUnavailable, OSError, exc.TimeoutError))


async def connect(*arguments: Any, **options: Any) -> asyncpg.Connection[Any]:
    """As `asyncpg.connect`, for whoever goes on asking. Raises `NotLetIn`, or `OSError` where nobody answers."""
    try:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(*arguments, **options)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise NotLetIn(f"PostgreSQL does not let us in: {error}") from error
    return connection


# --- telling ----------------------------------------------------------------------------------------------------------
SAID_AGAIN_SECONDS = 60.0  # an outage that lasts is no more news with every try


class Outage:
    """The outage of one thing, as whoever tries it again and again meets it.

    `logger` tells it; `what` says what is put off, in words that can begin a line. `now` is in seconds.
    """

    def __init__(self, what: str, logger: logging.Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._logger = logger
        self._now = now
        self._said_at = 0.0
        self.failed = 0
        """How many tries have failed since the last one that did not."""

    def met(self, error: BaseException, *, foreseen: bool = True) -> None:
        """A try has failed. What nobody foresaw is told with its traceback."""
        now = self._now()
        if self.failed == 0 or now - self._said_at >= SAID_AGAIN_SECONDS:
            self._logger.warning("%s put off: %r", self._what, error, exc_info=None if foreseen else error)
            self._said_at = now
        self.failed += 1

    def over(self) -> None:
        """A try has not failed."""
        if self.failed:
            self._logger.warning("%s goes on; put off %d times", self._what, self.failed)
        self.failed = 0
