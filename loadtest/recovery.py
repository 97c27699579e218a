"""`python -m loadtest.recovery`: how long a sale is without its owner after SIGKILL, beside a bare Ray actor.

In interleaved rounds a bare actor (no state, no imports) and a schedule's owner, with a sale's history to recover, are
killed; each round measures until the next call, or the next durable hold over HTTP, is answered. Medians with the
lowest and the highest round, and their ratio.

With `--past N` the schedule has N bookings behind it that were made and cancelled: two journal records each, written
by the engine and the journal's own code, with snapshots as often as an owner makes them. Events stay unpublished then,
since millions of them would take the machine for minutes.
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

import asyncpg
from rich.console import Console

from actors.owner.snapshots import snapshot_due
from actors.process.clock import SystemClock
from engine.commands import Cancel, HoldSeats
from engine.snapshot import capture, encode
from engine.turn import Request, Step, execute
from loadtest.http_client import Client
from loadtest.sale import newcomer, open_sale, venue_named
from loadtest.stack import Stack, StackError, own_stack
from persistence.database.dsn import asyncpg_dsn
from persistence.embedded.process import ProcessError
from persistence.journal import history
from persistence.journal.journal import Batch, PostgresJournal

PAST_AT_ONCE = 1_000  # past bookings per transaction
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


async def owner_round(admin: Client, buyer: Client, schedule_id: str) -> float:
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


async def write_past(stack: Stack, schedule_id: str, count: int) -> None:
    """Gives the schedule so many bookings that were made and cancelled."""
    async with asyncpg.create_pool(asyncpg_dsn(stack.database_url), min_size=1, max_size=2) as pool:
        journal, clock = PostgresJournal(pool), SystemClock()
        claim = await journal.claim(schedule_id)
        plan = await journal.plan(schedule_id)
        state = await history.state_at(journal, schedule_id, plan, claim.seq)
        customer, saved = clock.new_id(), claim.snapshot_seq
        for first in range(0, count, PAST_AT_ONCE):
            steps: list[Step] = []
            for number in range(first, min(first + PAST_AT_ONCE, count)):
                booking_id, cancellation_id = clock.new_id(), clock.new_id()
                seat = plan.ids[number % plan.size]
                for command in (
                    HoldSeats(booking_id, customer, (seat,)),
                    Cancel(booking_id, cancellation_id, customer),
                ):
                    steps += execute(state, Request(clock.new_id(), command), clock.now_ms()).steps
            await journal.append(claim, plan, Batch(steps))
            if snapshot_due(state, state.seq - saved):
                saved = state.seq
                await journal.save_snapshot(claim, saved, encode(capture(state)))


async def measure(rounds: int, past: int, console: Console) -> tuple[list[float], list[float]]:
    """Interleaved rounds; seconds of the bare actor and of the owner."""
    async with own_stack({"BOXOFFICE_PUBLISH": "off"} if past else {}) as stack:
        sale = await open_sale(stack.url, venue_named("sejong"))
        if past:
            started = time.perf_counter()
            await write_past(stack, sale.schedule_id, past)
            console.print(f"{past:,} past bookings written in {time.perf_counter() - started:.0f} s")
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
            owner_seconds.append(await owner_round(admin, buyer, sale.schedule_id))
            console.print(f"round {number}: bare {bare_seconds[-1]:.2f} s, owner {owner_seconds[-1]:.2f} s")
        other.stdin.close()
        await other.wait()
        return bare_seconds, owner_seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: measured; 2: it could not be."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.recovery")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--past", type=int, default=0, metavar="N", help="bookings made and cancelled before")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.bare:
        bare()
        return 0
    console = Console(highlight=False, soft_wrap=True)
    try:
        bare_seconds, owner_seconds = asyncio.run(measure(options.rounds, options.past, console))
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
