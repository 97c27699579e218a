"""The baselines do what they are measured for: they book durably, and never sell a seat twice. And wrk drives them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from loadtest.bench.contenders.baseline import Baseline, Database, InPostgres, InRedis, Nothing, serving
from loadtest.bench.contenders.contender import OnSale, seat_ids
from loadtest.bench.contenders.verification import verify
from loadtest.bench.wrk import Drive, drive
from tests.conftest import made_database
from tests.support.waiting import PATIENCE_SECONDS

STORES = ("row_locks", "conditional_update", "coalescer", "coalescer_short_way", "redis_lua")
needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not on PATH")


@contextlib.asynccontextmanager
async def serving_on(name: str, database: Database, directory: Path) -> AsyncIterator[Baseline]:
    async with serving(name, database, directory, {}, workers=1) as baseline:
        yield baseline


@pytest.fixture(scope="module", params=STORES)
async def baseline(
    request: pytest.FixtureRequest, postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Baseline]:
    """Each of them on a database of its own, started once: every test has schedules of its own."""
    name = str(request.param)
    tmp_path = tmp_path_factory.mktemp(name)
    if name == "redis_lua":
        async with serving_on(name, InRedis(redis_url), tmp_path) as running:
            yield running
        return
    async with made_database(postgres_url) as url:
        database = InPostgres(url)
        await database.make_tables()
        async with serving_on(name, database, tmp_path) as running:
            yield running


@pytest.fixture(scope="module")
async def noop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Baseline]:
    async with serving_on("noop", Nothing(), tmp_path_factory.mktemp("noop")) as running:
        yield running


def client_of(baseline: Baseline) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {baseline.tokens[0]}"}
    return httpx.AsyncClient(
        base_url=baseline.url, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False, verify=False
    )


async def test_a_baseline_books_durably_and_sells_no_seat_twice(baseline: Baseline) -> None:
    (schedule_id,) = await baseline.put_on_sale(1, 30)
    seats = seat_ids(30)
    path = f"/v1/schedules/{schedule_id}/bookings"
    async with client_of(baseline) as client:
        answer = await client.post(path, json={"seats": [seats[1], seats[0]]})
        assert answer.status_code == 201
        booking = answer.json()
        assert [seat["id"] for seat in booking["seats"]] == [seats[1], seats[0]]
        assert (booking["status"], booking["amount"]) == ("held", 2_000)

        taken = await client.post(path, json={"seats": [seats[2], seats[1]]})
        assert (taken.status_code, taken.json()["code"]) == (409, "seats_unavailable")
        assert taken.json()["seats"] == [seats[1]]

        pairs = [random.Random(number).sample(seats[2:], 2) for number in range(120)]
        answers = await asyncio.gather(*(client.post(path, json={"seats": pair}) for pair in pairs))
    assert {answer.status_code for answer in answers} == {201, 409}
    acknowledged = [booking["id"], *(each.json()["id"] for each in answers if each.status_code == 201)]
    stored = await baseline.booked([schedule_id])
    verify(acknowledged, stored, seats_each=2)
    assert set(stored) == set(acknowledged)
    assert max(Counter(seat for each in stored.values() for seat in each.seats).values()) == 1


async def test_a_baseline_checks_what_it_is_asked(baseline: Baseline) -> None:
    (schedule_id,) = await baseline.put_on_sale(1, 5)
    path = f"/v1/schedules/{schedule_id}/bookings"
    elsewhere = "/v1/schedules/0199f39c-11d2-7a0f-8c8e-51d0c7b9a011/bookings"
    wish = {"seats": seat_ids(1)}
    async with client_of(baseline) as client:
        strange = {"Authorization": "Bearer nonsense"}
        assert (await client.post(path, json=wish, headers=strange)).status_code == 401
        assert (await client.post(path, json={"seats": ["nowhere"]})).status_code == 422
        assert (await client.post(path, json={"seats": []})).status_code == 422
        assert (await client.post(elsewhere, json=wish)).status_code == 404
    assert await baseline.booked([schedule_id]) == {}


async def test_the_no_op_answers_a_booking_and_asks_for_a_token(noop: Baseline) -> None:
    path = "/v1/schedules/0199f39c-11d2-7a0f-8c8e-51d0c7b9a011/bookings"
    async with client_of(noop) as client:
        answer = await client.post(path, json={"seats": ["1F-A-12"]})
        assert (answer.status_code, answer.json()["status"]) == (201, "held")
        assert (await client.post(path, json={"seats": ["x"]}, headers={"Authorization": ""})).status_code == 401
        assert (await client.get("/v1/noop")).status_code == 200


def load(sale: OnSale, **more: object) -> Drive:
    usual = {
        "mode": "spread",
        "url": sale.contender.url,
        "paths": sale.paths(),
        "seconds": 1,
        "connections": 4,
        "threads": 2,
        "expected": frozenset({"201"}),
        "tokens": sale.contender.tokens,
        "seats": sale.seats[sale.first :],
    }
    return Drive(**(usual | more))  # type: ignore[arg-type]  # named as the fields are


def made(directory: Path, name: str) -> Path:
    (directory / name).mkdir()
    return directory / name


@needs_wrk
@pytest.mark.parametrize("baseline", ["coalescer"], indirect=True)
async def test_wrk_counts_what_is_booked_one_by_one_and_in_a_fight(baseline: Baseline, tmp_path: Path) -> None:
    sale = await OnSale.opened(baseline, 2, 10_000)
    spread = await drive(load(sale), made(tmp_path, "spread"))
    verify(spread.created, await baseline.booked(sale.schedule_ids), seats_each=1)
    assert len(set(spread.created)) == len(spread.created) >= spread.seen.answers["201"] > 0
    assert spread.seen.used >= len(spread.created)

    hot = await OnSale.opened(baseline, 1, 100)
    mixed = frozenset({"201", "409"})
    fight = load(hot, mode="random", threads=1, target=30, seconds=60, expected=mixed)
    fought = await drive(fight, made(tmp_path, "fight"))
    verify(fought.created, await baseline.booked(hot.schedule_ids), seats_each=2)
    assert fought.seen.answers["201"] == 30
    assert fought.seen.microseconds < 60_000_000


@needs_wrk
async def test_wrk_keeps_the_pace_and_times_each_request(noop: Baseline, tmp_path: Path) -> None:
    sale = await OnSale.opened(noop, 1, 1_000)
    paced = await drive(load(sale, connections=4, threads=4, rate=80.0), tmp_path)
    assert 0 < paced.seen.answers["201"] <= 80 + 4  # a slot at the very end of a second may still count
    assert paced.seen.microseconds == 1_000_000
    assert 0 < paced.seen.latency_us["50"] <= paced.seen.latency_us["100"]
    assert paced.stalls is not None


@needs_wrk
async def test_wrk_reads(noop: Baseline, tmp_path: Path) -> None:
    sale = OnSale(noop, [], ())
    read = load(sale, mode="get", paths=("/v1/noop",), tokens=(), expected=frozenset({"200"}))
    assert (await drive(read, tmp_path)).seen.answers["200"] > 0
