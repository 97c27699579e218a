"""How well the service can do its job: what is down, and what works but worse than it should.

Nothing is asked more than once a second, whoever asks: the question is anybody's, and a commit is among the answers.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import sqlalchemy as sa
from msgspec import Struct

from actors.process.settings import Settings
from api.http.models import normal_email
from api.office.office import Office
from persistence.accounts import accounts
from persistence.database.asked_once import AskedOnce
from persistence.database.away import NotLetIn
from persistence.embedded.instance import run_directory
from persistence.embedded.outside import reach_tcp
from persistence.journal import heads

CHECK_SECONDS = 2.0
ASKED_AGAIN_SECONDS = 1.0
LOW_DISK_BYTES = 1024 * 1024 * 1024  # less than the journal's own write-ahead log may take
SILENT_SECONDS = 10.0  # for so long a request that its owner did not answer in time is news
LAG_SECONDS = 60.0  # events are published within a second; what waits so long waits for a broker
REDIS_KEY, REDIS_KEY_SECONDS = "boxoffice:ready", 60

UP = "up"


def season_mark(settings: Settings) -> Path:
    """The file by which a start says that the demo season is there. It goes with what runs."""
    return run_directory(settings.data_path) / "season.loaded"


class Recent:
    """How often something has happened lately."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=10_000)

    def happened(self) -> None:
        self._times.append(time.monotonic())

    def count(self) -> int:
        since = time.monotonic() - self._seconds
        return sum(moment >= since for moment in self._times)


OWNERS_SILENT = Recent(SILENT_SECONDS)  # requests of this process that no owner answered in time


class Condition(Struct, frozen=True):
    """Each part by name: `up`, or what is the matter. Without what is in `down` the service cannot do its job."""

    down: dict[str, str]
    degraded: dict[str, str]

    @property
    def checks(self) -> dict[str, str]:
        return self.down | self.degraded

    @property
    def is_down(self) -> bool:
        return any(state != UP for state in self.down.values())

    @property
    def status(self) -> str:
        return UP if all(state == UP for state in self.checks.values()) else "degraded"


class NoAdministrator(Exception):
    """Whom the environment names cannot administer."""


class Impaired(Exception):
    """What is not as it should be; the message says what."""


class Prober:
    """Asks all parts, at most once a second."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._found: AskedOnce[Condition] = AskedOnce(1)

    async def readiness(self) -> Condition:
        """How the service does, as of a second ago at most."""
        return await self._found.ask("ready?", self._ask, within_seconds=ASKED_AGAIN_SECONDS)

    async def _ask(self) -> Condition:
        office = self._office
        needed: dict[str, Callable[[], Awaitable[object]]] = {
            "postgres": self._ask_postgres,
            "administrator": self._ask_for_administrator,
            "ray": lambda: reach_tcp(office.settings.ray),
        }
        if office.settings.node:
            needed["machine"] = self._look_at_the_machine
        if office.settings.demo:
            needed["demo"] = self._look_for_the_season
        wanted: dict[str, Callable[[], Awaitable[object]]] = {
            # It may be away for all machines at once, and they sell on: no load balancer is to leave all of them.
            # Written, since one that is full answers whoever only reads, too.
            "redis": lambda: cast(Awaitable[object], office.redis.set(REDIS_KEY, "ready?", ex=REDIS_KEY_SECONDS)),
            "writes": self._write,
            "disk": self._look_at_the_disk,
            "owners": self._look_at_owners,
        }
        if office.settings.publishing is not None:
            wanted["kafka"] = self._look_at_publishing
        states = await asyncio.gather(*(_state(ask) for ask in (*needed.values(), *wanted.values())))
        named = dict(zip((*needed, *wanted), states, strict=True))
        return Condition({name: named[name] for name in needed}, {name: named[name] for name in wanted})

    async def _ask_postgres(self) -> None:
        async with self._office.reading.connect() as connection:
            await connection.execute(sa.select(1))

    async def _ask_for_administrator(self) -> None:
        """The one that the environment names can administer."""
        email = self._office.settings.admin_email
        if email is None:
            return
        async with self._office.reading.connect() as connection:
            row = await accounts.by_email(connection, normal_email(email))
        if row is None or row.role != accounts.ADMIN or row.locked_at is not None:
            raise NoAdministrator

    async def _look_at_the_machine(self) -> None:
        """It is to be given new requests."""
        if self._office.gateway.draining:
            raise Impaired("draining: others of the cluster take over")

    async def _look_for_the_season(self) -> None:
        if not season_mark(self._office.settings).exists():
            raise Impaired("the demo season is being loaded")

    async def _write(self) -> None:
        """A commit that is durable and changes nothing: a mark in the write-ahead log that nobody reads."""
        async with self._office.database.begin() as connection:
            if (await connection.execute(sa.text("SHOW transaction_read_only"))).scalar_one() == "on":
                raise Impaired("the database takes no writes")
            await connection.execute(sa.text("SELECT pg_logical_emit_message(true, 'boxoffice', 'ready?')"))

    async def _look_at_the_disk(self) -> None:
        path = self._office.settings.data_path
        there = next(each for each in (path, *path.parents) if each.exists())
        free = (await asyncio.to_thread(shutil.disk_usage, there)).free
        if free < LOW_DISK_BYTES:
            raise Impaired(f"{free // 1024 // 1024} MiB are left")

    async def _look_at_owners(self) -> None:
        if silent := OWNERS_SILENT.count():
            raise Impaired(f"{silent} requests of the last {SILENT_SECONDS:.0f} s were not answered in time")

    async def _look_at_publishing(self) -> None:
        async with self._office.reading.connect() as connection:
            lag = await heads.oldest_unpublished_seconds(connection)
        if lag is not None and lag > LAG_SECONDS:
            raise Impaired(f"events have waited for {float(lag):.0f} s")


async def _state(ask: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await ask()
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:.0f} s"
    except Impaired as impaired:
        return str(impaired)
    except NotLetIn as refused:  # whose message names the user, and anybody may ask
        return f"PostgreSQL does not let us in: {refused.reason}"
    except Exception as error:  # noqa: BLE001  # whatever a client library raises is the answer here
        return type(error).__name__
    return UP
