"""When the database is in trouble, and when a statement is wrong: one definition, for all who wait for it to pass."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi

from engine.commands import HoldSeats
from engine.plan_document import read_plan
from engine.turn import Request, execute
from persistence.database import pools
from persistence.database.away import FAILURES, DatabaseUnavailable, NotLetIn, is_away
from persistence.database.connection import create_engine
from persistence.database.pools import open_pool
from persistence.journal.journal import (
    Batch,
    BatchRefused,
    Claim,
    JournalUnavailable,
    PostgresJournal,
    UnknownSchedule,
)
from tests.engine.plans.houses import ANN, NOW, opened, plan_document
from tests.support.services.databases import execute as run
from tests.support.waiting import PATIENCE_SECONDS, until

AWAY = (
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    asyncpg.InternalClientError('cannot switch to state 12; protocol is in the "failed" state'),
    asyncpg.AdminShutdownError("terminating connection"),
    asyncpg.CrashShutdownError("terminating connection because of crash of another server process"),
    asyncpg.CannotConnectNowError("the database system is starting up"),
    asyncpg.TooManyConnectionsError("sorry"),
    asyncpg.InvalidPasswordError("password authentication failed"),
    asyncpg.InvalidCatalogNameError("no such database"),
    asyncpg.DeadlockDetectedError("deadlock"),
    asyncpg.LockNotAvailableError("locked"),
    asyncpg.DiskFullError("full"),
    asyncpg.ReadOnlySQLTransactionError("a standby"),
    ConnectionResetError(),
    FileNotFoundError("the socket"),
    TimeoutError(),
    NotLetIn("PostgreSQL does not let us in"),
    DatabaseUnavailable("PostgreSQL cannot be reached"),
)
WRONG = (
    asyncpg.UniqueViolationError("twice"),
    asyncpg.UndefinedColumnError("no such column"),
    asyncpg.InsufficientPrivilegeError("no"),
    asyncpg.DataError("too large"),
    asyncpg.InterfaceError("the server expects 2 arguments for this query, 1 was passed"),
    asyncpg.InterfaceError("the number of query arguments cannot exceed 32767"),
    asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
    asyncpg.UnsupportedClientFeatureError("custom codecs on domain types are not supported"),
    asyncpg.ClientConfigurationError("invalid DSN"),
    asyncpg.InternalClientError("got result for unknown protocol state 3"),
    asyncpg.ProtocolError("unexpected number of attributes"),
)


def named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def by_way_of_sqlalchemy(error: Exception) -> exc.DBAPIError:
    """As an engine raises what its driver did."""
    adapted = AsyncAdapt_asyncpg_dbapi(asyncpg)
    kinds = adapted._asyncpg_error_translate
    kind = next((kinds[each] for each in type(error).__mro__ if each in kinds), adapted.Error)
    raised = exc.DBAPIError.instance("SELECT 1", {}, kind(str(error), error), adapted.Error)
    assert isinstance(raised, exc.DBAPIError)
    assert raised.driver_exception is error
    return raised


@pytest.mark.parametrize("error", AWAY, ids=named)
def test_what_may_have_passed_a_moment_later_is_an_outage(error: Exception) -> None:
    assert is_away(error)
    assert isinstance(error, FAILURES)


@pytest.mark.parametrize("error", WRONG, ids=named)
def test_what_fails_however_often_it_is_tried_is_none(error: Exception) -> None:
    assert not is_away(error)
    assert isinstance(error, FAILURES)


@pytest.mark.parametrize(
    "error", [each for each in AWAY + WRONG if type(each).__module__.startswith("asyncpg")], ids=named
)
def test_an_engine_s_error_is_what_its_driver_s_is(error: Exception) -> None:
    """Whatever SQLAlchemy calls it: all that asyncpg says of its use is an `InterfaceError` there."""
    assert is_away(by_way_of_sqlalchemy(error)) == is_away(error)


# --- all that the driver knows ----------------------------------------------------------------------------------------
# Classes of SQLSTATE (PostgreSQL's appendix A) of which none passes. Those of which some do are named one by one below.
FOR_GOOD = """
02 03 09 0A 0B 0F 0L 0P 0Z 10 20 21 22 23 24 26 27 2B 2D 2F 34 38 39 3B 3F 42 44 54 72 F0 HV P0 XX
"""
PASSES = """
08000 08001 08003 08004 08006 08007 08P01 25006 25P03 25P04 28000 28P01 3D000 40000 40001 40002 40003 40P01
53000 53100 53200 53300 55P03 57000 57014 57P01 57P02 57P03 57P04 57P05 58000 58030 58P01 58P02 58P03
"""
DOES_NOT = "25000 25001 25002 25003 25004 25005 25007 25008 25P01 25P02 53400 55000 55006 55P02 55P04"
WITHOUT_STATE = {  # the driver's own, as far as the class decides
    asyncpg.ClientConfigurationError: False,
    asyncpg.exceptions._base.DataError: False,
    asyncpg.FatalPostgresError: False,  # of no state; the server's have one
    asyncpg.PostgresError: False,
    asyncpg.OutdatedSchemaCacheError: True,
    asyncpg.ProtocolError: False,
    asyncpg.TargetServerAttributeNotMatched: True,
    asyncpg.UnknownPostgresError: False,
    asyncpg.UnsupportedClientFeatureError: False,
    asyncpg.UnsupportedServerFeatureError: False,
}
BY_MESSAGE = (asyncpg.InterfaceError, asyncpg.InternalClientError)
PLACED_BY_CLASS = {asyncpg.InvalidCachedStatementError: True}  # of a state that others have, which do not pass


def errors(of: type[BaseException] = BaseException) -> Iterator[type[BaseException]]:
    """The driver's classes of errors, those it does not export included."""
    for kind in of.__subclasses__():
        if kind.__module__.startswith("asyncpg") and not issubclass(kind, Warning):
            yield kind
        yield from errors(kind)


