"""Several machines, the real stack on each: what they do together, and what becomes of it when one goes.

One short story for every run; what takes minutes is `long`.
"""

from __future__ import annotations

import time

from tests.cluster.crowd import crowd_at
from tests.cluster.machines import MakeCluster
from tests.cluster.story import LONGEST_SECONDS, all_open, hosts, leads
from tests.support.waiting import until


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
