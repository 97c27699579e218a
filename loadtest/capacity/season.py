"""`python -m loadtest.capacity.season`: a season of evenings on one machine, each with a hold.

One hold for each of so many schedules that nobody has asked for yet, by clients who come again when they are told to;
then what that comes to: time, memory of the processes that owners share, connections to PostgreSQL. Then `kill -9` of
everything, a new start on the same data, and another hold for each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from rich.console import Console

from loadtest.bench.contenders.contender import CATEGORY, PRICE, seating_plan
from loadtest.http_client import Client
from loadtest.sale import created, newcomer
from loadtest.stack import OWNER, Stack, StackError, own_stack, words_of
from persistence.database.dsn import asyncpg_dsn
from persistence.embedded.instance import end_marked, marked
from persistence.embedded.process import ProcessError

BUYERS = 32
EVENINGS_PER_HOUSE = 250
MIB = 2**20


async def open_season(stack: Stack, evenings: int, seats: int) -> list[str]:
    """So many schedules, on sale now."""
    organizer = await newcomer(stack.url, "organizer")
    made: list[str] = []
    while len(made) < evenings:
        count = min(EVENINGS_PER_HOUSE, evenings - len(made))
        name = f"House {len(made) // EVENINGS_PER_HOUSE + 1}"
        venue = await created(organizer, "/v1/venues", {"name": name, "seating_plan": seating_plan(seats)})
        performance = await created(organizer, "/v1/performances", {"title": name, "venue_id": venue["id"]})
        terms = {
            "starts_at": (datetime.now(UTC) + timedelta(days=30)).isoformat(timespec="seconds"),
            "venue_id": venue["id"],
            "currency": "KRW",
            "prices": {CATEGORY: PRICE},
            "recurrence": f"FREQ=DAILY;COUNT={count}",
        }
        first = await created(organizer, f"/v1/performances/{performance['id']}/schedules", terms)
        made += [str(each["id"]) for each in (first, *first["recurring"])]
    organizer.close()
    return made


async def hold_each(buyers: Sequence[Client], schedules: Sequence[str]) -> dict[str, Any]:
    """A hold on each schedule; how long that took, and what was answered on the way."""
    statuses: Counter[int] = Counter()
    times: list[float] = []
    left = list(reversed(schedules))

    async def buy(buyer: Client) -> None:
        while left:
            path = f"/v1/schedules/{left.pop()}/bookings"
            while True:
                begun = time.monotonic()
                answer = await buyer.request("POST", path, {"quantity": 1})
                times.append(time.monotonic() - begun)
                statuses[answer.status] += 1
                if answer.status == 201:
                    break
                if answer.status != 503:
                    raise StackError(f"a hold was answered {answer.status}: {answer.body[:200].decode()}")
                await asyncio.sleep(int(answer.headers["retry-after"]))

    begun = time.monotonic()
    await asyncio.gather(*map(buy, buyers))
    times.sort()
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "p50_ms": round(times[len(times) // 2] * 1000),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000),
        "statuses": dict(statuses),
    }


async def footprint(stack: Stack) -> dict[str, Any]:
    """What it takes: the processes of owners and their own share of memory, connections to PostgreSQL."""
    assert stack.data_dir is not None
    owners = [each for each in marked(stack.data_dir) if words_of(each).startswith(OWNER)]
    connection = await asyncpg.connect(asyncpg_dsn(stack.database_url))
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    connections = await connection.fetchval(query)
    await connection.close()
    return {
        "processes": len(owners),
        "pss_mib": round(sum(each.memory_full_info().pss for each in owners) / MIB),
        "connections": connections,
    }


def kill_all(directory: Path) -> None:
    """`kill -9` of everything, the supervisor first: it would start the rest again."""
    for process in psutil.Process().children():
        if str(directory) in words_of(process):
            process.kill()
    end_marked(directory)


async def measure(evenings: int, seats: int, directory: Path, console: Console) -> dict[str, Any]:
    """The season, its end and its second beginning."""
    found: dict[str, Any] = {"evenings": evenings, "seats": seats, "cores": psutil.cpu_count()}
    async with own_stack(kept=directory) as stack:
        schedules = await open_season(stack, evenings, seats)
        buyers = [await newcomer(stack.url, "customer") for _ in range(BUYERS)]
        found["first holds"] = await hold_each(buyers, schedules)
        console.print(found["first holds"])
        found["then"] = await footprint(stack)
        found["second holds"] = await hold_each(buyers, schedules)
        console.print(found["then"], found["second holds"])
        tokens = [buyer.token for buyer in buyers]
        await asyncio.to_thread(kill_all, directory)
    begun = time.monotonic()
    async with own_stack(kept=directory) as stack:
        found["started again after"] = round(time.monotonic() - begun, 1)
        buyers = [Client(stack.url) for _ in tokens]
        for buyer, token in zip(buyers, tokens, strict=True):
            buyer.token = token
        found["holds after kill -9 of everything"] = await hold_each(buyers, schedules)
        found["after that"] = await footprint(stack)
        for buyer in buyers:
            buyer.close()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: measured; 2: it could not be."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.capacity.season")
    parser.add_argument("--evenings", type=int, default=1_000)
    parser.add_argument("--seats", type=int, default=500, help="of each house")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    directory = Path(tempfile.mkdtemp(prefix="boxoffice-season-"))
    try:
        found = asyncio.run(measure(options.evenings, options.seats, directory, console))
    except (StackError, ProcessError) as error:
        console.print(f"the measurement could not be made: {error}", markup=False)
        return 2
    finally:
        end_marked(directory)
        shutil.rmtree(directory, ignore_errors=True)
    console.print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
