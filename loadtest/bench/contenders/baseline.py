"""A baseline as a contender: two API processes like ours, and a database of its own like ours."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import jwt
import psutil
from redis.asyncio import Redis

from actors.supervision.programs import LISTEN_FD_VARIABLE, READY_FILE_VARIABLE, listening
from loadtest.baselines import postgres as tables
from loadtest.baselines import redis_lua
from loadtest.baselines.app import Seat
from loadtest.baselines.serve import SECRET_VARIABLE, STORE_VARIABLE
from loadtest.bench.contenders.contender import CATEGORY, PRICE, seat_ids
from loadtest.bench.contenders.processes import Groups, tree
from loadtest.bench.contenders.verification import Stored
from persistence.embedded.instance import remove_run_directory
from persistence.embedded.postgres import postgres
from persistence.embedded.process import Child, Program, child_environment, running
from persistence.embedded.redis import redis

WORKERS = 2
CUSTOMERS = 20
TOKEN_SECONDS = 3600
REDIS_MEMORY = "2gb"  # it holds all bookings of a run, and refuses them where it has no room


class Nothing:
    """The no-op's database."""

    url = "none"

    async def put_on_sale(self, schedule_id: str, seats: list[Seat]) -> None:
        """There is nothing to prepare."""

    async def booked(self, schedule_ids: list[str]) -> dict[str, list[str]]:
        raise NotImplementedError("a no-op books nothing: nobody asks")


class InPostgres:
    """The tables of `loadtest/baselines/postgres.py` in an empty database."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def make_tables(self) -> None:
        async with self._connected() as connection:
            await connection.execute(tables.SCHEMA)

    async def put_on_sale(self, schedule_id: str, seats: list[Seat]) -> None:
        async with self._connected() as connection:
            await tables.put_on_sale(connection, schedule_id, seats)

    async def booked(self, schedule_ids: list[str]) -> dict[str, list[str]]:
        async with self._connected() as connection:
            return await tables.booked(connection, schedule_ids)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()


class InRedis:
    """The keys of `loadtest/baselines/redis_lua.py`."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def put_on_sale(self, schedule_id: str, seats: list[Seat]) -> None:
        async with Redis.from_url(self.url) as client:
            await redis_lua.put_on_sale(client, schedule_id, seats)

    async def booked(self, schedule_ids: list[str]) -> dict[str, list[str]]:
        async with Redis.from_url(self.url) as client:
            return await redis_lua.booked(client, schedule_ids)


Database = Nothing | InPostgres | InRedis


class Baseline:
    """A `Contender` whose API processes run."""

    def __init__(self, url: str, secret: str, database: Database, children: dict[str, list[Child]]) -> None:
        self.url = url
        self.tokens = tuple(token(secret) for _ in range(CUSTOMERS))
        self._database = database
        self._children = children

    async def put_on_sale(self, schedules: int, seats: int) -> list[str]:
        made = [str(uuid.uuid4()) for _ in range(schedules)]
        for schedule_id in made:
            await self._database.put_on_sale(schedule_id, [seat_of(each) for each in seat_ids(seats)])
        return made

    async def booked(self, schedule_ids: list[str]) -> dict[str, Stored]:
        return {each: Stored(seats) for each, seats in (await self._database.booked(schedule_ids)).items()}

    async def caught_up(self) -> bool:
        return True  # there is nobody beside it

    def processes(self) -> Groups:
        return {
            name: [process for child in children for process in tree(psutil.Process(child.pid))]
            for name, children in self._children.items()
        }


def seat_of(seat_id: str) -> Seat:
    zone, row, number = seat_id.split("-")
    return Seat(seat_id, f"Z{zone}", row, number, CATEGORY, PRICE)


def token(secret: str) -> str:
    """A customer's, with the claims that our own have."""
    now = int(time.time())
    claims = {
        "sub": str(uuid.uuid4()),
        "role": "customer",
        "sid": str(uuid.uuid4()),
        "iat": now,
        "jti": secrets.token_hex(8),
    }
    return jwt.encode({**claims, "exp": now + TOKEN_SECONDS}, secret, "HS256")


@contextlib.asynccontextmanager
async def open_baseline(name: str, *, appendfsync: str = "always") -> AsyncIterator[Baseline]:
    """The baseline with a database of its own in a temporary directory."""
    directory = Path(tempfile.mkdtemp(prefix="boxoffice-baseline-"))
    try:
        async with AsyncExitStack() as closing:
            children: dict[str, list[Child]] = {}
            database: Database = Nothing()
            if name == "redis_lua":
                server = await closing.enter_async_context(running(durable_redis(directory, appendfsync)))
                children["Redis"] = [server]
                database = InRedis(server.program.address)
            elif name != "noop":
                server = await closing.enter_async_context(running(postgres(directory)))
                children["PostgreSQL"] = [server]
                database = InPostgres(server.program.address)
                await database.make_tables()
            yield await closing.enter_async_context(serving(name, database, directory, children))
    finally:
        remove_run_directory(directory)
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.asynccontextmanager
async def serving(
    name: str, database: Database, directory: Path, children: dict[str, list[Child]], workers: int = WORKERS
) -> AsyncIterator[Baseline]:
    """The baseline's API processes on a database that is there."""
    secret = secrets.token_hex(32)
    environment = child_environment(os.environ, **{SECRET_VARIABLE: secret, STORE_VARIABLE: database.url})
    async with AsyncExitStack() as closing:
        listener = closing.enter_context(listening("127.0.0.1", 0))
        programs = [worker(name, number, listener.fileno(), directory) for number in range(workers)]
        api = [await closing.enter_async_context(running(program, environment)) for program in programs]
        yield Baseline(f"http://127.0.0.1:{listener.getsockname()[1]}", secret, database, {"API": api, **children})


def worker(name: str, number: int, listener: int, directory: Path) -> Program:
    """One process of a baseline, which accepts connections on the socket `listener`."""
    ready_file = directory / f"{name}-{number}.ready"

    async def prepare() -> None:
        ready_file.unlink(missing_ok=True)

    async def ready() -> None:
        if not ready_file.exists():
            raise ConnectionError("still starting")

    return Program(
        name=f"{name}-{number}",
        argv=(sys.executable, "-m", "loadtest.baselines.serve", name),
        address="",
        prepare=prepare,
        ready=ready,
        environment={LISTEN_FD_VARIABLE: str(listener), READY_FILE_VARIABLE: str(ready_file)},
        pass_fds=(listener,),
        log=directory / "logs" / f"{name}-{number}.log",
    )


def durable_redis(directory: Path, appendfsync: str) -> Program:
    """The embedded Redis as a database: an append-only file in place of nothing at all."""
    cache = redis(directory)
    data = directory / "redis"
    data.mkdir()
    changed = {"appendonly": "yes", "appendfsync": appendfsync, "maxmemory": REDIS_MEMORY, "dir": str(data)}
    # Of a setting given twice, Redis takes the last.
    more = (word for name, value in changed.items() for word in (f"--{name}", value))
    return replace(cache, argv=(*cache.argv, *more))
