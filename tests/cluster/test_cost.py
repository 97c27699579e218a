"""Two machines sell for what one does: nothing is done twice, and nothing goes through one process but PostgreSQL's.

On the cores of one machine that cannot be shown by the rate, so it is shown by what a request costs: two machines with
one worker and one process of owners each, by turns with one machine that has two of both.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator

import psutil
import pytest

from loadtest.bench.contenders.contender import LARGE, OnSale
from loadtest.bench.contenders.ours import Ours
from loadtest.bench.contenders.processes import Groups
from loadtest.bench.measuring import Options
from loadtest.buyers import Ledger
from loadtest.capacity.model import DATABASE
from loadtest.capacity.model import OWNER as OWNER_PART
from loadtest.capacity.points import Work, point
from loadtest.capacity.units import Meter, of_holds
from loadtest.http_client import Client
from loadtest.sale import gather_crowd, newcomer
from loadtest.stack import OWNER, Stack, words_of
from persistence.events.options import KafkaOptions
from tests.cluster.crowd import Crowd, crowd_at
from tests.cluster.machines import Cluster, MakeCluster
from tests.cluster.story import all_open, tell

pytestmark = pytest.mark.long

ROUNDS, SECONDS = 5, 8.0
DEARER = 1.15


def spent(crowd: Crowd) -> float:
    """CPU seconds of all that runs for the crowd's cluster."""
    total = 0.0
    for process in crowd.cluster.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


async def cost(crowd: Crowd) -> float:
    """What one answered request costs, in ms of CPU."""
    async with crowd.buying():
        await all_open(crowd)
        before, asked = spent(crowd), len(crowd.asked)
        await asyncio.sleep(SECONDS)
        return (spent(crowd) - before) * 1000 / (len(crowd.asked) - asked)


async def test_a_hold_on_two_machines_costs_what_it_does_on_one(make_cluster: MakeCluster) -> None:
    quiet = {"BOXOFFICE_PUBLISH": "off", "BOXOFFICE_RECONCILE": "off"}
    one = make_cluster("one", workers=2, BOXOFFICE_OWNER_PROCESSES="2", **quiet)
    two = make_cluster("a", "b", workers=1, BOXOFFICE_OWNER_PROCESSES="1", **quiet)
    async with one as single, two as double:
        crowds = [await crowd_at(each, schedules=8, buyers=48, pause_seconds=0) for each in (single, double)]
        costs = [[await cost(crowd) for crowd in crowds] for _ in range(ROUNDS)]
    ratio = statistics.median(of_two / of_one for of_one, of_two in costs)
    tell(f"CPU ms a request, on one machine and on two: {[[round(c, 3) for c in each] for each in costs]}: {ratio:.2f}")
    assert ratio <= DEARER


class AllMachines(Ours):
    """A cluster, measured as one system."""

    def __init__(self, cluster: Cluster, organizer: Client, tokens: tuple[str, ...]) -> None:
        stack = Stack(
            url=cluster.urls[0],
            admin_email="",
            admin_password="",
            database_url=cluster.database_url,
            kafka=KafkaOptions(servers="", topic=""),
        )
        super().__init__(stack, organizer, tokens)
        self._cluster = cluster

    def processes(self) -> Groups:
        groups: dict[str, list[psutil.Process]] = {}
        for process in self._cluster.processes():
            words = words_of(process)
            name = OWNER_PART if words.startswith(OWNER) else DATABASE if "postgres" in words else "machines"
            groups.setdefault(name, []).append(process)
        return groups


@contextlib.asynccontextmanager
async def measured(cluster: Cluster) -> AsyncIterator[Meter]:
    """What a cluster takes while something is done to it."""
    organizer = await newcomer(cluster.urls[0], "organizer")
    crowd = await gather_crowd(cluster.urls[0], "", 16, Ledger(), lambda: None)
    tokens = tuple(buyer.token for buyer in crowd)
    for buyer in crowd:
        buyer.close()
    try:
        options = Options(rounds=1, seconds=4, connections=64)
        yield Meter(AllMachines(cluster, organizer, tokens), options, cluster.urls)
    finally:
        organizer.close()


@contextlib.asynccontextmanager
async def both_sell(meter: Meter) -> AsyncIterator[Work]:
    """Two houses, each of them sold by both machines."""
    houses = await OnSale.opened(meter.target, 2, LARGE // 2)
    half = len(houses.seats) // 2
    seats = (houses.seats[houses.first : half], houses.seats[half:])

    async def sell() -> dict[str, float]:
        loads = [
            meter.drive(houses, "spread", url=url, seats=own) for url, own in zip(meter.machines, seats, strict=True)
        ]
        return {"hold": float(sum(len(each.created) for each in await asyncio.gather(*loads)))}

    yield sell


async def test_what_holds_cost_on_one_machine_says_what_they_cost_on_two(make_cluster: MakeCluster) -> None:
    quiet = {"BOXOFFICE_PUBLISH": "off", "BOXOFFICE_RECONCILE": "off"}
    async with make_cluster("one", workers=2, BOXOFFICE_OWNER_PROCESSES="2", **quiet) as one, measured(one) as meter:
        costs = await of_holds(meter)
    async with make_cluster("a", "b", workers=1, **quiet) as two, measured(two) as meter:
        found = [await point(meter, costs, "two machines", both_sell) for _ in range(3)]
    for each in found:
        tell(f"{each.done}: measured {each.measured}, predicted {each.predicted}: {each.ratio:.2f}")
    assert statistics.median(each.ratio for each in found) == pytest.approx(1.0, abs=0.2)
