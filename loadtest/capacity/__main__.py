"""`python -m loadtest.capacity`: what each thing costs on this machine, whether the costs add up, and how many machines
a crowd takes by them. Needs `wrk`. Takes about five minutes; CPU time is counted, so others may use the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil
from rich.console import Console

from loadtest.bench.contenders.ours import MANY_CUSTOMERS, open_ours
from loadtest.bench.measuring import FAILURES, Options
from loadtest.capacity.model import Cost, Costs, Crowd, demand, owner_limit
from loadtest.capacity.points import Point, check
from loadtest.capacity.units import CONNECTIONS, Meter, measure

# An examination of a house would be counted as part of whatever goes on just then.
UNDISTURBED = {"BOXOFFICE_RECONCILE": "off"}
CROWDS = (
    Crowd(buyers=1_000, seats=3_000),
    Crowd(buyers=100_000, seats=15_000),
    Crowd(buyers=1_000_000, seats=60_000),
)
CORES = 16  # of the machines that are reckoned with


def tables(costs: Costs, points: Sequence[Point]) -> str:
    """The report, in Markdown."""
    lines = ["| µs of CPU | machines | owner | PostgreSQL | all |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, value in msgspec.structs.asdict(costs).items():
        if isinstance(value, Cost):
            lines.append(
                f"| {name.replace('_', ' ')} | {value.machines:,.1f} | {value.owner:,.1f} | {value.database:,.1f}"
                f" | {value.all:,.1f} |"
            )
    lines += ["", f"An open schedule takes {costs.schedule_kib:,.0f} KiB, an open page {costs.page_kib:,.1f} KiB, the"]
    lines[-1] += f" machine's processes {costs.machine_mib:,.0f} MiB and {costs.connections:.0f} connections."
    lines += ["", "| mix | done | predicted, s of CPU | measured | measured ÷ predicted |"]
    lines.append("| --- | --- | ---: | ---: | ---: |")
    for each in points:
        done = ", ".join(f"{number:,.0f} × {name.replace('_', ' ')}" for name, number in each.done.items())
        lines.append(
            f"| {each.name} | {done} | {each.predicted.all / 1e6:.2f} | {each.measured.all / 1e6:.2f}"
            f" | {each.ratio:.2f} |"
        )
    lines += ["", f"| buyers | seats | bookings | cores: machines | owner | PostgreSQL | machines of {CORES} cores |"]
    lines.append("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for crowd in CROWDS:
        for share in (1.0, 0.0):
            asked = msgspec.structs.replace(crowd, pages_open=share)
            needed = demand(asked, costs)
            lines.append(
                f"| {crowd.buyers:,}{'' if share else ', no page followed live'} | {crowd.seats:,} | {crowd.bookings:,}"
                f" | {needed.machines:,.1f} | {needed.owner:.2f} | {needed.database:.1f}"
                f" | {needed.machines_of(CORES, costs):,} |"
            )
    lines += ["", f"One owner's limit: {owner_limit(costs):,.0f} holds a second."]
    return "\n".join(lines)


async def run(options: Options) -> tuple[Costs, list[Point]]:
    """Measures and checks. Raises one of `FAILURES`."""
    async with open_ours(UNDISTURBED, customers=MANY_CUSTOMERS) as ours:
        costs = await measure(ours, options)
        return costs, await check(Meter(ours, options), costs)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: measured; 2: it could not be."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.capacity")
    parser.add_argument("--seconds", type=int, default=4, help="of each load (default: 4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keeps what was measured")
    asked = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    load = psutil.getloadavg()[0]
    console.print(f"load average at the beginning: {load:.1f}")
    try:
        costs, points = asyncio.run(run(Options(rounds=1, seconds=asked.seconds, connections=CONNECTIONS)))
    except FAILURES as error:
        console.print(f"there are no figures: {error}", markup=False)
        return 2
    console.print(tables(costs, points), markup=False)
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.encode({"costs": costs, "points": points}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
