"""`boxoffice top`: what a terminal shows of an overview, and the command on a running system."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncGenerator

import msgspec
import pytest
from rich.console import Console

from actors.process.settings import Settings
from api.command_line import top
from api.command_line.top import rendered
from api.views.overview import OVERVIEW_EXAMPLE, OverviewView
from tests.conftest import Stack
from tests.support.services import commands

OVERVIEW = msgspec.convert(OVERVIEW_EXAMPLE, OverviewView)


def told(overview: OverviewView, *, rows: int = 10, width: int = 160) -> str:
    screen = Console(width=width)
    with screen.capture() as capture:
        screen.print(rendered(overview, rows=rows))
    return capture.get()


def test_a_terminal_shows_rates_owners_processes_and_what_waits() -> None:
    text = told(OVERVIEW)
    for part in ("812.4", "96.2", "Carmen", "owners-0", "2.1 ms", "9.4 ms", "1,830", "180 unpublished events"):
        assert part in text, part


def test_of_many_owners_as_many_are_shown_as_fit() -> None:
    (owner,) = OVERVIEW.owners
    many = msgspec.structs.replace(OVERVIEW, owners=[owner] * 30, open=40)
    text = told(many, rows=5)
    assert text.count("Carmen") == 5
    assert "and 35 more" in text


def test_what_is_away_is_said_and_what_is_known_is_shown() -> None:
    text = told(msgspec.structs.replace(OVERVIEW, standing=None, vitals=False, owners=[], processes=[]))
    assert "Redis cannot be reached" in text
    assert "The database cannot be reached" in text
    assert "No schedule has been asked for" in text


async def test_what_is_no_terminal_is_shown_each_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    seen: list[int] = []

    async def twice(_: Settings) -> AsyncGenerator[OverviewView, None]:
        for _ in range(2):
            yield OVERVIEW
            seen.append(pipe.getvalue().count("Boxoffice at"))

    monkeypatch.setattr(top, "overviews", twice)
    await top.follow(Settings(), Console(file=pipe, width=160))
    assert seen == [1, 2]


def test_a_narrow_terminal_is_enough() -> None:
    assert max(len(line) for line in told(OVERVIEW, width=80).splitlines()) <= 80


@pytest.mark.stack
async def test_scripts_get_the_running_system_s_overview_as_json(stack: Stack) -> None:
    code, output = await commands.run(("top", "--once", "--json", "--data-dir", str(stack.data_dir)), stack.environment)
    assert code == 0, output
    overview = json.loads(output.splitlines()[-1])
    assert overview["vitals"] is True
    assert len(overview["workers"]) == 2
    assert overview["standing"]["failing"] == 0
