"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from loadtest.bench.contenders.verification import Broken
from loadtest.bench.figures import plots, report
from loadtest.bench.figures.results import Run
from loadtest.bench.measuring import FAILURES, Options, run_scenario
from loadtest.bench.scenarios import OPENINGS, SCENARIOS

PAGES = "pages"
EPILOG = """
Exit code 0: all was measured; 1: something has no figure, and the report says why; 2: it could not be run at all, or an
acknowledged booking was not there: then there are no figures.
"""


def parser() -> argparse.ArgumentParser:
    """The command line's."""
    made = argparse.ArgumentParser(
        prog="python -m loadtest.bench",
        description="Measures durable bookings over HTTP beside what one would have built instead.",
        epilog=EPILOG,
    )
    made.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="by default all, in order of importance")
    made.add_argument("--list", action="store_true", help="show the scenarios and end")
    made.add_argument("--rounds", type=positive, default=3, help="of each line (default: 3)")
    made.add_argument("--seconds", type=positive, default=3, help="of each round (default: 3)")
    made.add_argument("--connections", type=positive, default=128, help="(default: 128)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures there")
    made.add_argument(
        "--write", action="store_true", help=f"put figures and plots into docs/{report.REPORT.name} and docs/img"
    )
    return made


def positive(text: str) -> int:
    """A number from 1 on, for `argparse`."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


async def measure(names: Sequence[str], options: Options, command: str, console: Console) -> Run:
    """The scenarios, one after the other. Raises `Broken`."""
    run = Run(
        command=command,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=report.machine(),
        load_average=os.getloadavg()[0],
        rounds=options.rounds,
        seconds=options.seconds,
        connections=options.connections,
        verified=0,
        results=[],
    )
    for name in names:
        result, verified = await run_scenario(SCENARIOS[name], OPENINGS, options, console)
        run.results.append(result)
        run.verified += verified
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; gives the exit code, as `EPILOG` has it."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    asked = parser().parse_args(words)
    console = Console(highlight=False, soft_wrap=True)
    if asked.list:
        for scenario in SCENARIOS.values():
            console.print(f"{scenario.name:12} {scenario.title}", markup=False)
        console.print(f"{PAGES:12} how long pages take, and what they cost a sale (by itself)", markup=False)
        return 0
    if asked.scenarios == [PAGES]:
        from loadtest.bench import pages  # with a browser, and nothing to compare with

        return 0 if asyncio.run(pages.measure(asked.rounds, asked.seconds, console)) else 1
    if unknown := [name for name in asked.scenarios if name not in SCENARIOS]:
        parser().error(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    if shutil.which("wrk") is None:
        console.print("wrk is not on PATH: install it (Debian, Ubuntu: apt install wrk; macOS: brew install wrk)")
        return 2
    options = Options(rounds=asked.rounds, seconds=asked.seconds, connections=asked.connections)
    command = shlex.join(["python", "-m", "loadtest.bench", *words])
    try:
        run = asyncio.run(measure(asked.scenarios or list(SCENARIOS), options, command, console))
        if asked.json is not None:
            asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")
        drawn = plots.draw(run) if asked.write else []
        figures = report.markdown(run, drawn)
        console.print(figures, markup=False)
        if asked.write:
            report.write(figures)
    except Broken as broken:
        console.print(f"THE RUN HAS NO FIGURES: {broken}", markup=False)
        return 2
    except FAILURES as error:
        console.print(f"the benchmark could not be run: {error}", markup=False)
        return 2
    complete = all(not line.missing for result in run.results for line in result.lines) and all(
        ratio.value is not None for result in run.results for ratio in result.ratios
    )
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
