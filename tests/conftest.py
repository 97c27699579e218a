"""Fixtures for everything that needs a real service or the whole running system.

Services are started once a test session, on first use, as children that die with it; each test gets its own database.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from xdist.remote import Producer

from actors.process.garbage import spare_what_is_here
from actors.supervision.ray_head import client_environment
from loadtest.apache_kafka import CannotFetch, apache_kafka, check_java, fetch, java
from persistence.database.connection import migrate
from persistence.database.roles import establish
from persistence.embedded.instance import remove_run_directory
from persistence.embedded.kafka import kafka
from persistence.embedded.postgres import postgres
from persistence.embedded.process import Program, free_port, running
from persistence.embedded.redis import redis
from tests.support import pace
from tests.support.services import commands
from tests.support.services.databases import Databases, execute, other_database
from tests.support.services.guarded_ray import guarded_ray
from tests.support.services.instance import ADMIN_EMAIL, ADMIN_PASSWORD, Instance
from tests.support.waiting import PATIENCE_SECONDS

DATABASE_NUMBERS = itertools.count(1)
SHOPPING_AT_ONCE = 2  # on the shared stack: a third person makes a line before a date with a waiting room
# Limits of ours past which a house in a test's own process would turn somebody away, or ask elsewhere.
UNHURRIED = (
    "api.office.office.REDIS_TIMEOUT_SECONDS",
    "api.office.passwords.MAX_WAIT_SECONDS",
    "persistence.accounts.tries.TIMEOUT_SECONDS",
    "persistence.seats.redis_cache.TIMEOUT_SECONDS",
)

# This session's data directory; not pytest's own, which PostgreSQL's user could not pass. Made this early because Ray
# reads how to join its head when it is imported, and what tests import may import Ray.
SERVICES = Path(tempfile.mkdtemp(prefix="boxoffice-test-"))
os.environ.update(client_environment(SERVICES))
# What test processes and stacks import is compiled once, whatever we were told.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Takes SIGTERM (a time limit, a CI job called off) for Ctrl-C, so that fixtures still put everything away."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.pluginmanager.register(pace.EndsWithItsUnit())


def pytest_unconfigure() -> None:
    """Leaves nothing where no test needed a service."""
    shutil.rmtree(SERVICES, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Finds the tests without looking for garbage meanwhile: all that is made is there to stay. That is a fifth of it.

    Afterwards it is looked for as in our processes, seldom and never through what is here.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        spare_what_is_here()


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    pace.mark_plain(items)
    items[:] = pace.in_order(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> pace.ByWhatIsShared:
    return pace.ByWhatIsShared(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names the slowest files, where there were several."""
    outcomes = terminalreporter.stats.values()
    reports = [each for outcome in outcomes for each in outcome if isinstance(each, pytest.TestReport)]
    slowest = pace.slowest_files(reports)
    if len(slowest) > 1:
        terminalreporter.section("slowest files")
        for path, seconds in slowest:
            terminalreporter.write_line(f"{seconds:7.1f} s  {path}")


@pytest.fixture(scope="session")
def unhurried() -> Iterator[None]:
    """What goes on without an answer that takes too long waits for it here: this machine may be busy with anything."""
    with pytest.MonkeyPatch.context() as patch:
        for limit in UNHURRIED:
            patch.setattr(limit, PATIENCE_SECONDS)
        yield


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """pytest's own; and of what ran on it no sockets are left beside it."""
    yield tmp_path
    remove_run_directory(tmp_path)


@pytest.fixture(scope="session")
async def services_dir() -> AsyncIterator[Path]:
    """A data directory for this session's services."""
    yield SERVICES
    await commands.end()
    remove_run_directory(SERVICES)
    shutil.rmtree(SERVICES, ignore_errors=True)


@pytest.fixture(scope="session")
async def ray_address(services_dir: Path) -> AsyncIterator[str]:
    """A Ray head that this process may join."""
    async with guarded_ray(services_dir) as address:
        yield address


@pytest.fixture(scope="session")
async def postgres_url(services_dir: Path) -> AsyncIterator[str]:
    """A PostgreSQL server; the URL names its empty database `boxoffice`.

    What is in it is thrown away, so nothing waits for the disk: with our own settings, a test with a database of its
    own would spend most of its time on making and dropping it. A stack's server is as durable as anybody's.
    """
    program = postgres(services_dir)
    async with running(replace(program, argv=(*program.argv, "-c", "fsync=off", "-c", "full_page_writes=off"))):
        yield program.address


