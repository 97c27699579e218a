"""What each thing costs: done many times over at full load, with nothing else, and the CPU time counted that it takes
until all is at rest again. What the system takes at rest is left out of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import psutil
from msgspec import Struct

from loadtest.bench import wrk
from loadtest.bench.contenders.contender import LARGE, Contender, OnSale
from loadtest.bench.contenders.mails import Asked, let_all_be_sent
from loadtest.bench.contenders.ours import Ours
from loadtest.bench.contenders.processes import Groups, cpu_seconds, difference, megabytes
from loadtest.bench.inside import gateway_counters
from loadtest.bench.measuring import Options, Table
from loadtest.capacity.model import Cost, Costs, Load, cost_of, parted
from loadtest.capacity.season import hold_each, open_season
from loadtest.sale import newcomer
from loadtest.stack import StackError

CONNECTIONS, FEW_CONNECTIONS = 128, 8
PAYING_CONNECTIONS = 20  # fewer than customers, so that each is at one thing at a time
REST_SECONDS = 5.0
HOUSES = 20  # sold at the same time
PAGES, PAGES_SECONDS = 400, 8  # open pages, and how long they are looked at
OPENINGS, OPENED_SEATS = 100, 500
SOLD_OUT_SEATS, READ_SEATS = 1_000, 3_000
PAGE = ("", "/layout", "/states")  # of a schedule: what a page asks for when it is opened
PER_BOOKING = 100  # seats, at most

T = TypeVar("T")


class Meter:
    """Counts what a system takes while something is done to it."""

    def __init__(self, target: Asked, options: Options, machines: Sequence[str] = ()) -> None:
        self.target = target
        self.machines = machines or (target.url,)
        self.table = Table(options)
        self.table.has_opened(target)
        self.idle: dict[str, float] = {}  # CPU seconds a second

    async def rest(self) -> None:
        """Waits until nothing of what was done before goes on, and takes what the system takes at rest."""
        await self.table.rest()
        before, begun = cpu_seconds(self.target.processes()), time.monotonic()
        await asyncio.sleep(REST_SECONDS)
        used = difference(before, cpu_seconds(self.target.processes()))
        self.idle = {name: seconds / (time.monotonic() - begun) for name, seconds in used.items()}

    async def batches(self) -> dict[str, float]:
        """Calls to owners, commits of theirs, and parts of these beyond one for each: made so far."""
        calls = sum([(await gateway_counters(url))[0] for url in self.machines])
        query = "SELECT count(DISTINCT xmin::text), count(DISTINCT xmin::text || schedule_id::text) FROM journal"
        ((commits, parts),) = await self.target.query(query)
        return {"call": calls, "commit": commits, "part": parts - commits}

    async def spent(self, work: Awaitable[T], *, settle: bool = True) -> tuple[T, Cost]:
        """What the work brings, and what it takes until all is at rest again, beyond what rest takes."""
        before, begun = cpu_seconds(self.target.processes()), time.monotonic()
        done = await work
        if settle:
            await self.table.rest()
        seconds = time.monotonic() - begun
        used = difference(before, cpu_seconds(self.target.processes()))
        return done, cost_of({name: value - self.idle.get(name, 0.0) * seconds for name, value in used.items()})

    # --- what is done -------------------------------------------------------------------------------------------------
    async def drive(self, sale: OnSale, mode: str, **changed: object) -> wrk.Driven:
        """A run of wrk on a sale, whose answers are those that may come."""
        options = self.table.options
        load = wrk.Drive(
            mode=mode,
            url=self.target.url,
            paths=sale.paths(),
            seconds=options.seconds,
            connections=options.connections,
            threads=options.threads,
            expected=frozenset({"200", "201", "409", "paid 201"}),
            tokens=self.target.tokens,
            seats=sale.seats[sale.first :],
        )
        load = msgspec.structs.replace(load, **changed)
        if mode == "purchase":
            await let_all_be_sent(self.target)
        with tempfile.TemporaryDirectory(prefix="boxoffice-capacity-") as directory:
            driven = await wrk.drive(load, Path(directory))
        if mode in ("spread", "purchase"):
            sale.used(driven.seen.used)
        return driven

    async def load(self, sale: OnSale, mode: str, **changed: object) -> Load:
        """What was made (or asked, where nothing is), and what it took."""
        before = await self.batches()
        driven, cost = await self.spent(self.drive(sale, mode, **changed))
        after = await self.batches()
        batches = {name: after[name] - before[name] for name in after}
        return Load(len(driven.created) or sum(driven.seen.answers.values()), batches, cost)


async def of_holds(meter: Meter) -> dict[str, Any]:
    """What holds and refusals are made of, by the names of `Costs`: each of two loads has many in a call, or few."""
    house, full_house = await OnSale.opened(meter.target, 1, LARGE), await sold_out(meter.target)
    await meter.drive(house, "spread", seconds=1)
    await meter.rest()
    refused = await meter.load(full_house, "random")
    few = await meter.load(full_house, "random", connections=FEW_CONNECTIONS)
    refusal, call = parted(refused.of("call"), few.of("call"))
    found = {"refusal": refusal, "call": call}
    held = await meter.load(house, "spread")
    few = await meter.load(house, "spread", connections=FEW_CONNECTIONS)
    hold, commit = parted(held.less(found).of("commit"), few.less(found).of("commit"))
    found |= {"hold": hold, "commit": commit}
    houses = await OnSale.opened(meter.target, HOUSES, LARGE // HOUSES)
    spread = (await meter.load(houses, "spread")).less(found)
    part = (spread.cost - hold * spread.times) * (1 / spread.batches["part"])
    per_batch = {"per_call": held.times / held.batches["call"], "per_commit": held.times / held.batches["commit"]}
    return {**found, "part": part, **per_batch}


async def measure(target: Ours, options: Options) -> Costs:
    """Every cost, one after the other. Raises `StackError` where something is answered that may not be."""
    meter = Meter(target, options)
    holding = await of_holds(meter)
    await meter.rest()
    idle, machine_mib = cost_of(meter.idle), _memory_mib(target.processes())
    house = await OnSale.opened(target, 1, LARGE)
    paid = await meter.load(house, "purchase", connections=PAYING_CONNECTIONS, threads=PAYING_CONNECTIONS)
    purchase = paid.less(holding).cost * (1 / paid.times)
    read = await OnSale.opened(target, 1, READ_SEATS)
    opened = await meter.load(read, "get", paths=page_paths(read))
    waiting, page_kib = await _waiting(meter, read)
    watching = await _watching(meter, house, holding)
    opening, schedule_kib = await _opening(meter, target)
    (row,) = await target.query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
    return Costs(
        **holding,
        purchase=purchase,
        request=opened.cost * (1 / opened.times),
        waiting_second=waiting,
        open_second=watching,
        opening=opening,
        schedule_kib=schedule_kib,
        page_kib=page_kib,
        idle_second=idle,
        machine_mib=machine_mib,
        connections=row[0] - 1,  # this one
    )


def page_paths(sale: OnSale) -> tuple[str, ...]:
    """What the pages of these schedules ask for."""
    return tuple(f"/v1/schedules/{schedule_id}{part}" for schedule_id in sale.schedule_ids for part in PAGE)


async def sold_out(target: Contender) -> OnSale:
    """A house in which no seat is free."""
    sale = await OnSale.opened(target, 1, SOLD_OUT_SEATS)
    for first in range(sale.first, SOLD_OUT_SEATS, PER_BOOKING):
        await sale.book(sale.schedule_ids[0], sale.seats[first : first + PER_BOOKING])
    return sale


def _memory_mib(groups: Groups) -> float:
    """What the machine's own processes take; PostgreSQL's server is another's."""
    return sum(megabytes(processes) for name, processes in groups.items() if name != "PostgreSQL") * 1e6 / 2**20


