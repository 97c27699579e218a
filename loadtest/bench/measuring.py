"""Rounds: interleaved, each begun when all is quiet, each verified.

A scenario's lines take turns (A B C A B C …), so that whatever else the machine does hits all of them. Before a round
everything that is open comes to rest; a round's CPU is counted until all is at rest again and nothing waits for anybody
who works beside the sale, so that work put off is paid for by whoever put it off.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import asyncpg
import msgspec
import psutil
from msgspec import Struct
from redis.exceptions import RedisError
from rich.console import Console

from loadtest.bench import wrk
from loadtest.bench.contenders.contender import Contender, OnSale, Opening
from loadtest.bench.contenders.processes import cpu_seconds, difference, quiet_share_of, settle
from loadtest.bench.contenders.verification import verify
from loadtest.bench.figures.results import Line, Ratio, Result, Round, work_out
from loadtest.http_client import ConnectionLost
from loadtest.stack import StackError
from persistence.embedded.process import ProcessError

# One contender's failure: its figures are missing, and the report says why. Whatever else is raised ends the run.
FAILURES = (StackError, ProcessError, ConnectionLost, asyncpg.PostgresError, RedisError, psutil.Error, OSError)
WARM_UP_SECONDS = 1
FASTEST = 9_000  # requests per second for which seats are kept ready; a new house costs everybody half a second
NEWS_SECONDS = 1.5  # in which services have heard of what was sold, gathered more of it, and begun
RESTS = 12  # times that it is waited for: mails are made long after what they are about

T = TypeVar("T")


class Options(Struct, frozen=True, kw_only=True):
    """How hard, how long, how often."""

    rounds: int
    seconds: int
    connections: int
    threads: int = 2  # of wrk, on as many cores as the contenders have


class Table:
    """What the rounds of one scenario share: options, seats on sale, and a count of what was verified."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.verified = 0
        self.warming = False
        self.history: dict[str, list[Round]] = {}
        self._on_sale: dict[tuple[int, str], OnSale] = {}
        self._open: list[Contender] = []

    @property
    def seconds(self) -> int:
        """Of this round."""
        return WARM_UP_SECONDS if self.warming else self.options.seconds

    def has_opened(self, contender: Contender) -> None:
        self._open.append(contender)

    def has_closed(self, contender: Contender) -> None:
        self._open.remove(contender)
        self._on_sale = {key: sale for key, sale in self._on_sale.items() if sale.contender is not contender}

    async def on_sale(
        self, contender: Contender, schedules: int, seats: int, *, needed: int = 0, purpose: str = ""
    ) -> OnSale:
        """Schedules with so many seats each; the same as last time for this purpose, unless too few seats are left."""
        key = (id(contender), f"{purpose} {schedules}×{seats}")
        sale = self._on_sale.get(key)
        if sale is None or sale.left() < needed:
            sale = self._on_sale[key] = await OnSale.opened(contender, schedules, seats)
        return sale

    async def rest(self) -> bool:
        """Waits until no contender does anything, and nothing waits for any of its services. False if it goes on."""
        groups = [each.processes() for each in self._open]
        share = quiet_share_of(sum(len(members) for group in groups for members in group.values()))
        for _ in range(RESTS):
            if not await settle(
                lambda: sum(sum(cpu_seconds(each.processes()).values()) for each in self._open), quiet_share=share
            ):
                return False
            if all([await each.caught_up() for each in self._open]):
                return True
            await asyncio.sleep(NEWS_SECONDS)
        return False

    async def drive(
        self,
        contender: Contender,
        load: wrk.Drive,
        sale: OnSale | None = None,
        *,
        seats_each: int = 1,
        status: str = "held",
    ) -> Round:
        """A round of wrk. With `sale`, what was acknowledged is looked up in it; raises `Broken` if it isn't there."""
        settled = await self.rest()
        before = cpu_seconds(contender.processes())
        with tempfile.TemporaryDirectory(prefix="boxoffice-bench-") as directory:
            try:
                driven = await wrk.drive(load, Path(directory))
            except StackError:
                if sale is not None:
                    sale.first = len(sale.seats)  # nobody knows how far it got
                raise
        await asyncio.sleep(NEWS_SECONDS)  # until then some do nothing, who have something to do
        settled = await self.rest() and settled
        used = difference(before, cpu_seconds(contender.processes()))
        if sale is not None:
            sale.used(driven.seen.used)
            verify(driven.created, await contender.booked(sale.schedule_ids), seats_each=seats_each, status=status)
            self.verified += len(driven.created)
        return round_of(driven, used, settled)


