"""What a machine is cut off from, one way or one service at a time, and services that hang: who is there is answered.

Beside a crowd, which goes where it is served and whose promises are compared with the journal at the end, visitors stay
at the machines that are in trouble. Each is answered, or told within the deadline when to come again; when the line is
whole again all that was asked is done for them within seconds. No process turns in circles or grows meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import psutil
import pytest
from msgspec import Struct

from persistence.embedded.instance import marked
from tests.cluster.crowd import Crowd
from tests.cluster.machines import BROKER, CACHE, DATABASE, Cluster
from tests.cluster.story import (
    LONGEST_SECONDS,
    NAMES,
    any_leads,
    figures,
    leads,
    of_machine,
    sold_at,
    spread,
    suspended,
    tell,
)
from tests.cluster.visitors import ASKING, COMING_IN, HOLDING, LOOKING, SEEING, Visitors
from tests.support.sale import Sale, sign_up
from tests.support.waiting import until

pytestmark = pytest.mark.long

CUT_SECONDS, LONG_SECONDS = 20.0, 70.0  # the latter longer than anybody waits for a statement
DEADLINE_SECONDS = 15.0 + 1.5  # `BOXOFFICE_DEADLINE_SECONDS`, and what looking at it takes on a busy machine
UNREACHABLE_SECONDS = 10.0  # whoever asks for a schedule of a machine that cannot be reached knows by then
RECOVERY_SECONDS = (
    15.0  # a connection that has sent into the void for so long waits for half as long before it tries again
)
UNSEEN_SECONDS = 6.0  # two comparisons with the journal, on a busy machine
BUSY_SHARE, GROWTH_BYTES = 0.6, 64 * 2**20  # of a core; buyers and visitors take a quarter of one at most


class Scene(Struct, frozen=True):
    """A sale on three machines, and people at two of them: `home` and `abroad` ask for a schedule of the machine that
    is about to be in trouble, `elsewhere` at that machine for one that is elsewhere."""

    crowd: Crowd
    mine: set[str]  # what is sold at that machine
    sale: Sale  # one of these
    home: Visitors
    abroad: Visitors
    elsewhere: Visitors

    @property
    def visitors(self) -> tuple[Visitors, ...]:
        return (self.home, self.abroad, self.elsewhere)


@asynccontextmanager
async def scene(cluster: Cluster, name: str = "c", other: str = "a") -> AsyncIterator[Scene]:
    """The scene, with everybody served. `name` is about to be in trouble."""
    began = time.monotonic()
    async with sold_at(cluster) as crowd, contextlib.AsyncExitStack() as closing:
        mine = await spread(cluster, crowd, name)
        own = next(sale for sale in crowd.sales if sale.schedule_id in mine)
        foreign = next(sale for sale in crowd.sales if sale.schedule_id not in mine)
        visitors = [
            await closing.enter_async_context(Visitors(cluster, at, sale).coming())
            for at, sale in ((name, own), (other, own), (name, foreign))
        ]
        for each in visitors:
            await until(lambda each=each: each.has_served_all(began))  # type: ignore[misc]  # a default that is never given
        yield Scene(crowd, mine, own, *visitors)
        for each in visitors:
            rude = [visit for visit in each.since(began) if not visit.polite]
            assert not rude, rude[:5]


@asynccontextmanager
async def trouble(cluster: Cluster, there: Scene, what: str) -> AsyncIterator[float]:
    """Time in which something is broken, from its beginning; afterwards it must be well, and the figures are told."""
    before, began = taken(cluster), time.monotonic()
    yield began
    passed, after = time.monotonic() - began, taken(cluster)
    back = []
    for each in there.visitors:
        await until(lambda each=each: each.has_served_all(began + passed), RECOVERY_SECONDS)  # type: ignore[misc]  # a default that is never given
        back.append(time.monotonic() - began - passed)
    tell(f"{what}: all served again {max(back):.1f} s after; the crowd: {dict(there.crowd.told_to_come_again)}")
    for each in there.visitors:
        tell(each.told(began))
        assert max(visit.seconds for visit in each.since(began)) <= DEADLINE_SECONDS
    for process, (cpu, size) in after.items():
        if process in before:
            share, growth = (cpu - before[process][0]) / passed, size - before[process][1]
            assert share <= BUSY_SHARE, f"{process} takes {share:.2f} of a core"
            assert growth <= GROWTH_BYTES, f"{process} has grown by {growth / 2**20:.0f} MiB"


def taken(cluster: Cluster) -> dict[tuple[str, str, int], tuple[float, int]]:
    """CPU seconds and memory of each process of the machines."""
    found = {}
    for name in NAMES:
        for process in marked(cluster.machines[name].data_dir):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used = (times.user + times.system, process.memory_info().rss)
                found[name, process.name(), process.pid] = used
    return found


def longest(visitors: Visitors, since: float, *things: str) -> float:
    """The longest that anybody waited for one of these."""
    return max(visit.seconds for what in things for visit in visitors.since(since, what))


# --- one service ------------------------------------------------------------------------------------------------------
async def test_a_machine_that_alone_cannot_reach_redis_sells_on_and_the_others_see_what_it_sells(
    three: Cluster,
) -> None:
    async with scene(three) as there:
        async with trouble(three, there, "cut off from Redis alone") as began:
            with three.network.unheard("c", CACHE):
                unseen = await seen_at(three, "a", there)
                await logged_out_everywhere(three, "c", "a")
                await until(lambda: there.home.has_served_all(began + unseen))
                await asyncio.sleep(max(0.0, began + CUT_SECONDS - time.monotonic()))
                assert there.mine <= await of_machine(three, there.crowd, "c")
        tell(f"what is sold at c is seen at a after {unseen:.1f} s")
        assert unseen <= UNSEEN_SECONDS
        assert not there.crowd.told_to_come_again
        for each in there.visitors:
            assert each.served_all_since(began), each.told(began)


async def seen_at(cluster: Cluster, name: str, there: Scene) -> float:
    """Seconds until a machine's readers see what has just been sold at `c`."""
    async with cluster.http("c") as here, cluster.http(name) as http:
        headers = await sign_up(here)
        url = f"/v1/schedules/{there.sale.schedule_id}"
        held = await here.post(f"{url}/bookings", headers=headers, json={"quantity": 1})
        assert held.status_code == httpx.codes.CREATED, held.text
        version, since = held.json()["version"], time.monotonic()

        async def seen() -> bool:
            return bool((await http.get(f"{url}/availability")).json()["version"] >= version)

        await until(seen)
        return time.monotonic() - since


