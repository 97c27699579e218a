"""Two machines sell for what one does: nothing is done twice, and nothing goes through one process but PostgreSQL's.

On the cores of one machine that cannot be shown by the rate, so it is shown by what a request costs: two machines with
one worker and one process of owners each, by turns with one machine that has two of both.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics

import psutil
import pytest

from tests.cluster.crowd import Crowd, crowd_at
from tests.cluster.machines import MakeCluster
from tests.cluster.test_cluster import all_open
from tests.cluster.test_losses import tell

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
