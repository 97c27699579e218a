"""Several machines, the real stack on each: what they do together, and what becomes of it when one goes.

One short story for every run; what takes minutes is `long`.
"""

from __future__ import annotations

import time

from tests.cluster.crowd import Crowd, crowd_at
from tests.cluster.machines import Cluster, MakeCluster
from tests.support.waiting import until

LONGEST_SECONDS = 15.0  # until schedules of a lost machine are sold again


async def hosts(cluster: Cluster) -> dict[str, str]:
    """The machine of each schedule that has one."""
    rows = await cluster.rows("SELECT schedule_id::text, host FROM schedule_heads WHERE host IS NOT NULL")
    return {schedule: host.partition("@")[2] for schedule, host in rows}


async def all_open(crowd: Crowd) -> None:
    """Every schedule has answered somebody."""
    began = time.monotonic()
    await until(lambda: len(crowd.answered_since(began)) == len(crowd.sales))


async def test_two_machines_sell_together_one_is_emptied_without_an_error_and_one_is_lost(
    make_cluster: MakeCluster,
) -> None:
    async with make_cluster("a", "b", BOXOFFICE_PUBLISH="off") as cluster:
        crowd = await crowd_at(cluster, schedules=4, buyers=6)
        async with crowd.buying():
            await all_open(crowd)
            assert set((await hosts(cluster)).values()) == {"a", "b"}

            code, said = await cluster.machines["a"].command("drain", "b")
            assert code == 0, said
            assert set((await hosts(cluster)).values()) == {"a"}
            await all_open(crowd)
            assert not crowd.errors
            assert not crowd.told_to_come_again
            _, said = await cluster.machines["a"].command("nodes")
            assert "draining" in said
            await cluster.machines["a"].command("drain", "b", "--undo")

            await cluster.machines["a"].kill_all()
            lost = time.monotonic()
            await until(lambda: len(crowd.answered_since(lost)) == len(crowd.sales), LONGEST_SECONDS)
            assert set((await hosts(cluster)).values()) == {"b"}
            await until(lambda: leads(cluster, "b"))
        assert not crowd.errors
        await crowd.audited()


async def leads(cluster: Cluster, name: str) -> bool:
    """Whether the machine does the background work."""
    return bool(await cluster.rows("SELECT 1 FROM leases WHERE holder = $1 AND until >= now()", name))