@pytest.fixture(scope="session")
async def template_database(postgres_url: str) -> str:
    """The name of a migrated database that is only ever copied."""
    await execute(postgres_url, "CREATE DATABASE template_migrated")
    url = other_database(postgres_url, "template_migrated")
    await migrate(url)
    assert await establish(url)
    return "template_migrated"


@pytest.fixture(scope="session")
def databases(postgres_url: str, template_database: str) -> Databases:
    """Migrated databases with nothing in them, for those who need one for longer than a test: `databases.lent()`."""
    return Databases(postgres_url, template_database)


@pytest.fixture
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """A migrated database with nothing in it, this test's own."""
    async with databases.lent() as url:
        yield url


@pytest.fixture(scope="session")
async def redis_url(services_dir: Path, unhurried: None) -> AsyncIterator[str]:
    """A Redis server, shared by the session's tests: use keys of your own. It is given time to answer."""
    program = redis(services_dir)
    async with running(program):
        yield program.address


@pytest.fixture(scope="session")
async def kafka_servers(services_dir: Path) -> AsyncIterator[str]:
    """A Kafka-protocol broker, shared by the session's tests: use topics of your own."""
    program = kafka(services_dir)
    async with running(program):
        yield program.address


@pytest.fixture(params=["embedded", "apache"])
def servers(request: pytest.FixtureRequest) -> str:
    """Each broker in turn: the embedded one always, Apache Kafka where it can be had."""
    fixture = {"embedded": "kafka_servers", "apache": "apache_kafka_servers"}[request.param]
    found: str = request.getfixturevalue(fixture)
    return found


@pytest.fixture(params=["embedded", "apache"])
def own_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """A broker of the test's own, to be started, stopped and started again. Apache Kafka keeps what it has."""
    if request.param == "embedded":
        return kafka(tmp_path)
    return apache_kafka(request.getfixturevalue("apache_kafka_jars"), tmp_path)


@pytest.fixture(scope="session")
async def apache_kafka_jars() -> Path:
    """Apache Kafka's own programs. Where there is no Java, or they cannot be fetched, the test is skipped."""
    try:
        await check_java(java())
        return await fetch()
    except CannotFetch as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
async def apache_kafka_servers(apache_kafka_jars: Path, services_dir: Path) -> AsyncIterator[str]:
    """Apache Kafka, shared by the session's tests like `kafka_servers`."""
    program = apache_kafka(apache_kafka_jars, services_dir)
    async with running(program):
        yield program.address


class Stack(Instance):
    """The whole system, on a port and in a directory of its own, with fair-use limits off."""

    admin_email = ADMIN_EMAIL
    admin_password = ADMIN_PASSWORD

    def __init__(self, workers: int, arguments: tuple[str, ...], extra: dict[str, str]) -> None:
        self.port = free_port()
        own = ("--port", str(self.port), "--workers", str(workers))
        super().__init__("stack", f"http://127.0.0.1:{self.port}", (*own, *arguments), extra)

    @property
    def database_url(self) -> str:
        return self.run.environment["DATABASE_URL"]


MakeStack = Callable[..., AbstractAsyncContextManager[Stack]]


@contextlib.asynccontextmanager
async def stack_of(*arguments: str, workers: int = 2, **extra: str) -> AsyncIterator[Stack]:
    """A running system; `arguments` go to `boxoffice up`, `extra` into its environment."""
    stack = Stack(workers, arguments, extra)
    try:
        await stack.start()
        yield stack
    finally:
        await stack.destroy()


@pytest.fixture(scope="session")
def make_stack() -> MakeStack:
    """For tests that need a system of their own: `async with make_stack(workers=1, BOXOFFICE_…="…") as stack`."""
    return stack_of


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    """One running system for all tests that leave it running: use accounts and performances of your own."""
    async with stack_of(BOXOFFICE_SHOPPING_AT_ONCE=str(SHOPPING_AT_ONCE)) as running_stack:
        yield running_stack


@pytest.fixture(scope="session")
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running system."""
    async with stack.client() as client:
        yield client


@contextlib.asynccontextmanager
async def made_database(postgres_url: str) -> AsyncIterator[str]:
    """A database nothing has been done to, for the time of the block."""
    name = f"made_{next(DATABASE_NUMBERS)}"
    await execute(postgres_url, f"CREATE DATABASE {name} STRATEGY FILE_COPY")
    try:
        yield other_database(postgres_url, name)
    finally:
        await execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")
