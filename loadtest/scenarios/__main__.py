"""`python -m loadtest.scenarios NAME`: one scenario, with thresholds and an audit as the verdict.

Exit codes: 0, the thresholds are kept and the audit holds; 1, one of them does not; 2, the run could not be made.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from actors.process.settings import Settings
from loadtest.audit import Check
from loadtest.demo import CANNOT_RUN, PLAIN_WIDTH, stoppable
from loadtest.sale import NAMES, venue_named
from loadtest.scenarios import run, stage
from loadtest.scenarios.outcome import Outcome
from loadtest.scenarios.report import conclude, passed, report
from loadtest.scenarios.run import OUTCOME, REPORT, Order, Stages
from loadtest.scenarios.scenario import SCENARIOS, Scenario
from loadtest.scenarios.verdict import Limits, Threshold, judge
from loadtest.stack import Stack, StackError, own_stack, running_stack

REPORTS = Path(".boxoffice") / "loadtest"
ACCOUNTS_A_LINE = 100


def parser() -> argparse.ArgumentParser:
    """The command line's."""
    made = argparse.ArgumentParser(prog="python -m loadtest.scenarios", description="Drive the system with a crowd.")
    made.add_argument("name", nargs="?", metavar="NAME", choices=list(SCENARIOS), help="a scenario; --list shows them")
    made.add_argument("--list", action="store_true", help="show the scenarios")
    made.add_argument("--url", help="a system that runs already, instead of one of our own")
    made.add_argument("--users", type=_positive, help="how many at most (default: the scenario's)")
    made.add_argument("--seconds", type=_positive, help="how long (default: the scenario's)")
    made.add_argument("--venue", choices=sorted(NAMES), help="the house to sell (default: the scenario's)")
    files = made.add_argument_group("files")
    files.add_argument("--reports", type=Path, default=REPORTS, help=f"for a folder per run (default: {REPORTS})")
    files.add_argument("--html", type=Path, help="where the HTML report goes (default: into that folder)")
    limits = made.add_argument_group("thresholds")
    limits.add_argument("--p95-ms", type=_positive, help="for every kind of answer (default: the scenario's)")
    limits.add_argument("--p95", type=_ceiling, action="append", default=[], metavar="KIND=MS", help="for one kind")
    limits.add_argument("--min-requests", type=_positive, help="in all (default: one per user)")
    several = made.add_argument_group("several processes and machines")
    several.add_argument("--processes", type=_positive, default=1, help="of Locust, on this machine (default: 1)")
    several.add_argument("--expect-workers", type=_positive, default=0, help="on other machines, to be waited for")
    several.add_argument("--master-bind-host", default="*", help="where they connect to (default: every address)")
    several.add_argument("--master-bind-port", type=_positive, default=5557, help="(default: 5557)")
    parts = made.add_argument_group("one part alone, for runs of Locust's own")
    parts.add_argument("--prepare", type=Path, metavar="FILE", help="make the stage only; needs --url")
    parts.add_argument("--audit", type=Path, metavar="FILE", help="judge the outcome of a run; needs --url")
    return made


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _ceiling(text: str) -> tuple[str, int]:
    kind, _, milliseconds = text.rpartition("=")
    if not kind:
        raise argparse.ArgumentTypeError("write it as KIND=MS, for example hold=200")
    return kind, _positive(milliseconds)


def limits_of(options: argparse.Namespace, scenario: Scenario, users: int) -> Limits:
    """By what a run is judged: the scenario's, unless something else was asked for."""
    return Limits(
        p95_ms=options.p95_ms or scenario.p95_ms,
        p95_of=dict(options.p95),
        requests=options.min_requests or users,
        must=scenario.must,
    )


def show_scenarios(console: Console) -> None:
    """Prints what may be played."""
    table = Table("scenario", "what happens", "users", "seconds", "house")
    for each in SCENARIOS.values():
        table.add_row(each.name, each.purpose, str(each.users), str(each.seconds), each.venue)
    console.print(table)


