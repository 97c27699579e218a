"""PostgreSQL fails, and its standby takes over at the same address: what was answered is there, and it sells on.

The standby is synchronous, as docs/operations.md asks for. Before the end it hangs for a while, longer than owners wait
for a statement: then commits stand in the first database that never reach the second, where whoever looks can see them.
None of them may have been answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from actors.owner.process import COMMAND_SECONDS
from persistence.embedded.postgres import installation
from persistence.embedded.process import Child, child_environment
from tests.cluster.machines import DATABASE, STANDBY, Cluster, MakeCluster
from tests.cluster.story import LONGEST_SECONDS, all_open, sold_at, suspended, tell
from tests.support.waiting import until

pytestmark = pytest.mark.long


async def start_standby(cluster: Cluster) -> None:
    """Starts one beside the cluster's database; from then on what is committed is there, too."""
    place, address = cluster.network.service(DATABASE), cluster.network.service(STANDBY)
    primary = cluster.hub["postgres"].program
    directory = Path(primary.argv[primary.argv.index("-D") + 1])
    copy, sockets = directory.with_name("standby"), directory.with_name("standby-sockets")
    await asyncio.to_thread(make_copy, place, copy, sockets, primary.user or (0, 0))
    words = [each.replace(place, address).replace(str(directory), str(copy)) for each in primary.argv]
    words = [f"unix_socket_directories={sockets}" if each.startswith("unix_socket_d") else each for each in words]

    async def ready() -> None:
        await (await asyncpg.connect(f"postgresql://postgres@{address}/postgres", timeout=5)).close()

    program = replace(primary, name="standby", argv=tuple(words), ready=ready, prepare=nothing)
    cluster.hub["standby"] = await Child.start(program, child_environment({}))
    await cluster.hub["standby"].until_ready()
    await cluster.rows("ALTER SYSTEM SET synchronous_standby_names = '*'")
    await cluster.rows("SELECT pg_reload_conf()")
    await until(lambda: follows(cluster))


async def nothing() -> None:
    """It is prepared already."""


def make_copy(address: str, copy: Path, sockets: Path, user: tuple[int, int]) -> None:
    """Copies the database at the address, to follow it."""
    for each in (copy, sockets):
        each.mkdir(mode=0o700)
        os.chown(each, *user)
    words = (str(installation() / "bin" / "pg_basebackup"), "-h", address, "-U", "postgres", "-D", str(copy))
    subprocess.run(
        [*words, "-R", "-X", "stream", "-c", "fast"],
        check=True,
        capture_output=True,
        user=user[0],
        group=user[1],
        cwd="/",
        env=child_environment({}, LC_ALL="C"),
    )


async def follows(cluster: Cluster) -> bool:
    return bool(await cluster.rows("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"))


@asynccontextmanager
async def forwarded(address: str, to: str, port: int = 5432) -> AsyncIterator[None]:
    """Whoever connects to the address reaches the other one: it has moved."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onwards = await asyncio.open_connection(to, port)
        await asyncio.gather(pump(reader, onwards[1]), pump(onwards[0], writer))

    server = await asyncio.start_server(serve, address, port)
    try:
        yield
    finally:
        server.close()


async def test_a_standby_takes_over_and_nothing_that_was_answered_is_missing(make_cluster: MakeCluster) -> None:
    async with make_cluster("a", "b") as cluster, contextlib.AsyncExitStack() as closing:
        await start_standby(cluster)
        address, other = cluster.network.service(DATABASE), cluster.network.service(STANDBY)
        async with sold_at(cluster, schedules=6, buyers=6) as crowd:
            hung = time.monotonic()
            with suspended(cluster, "standby"):
                await asyncio.sleep(COMMAND_SECONDS + 4)
                assert not crowd.answered_since(hung + 1), "nobody is promised what the standby does not have"
                await cluster.kill("postgres")
            failed = time.monotonic()
            promoting = await asyncpg.connect(f"postgresql://postgres@{other}/postgres")
            await promoting.execute("SELECT pg_promote()")
            await promoting.close()
            promoted = time.monotonic()
            await closing.enter_async_context(forwarded(address, other))
            await until(lambda: len(crowd.answered_since(failed)) == len(crowd.sales), LONGEST_SECONDS)
            back = time.monotonic() - promoted
            await all_open(crowd)
    told = dict(crowd.told_to_come_again)
    tell(f"promoted within {promoted - failed:.1f} s, all are sold again {back:.1f} s after; {told}")
