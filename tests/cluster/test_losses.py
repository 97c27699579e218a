"""Three machines lose one another in every way, under load: nothing promised is lost or sold twice, and it goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time

import psutil
import pytest

from loadtest.stack import OWNER, words_of
from persistence.embedded.instance import marked
from tests.cluster.machines import PEERS, SERVICES, Cluster
from tests.cluster.story import (
    LONGEST_SECONDS,
    NAMES,
    all_open,
    any_leads,
    figures,
    leads,
    of_machine,
    ready,
    sold_at,
    spread,
    state_of,
    tell,
)
from tests.support.waiting import until

pytestmark = pytest.mark.long

KILLS = 20
MEDIAN_SECONDS = 5.0
CUT_SECONDS = 12.0  # far longer than it takes to give a machine up


async def test_everything_on_one_machine_is_killed_again_and_again(three: Cluster) -> None:
    back: list[float] = []
    async with sold_at(three) as crowd:
        for number in range(KILLS):
            name = NAMES[number % len(NAMES)]
            lost = await spread(three, crowd, name)
            await three.machines[name].kill_all()
            killed = time.monotonic()
            await until(lambda lost=lost, killed=killed: lost <= crowd.back_after(killed, lost).keys())  # type: ignore[misc]  # defaults that are never given
            back += crowd.back_after(killed, lost).values()
            await three.machines[name].start()
    tell(f"{KILLS} machines killed: {len(back)} schedules back, {figures(back)}; {dict(crowd.told_to_come_again)}")
    assert statistics.median(back) <= MEDIAN_SECONDS
    assert max(back) <= LONGEST_SECONDS


async def test_a_machine_that_is_cut_off_from_the_others_alone_does_no_harm(three: Cluster) -> None:
    async with sold_at(three) as crowd:
        mine = await spread(three, crowd, "c")
        three.network.cut("c", PEERS)
        cut = time.monotonic()
        try:
            others = {sale.schedule_id for sale in crowd.sales} - mine
            await until(lambda: others <= crowd.answered_since(cut))
            await until(lambda: mine <= crowd.answered_since(cut))  # at the machine itself
            assert await of_machine(three, crowd, "c") == mine
        finally:
            three.network.mend("c", PEERS)


async def test_a_machine_that_is_cut_off_from_the_database_is_taken_over_and_does_no_harm(three: Cluster) -> None:
    async with sold_at(three) as crowd:
        mine = await spread(three, crowd, "c")
        three.network.cut("c", SERVICES)
        cut = time.monotonic()
        try:
            await until(lambda: mine <= crowd.back_after(cut, mine).keys())
            back = list(crowd.back_after(cut, mine).values())
            assert not await of_machine(three, crowd, "c")
            await asyncio.sleep(max(0.0, cut + CUT_SECONDS - time.monotonic()))  # it tries to go on by itself
        finally:
            three.network.mend("c", SERVICES)
        mended = time.monotonic()
        async with three.http("c") as http:
            await until(lambda: ready(http))
        tell(f"cut off from the database: {figures(back)}; ready again {time.monotonic() - mended:.1f} s after")
    assert max(back) <= LONGEST_SECONDS


async def test_a_database_that_pauses_makes_no_machine_lost(three: Cluster) -> None:
    async with sold_at(three) as crowd:
        mine = {name: await of_machine(three, crowd, name) for name in NAMES}  # those of the test before fall asleep
        paused = [each for each in three.processes() if each.name() == "postgres"]
        for each in paused:
            each.suspend()
        try:
            await asyncio.sleep(CUT_SECONDS / 2)
        finally:
            for each in paused:
                each.resume()
        await all_open(crowd)
        assert {name: await of_machine(three, crowd, name) for name in NAMES} == mine


async def test_a_machine_is_emptied_and_filled_under_load_without_an_error(three: Cluster) -> None:
    async with sold_at(three) as crowd:
        await spread(three, crowd, "b")
        began = time.monotonic()
        code, said = await three.machines["a"].command("drain", "b")
        assert code == 0, said
        assert not await of_machine(three, crowd, "b")
        await all_open(crowd)
        slowest = crowd.seconds(1.0, began)
        assert not crowd.told_to_come_again
        await three.machines["a"].command("drain", "b", "--undo")
        tell(f"drained: {len(crowd.asked)} requests, the slowest of those since {slowest:.2f} s")


async def test_all_machines_are_restarted_one_after_another_under_load(three: Cluster) -> None:
    async with sold_at(three) as crowd:
        began = time.monotonic()
        for name in NAMES:
            machine = three.machines[name]
            assert await machine.stop() == 0
            await machine.start()
        await all_open(crowd)
        share = crowd.seconds(0.99, began)
    told = dict(crowd.told_to_come_again)
    longest = crowd.seconds(1.0, began)
    tell(f"restarted: {len(crowd.asked)} requests, p99 {share:.2f} s, longest {longest:.2f} s, {told}")


async def test_a_register_of_ray_that_dies_is_noticed_by_nobody(three: Cluster) -> None:
    async with sold_at(three) as crowd:
        mine = await spread(three, crowd, "a")
        (register,) = [each for each in marked(three.machines["a"].data_dir) if each.name().startswith("gcs_server")]
        register.kill()
        killed = time.monotonic()
        await all_open(crowd)
        slowest = max(each.answered - each.sent for each in crowd.asked if each.answered > killed)
        tell(f"Ray's register killed: the slowest request {slowest:.2f} s")
        assert mine <= await of_machine(three, crowd, "a")
        assert not crowd.told_to_come_again


async def test_ray_dies_on_one_machine_and_its_schedules_are_sold_on_the_others(three: Cluster) -> None:
    async with sold_at(three) as crowd:
        mine = await spread(three, crowd, "a")
        former = three.machines["a"].run.processes["ray"]
        os.kill(former, signal.SIGKILL)
        killed = time.monotonic()
        await until(lambda: mine <= crowd.back_after(killed, mine).keys())
        back = list(crowd.back_after(killed, mine).values())
        await until(lambda: three.machines["a"].run.processes.get("ray", former) != former)
        await until(lambda: state_of(three, "a", "serving"))
        tell(f"Ray killed: {figures(back)}; {dict(crowd.told_to_come_again)}")
        assert max(back) <= LONGEST_SECONDS


async def test_a_process_of_owners_that_is_paused_is_replaced_by_its_own_machine(three: Cluster) -> None:
    async with sold_at(three) as crowd:
        mine = await spread(three, crowd, "b")
        (pid,) = {
            process.pid for process in marked(three.machines["b"].data_dir) if words_of(process).startswith(OWNER)
        }
        os.kill(pid, signal.SIGSTOP)
        paused = time.monotonic()
        try:
            await until(lambda: mine <= crowd.back_after(paused, mine).keys())
        finally:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGCONT)


async def test_background_work_is_taken_over(three: Cluster) -> None:
    (leader,) = [name for name in NAMES if await leads(three, name)]
    await three.machines[leader].kill_all()
    others = [name for name in NAMES if name != leader]
    await until(lambda: any_leads(three, others), LONGEST_SECONDS)
    await three.machines[leader].start()