async def logged_out_everywhere(cluster: Cluster, name: str, other: str) -> None:
    """Who logs out at one machine is a stranger to the other by the time they are told so."""
    async with cluster.http(name) as here, cluster.http(other) as there:
        headers = await sign_up(here)
        assert (await there.get("/v1/accounts/me", headers=headers)).status_code == httpx.codes.OK
        assert (await here.delete("/v1/sessions/current", headers=headers)).status_code == httpx.codes.NO_CONTENT
        assert (await there.get("/v1/accounts/me", headers=headers)).status_code == httpx.codes.UNAUTHORIZED


async def test_a_machine_that_alone_cannot_reach_kafka_sells_on_and_tells_later(three: Cluster) -> None:
    async with scene(three) as there:
        async with trouble(three, there, "cut off from Kafka alone") as began:
            with three.network.unheard("c", BROKER):
                await until(lambda: there.home.has_served_all(began))
                await asyncio.sleep(max(0.0, began + CUT_SECONDS - time.monotonic()))
        assert not there.crowd.told_to_come_again

        asked = "SELECT schedule_id, seq FROM schedule_heads WHERE schedule_id = ANY($1)"
        untold = "SELECT 1 FROM schedule_heads JOIN unnest($1::uuid[], $2::bigint[]) AS t(id, seq) ON id = schedule_id"
        ids, versions = zip(*await three.rows(asked, there.mine), strict=True)

        async def all_told() -> bool:
            return not await three.rows(f"{untold} WHERE published_seq < t.seq", ids, versions)

        await until(all_told, RECOVERY_SECONDS)


