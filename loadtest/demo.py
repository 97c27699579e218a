"""`python -m loadtest.demo`: sells a real venue out to a crowd through the HTTP API, and audits the result.

Exits 0 only if the house is sold out and everything that knows about the sale agrees: what the buyers were told, the
tables, a replay of the journal, the memory of the schedule's owner, the seat map, and what arrived on Kafka.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TypeVar

import asyncpg
import msgspec
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from actors.process.settings import Settings
from api.demo.venues import DemoVenue
from loadtest.audit import AuditError, Check, Sources, audit
from loadtest.buyers import Ledger
from loadtest.http_client import ConnectionLost
from loadtest.sale import NAMES, Sale, gather_crowd, open_sale, sell_out, venue_named
from loadtest.stack import Stack, StackError, own_stack, running_stack
from persistence.database.dsn import asyncpg_dsn
from persistence.embedded.process import ProcessError
from persistence.events.log import KafkaEventLog, LogUnavailable

BUYERS = 200
PLAIN_WIDTH = 120
PLAIN_SECONDS = 2.0  # between two lines of progress where there is no terminal
LIVE_SECONDS = 0.2
RUSH_SHARE = 0.95
Result = TypeVar("Result")
CANNOT_RUN = (StackError, ProcessError, ConnectionLost, LogUnavailable, AuditError, asyncpg.PostgresError, OSError)


class Outcome(msgspec.Struct):
    """What there is to report."""

    sale: Sale
    buyers: int
    start: float  # of the sale, on the clock of `Ledger.paid_at`
    seconds: float  # until the last place was paid
    ledger: Ledger
    checks: list[Check]

    @property
    def rush(self) -> tuple[float, int]:
        """After how many seconds, and with how many bookings, most of the house was paid.

        What follows is a wait for the last few to make up their minds, and says nothing about speed.
        """
        places = 0
        for bookings, (at, count) in enumerate(self.ledger.paid_at, 1):
            places += count
            if places >= RUSH_SHARE * self.sale.capacity:
                return at - self.start, bookings
        return self.seconds, len(self.ledger.paid_at)

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks) and not self.ledger.unexpected


async def run(stack: Stack, venue: DemoVenue, size: int, console: Console) -> Outcome:
    """The whole demo on a running system."""
    ledger = Ledger()
    stage = Stage(console)
    with stage.counting("opening the sale", 1) as step:
        sale = await open_sale(stack.url, venue)
        step()
    with stage.counting("buyers signing up", size) as step:
        buyers = await gather_crowd(stack.url, sale.schedule_id, size, ledger, step)
    start = await sell_out(buyers, stage.selling(sale, ledger))
    seconds = time.perf_counter() - start
    with stage.counting("audit", 1) as step:
        checks = await inspect(stack, sale, ledger)
        step()
    return Outcome(sale, size, start, seconds, ledger, checks)


async def inspect(stack: Stack, sale: Sale, ledger: Ledger) -> list[Check]:
    """Opens every source of truth and compares them."""
    log = KafkaEventLog(stack.kafka)
    client = await stack.admin()
    try:
        async with asyncpg.create_pool(asyncpg_dsn(stack.database_url), min_size=1, max_size=2) as pool:
            return await audit(Sources(sale.schedule_id, client, pool, log), ledger, sold_out=True)
    finally:
        client.close()
        await log.close()


class Stage:
    """Shows how far things are: bars on a terminal, lines otherwise."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal

    def _bar(self) -> Progress:
        columns = (TextColumn("{task.description:<18}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        note = TextColumn("{task.fields[note]}")
        return Progress(*columns, note, console=self._console, disable=not self._live)

    @contextlib.contextmanager
    def counting(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """A piece of work of `total` steps; what it gives is called after each."""
        start = time.monotonic()
        bar = self._bar()
        task = bar.add_task(what, total=total, note="")
        with bar:
            yield lambda: bar.advance(task)
        if not self._live:
            self._console.print(f"{what}: {total} in {time.monotonic() - start:.1f} s")

    def selling(self, sale: Sale, ledger: Ledger) -> Callable[[], Coroutine[None, None, None]]:
        """What watches the sale until it is cancelled."""
        bar = self._bar()
        task = bar.add_task("seats sold", total=sale.capacity, note="")

        async def watch() -> None:
            start = time.monotonic()
            try:
                with bar:
                    while True:
                        await asyncio.sleep(LIVE_SECONDS if self._live else PLAIN_SECONDS)
                        show(start)
            finally:
                show(start)

        def show(start: float) -> None:
            sold = ledger.seats_sold()
            taken = ledger.answers["hold seats_unavailable"]
            note = f"{ledger.count('confirmed')} bookings, {ledger.count('cancelled')} cancelled, {taken} collisions"
            bar.update(task, completed=sold, note=note)
            if not self._live:
                elapsed = time.monotonic() - start
                self._console.print(f"  {elapsed:5.1f} s  {sold}/{sale.capacity} seats sold, {note}")

        return watch


def report(outcome: Outcome, console: Console) -> None:
    """Prints what happened, how fast, and whether it holds."""
    ledger = outcome.ledger
    console.print()
    console.print(f"{outcome.sale.title}: {outcome.sale.capacity} places, {outcome.buyers} buyers", style="bold")
    bookings, seats = len(ledger.paid_at), ledger.seats_sold()
    console.print(f"sold out in {outcome.seconds:.1f} s: {bookings} bookings paid, {seats} places sold")
    rush_seconds, rush_bookings = outcome.rush
    rate = rush_bookings / rush_seconds
    console.print(
        f"the first {RUSH_SHARE:.0%} in {rush_seconds:.1f} s: {rush_bookings} paid bookings, {rate:.0f} a second"
    )
    back = ledger.count("refunded") + ledger.count("partially_refunded")
    console.print(
        f"{ledger.count('cancelled')} cancelled, {ledger.count('held')} left unpaid, {back} given back or partly so,"
        f" {ledger.answers['pay payment_declined']} cards declined, {ledger.resent} requests sent again"
    )
    speed = Table("request", "answered", "p50 ms", "p95 ms", "p99 ms", "max ms", title="Latency")
    for action, latencies in ledger.latencies_ms.items():
        if action not in ("sign-up", "log-in"):
            count = len(latencies)
            marks = percentiles(latencies)
            speed.add_row(action, str(count), *(f"{mark:.1f}" for mark in marks))
    console.print(speed)
    answers = Table("answer", "times", title="Answers")
    for answer, times in sorted(ledger.answers.items()):
        answers.add_row(answer, str(times))
    console.print(answers)
    verdicts = Table("check", "expected", "found", "", title="Audit")
    for check in outcome.checks:
        verdicts.add_row(check.name, check.expected, check.actual, "holds" if check.holds else "FAILS")
    console.print(verdicts)
    for check in outcome.checks:
        for offender in check.offenders:
            console.print(f"{check.name}: {offender}", style="red")
    for text in ledger.unexpected[:20]:
        console.print(f"unexpected answer: {text}", style="red", markup=False)
    verdict = "The audit holds." if outcome.holds else "THE AUDIT DOES NOT HOLD."
    console.print(f"{verdict} {len(outcome.checks)} checks, {len(ledger.unexpected)} unexpected answers.", style="bold")


def percentiles(values: Sequence[float]) -> tuple[float, float, float, float]:
    """The median, the 95th and the 99th percentile, and the maximum."""
    if len(values) == 1:
        return values[0], values[0], values[0], values[0]
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98], max(values)


async def stoppable(work: Coroutine[None, None, Result]) -> Result:
    """Lets SIGTERM end the work as Ctrl-C does: with everything that was started stopped."""
    task = asyncio.create_task(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


async def on_a_stack(url: str | None, venue: DemoVenue, buyers: int, console: Console) -> Outcome:
    """Runs the demo on the system at `url`; None: on one of its own."""
    if url is not None:
        return await run(running_stack(url, Settings.from_environment()), venue, buyers, console)
    started = time.monotonic()
    console.print("starting a system of our own: PostgreSQL, Redis, Kafka, Ray, API …")
    async with own_stack() as stack:
        console.print(f"ready at {stack.url} after {time.monotonic() - started:.1f} s")
        return await run(stack, venue, buyers, console)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: the audit holds; 1: it does not; 2: the demo could not be run."""
    parser = argparse.ArgumentParser(prog="boxoffice demo", description="Sell a real venue out to a crowd; audit it.")
    parser.add_argument("--venue", choices=sorted(NAMES), default="sejong", help="the house to sell (default: sejong)")
    parser.add_argument("--buyers", type=int, default=BUYERS, help=f"how many buy at once (default: {BUYERS})")
    parser.add_argument("--url", help="a system that runs already, instead of one of our own")
    options = parser.parse_args(arguments)
    if options.buyers < 1:
        parser.error("--buyers must be at least 1")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters of it is raised
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    try:
        outcome = uvloop.run(stoppable(on_a_stack(options.url, venue_named(options.venue), options.buyers, console)))
    except CANNOT_RUN as error:
        console.print(f"the demo could not be run: {error}", style="red", markup=False)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("stopped")
        return 2
    report(outcome, console)
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