def telling(console: Console) -> Stages:
    """Lines about how far things are."""
    accounts = 0

    def account() -> None:
        nonlocal accounts
        accounts += 1
        if accounts % ACCOUNTS_A_LINE == 0:
            console.print(f"  {accounts} accounts")

    return Stages(lambda what: console.print(what, highlight=False), account)


async def prepare(options: argparse.Namespace, scenario: Scenario, console: Console) -> int:
    """Makes the stage only, and writes it into the file; gives the exit code."""
    stack = running_stack(options.url, Settings.from_environment())
    users = options.users or scenario.users
    venue = venue_named(options.venue or scenario.venue)
    tell = telling(console)
    tell.begins(f"preparing: {users} customers and a schedule at {venue.name}")
    stage.write(await stage.prepare(stack, scenario, users, venue, tell.account), options.prepare)
    return 0


async def judge_file(options: argparse.Namespace, console: Console) -> int:
    """Judges the outcome in the file, and audits the system; gives the exit code. Raises `StackError`."""
    stack = running_stack(options.url, Settings.from_environment())
    outcome = run.read_outcome(options.audit)
    if outcome.scenario not in SCENARIOS:
        raise StackError(f"{options.audit} is of a scenario that is not known: {outcome.scenario}")
    thresholds = judge(outcome, limits_of(options, SCENARIOS[outcome.scenario], outcome.users))
    checks = await run.inspect(stack, outcome)
    return _say(outcome, thresholds, checks, [], console)


async def play(options: argparse.Namespace, scenario: Scenario, console: Console) -> int:
    """Plays a scenario, judges it and audits the system; gives the exit code."""
    run.check_locust()
    directory = run.directory_for(scenario.name, options.reports)
    order = Order(
        scenario=scenario,
        users=options.users or scenario.users,
        seconds=options.seconds or scenario.seconds,
        venue=options.venue or scenario.venue,
        directory=directory,
        html=options.html or directory / REPORT,
        processes=options.processes,
        expect_workers=options.expect_workers,
        bind_host=options.master_bind_host,
        port=options.master_bind_port,
    )
    limits = limits_of(options, scenario, order.users)
    tell = telling(console)

    async def on(stack: Stack) -> tuple[Outcome, list[Check]]:
        outcome = await run.play(stack, order, tell)
        tell.begins("auditing")
        return outcome, await run.inspect(stack, outcome)

    if options.url:
        outcome, checks = await on(running_stack(options.url, Settings.from_environment()))
    else:
        tell.begins("starting a system of our own: PostgreSQL, Redis, Kafka, Ray, API …")
        started = time.monotonic()
        async with own_stack() as stack:
            tell.begins(f"ready at {stack.url} after {time.monotonic() - started:.1f} s")
            outcome, checks = await on(stack)
    return _say(outcome, judge(outcome, limits), checks, [order.html, directory / OUTCOME], console)


def _say(
    outcome: Outcome, thresholds: list[Threshold], checks: list[Check], files: list[Path], console: Console
) -> int:
    report(outcome, thresholds, checks, console)
    conclude(outcome, thresholds, checks, files, console)
    return 0 if passed(thresholds, checks) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    command = parser()
    options = command.parse_args(arguments)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=PLAIN_WIDTH)
    if options.list:
        show_scenarios(console)
        return 0
    if (options.prepare or options.audit) and not options.url:
        command.error("--prepare and --audit need --url: they are about a system that runs")
    if options.name is None and not options.audit:
        command.error("name a scenario; --list shows them")
    if options.processes > 1 and options.expect_workers:
        command.error("--processes is for this machine, --expect-workers for others: take one of them")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters of it is raised
    if options.audit:
        work = judge_file(options, console)
    elif options.prepare:
        work = prepare(options, SCENARIOS[options.name], console)
    else:
        work = play(options, SCENARIOS[options.name], console)
    try:
        return asyncio.run(stoppable(work))
    except CANNOT_RUN as error:
        console.print(f"the run could not be made: {error}", style="red", markup=False)
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("stopped")
    return 2


if __name__ == "__main__":
    sys.exit(main())
