"""`python -m loadtest.bench.profile`: where the time of a hold goes, as flame graphs of the system under load.

Starts the system, books one seat after the other in a large house with wrk, and samples one API worker and the
schedule's owner with py-spy meanwhile, only while they hold the GIL. Prints the CPU of a hold by process, for which
wrk is left out and the sampling is not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from loadtest.bench import wrk
from loadtest.bench.contenders.contender import LARGE, OnSale
from loadtest.bench.contenders.ours import open_ours
from loadtest.bench.contenders.processes import cpu_seconds, difference
from loadtest.bench.measuring import FAILURES
from loadtest.stack import StackError

PROFILED = {"API": "worker", "owner": "owner"}  # group of processes → its file's name
SETTLED_SECONDS = 10.0  # after which nothing of the start goes on
MARGIN_SECONDS = 1  # of load before and after the samples
SAMPLES_PER_SECOND = 250


async def profile(directory: Path, seconds: int, connections: int, console: Console) -> None:
    """Writes `worker.svg` and `owner.svg` to the directory. Raises `StackError` or another of `FAILURES`."""
    async with open_ours() as ours:
        sale = await OnSale.opened(ours, 1, LARGE)
        await asyncio.sleep(SETTLED_SECONDS)
        load = wrk.Drive(
            mode="spread",
            url=ours.url,
            paths=sale.paths(),
            seconds=seconds + 2 * MARGIN_SECONDS,
            connections=connections,
            threads=2,
            expected=frozenset({"201"}),
            tokens=ours.tokens,
            seats=sale.seats[sale.first :],
        )
        groups = ours.processes()
        before = cpu_seconds(groups)
        with tempfile.TemporaryDirectory(prefix="boxoffice-profile-") as scratch:
            driving = asyncio.create_task(wrk.drive(load, Path(scratch)))
            await asyncio.sleep(MARGIN_SECONDS)
            targets = {PROFILED[name]: groups[name][-1].pid for name in PROFILED}
            await asyncio.gather(*(sample(pid, directory / f"{name}.svg", seconds) for name, pid in targets.items()))
            driven = await driving
        used = difference(before, cpu_seconds(ours.processes()))
    holds = len(driven.created)
    console.print(f"{holds / load.seconds:,.0f} holds a second, sampled; µs of CPU per hold:")
    for name, taken in sorted(used.items(), key=lambda each: -each[1]):
        console.print(f"  {name:14} {taken / holds * 1e6:6.0f}")
    console.print(f"flame graphs: {', '.join(str(directory / f'{name}.svg') for name in PROFILED.values())}")


async def sample(pid: int, path: Path, seconds: int) -> None:
    """One process's flame graph. Raises `StackError` with what py-spy says, if it may not look for example."""
    options = ["--duration", str(seconds), "--rate", str(SAMPLES_PER_SECOND), "--gil", "--output", str(path)]
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), *options),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaints = await process.communicate()
    if process.returncode != 0:
        raise StackError(f"py-spy cannot sample process {pid}: {complaints.decode(errors='replace')[-300:]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: the graphs are there; 2: there is no profile."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench.profile", description="Flame graphs of the system under load."
    )
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="where to (default: here)")
    parser.add_argument("--seconds", type=int, default=5, help="of samples (default: 5)")
    parser.add_argument("--connections", type=int, default=128, help="(default: 128)")
    asked = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    asked.output.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(profile(asked.output, asked.seconds, asked.connections, console))
    except FAILURES as error:
        console.print(f"there is no profile: {error}", markup=False)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
