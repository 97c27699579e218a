"""The secret and the certificates of a cluster are replaced machine by machine while it sells.

Three rounds of restarts, the same for both: everybody takes the new one, everybody uses it, nobody takes the former.
After each restart every machine still sells what is at every other, to people of every machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.cluster.crowd import Crowd
from tests.cluster.machines import SECRET, Cluster, MakeCluster
from tests.cluster.story import all_open, sold_at, spread, tell
from tests.support.sale import sign_up
from tests.support.services.certificates import certificate

pytestmark = pytest.mark.long

NAMES = ("a", "b")
NEW_SECRET = "another secret that all machines of the cluster have in common"


async def test_secret_and_certificates_are_replaced_machine_by_machine_under_load(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    former, new = certificate(tmp_path, "former", None), certificate(tmp_path, "new", None)
    both = tmp_path / "both.pem"
    both.write_text(former.read_text() + new.read_text())

    def shown(name: str, authority: Path) -> dict[str, str]:
        own = certificate(tmp_path, f"{name}-by-{authority.stem}", authority)
        return {"BOXOFFICE_NODE_CERTIFICATE": str(own), "BOXOFFICE_NODE_PRIVATE_KEY": f"{own}.key"}

    by_former, by_new = ({name: shown(name, authority) for name in NAMES} for authority in (former, new))
    start = {**by_former["a"], "BOXOFFICE_NODE_AUTHORITY": str(former)}
    async with make_cluster(*NAMES, **start) as cluster:
        async with sold_at(cluster, schedules=4, buyers=6) as crowd:
            await one_after_another(
                cluster,
                crowd,
                lambda name: {
                    **by_former[name],
                    "BOXOFFICE_NODE_AUTHORITY": str(both),
                    "BOXOFFICE_PREVIOUS_SECRET": NEW_SECRET,
                },
            )
            await one_after_another(
                cluster,
                crowd,
                lambda name: {
                    **by_new[name],
                    "BOXOFFICE_SECRET": NEW_SECRET,
                    "BOXOFFICE_PREVIOUS_SECRET": SECRET,
                },
            )
        async with sold_at(cluster, schedules=4, buyers=6) as crowd:  # what the former secret signed counts no longer
            await one_after_another(
                cluster, crowd, lambda _: {"BOXOFFICE_NODE_AUTHORITY": str(new), "BOXOFFICE_PREVIOUS_SECRET": ""}
            )


async def one_after_another(cluster: Cluster, crowd: Crowd, changed: Callable[[str], dict[str, str]]) -> None:
    """Starts each machine anew, with this in its environment."""
    for name, machine in cluster.machines.items():
        began = time.monotonic()
        machine.environment.update(changed(name))
        assert await machine.stop() == 0
        await machine.start()
        for each in NAMES:
            await spread(cluster, crowd, each)
        await everybody_is_sold_everything_everywhere(cluster, crowd)
        await all_open(crowd)
        tell(f"{name} started anew: p99 {crowd.seconds(0.99, began):.2f} s, longest {crowd.seconds(1.0, began):.2f} s")
    tell(f"one round: {dict(crowd.told_to_come_again)}")


async def everybody_is_sold_everything_everywhere(cluster: Cluster, crowd: Crowd) -> None:
    """Who has logged in at any machine asks each of them for each schedule, wherever that is."""
    for home in NAMES:
        async with cluster.http(home) as http:
            headers = await sign_up(http)
        for name in NAMES:
            async with cluster.http(name) as http:
                for sale in crowd.sales:
                    answer = await http.post(sale.bookings_url, headers=headers, json={"quantity": 1})
                    assert answer.status_code in (httpx.codes.CREATED, httpx.codes.CONFLICT), answer.text
