"""`python -m loadtest.bench`: durable holds per second over HTTP, beside an authenticated no-op on the same workers.

Both are driven by wrk in interleaved rounds (A B A B …), so that whatever else the machine does hits both; medians are
given with the lowest and the highest round. After each round every hold that was answered 201 is looked up in the
database: a figure counts only if all of them are there, each with a seat of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import psutil
from msgspec import Struct
from rich.console import Console

from loadtest.buyers import Ledger
from loadtest.http_client import Client, ConnectionLost
from loadtest.sale import created, gather_crowd, newcomer, open_schedule
from loadtest.stack import Stack, StackError, own_stack
from persistence.dsn import asyncpg_dsn
from persistence.embedded.process import ProcessError

SCRIPT = Path(__file__).with_name("wrk.lua")
REPORT = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
CUSTOMERS = 50
# Seats on sale in each round: more than can be held in it. As a document about 5 MB, of the 8 MiB that a plan may have.
ZONES, ROWS, SEATS = 60, 20, 50
CATEGORY = "A"
WARM_UP = 20


class Round(Struct, frozen=True):
    """What wrk saw of one round."""

    created: int
    refused: int
    ran_out: int  # requests for which no seat was left: such a round does not count
    microseconds: int
    errors: int
    p50_us: int
    p95_us: int
    p99_us: int
    max_us: int

    @property
    def per_second(self) -> float:
        return self.created / self.microseconds * 1e6


class Load(Struct, frozen=True, kw_only=True):
    """How hard wrk drives."""

    seconds: int
    connections: int
    threads: int


async def drive(url: str, path: str, inputs: Path, outputs: Path, load: Load) -> Round:
    """One round of wrk. Raises `StackError` when it fails."""
    process = await asyncio.create_subprocess_exec(
        "wrk",
        *("-t", str(load.threads), "-c", str(load.connections), "-d", f"{load.seconds}s", "--timeout", "20s"),
        *("-s", str(SCRIPT), url, "--", path, str(inputs), str(load.threads), str(outputs)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaints = await process.communicate()
    if process.returncode != 0:
        raise StackError(f"wrk ended with {process.returncode}: {complaints.decode(errors='replace')[:500]}")
    seen = msgspec.json.decode(out.splitlines()[-1], type=Round)
    if seen.refused or seen.errors or seen.ran_out:
        raise StackError(f"a round with refusals does not count: {seen}; {complaints.decode(errors='replace')[:500]}")
    return seen


def acknowledged(outputs: Path) -> set[str]:
    """The ids of the bookings that were answered 201."""
    return {line for path in outputs.glob("created-*.txt") for line in path.read_text().split()}


async def unaccounted(pool: asyncpg.Pool[Any], schedule_id: str, bookings: set[str]) -> int:
    """How many of the bookings the database does not have, or has with a seat that another has, too."""
    rows = await pool.fetch("SELECT id, seats FROM bookings WHERE schedule_id = $1", schedule_id)
    owners: dict[str, str] = {}
    lost = set(bookings)
    for row in rows:
        (seat,) = row["seats"]
        if owners.setdefault(seat, str(row["id"])) == str(row["id"]):
            lost.discard(str(row["id"]))
    return len(lost)


def seating_plan() -> dict[str, object]:
    """A house with more seats than a round can hold."""
    zones = [
        {
            "name": f"Z{zone}",
            "zone_id": f"Z{zone}",
            "position": {"x": 0, "y": zone * ROWS},
            "rows": [
                {
                    "row_number": str(row),
                    "position": {"x": 0, "y": row},
                    "seats": [
                        {
                            "seat_guid": f"{zone}-{row}-{seat}",
                            "seat_number": str(seat),
                            "position": {"x": seat, "y": 0},
                            "category": CATEGORY,
                        }
                        for seat in range(SEATS)
                    ],
                }
                for row in range(ROWS)
            ],
        }
        for zone in range(ZONES)
    ]
    size = {"width": SEATS, "height": ZONES * ROWS}
    return {"name": "Bench", "size": size, "categories": [{"name": CATEGORY, "color": "#000000"}], "zones": zones}


def seat_ids() -> list[str]:
    return [f"{zone}-{row}-{seat}" for zone in range(ZONES) for row in range(ROWS) for seat in range(SEATS)]


async def measure(stack: Stack, rounds: int, load: Load, console: Console) -> tuple[list[Round], list[Round]]:
    """Holds and no-ops in turn, after a warm-up of both. Raises `StackError` if an acknowledged hold is missing."""
    client = await newcomer(stack.url, "organizer")
    venue = await created(client, "/v1/venues", {"name": "Bench", "seating_plan": seating_plan()})
    performance = await created(client, "/v1/performances", {"title": "Bench", "venue_id": venue["id"]})
    holds: list[Round] = []
    noops: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="boxoffice-bench-") as name:
        inputs = Path(name)
        (inputs / "seats.txt").write_text("\n".join(seat_ids()[WARM_UP:]))
        tokens: list[str] = []
        for number in range(rounds):
            schedule_id = await open_schedule(client, performance["id"], venue["id"], {CATEGORY: 1000}, days=7 + number)
            if not tokens:
                crowd = await gather_crowd(stack.url, schedule_id, CUSTOMERS, Ledger(), lambda: None)
                tokens = [buyer.token for buyer in crowd]
                (inputs / "tokens.txt").write_text("\n".join(tokens))
            await warm_up(stack.url, schedule_id, tokens)
            outputs = inputs / str(number)
            outputs.mkdir()
            hold = await drive(stack.url, f"/v1/schedules/{schedule_id}/bookings", inputs, outputs, load)
            async with asyncpg.create_pool(asyncpg_dsn(stack.database_url), min_size=1, max_size=1) as pool:
                if missing := await unaccounted(pool, schedule_id, acknowledged(outputs)):
                    raise StackError(f"{missing} of {hold.created} acknowledged holds are not in the database")
            noop = await drive(stack.url, f"/v1/schedules/{schedule_id}/noop", inputs, inputs, load)
            holds.append(hold)
            noops.append(noop)
            console.print(f"round {number + 1}: {hold.per_second:,.0f} holds/s, {noop.per_second:,.0f} no-ops/s")
    client.close()
    return holds, noops


async def warm_up(url: str, schedule_id: str, tokens: Sequence[str]) -> None:
    """Brings the schedule's owner up and every worker's caches to life."""
    for seat in seat_ids()[:WARM_UP]:
        client = Client(url)
        client.token = tokens[0]
        await created(client, f"/v1/schedules/{schedule_id}/bookings", {"seats": [seat]})
        client.close()


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Median and extremes, as `5,000 (4,800–5,100)`."""
    low, middle, high = (format(value, form) for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}–{high})"


