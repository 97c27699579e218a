"""What `/readyz` says of a service that can do its job, but worse than it should."""

from __future__ import annotations

import asyncio
import shutil
from collections import namedtuple
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from msgspec.structs import replace
from redis.exceptions import OutOfMemoryError

from actors.gateway.gateway import Unavailable
from api.views import readiness
from api.views.failures import problem_of_error
from tests.api.conftest import Worker
from tests.support.sale import hold, open_sale, problem
from tests.support.services.databases import execute
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def asked_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def reached(address: str) -> None:
        """Nothing runs where Ray should be."""

    monkeypatch.setattr(readiness, "ASKED_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(readiness, "reach_tcp", reached)
    monkeypatch.setattr(readiness, "OWNERS_SILENT", readiness.Recent(10.0))


async def degraded(worker: Worker) -> dict[str, str]:
    """What is the matter; the service can do its job."""
    answer = await worker.http.get("/readyz")
    assert answer.status_code == httpx.codes.OK, answer.text
    wrong = {name: state for name, state in answer.json()["checks"].items() if state != "up"}
    assert answer.json()["status"] == ("degraded" if wrong else "up")
    return wrong


async def test_all_is_well(worker: Worker) -> None:
    assert await degraded(worker) == {}


async def test_a_database_that_takes_no_writes(fresh_worker: Worker) -> None:
    statement = "'ALTER DATABASE %I SET default_transaction_read_only = on', current_database()"
    await fresh_worker.as_superuser(f"DO $$ BEGIN EXECUTE format({statement}); END $$")
    await fresh_worker.office.database.dispose()
    assert await degraded(fresh_worker) == {"writes": "the database takes no writes"}


async def test_a_database_that_does_not_let_us_in_any_more_says_so(fresh_worker: Worker, postgres_url: str) -> None:
    """By the driver's class: its message names the user, and anybody may ask."""
    url = fresh_worker.office.settings.database_url
    assert url is not None
    name = urlsplit(url).path.strip("/")
    await execute(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        await fresh_worker.office.database.dispose()
        document = problem(await fresh_worker.http.get("/readyz"), 503, "not_ready")
    finally:
        await execute(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    said = "PostgreSQL does not let us in: ObjectNotInPrerequisiteStateError"
    assert (document["checks"]["postgres"], document["checks"]["writes"]) == (said, said)
    assert await degraded(fresh_worker) == {}


@pytest.mark.parametrize("error", [ConnectionError, OutOfMemoryError])
async def test_a_redis_that_is_away_or_full(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Machines sell without it, and a load balancer would find none of them ready."""

    async def written(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(worker.office.redis, "set", written)
    assert await degraded(worker) == {"redis": error.__name__}


async def test_a_disk_that_is_full(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**40, 2**40, 2**20))
    assert await degraded(worker) == {"disk": "1 MiB are left"}


async def test_owners_that_do_not_answer_in_time(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.views.failures.OWNERS_SILENT", readiness.OWNERS_SILENT)
    problem_of_error(Unavailable("the schedule did not answer in time"))
    assert await degraded(worker) == {"owners": "1 requests of the last 10 s were not answered in time"}
    monkeypatch.setattr(readiness.OWNERS_SILENT, "_seconds", 0.0)
    assert await degraded(worker) == {}


async def test_a_season_that_is_still_being_loaded(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `up --demo` promises is there before it is said to be ready."""
    settings = replace(worker.office.settings, demo=True, data_dir=str(tmp_path))
    monkeypatch.setattr(type(worker.office), "settings", settings)
    document = problem(await worker.http.get("/readyz"), 503, "not_ready")
    assert document["checks"]["demo"] == "the demo season is being loaded"
    readiness.season_mark(settings).touch()
    assert (await worker.http.get("/readyz")).json()["checks"]["demo"] == "up"


async def test_events_that_do_not_reach_kafka(fresh_worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    sale = await open_sale(fresh_worker.http)
    await hold(fresh_worker.http, sale, await fresh_worker.sign_up(), sale.seats[0])
    prober = readiness.Prober(fresh_worker.office)
    await prober._look_at_publishing()
    monkeypatch.setattr(readiness, "LAG_SECONDS", -1.0)
    with pytest.raises(readiness.Impaired, match="events have waited for"):
        await prober._look_at_publishing()
    async with fresh_worker.office.database.begin() as connection:
        await connection.exec_driver_sql("UPDATE schedule_heads SET published_seq = seq")
    await prober._look_at_publishing()


async def test_many_who_ask_are_answered_by_one_look(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "ASKED_AGAIN_SECONDS", 60.0)
    looks = 0
    ask = readiness.Prober._ask

    async def counted(prober: readiness.Prober) -> readiness.Condition:
        nonlocal looks
        looks += 1
        return await ask(prober)

    monkeypatch.setattr(readiness.Prober, "_ask", counted)
    prober = readiness.Prober(worker.office)
    await asyncio.gather(*(prober.readiness() for _ in range(50)))
    await until(lambda: looks > 0)
    assert looks == 1