def test_each_class_of_the_driver_s_has_its_place() -> None:
    known = {kind for kind in errors() if issubclass(kind, FAILURES)}
    assert len(known) > 250
    unplaced = []
    for kind in sorted(known - set(BY_MESSAGE), key=lambda each: each.__name__):
        state = getattr(kind, "sqlstate", None)
        passes = (PLACED_BY_CLASS if state else WITHOUT_STATE).get(kind)
        if passes is None and state in (PASSES + DOES_NOT).split():
            passes = state in PASSES.split()
        if passes is None and state is not None and state[:2] in FOR_GOOD.split():
            passes = False
        if passes is None:
            unplaced.append(f"{kind.__name__} {state}")
        else:
            assert is_away(kind("of this kind")) == passes, (kind.__name__, state)
    assert unplaced == [], "does it pass? Then a place above, and in persistence/database/away.py"


def test_what_is_no_failure_of_a_statement_is_raised_by_none() -> None:
    """What the driver knows beside `FAILURES` would pass by all who wait for an outage to end."""
    beside = {kind.__name__ for kind in errors() if not issubclass(kind, FAILURES)}
    assert beside == {"BufferError", "_NextHostSignal", "_RetryConnectSignal"}, "these it keeps to itself"


# What the driver raises an `InterfaceError` or `InternalClientError` with, as it stands in its source.
RAISED = re.compile(r"(?:raise|=) [\w.]*\b(InterfaceError|InternalClientError)\(\s*")
TEXT = re.compile(r"f?(?:'([^'\n]*)'|\"([^\"\n]*)\")\s*")
PLACES = Path(__file__).parent / "asyncpg_says.txt"


def said_by_the_driver() -> Iterator[tuple[type[Exception], str]]:
    folder = Path(asyncpg.__file__).parent
    for path in (*folder.rglob("*.py"), *folder.rglob("*.pyx")):
        source = path.read_text()
        for raised in RAISED.finditer(source):
            words, at = [], raised.end()
            while piece := TEXT.match(source, at):
                words.append(piece[1] or piece[2] or "")
                at = piece.end()
            yield getattr(asyncpg, raised[1]), "".join(words)


def test_each_message_of_the_driver_s_has_its_place() -> None:
    """One class of it says that a connection is gone and that a call was wrong: the text tells them apart."""
    lines = (line.partition(": ") for line in PLACES.read_text().splitlines())
    places = {text: place == "passes" for place, _, text in lines}
    said = set(said_by_the_driver())
    assert len(said) > 80, "the driver's source is there to be read"
    assert {text for _, text in said} - places.keys() == set(), f"does it pass? Then a line in {PLACES.name}"
    assert places.keys() - {text for _, text in said} == set(), f"nobody says it any more: out of {PLACES.name}"
    assert {text: is_away(kind(text)) for kind, text in said} == places


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


