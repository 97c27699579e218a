"""A few tests with real Ray, Postgres, Redis and Kafka: what an owner's process survives, and what it cannot break."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from actors.gateway.gateway import Gateway, UnknownSchedule
from actors.gateway.ray_owners import AnyOwner, open_gateway
from actors.process.clock import SystemClock
from actors.process.settings import Settings
from actors.supervision import ray_process
from engine import commands as c
from engine.booking import Booking, Status
from engine.refusals import Code, Refusal
from loadtest.stack import words_of
from tests.engine.plans.houses import ANN, BOB
from tests.persistence.journal.test_journal import SCHEDULE, ident, plant_schedule
from tests.support.waiting import PATIENCE_SECONDS, until


@pytest.fixture
async def settings(
    services_dir: Path, database_url: str, redis_url: str, kafka_servers: str, ray_address: str
) -> Settings:
    await plant_schedule(database_url, SystemClock().now_ms())
    return Settings(
        data_dir=str(services_dir),
        database_url=database_url,
        redis_url=redis_url,
        kafka_bootstrap_servers=kafka_servers,
        ray_address=ray_address,
        call_timeout_seconds=2.5,
    )


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway[AnyOwner]]:
    async with open_gateway(settings) as gateway:
        yield gateway
        await end_owner(gateway)


async def hold(gateway: Gateway[AnyOwner], number: int, *seats: str, customer: str = ANN) -> Booking | Refusal:
    answer = await gateway.send(SCHEDULE, c.HoldSeats(ident(number), customer, seats), request_id=f"r{number}")
    assert isinstance(answer, Booking | Refusal)
    return answer


async def owner_pid(gateway: Gateway[AnyOwner]) -> int:
    return (await gateway.inspect(SCHEDULE)).pid


async def end_owner(gateway: Gateway[AnyOwner]) -> None:
    os.kill(await owner_pid(gateway), signal.SIGKILL)


async def test_an_owner_is_made_on_demand_and_answers_durably(gateway: Gateway[AnyOwner]) -> None:
    assert isinstance(await hold(gateway, 1, "A-1"), Booking)
    refusal = await hold(gateway, 2, "A-1", customer=BOB)
    assert refusal == Refusal(Code.SEATS_UNAVAILABLE, seats=("A-1",))
    inspection = await gateway.inspect(SCHEDULE)
    assert (inspection.version, inspection.durable_version) == (2, 2)


async def test_no_process_is_made_for_an_unknown_schedule(gateway: Gateway[AnyOwner]) -> None:
    await hold(gateway, 1, "A-1")
    with pytest.raises(UnknownSchedule):
        await gateway.send(ident(404), c.Expire(), request_id="r")


async def test_killed_in_the_middle_of_a_crowd_it_loses_and_doubles_nothing(gateway: Gateway[AnyOwner]) -> None:
    await hold(gateway, 100, "pit")
    pid = await owner_pid(gateway)
    seats = [f"{row}-{number}" for row in "ABC" for number in range(1, 7)]
    crowd = [asyncio.create_task(hold(gateway, n, seat, customer=BOB)) for n, seat in enumerate(seats, start=1)]
    await asyncio.sleep(0)  # the turn in which they reach the gateway
    os.kill(pid, signal.SIGKILL)
    answers = await asyncio.gather(*crowd)
    assert all(isinstance(answer, Booking) for answer in answers)
    again = await asyncio.gather(*(hold(gateway, n, seat, customer=BOB) for n, seat in enumerate(seats, start=1)))
    assert again == answers
    inspection = await gateway.inspect(SCHEDULE)
    assert inspection.pid != pid
    assert (inspection.bookings, inspection.durable_version) == (19, 20)


async def test_a_paused_owner_is_replaced_and_does_no_harm_when_it_wakes(gateway: Gateway[AnyOwner]) -> None:
    await hold(gateway, 1, "A-1")
    paused = psutil.Process(await owner_pid(gateway))
    paused.suspend()
    try:
        stranded = asyncio.create_task(hold(gateway, 2, "A-2"))
        answer = await asyncio.wait_for(stranded, PATIENCE_SECONDS)
        assert isinstance(answer, Booking)
        assert answer.status is Status.HELD
        assert await owner_pid(gateway) != paused.pid
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):  # Ray may have ended it by now
            paused.resume()
    # Awake, it finds the stranded request in its queue, tries to commit it, is told that it is deposed, and goes.
    await asyncio.to_thread(paused.wait, PATIENCE_SECONDS)
    assert (await gateway.inspect(SCHEDULE)).durable_version == 3
    assert isinstance(await hold(gateway, 3, "A-3"), Booking)


UNTIL_TOLD = """
import asyncio, sys
from actors.gateway.ray_owners import open_gateway
from actors.process import entry

async def work(settings, stop):
    async with open_gateway(settings):
        print("joined", flush=True)
        await stop.wait()
    print("put away", flush=True)

entry.serve("a program", work)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_that_has_joined_ray_puts_its_things_away_when_it_is_told_to_end(
    settings: Settings, number: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UNTIL_TOLD, env=os.environ | settings.to_environment(), stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS) == b"joined\n"
    process.send_signal(number)
    told, log = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert (process.returncode, told) == (0, b"put away\n"), log
    assert b"SIGTERM" not in log


async def test_ray_s_register_dies_and_is_there_again_with_all_it_knew(
    gateway: Gateway[AnyOwner], ray_address: str
) -> None:
    await hold(gateway, 1, "A-1")
    pid = await owner_pid(gateway)
    port = ray_address.rpartition(":")[2]  # others' stacks have registers of their own
    ours = [each for each in psutil.Process().children(recursive=True) if each.name().startswith("gcs_server")]
    (register,) = [each for each in ours if port in words_of(each)]
    await until(lambda: time.time() - register.create_time() > ray_process.STABLE_SECONDS)
    register.kill()
    assert isinstance(await hold(gateway, 2, "A-2"), Booking)
    assert await owner_pid(gateway) == pid
    await end_owner(gateway)
    assert isinstance(await hold(gateway, 3, "A-3"), Booking)
    assert await owner_pid(gateway) != pid