@pytest.mark.parametrize(("way", "seconds"), [("there", CUT_SECONDS), ("back", CUT_SECONDS), ("there", LONG_SECONDS)])
async def test_a_machine_cut_off_from_the_database_one_way_is_taken_over_and_answers(
    three: Cluster, way: str, seconds: float
) -> None:
    """What it sends vanishes; or what it is sent: then its commits arrive, and it does not hear of them."""
    cut = three.network.unheard if way == "there" else three.network.deaf
    (leader,) = [name for name in NAMES if await leads(three, name)]  # it is to lose that, too
    others = [name for name in NAMES if name != leader]
    async with scene(three, leader, others[0]) as there:
        async with trouble(three, there, f"{leader} is cut off from the database alone, on the way {way}") as began:
            with cut(leader, DATABASE):
                await until(lambda: there.mine <= there.crowd.back_after(began, there.mine).keys())
                await until(lambda: any_leads(three, others), LONGEST_SECONDS)
                assert not await of_machine(three, there.crowd, leader)
                await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        returned = time.monotonic()
        await spread(three, there.crowd, leader)
        tell(f"{leader} sells again {time.monotonic() - returned:.1f} s after all were served, what is new")
        back = list(there.crowd.back_after(began, there.mine).values())
        tell(f"its schedules are sold elsewhere: {figures(back)}")
        assert max(back) <= LONGEST_SECONDS
        assert there.abroad.served_all_since(began)


# --- one way between machines -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("speaks", "hears"), [("c", "a"), ("a", "c")])
async def test_a_line_between_two_machines_that_is_broken_one_way_does_no_harm(
    three: Cluster, speaks: str, hears: str
) -> None:
    async with scene(three) as there:
        async with trouble(three, there, f"{hears} does not hear {speaks}") as began:
            with three.network.unheard(speaks, hears):
                await until(lambda: there.mine <= there.crowd.answered_since(began))
                await asyncio.sleep(max(0.0, began + CUT_SECONDS - time.monotonic()))
                assert there.mine <= await of_machine(three, there.crowd, "c")
        assert there.home.served_all_since(began)
        assert longest(there.abroad, began, HOLDING) <= UNREACHABLE_SECONDS
        assert longest(there.abroad, began, SEEING, LOOKING) <= UNREACHABLE_SECONDS / 2


# --- services that hang -----------------------------------------------------------------------------------------------
async def test_a_database_that_hangs_makes_no_machine_lost_and_everybody_is_answered_in_time(three: Cluster) -> None:
    async with scene(three) as there:
        async with trouble(three, there, "the database hangs") as began:
            with suspended(three, "postgres"):
                await asyncio.sleep(CUT_SECONDS)
        assert there.mine <= await of_machine(three, there.crowd, "c")
        for each in there.visitors:
            waited = max(visit.seconds for visit in each.since(began, ASKING))
            assert waited <= UNREACHABLE_SECONDS, "a load balancer learns it soon"


async def test_a_database_that_is_killed_and_started_again_is_sold_on_within_seconds(three: Cluster) -> None:
    async with scene(three) as there:
        async with trouble(three, there, "the database is killed"):
            await three.restart("postgres")
        assert there.mine <= await of_machine(three, there.crowd, "c")


@pytest.mark.parametrize("what", ["redis", "kafka"])
async def test_redis_or_kafka_that_hangs_is_noticed_by_no_buyer_and_leaves_machines_ready(
    three: Cluster, what: str
) -> None:
    async with scene(three) as there:
        async with trouble(three, there, f"{what} hangs") as began:
            with suspended(three, what):
                await asyncio.sleep(CUT_SECONDS)
        assert not there.crowd.told_to_come_again
        for each in there.visitors:
            assert each.served_all_since(began), each.told(began)
            assert longest(each, began, SEEING, LOOKING, HOLDING, COMING_IN) <= UNREACHABLE_SECONDS / 2