@pytest.mark.parametrize("error", WRONG, ids=named)
async def test_an_owner_decides_nothing_anew_over_what_fails_however_often_it_is_tried(error: Exception) -> None:
    plan = read_plan(plan_document())
    journal = PostgresJournal(cast("asyncpg.Pool[Any]", Failing(error)))
    turn = execute(opened(), Request("r1", HoldSeats("b1", ANN, ("A-1",))), NOW)
    with pytest.raises(Exception) as raised:  # as it comes, or refused for good
        await journal.append(Claim("s", 1, 1, 0, 0), plan, Batch([*turn.steps]))
    assert raised.value is error or isinstance(raised.value, BatchRefused)
    with pytest.raises(type(error)):
        await journal.claim("s")


async def test_who_is_no_longer_let_in_waits_and_comes_back_by_itself(database_url: str) -> None:
    """As while a password is changed in the database and not in the settings yet: connections that are open stay, and
    new ones are refused until both agree. For a pool and an engine alike."""
    await run(database_url, "CREATE ROLE rotated LOGIN SUPERUSER")
    url = database_url.replace("//postgres@", "//rotated@")
    engine = create_engine(url)
    try:
        async with open_pool(url, 1) as pool:
            assert await pool.fetchval("SELECT current_user") == "rotated"
            await run(database_url, "ALTER ROLE rotated NOLOGIN")
            assert await pool.fetchval("SELECT current_user") == "rotated"
            with pytest.raises(NotLetIn, match="not permitted to log in") as refused:
                await engine.connect()
            assert is_away(refused.value)
            await run(database_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'")
            await until(lambda: pool.get_idle_size() == 0)
            with pytest.raises(NotLetIn, match="not permitted to log in") as refused:
                await pool.fetchval("SELECT 1")
            assert is_away(refused.value)
            assert refused.value.reason == "InvalidAuthorizationSpecificationError"
            with pytest.raises(JournalUnavailable, match="PostgreSQL does not let us in"):
                await PostgresJournal(pool).claim(str(UUID(int=1)))
            await run(database_url, "ALTER ROLE rotated LOGIN")
            with pytest.raises(UnknownSchedule):
                await PostgresJournal(pool).claim(str(UUID(int=1)))
            async with engine.connect() as connection:
                assert await connection.scalar(sa.text("SELECT current_user")) == "rotated"
    finally:
        await engine.dispose()
        await run(database_url, "DROP ROLE rotated")


async def test_a_call_that_is_wrong_is_no_outage_on_either_way(database_url: str) -> None:
    """The driver raises both as an `InterfaceError`."""
    engine = create_engine(database_url)
    async with open_pool(database_url, 1) as pool:
        with pytest.raises(asyncpg.InterfaceError, match="expects 2 arguments") as wrong:
            await pool.fetchval("SELECT $1::int + $2::int", 1)
        assert not is_away(wrong.value)
    async with engine.connect() as connection:
        with pytest.raises(exc.InterfaceError, match="expects 2 arguments") as told:
            await connection.exec_driver_sql("SELECT $1::int + $2::int", (1,))
        assert not is_away(told.value)
    await engine.dispose()


async def test_a_connection_that_breaks_is_an_outage_on_either_way(database_url: str) -> None:
    """At the first statement, and at the next one on the same connection: the pool has taken it back by then."""
    broken = "SELECT pg_terminate_backend(pg_backend_pid())"
    engine = create_engine(database_url)
    found: list[BaseException] = []
    async with open_pool(database_url, 1) as pool, pool.acquire() as connection:
        for statement in (broken, "SELECT 1"):
            with pytest.raises(FAILURES) as gone:
                await connection.execute(statement)
            found.append(gone.value)
    async with engine.connect() as connection:
        with pytest.raises(exc.DBAPIError) as told:
            await connection.exec_driver_sql(broken)
        found.append(told.value)
    await engine.dispose()
    with pytest.raises(asyncpg.InterfaceError) as closed:
        await pool.fetchval("SELECT 1")
    assert [each for each in (*found, closed.value) if not is_away(each)] == []


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
