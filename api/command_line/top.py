"""`boxoffice top`: how the running system does, once a second, for who sits on its machine.

The same overview as the admins' page, made here: it asks the tables one small question a second, together with the
workers, and no owner. Nobody has to log in: whoever may read the data directory may see it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from actors.process.clock import SystemClock
from actors.process.settings import Settings
from api.command_line.screen import NobodyReads
from api.views.overview import Overviews, OverviewView, StandingView, WaitingView
from persistence.database.connection import create_engine
from persistence.operations.board import VitalsBoard

EVERY_SECONDS = 1.0
ROWS_BESIDE = 14  # lines of a screen that the owners do not get
LEAST_ROWS = 3
UNKNOWN = "–"


class TopError(RuntimeError):
    """There is nothing to look at; the message says why and what to do."""


async def overviews(settings: Settings) -> AsyncGenerator[OverviewView, None]:
    """One a second, for ever. Raises `TopError` where nothing runs."""
    if settings.database_url is None or settings.redis_url is None:
        raise TopError("DATABASE_URL and REDIS_URL must be set, or `boxoffice up` must be running")
    async with AsyncExitStack() as stack:
        database = create_engine(settings.database_url, pool_size=1)
        stack.push_async_callback(database.dispose)
        board = VitalsBoard.at(settings.redis_url, settings.database_url)
        stack.push_async_callback(board.close)
        made = Overviews(database, board, SystemClock())
        while True:
            overview = await made.now()
            if overview.standing is None and not overview.vitals:
                raise TopError("neither the database nor Redis can be reached: `boxoffice doctor` says what to do")
            yield overview
            await asyncio.sleep(EVERY_SECONDS)


async def once(settings: Settings) -> OverviewView:
    """As of now. Raises `TopError`."""
    async with aclosing(overviews(settings)) as coming:
        async for overview in coming:
            return overview
    raise AssertionError("they go on for ever")


async def follow(settings: Settings, screen: Console) -> None:
    """Shows it until Ctrl-C; where it is no terminal, one below the other. Raises `TopError` and `NobodyReads`."""
    async with aclosing(overviews(settings)) as coming:
        if not screen.is_terminal:
            async for overview in coming:
                try:
                    screen.print(rendered(overview, rows=len(overview.owners)))
                    screen.file.flush()  # whoever reads sees it now, and that nobody reads is noticed
                except (BrokenPipeError, SystemExit) as error:  # the latter is how Rich says so
                    raise NobodyReads from error
            return
        with Live(console=screen, screen=True, auto_refresh=False) as live:
            async for overview in coming:
                live.update(rendered(overview, rows=screen.height - ROWS_BESIDE), refresh=True)


# --- what is shown ----------------------------------------------------------------------------------------------------
def rendered(overview: OverviewView, *, rows: int) -> RenderableType:
    """The overview as a terminal shows it, with so many owners at most."""
    parts: list[RenderableType] = [_figures(overview)]
    if not overview.vitals:
        parts.append(Text("Redis cannot be reached: how the processes do is not known.", style="red"))
    parts.append(_owners(overview, max(rows, LEAST_ROWS)))
    parts.append(_processes(overview))
    if overview.standing is None:
        parts.append(Text("The database cannot be reached: nothing is sold until it can.", style="red"))
    else:
        parts.append(_standing(overview.standing))
    return Group(*parts)


def _figures(overview: OverviewView) -> RenderableType:
    rates = overview.rates
    table = Table(title=f"Boxoffice at {overview.at}", title_justify="left", show_edge=False, box=None, pad_edge=False)
    figures = {
        "held/s": _rate(rates.held),
        "sold/s": _rate(rates.sold),
        "ended/s": _rate(rates.ended),
        "commits/s": _rate(rates.commits),
        "commit": _ms(overview.commit_ms),
        "slowest of 100": _ms(overview.slow_commit_ms),
        "waiting": f"{overview.queue:,}",
        "held": f"{overview.held:,}",
        "sold": f"{overview.sold:,}",
    }
    for heading in figures:
        table.add_column(heading, justify="right")
    table.add_row(*figures.values(), style="bold")
    return table


def _owners(overview: OverviewView, rows: int) -> RenderableType:
    if not overview.owners:
        return Text("No schedule has been asked for in the last minutes.", style="dim")
    left = overview.open - min(rows, len(overview.owners))
    caption = f"and {left} more" if left > 0 else None
    table = Table(title="Schedules on sale now", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("schedule", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("starts", no_wrap=True)
    table.add_column("process", no_wrap=True)
    for heading in ("queue", "commit", "unpublished", "held", "sold", "version"):
        table.add_column(heading, justify="right", no_wrap=True)
    for owner in overview.owners[:rows]:
        table.add_row(
            Text(owner.title_en or owner.title or owner.schedule_id),
            (owner.starts_at or UNKNOWN)[:16].replace("T", " "),
            owner.process,
            f"{owner.queue:,}",
            _ms(owner.commit_ms),
            f"{owner.unpublished:,}",
            f"{owner.held:,}",
            f"{owner.sold:,}",
            f"{owner.version:,}",
        )
    return table


def _processes(overview: OverviewView) -> RenderableType:
    table = Table(title="Processes", title_justify="left")
    for heading in ("process", "pid", "open", "commits/s", "commit", "slowest of 100", "waiting"):
        table.add_column(heading, justify="left" if heading == "process" else "right", no_wrap=True)
    for each in overview.processes:
        figures = (str(each.pid), str(each.open), _rate(each.commits), _ms(each.commit_ms), _ms(each.slow_commit_ms))
        table.add_row(each.name, *figures, UNKNOWN)
    for worker in overview.workers:
        table.add_row("worker", str(worker.pid), *[UNKNOWN] * 4, f"{worker.unanswered:,}")
    return table


def _standing(standing: StandingView) -> RenderableType:
    """What waits, in one line; what somebody should look at in red."""
    parts = [
        (_waiting("unpublished events", standing.unpublished), False),
        (_waiting("payments without an outcome", standing.payments), False),
        (_waiting("refunds owed", standing.refunds), False),
        (_waiting("mails", standing.mails), False),
        (f"{standing.mails_failed} mails failed", standing.mails_failed > 0),
        (f"{standing.parked_events} parked events", standing.parked_events > 0),
        (f"{standing.failing} of {standing.examined} examinations fail", standing.failing > 0),
    ]
    if standing.overall_holds is False:
        parts.append(("the audit log or a provider's books do not agree", True))
    line = Text()
    for number, (told, bad) in enumerate(parts):
        line.append(" · " if number else "", style="dim")
        line.append(told, style="red" if bad else "")
    return line


def _waiting(name: str, waiting: WaitingView) -> str:
    since = "" if waiting.oldest_at is None else f" since {waiting.oldest_at[11:19]}"
    return f"{waiting.count:,} {name}{since}"


def _rate(value: float) -> str:
    return f"{value:,.1f}"


def _ms(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.1f} ms"
