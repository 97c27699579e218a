"""An API worker in this process, for what needs no Ray: the same app, database and Redis, owners that live here."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import asyncpg
import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from actors.gateway.gateway import Gateway
from actors.owner.schedule import Schedule
from actors.process.clock import SystemClock
from actors.process.settings import Settings
from api.office import office, passwords
from api.server.app import create_app
from persistence.database.dsn import asyncpg_dsn
from persistence.database.roles import API, OWNER, with_role
from persistence.journal.journal import PostgresJournal
from persistence.seats.redis_cache import RedisSeatCache
from tests.support.local_owners import LocalOwner, LocalOwners, OneHost
from tests.support.services.databases import Databases, execute

NUMBERS = itertools.count(1)
PASSWORD = "correct horse battery"
STRONG_HASHER, QUICK_HASHER = passwords.HASHER, PasswordHasher(memory_cost=8, time_cost=1, parallelism=1)


@asynccontextmanager
async def open_local_gateway(settings: Settings) -> AsyncIterator[Gateway[LocalOwner]]:
    """What `actors.gateway.ray_owners.open_gateway` does, without Ray."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            asyncpg.create_pool(asyncpg_dsn(with_role(settings.database_url, OWNER)), min_size=0, max_size=3)
        )
        cache = RedisSeatCache(settings.redis_url)
        stack.push_async_callback(cache.close)
        journal, clock = PostgresJournal(pool), SystemClock()
        owners = LocalOwners(lambda id_: Schedule(id_, journal=journal, cache=cache, log=None, clock=clock))

        async def exists(schedule_id: str) -> bool:
            return bool(await pool.fetchval("SELECT true FROM schedule_heads WHERE schedule_id = $1", schedule_id))

        gateway = Gateway(owners, OneHost(exists))
        try:
            yield gateway
        finally:
            await gateway.close()
            await owners.crash()


class Worker:
    """One API worker, and what tests do with it again and again."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        self.app = app
        self.http = client

    @property
    def office(self) -> office.Office:
        opened: office.Office = self.app.state.office
        return opened

    async def as_superuser(self, statement: str) -> None:
        """Does to the database what the worker itself may not."""
        assert self.office.settings.database_url is not None
        await execute(with_role(self.office.settings.database_url, "postgres"), statement)

    def has_owner(self, schedule_id: str) -> bool:
        """Whether the schedule has an owner in memory."""
        process = self.office.gateway._owners.owner
        return process is not None and schedule_id in process.host._open

    async def sign_up(self, role: str = "customer") -> dict[str, str]:
        """A new account, logged in; gives the headers of its requests."""
        email = f"person{next(NUMBERS)}@example.com"
        body = {"email": email, "password": PASSWORD, "role": role}
        answer = await self.http.post("/v1/accounts", json=body)
        assert answer.status_code == 201, answer.text
        return await self.log_in(email)

    async def log_in(self, email: str, password: str = PASSWORD) -> dict[str, str]:
        answer = await self.http.post("/v1/sessions", json={"email": email, "password": password})
        assert answer.status_code == 201, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.fixture
def strong_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed as everywhere else."""
    monkeypatch.setattr(passwords, "HASHER", STRONG_HASHER)


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[Worker]:
    """A worker that runs until the block ends."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://boxoffice.test") as client,
    ):
        yield Worker(app, client)


OpenLocal = Callable[[Settings], AbstractAsyncContextManager[Worker]]


@pytest.fixture(scope="session")
def open_local() -> Iterator[OpenLocal]:
    """Opens workers without Ray on a database of the caller's. They hash passwords in no time: most tests make accounts
    and have nothing to say of how hard theirs are to guess (`strong_hashes`)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(office, "open_gateway", open_local_gateway)
        patch.setattr(passwords, "HASHER", QUICK_HASHER)
        yield open_worker


def local_settings(database_url: str, redis_url: str) -> Settings:
    """Settings of a worker without Ray."""
    return Settings(
        database_url=with_role(database_url, API),  # as `up` starts it
        redis_url=redis_url,
        sandbox_url="http://127.0.0.1:9",  # nobody pays here
        secret="a secret of at least 32 characters",
        ray_address="127.0.0.1:9",
        fair_use=False,
    )


@pytest.fixture(scope="module")
async def worker(databases: Databases, redis_url: str, open_local: OpenLocal) -> AsyncIterator[Worker]:
    """A worker on a database of this test module's: use accounts and performances of your own."""
    async with (
        databases.lent() as url,
        open_local(local_settings(url, redis_url)) as opened,
    ):
        yield opened


@pytest.fixture
async def fresh_worker(database_url: str, redis_url: str, open_local: OpenLocal) -> AsyncIterator[Worker]:
    """A worker on a database of this test's own, where nothing is registered."""
    async with open_local(local_settings(database_url, redis_url)) as opened:
        yield opened