def table(holds: Sequence[Round], noops: Sequence[Round], load: Load, command: str) -> str:
    """The figures with all that is needed to read them."""
    ratio = statistics.median(each.per_second for each in holds) / statistics.median(each.per_second for each in noops)
    rows = [
        f"| {name} | {spread([each.per_second for each in rounds])} |"
        f" {spread([each.p50_us / 1000 for each in rounds], '.1f')} |"
        f" {spread([each.p95_us / 1000 for each in rounds], '.1f')} |"
        f" {spread([each.p99_us / 1000 for each in rounds], '.1f')} |"
        for name, rounds in (("durable hold", holds), ("authenticated no-op", noops))
    ]
    total = sum(each.created for each in holds)
    return "\n".join(
        [
            BEGIN,
            f"`{command}` on {machine()}, {datetime.now(UTC):%Y-%m-%d}; {len(holds)} interleaved rounds of"
            f" {load.seconds} s each, {load.connections} connections, wrk on the same machine;"
            " median (lowest–highest).",
            "",
            "| POST | per second | p50 ms | p95 ms | p99 ms |",
            "| --- | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            f"A durable hold runs at {ratio:.0%} of the no-op's rate. All {total:,} holds answered 201 were in the"
            " database afterwards, each with a seat of its own.",
            END,
        ]
    )


def machine() -> str:
    """What the figures were taken on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = models[0] if models else cpu
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"{psutil.cpu_count()} × {cpu}, {memory:.0f} GiB, {system}, Python {platform.python_version()}"


def write(figures: str, report: Path = REPORT) -> None:
    """Replaces the figures in the report, and nothing else of it."""
    text = report.read_text()
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise StackError(f"{report} has no place for the figures: {BEGIN} … {END}")
    report.write_text(before + figures + after)


async def run(rounds: int, load: Load, console: Console) -> tuple[list[Round], list[Round]]:
    console.print("starting a system of our own …")
    async with own_stack({"BOXOFFICE_BENCH": "on"}) as stack:
        return await measure(stack, rounds, load, console)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: measured; 2: it could not be."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8, help="of each round (default: 8)")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2, help="of wrk (default: 2)")
    parser.add_argument("--write", action="store_true", help=f"put the figures into docs/{REPORT.name}")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    if shutil.which("wrk") is None:
        console.print("wrk is not on PATH: install it (Debian, Ubuntu: apt install wrk; macOS: brew install wrk)")
        return 2
    load = Load(seconds=options.seconds, connections=options.connections, threads=options.threads)
    try:
        holds, noops = asyncio.run(run(options.rounds, load, console))
        command = " ".join(["python -m loadtest.bench", *(arguments or sys.argv[1:])])
        figures = table(holds, noops, load, command)
        console.print(figures, markup=False)
        if options.write:
            write(figures)
    except (StackError, ProcessError, ConnectionLost) as error:
        console.print(f"the benchmark could not be run: {error}", markup=False)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
