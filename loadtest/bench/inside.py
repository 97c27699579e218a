"""What an unloaded hold is made of, each part measured by itself, and what a hold under load costs inside.

`python -m loadtest.bench.inside` is the process that joins the system's Ray: for every line it reads, it calls an actor
that does nothing, one call after the other, and answers with the median in µs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import time
from collections.abc import AsyncIterator

import asyncpg

from loadtest.bench.contenders.contender import Contender
from loadtest.bench.contenders.ours import Ours
from loadtest.bench.figures.results import Round
from loadtest.bench.loads import spread
from loadtest.bench.measuring import Table
from loadtest.bench.wrk import percentiles
from loadtest.http_client import Client
from loadtest.stack import StackError
from persistence.database.dsn import asyncpg_dsn

CALLS = 500
MARK = "percentiles"
# Counted by the gateway in every process, shown on /metrics.
CALLS_METRIC, CARRIED_METRIC = "boxoffice_gateway_calls_total", "boxoffice_gateway_requests_total"


async def ray_call(table: Table, contender: Contender) -> Round:
    """One call at a time to a bare Ray actor on the system's own Ray."""
    assert isinstance(contender, Ours)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.bench.inside"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **contender.stack.environment},
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = [line.removeprefix(MARK).split() for line in out.decode().splitlines() if line.startswith(MARK)]
    if not lines:
        raise StackError(f"the process that calls Ray ended with {process.returncode} and no answer")
    return Round(latency_us={name: float(value) for name, value in (word.split("=") for word in lines[0])})


def main() -> None:
    """The process that calls an actor which does nothing, and prints the percentiles of the later calls in µs."""
    import ray

    class Nothing:
        async def nothing(self) -> None:
            return None

    address = os.environ["RAY_ADDRESS"]
    host = address.rpartition(":")[0]
    ray.init(address=address, namespace="bench", log_to_driver=False, logging_level="ERROR", _node_ip_address=host)
    actor = ray.remote(Nothing).options(num_cpus=0, enable_task_events=False).remote()
    taken = []
    for _ in range(2 * CALLS):
        start = time.perf_counter()
        ray.get(actor.nothing.remote())
        taken.append(int((time.perf_counter() - start) * 1e6))
    print(MARK, *(f"{name}={value}" for name, value in percentiles(taken[CALLS:]).items()), flush=True)


async def one_row_commit(table: Table, contender: Contender) -> Round:
    """One INSERT of one row at a time, in the system's own PostgreSQL, committed with its own settings."""
    assert isinstance(contender, Ours)
    await table.rest()
    connection = await asyncpg.connect(asyncpg_dsn(contender.stack.database_url))
    try:
        async with _bench_table(connection) as insert:
            taken = []
            for number in range(2 * CALLS):
                start = time.perf_counter()
                await connection.execute(insert, number)
                taken.append(int((time.perf_counter() - start) * 1e6))
    finally:
        await connection.close()
    return Round(latency_us={name: float(value) for name, value in percentiles(taken[CALLS:]).items()})


@contextlib.asynccontextmanager
async def _bench_table(connection: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[str]:
    await connection.execute("CREATE SCHEMA bench; CREATE TABLE bench.rows (id bigint PRIMARY KEY, text text)")
    try:
        yield "INSERT INTO bench.rows VALUES ($1, 'as long as a small event of a booking')"
    finally:
        await connection.execute("DROP SCHEMA bench CASCADE")


async def saturated(table: Table, contender: Contender) -> Round:
    """A round of holds, and how many commits and calls to owners each of them took.

    A commit is counted by the transaction that its journal records carry; calls are counted by the gateway.
    """
    assert isinstance(contender, Ours)
    since = (await contender.query("SELECT now()"))[0][0]
    calls, carried = await gateway_counters(contender.url)
    measured = await spread()(table, contender)
    query = """
        SELECT count(DISTINCT xmin::text), count(*) FROM journal
         WHERE at_ms >= extract(epoch FROM $1::timestamptz) * 1000
    """
    commits, records = (await contender.query(query, since))[0]
    extra = {"commits_per_booking": commits / records} if records else {}
    calls_after, carried_after = await gateway_counters(contender.url)
    if carried_after > carried:
        extra["calls_per_booking"] = (calls_after - calls) / (carried_after - carried)
    return Round(**{name: getattr(measured, name) for name in Round.__struct_fields__ if name != "extra"}, extra=extra)


async def gateway_counters(url: str) -> tuple[float, float]:
    """Calls made and requests carried, of all processes; zeros where they are not shown."""
    client = Client(url)
    try:
        page = (await client.request("GET", "/metrics")).body.decode()
    finally:
        client.close()
    return counter(page, CALLS_METRIC), counter(page, CARRIED_METRIC)


def counter(page: str, name: str) -> float:
    """The sum of a counter over its labels, in the Prometheus text format."""
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", page, re.MULTILINE))


if __name__ == "__main__":
    main()
