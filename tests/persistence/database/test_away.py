"""When the database is in trouble, and when a statement is wrong: one definition, for all who wait for it to pass."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import asyncpg
import pytest

from engine.commands import HoldSeats
from engine.plan_document import read_plan
from engine.turn import Request, execute
from persistence.database import pools
from persistence.database.connection import is_unavailable
from persistence.database.pools import FAILURES, is_away, open_pool
from persistence.journal.journal import Batch, Claim, JournalUnavailable, PostgresJournal
from tests.engine.plans.houses import ANN, NOW, opened, plan_document
from tests.support.waiting import PATIENCE_SECONDS

AWAY = (
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    asyncpg.InternalClientError('cannot switch to state 12; protocol is in the "failed" state'),
    asyncpg.AdminShutdownError("terminating connection"),
    asyncpg.CrashShutdownError("terminating connection because of crash of another server process"),
    asyncpg.CannotConnectNowError("the database system is starting up"),
    asyncpg.TooManyConnectionsError("sorry"),
    asyncpg.DeadlockDetectedError("deadlock"),
    asyncpg.LockNotAvailableError("locked"),
    asyncpg.DiskFullError("full"),
    asyncpg.ReadOnlySQLTransactionError("a standby"),
    ConnectionResetError(),
    FileNotFoundError("the socket"),
    TimeoutError(),
)
WRONG = (
    asyncpg.UniqueViolationError("twice"),
    asyncpg.UndefinedColumnError("no such column"),
    asyncpg.InsufficientPrivilegeError("no"),
    asyncpg.DataError("too large"),
    asyncpg.InternalClientError("got result for unknown protocol state 3"),
    asyncpg.ProtocolError("unexpected number of attributes"),
)


def named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("error", AWAY, ids=named)
def test_what_may_have_passed_a_moment_later_is_an_outage(error: Exception) -> None:
    assert is_away(error)
    assert is_unavailable(error)
    assert isinstance(error, FAILURES)


@pytest.mark.parametrize("error", WRONG, ids=named)
def test_what_fails_however_often_it_is_tried_is_none(error: Exception) -> None:
    assert not is_away(error)
    assert not is_unavailable(error)
    assert isinstance(error, FAILURES)


class Failing:
    """A pool whose every statement fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def acquire(self) -> Failing:
        return self

    async def __aenter__(self) -> Failing:
        raise self._error

    async def __aexit__(self, *_: object) -> None:
        return

    async def fetch(self, *_: object) -> list[Any]:
        raise self._error


@pytest.mark.parametrize("error", AWAY, ids=named)
async def test_an_owner_reads_its_journal_anew_after_an_outage_whatever_the_driver_calls_it(error: Exception) -> None:
    plan = read_plan(plan_document())
    journal = PostgresJournal(cast("asyncpg.Pool[Any]", Failing(error)))
    turn = execute(opened(), Request("r1", HoldSeats("b1", ANN, ("A-1",))), NOW)
    with pytest.raises(JournalUnavailable):
        await journal.append(Claim("s", 1, 1, 0, 0), plan, Batch([*turn.steps]))
    with pytest.raises(JournalUnavailable):
        await journal.claim("s")


async def test_a_server_that_does_not_answer_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor while a connection is made: on a way that is broken it would be tried ever more rarely."""
    monkeypatch.setattr(pools, "CONNECT_SECONDS", 0.05)
    over = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"postgresql://nobody@127.0.0.1:{port}/none"
    async with asyncio.timeout(PATIENCE_SECONDS), open_pool(url, 1) as pool:
        with pytest.raises(TimeoutError):
            await pool.fetch("SELECT 1")
    over.set()
    server.close()
