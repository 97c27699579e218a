"""`python -m loadtest.recovery`: how long a sale is without its owner after SIGKILL, beside a bare Ray actor.

In interleaved rounds a bare actor (no state, no imports) and a schedule's owner, with a sale's history to recover, are
killed; each round measures until the next call, or the next durable hold over HTTP, is answered. Medians with the
lowest and the highest round, and their ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from loadtest.http_client import Client
from loadtest.sale import newcomer, open_sale, venue_named
from loadtest.stack import Stack, StackError, own_stack
from persistence.embedded.process import ProcessError

HISTORY = 300  # bookings made before the first kill
MARK = "seconds"
PAUSE_SECONDS = 4.0  # between two kills: Ray fills its pool of idle processes meanwhile, for both alike


def bare() -> None:
    """The other process, which has joined the stack's Ray: a line on stdin is a round, its seconds are answered."""
    import ray

    class Bare:
        async def pid(self) -> int:
            return os.getpid()

    address = os.environ["RAY_ADDRESS"]
    host = address.rpartition(":")[0]
    ray.init(address=address, namespace="recovery", log_to_driver=False, logging_level="ERROR", _node_ip_address=host)
    actor_class = ray.remote(Bare)

    def actor() -> Any:
        options = {"name": "bare", "get_if_exists": True, "lifetime": "detached", "num_cpus": 0, "max_restarts": 0}
        return actor_class.options(**options).remote()

    pid = ray.get(actor().pid.remote())
    print(MARK, 0.0, flush=True)
    for _ in sys.stdin:
        os.kill(pid, signal.SIGKILL)
        start = time.perf_counter()
        while True:
            try:
                pid = ray.get(actor().pid.remote(), timeout=30)
                break
            except ray.exceptions.RayError:
                time.sleep(0.02)
        print(MARK, time.perf_counter() - start, flush=True)


async def answer(lines: asyncio.StreamReader) -> float:
    """The next answer of the other process; Ray writes lines of its own in between."""
    while line := (await lines.readline()).decode():
        if line.startswith(MARK):
            return float(line.removeprefix(MARK))
    raise StackError("the bare actor's process has ended")


async def owner_round(stack: Stack, admin: Client, buyer: Client, schedule_id: str) -> float:
    """Kills the owner; the seconds until a hold is answered 201."""
    memory = (await admin.request("GET", f"/v1/admin/actors/{schedule_id}")).json()
    os.kill(memory["pid"], signal.SIGKILL)
    start = time.perf_counter()
    await hold(buyer, schedule_id)
    return time.perf_counter() - start


async def hold(buyer: Client, schedule_id: str) -> None:
    answer = await buyer.request("POST", f"/v1/schedules/{schedule_id}/bookings", {"quantity": 1})
    if answer.status != 201:
        raise StackError(f"a hold was answered {answer.status}: {answer.body[:200].decode(errors='replace')}")


async def measure(rounds: int, console: Console) -> tuple[list[float], list[float]]:
    """Interleaved rounds; seconds of the bare actor and of the owner."""
    async with own_stack() as stack:
        sale = await open_sale(stack.url, venue_named("sejong"))
        buyer, admin = await newcomer(stack.url, "customer"), await stack.admin()
        for _ in range(HISTORY):
            await hold(buyer, sale.schedule_id)
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtest.recovery", "--bare"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **stack.environment},
        )
        assert other.stdin is not None
        assert other.stdout is not None
        await answer(other.stdout)
        bare_seconds, owner_seconds = [], []
        for number in range(1, rounds + 1):
            await asyncio.sleep(PAUSE_SECONDS)
            other.stdin.write(b"\n")
            bare_seconds.append(await answer(other.stdout))
            await asyncio.sleep(PAUSE_SECONDS)
            owner_seconds.append(await owner_round(stack, admin, buyer, sale.schedule_id))
            console.print(f"round {number}: bare {bare_seconds[-1]:.2f} s, owner {owner_seconds[-1]:.2f} s")
        other.stdin.close()
        await other.wait()
        return bare_seconds, owner_seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: measured; 2: it could not be."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.recovery")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.bare:
        bare()
        return 0
    console = Console(highlight=False, soft_wrap=True)
    try:
        bare_seconds, owner_seconds = asyncio.run(measure(options.rounds, console))
    except (StackError, ProcessError) as error:
        console.print(f"the measurement could not be made: {error}", markup=False)
        return 2
    result = {
        name: {"median": statistics.median(each), "lowest": min(each), "highest": max(each)}
        for name, each in (("bare", bare_seconds), ("owner", owner_seconds))
    }
    ratio = statistics.median(owner_seconds) / statistics.median(bare_seconds)
    console.print(json.dumps({**result, "ratio": ratio}, default=float))
    return 0


if __name__ == "__main__":
    sys.exit(main())
