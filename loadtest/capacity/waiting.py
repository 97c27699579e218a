"""`python -m loadtest.capacity.waiting`: what somebody who waits costs, in CPU time: a join, a look.

So many customers stand in line for a schedule that lets in one at a time; all of them join again and again, then all of
them look, as fast as they are answered, and the CPU time is counted that the system takes beyond what it takes at rest.
Takes two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psutil
from rich.console import Console

from loadtest.bench.contenders.contender import CATEGORY, PRICE, seating_plan
from loadtest.bench.contenders.ours import MANY_CUSTOMERS, Ours, open_ours
from loadtest.bench.measuring import FAILURES, Options
from loadtest.capacity.model import Cost
from loadtest.capacity.units import Meter
from loadtest.http_client import Client
from loadtest.sale import created, newcomer
from loadtest.stack import StackError

ENVIRONMENT = {"BOXOFFICE_RECONCILE": "off", "BOXOFFICE_SHOPPING_AT_ONCE": "1"}
LONGEST_PAUSE_SECONDS = 15  # between two looks of somebody who waits for long
WAITING = 100_000


async def open_waiting_room(url: str) -> str:
    """A schedule whose waiting room is open."""
    organizer = await newcomer(url, "organizer")
    venue = await created(organizer, "/v1/venues", {"name": "House", "seating_plan": seating_plan(500)})
    performance = await created(organizer, "/v1/performances", {"title": "Evening", "venue_id": venue["id"]})
    terms = {
        "starts_at": (datetime.now(UTC) + timedelta(days=30)).isoformat(timespec="seconds"),
        "venue_id": venue["id"],
        "currency": "KRW",
        "prices": {CATEGORY: PRICE},
        "waiting_room": True,
    }
    schedule = await created(organizer, f"/v1/performances/{performance['id']}/schedules", terms)
    organizer.close()
    return str(schedule["id"])


async def ask(people: Sequence[Client], method: str, paths: Sequence[str], times: int) -> list[str]:
    """Everybody asks for their own path so often; gives their places' paths. Raises `StackError`."""

    async def one(person: Client, path: str) -> str:
        for _ in range(times):
            answer = await person.request(method, path)
            if answer.status not in (200, 201):
                raise StackError(f"{method} {path} was answered {answer.status}: {answer.body[:200].decode()}")
        return f"/v1/queue/{answer.json()['ticket']}"

    return await asyncio.gather(*map(one, people, paths))


async def measure(target: Ours, times: int) -> tuple[Cost, Cost]:
    """What a join costs, and what a look."""
    meter = Meter(target, Options(rounds=1, seconds=1, connections=1))
    joining = f"/v1/schedules/{await open_waiting_room(target.url)}/queue"
    people = [Client(target.url) for _ in target.tokens]
    for person, token in zip(people, target.tokens, strict=True):
        person.token = token
    await ask(people, "POST", [joining] * len(people), 1)
    await meter.rest()
    places, joins = await meter.spent(ask(people, "POST", [joining] * len(people), times))
    _, looks = await meter.spent(ask(people, "GET", places, times))
    for person in people:
        person.close()
    each = 1 / (times * len(people))
    return joins * each, looks * each


async def run(times: int) -> tuple[Cost, Cost]:
    """Measures. Raises one of `FAILURES`."""
    async with open_ours(ENVIRONMENT, customers=MANY_CUSTOMERS) as ours:
        return await measure(ours, times)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: measured; 2: it could not be."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.capacity.waiting")
    parser.add_argument("--times", type=int, default=100, help="how often each customer does each (default: 100)")
    asked = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"load average at the beginning: {psutil.getloadavg()[0]:.1f}")
    try:
        joins, looks = asyncio.run(run(asked.times))
    except FAILURES as error:
        console.print(f"there are no figures: {error}", markup=False)
        return 2
    for name, cost in (("join", joins), ("look", looks)):
        console.print(f"{name}: {cost.all:,.0f} µs of CPU, of which PostgreSQL {cost.database:,.0f}")
    cores = looks.all * WAITING / LONGEST_PAUSE_SECONDS / 1e6
    console.print(f"{WAITING:,} who wait, each looking every {LONGEST_PAUSE_SECONDS} s: {cores:.1f} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