def round_of(driven: wrk.Driven, used: dict[str, float], settled: bool) -> Round:
    """The figures of one run of wrk."""
    answers = driven.seen.answers
    requests = sum(answers.values())
    return Round(
        requests=requests,
        created=answers.get("paid 201", answers.get("201", 0)),
        refused=answers.get("409", 0),
        seconds=driven.seen.microseconds / 1e6,
        latency_us={name: float(value) for name, value in driven.seen.latency_us.items()},
        cpu_us={name: seconds / requests * 1e6 for name, seconds in used.items()},
        extra={
            name: float(value)
            for name, value in (("stalls", driven.stalls), ("unevenness", driven.unevenness))
            if value is not None
        },
        settled=settled,
    )


Measure = Callable[[Table, Contender], Awaitable[Round]]


class Entry(Struct, frozen=True):
    """A line of a scenario: what it is called, who is asked, and how."""

    label: str
    contender: str
    measure: Measure


class Scenario(Struct, frozen=True, kw_only=True):
    """Who is asked what, and what is to come out of it. `reopen`: every round starts its contenders anew, one by one,
    because two whole systems at a time would share the machine."""

    name: str
    title: str
    note: str = ""
    entries: tuple[Entry, ...]
    ratios: tuple[Ratio, ...] = ()
    reopen: bool = False


def interleaved(rounds: int, entries: Sequence[T]) -> Iterable[tuple[int, T]]:
    """A B C A B C …, with the number of the round (from 1)."""
    return ((number, entry) for number in range(1, rounds + 1) for entry in entries)


async def run_scenario(
    scenario: Scenario, openings: dict[str, Opening], options: Options, console: Console
) -> tuple[Result, int]:
    """Its result, and how many bookings were verified. Raises `Broken`."""
    table = Table(options)
    lines = {entry.label: Line(label=entry.label, rounds=[]) for entry in scenario.entries}
    console.print(f"[bold]{scenario.name}[/bold]: {scenario.title}")
    if scenario.reopen:
        for number in range(1, options.rounds + 1):
            for key in dict.fromkeys(entry.contender for entry in scenario.entries):
                mine = [entry for entry in scenario.entries if entry.contender == key]
                await _sitting(table, mine, openings, range(number, number + 1), lines, console)
    else:
        await _sitting(table, scenario.entries, openings, range(1, options.rounds + 1), lines, console)
    ratios = [msgspec.structs.replace(ratio) for ratio in scenario.ratios]
    for ratio in ratios:
        work_out(ratio, list(lines.values()))
    result = Result(
        name=scenario.name, title=scenario.title, note=scenario.note, lines=list(lines.values()), ratios=ratios
    )
    return result, table.verified


async def _sitting(
    table: Table,
    entries: Sequence[Entry],
    openings: dict[str, Opening],
    numbers: range,
    lines: dict[str, Line],
    console: Console,
) -> None:
    """Opens the contenders, warms them up, and takes the rounds."""
    async with _opened(table, entries, openings, lines, console) as contenders:
        for number, entry in interleaved(len(numbers) + 1, entries):  # the first is the warm-up
            table.warming = number == 1
            line = lines[entry.label]
            if line.missing:
                continue
            try:
                measured = await entry.measure(table, contenders[entry.contender])
            except FAILURES as error:
                line.missing = f"{type(error).__name__}: {error}"
                console.print(f"  {entry.label}: failed, {line.missing}", markup=False)
                continue
            if not table.warming:
                line.rounds.append(measured)
                table.history[entry.label] = line.rounds
                console.print(f"  round {numbers[number - 2]}, {entry.label}: {shown(measured)}", markup=False)


@asynccontextmanager
async def _opened(
    table: Table, entries: Sequence[Entry], openings: dict[str, Opening], lines: dict[str, Line], console: Console
) -> AsyncIterator[dict[str, Contender]]:
    """Every contender of the entries that can be opened; the lines of the others say why they are missing."""
    async with AsyncExitStack() as closing:
        contenders = {}
        for key in dict.fromkeys(entry.contender for entry in entries if not lines[entry.label].missing):
            try:
                contender = contenders[key] = await closing.enter_async_context(openings[key]())
            except FAILURES as error:
                console.print(f"  {key} cannot be started: {error}", markup=False)
                for entry in entries:
                    if entry.contender == key:
                        lines[entry.label].missing = f"cannot be started: {error}"
                continue
            table.has_opened(contender)
            closing.callback(table.has_closed, contender)
        yield contenders


def shown(measured: Round) -> str:
    """A round in one line, for whoever watches."""
    parts = []
    if measured.requests:
        parts.append(f"{measured.requests / measured.seconds:,.0f} requests/s, {measured.created:,} created")
    parts += [
        f"p{name} {measured.latency_us[name] / 1000:.2f} ms" for name in ("50", "99") if name in measured.latency_us
    ]
    parts += [f"{name} {value:,.3g}" for name, value in measured.extra.items()]
    if measured.cpu_us:
        parts.append(f"{sum(measured.cpu_us.values()):,.0f} µs CPU per request")
    return ", ".join(parts) + ("" if measured.settled else " (not settled)")