# --- open pages -------------------------------------------------------------------------------------------------------
class Pages(Struct):
    """Streams that are read."""

    received: int = 0  # bytes


@contextlib.asynccontextmanager
async def pages(url: str, schedule_id: str, count: int) -> AsyncIterator[Pages]:
    """So many open pages of a schedule, as far as the server sees them: streams that are read to their end."""
    parts = urlsplit(url)
    seen = Pages()
    head = f"GET /v1/schedules/{schedule_id}/stream HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    writers: list[asyncio.StreamWriter] = []
    readers: list[asyncio.Task[None]] = []

    async def read(reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65_536):
            seen.received += len(data)

    try:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writers.append(writer)
            writer.write(head)
            if not (await reader.readline()).startswith(b"HTTP/1.1 200"):
                raise StackError("a stream is not opened")
            readers.append(asyncio.create_task(read(reader)))
        yield seen
    finally:
        for writer in writers:
            writer.close()
        await asyncio.gather(*readers, return_exceptions=True)


async def _waiting(meter: Meter, sale: OnSale) -> tuple[Cost, float]:
    """A second of an open page while nothing happens, and the memory that one takes in KiB."""
    api = meter.target.processes()["API"]
    before = megabytes(api)
    await meter.rest()
    async with pages(meter.target.url, sale.schedule_ids[0], PAGES):
        await asyncio.sleep(1)  # what opening them takes is not counted
        _, cost = await meter.spent(asyncio.sleep(PAGES_SECONDS), settle=False)
        grown = megabytes(api) - before
    return _on_machines(cost, PAGES * PAGES_SECONDS), max(0.0, grown) * 1e6 / 1024 / PAGES


def _on_machines(cost: Cost, times: float) -> Cost:
    """An open page asks neither owner nor database for anything: what differs there is chance."""
    return Cost(machines=max(0.0, cost.machines) / times)


async def _watching(meter: Meter, sale: OnSale, holding: Mapping[str, Any]) -> Cost:
    """A second of an open page while its house is sold: what holds at full load take more with them than without."""
    async with pages(meter.target.url, sale.schedule_ids[0], PAGES) as seen:
        await asyncio.sleep(1)
        before = seen.received
        sold = (await meter.load(sale, "spread")).less(holding)
        if seen.received == before:
            raise StackError("the pages were told nothing of a sale")
    return _on_machines(sold.cost - holding["hold"] * sold.times, PAGES * meter.table.options.seconds)


# --- schedules --------------------------------------------------------------------------------------------------------
async def _opening(meter: Meter, target: Ours) -> tuple[Cost, float]:
    """What a schedule's first hold takes more than its second, and the memory that it takes from then on in KiB."""
    stack = target.stack
    schedules = await open_season(stack, OPENINGS, OPENED_SEATS)
    await meter.rest()
    buyers = [await newcomer(stack.url, "customer") for _ in range(8)]
    owners = target.processes()["owner"]
    before = _pss_kib(owners)
    _, first = await meter.spent(hold_each(buyers, schedules))
    grown = _pss_kib(owners) - before
    _, second = await meter.spent(hold_each(buyers, schedules))
    for buyer in buyers:
        buyer.close()
    return (first - second) * (1 / OPENINGS), max(0.0, grown) / OPENINGS


def _pss_kib(processes: Sequence[psutil.Process]) -> float:
    return float(sum(each.memory_full_info().pss for each in processes)) / 1024
