"""What tests of several machines have in common: a sale under way on them, and how it stands."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx

from tests.cluster.crowd import Crowd, crowd_at
from tests.cluster.machines import Cluster
from tests.support.waiting import until

NAMES = ("a", "b", "c")
LONGEST_SECONDS = 15.0  # until schedules of a lost machine are sold again


async def hosts(cluster: Cluster) -> dict[str, str]:
    """The machine of each schedule that has one."""
    rows = await cluster.rows("SELECT schedule_id::text, host FROM schedule_heads WHERE host IS NOT NULL")
    return {schedule: host.partition("@")[2] for schedule, host in rows}


async def all_open(crowd: Crowd) -> None:
    """Every schedule on sale has answered somebody."""
    began, on_sale = time.monotonic(), {sale.schedule_id for sale in crowd.sales}
    await until(lambda: on_sale <= crowd.answered_since(began))


@asynccontextmanager
async def sold_at(cluster: Cluster, *, schedules: int = 9, buyers: int = 9) -> AsyncIterator[Crowd]:
    """A sale under way on all machines; afterwards every promise is looked after."""
    crowd = await crowd_at(cluster, schedules=schedules, buyers=buyers)
    async with crowd.buying():
        await all_open(crowd)
        yield crowd
        await all_open(crowd)
    assert not crowd.errors
    await crowd.audited()


async def of_machine(cluster: Cluster, crowd: Crowd, name: str) -> set[str]:
    """The crowd's schedules that have their place there."""
    return {each for each, host in (await hosts(cluster)).items() if host == name} & {
        sale.schedule_id for sale in crowd.sales
    }


async def spread(cluster: Cluster, crowd: Crowd, name: str) -> set[str]:
    """The crowd's schedules on the machine; where there are none, newly opened ones, which the emptiest machine gets.

    It is its turn as soon as those are idle that the test before has left there.
    """
    async with asyncio.timeout(60):
        while not (found := await of_machine(cluster, crowd, name)):
            await crowd.open_more(3)
            await all_open(crowd)
    return found


def tell(text: str) -> None:
    """Shown with `-s`."""
    sys.stdout.write(f"\n{text}\n")


def figures(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s"


async def ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


async def state_of(cluster: Cluster, name: str, state: str) -> bool:
    return bool(await cluster.rows("SELECT 1 FROM nodes WHERE name = $1 AND state = $2", name, state))


async def leads(cluster: Cluster, name: str) -> bool:
    """Whether the machine does the background work."""
    return bool(await cluster.rows("SELECT 1 FROM leases WHERE holder = $1 AND until >= now()", name))


async def any_leads(cluster: Cluster, names: list[str]) -> bool:
    return any([await leads(cluster, name) for name in names])


@contextmanager
def suspended(cluster: Cluster, what: str) -> Iterator[None]:
    """A service beside the machines hangs: it hangs up on nobody and answers nobody."""
    processes = cluster.service(what)
    for each in processes:
        each.suspend()
    try:
        yield
    finally:
        for each in processes:
            each.resume()
