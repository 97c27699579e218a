"""What `boxoffice up` does beside starting everything: an administrator, a demo season, and a table of what is open."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from actors.process.settings import Settings
from api.command_line.screen import console, silence

if TYPE_CHECKING:
    from actors.supervision.supervisor import Supervisor  # it is imported where it is needed

OPEN_FILES = 65_536  # a connection is a file; the usual soft limit of 1,024 is gone with the first crowd


async def serve(settings: Settings) -> None:
    """Runs the supervisor until a signal asks it to stop. Raises `StartError`."""
    from actors.supervision.supervisor import Supervisor

    logins: list[tuple[str, str, str]] = []

    async def fill(settings: Settings) -> None:
        logins.extend(await load_demo(settings))

    async def welcome(supervisor: Supervisor) -> None:
        show(supervisor, logins)

    supervisor = Supervisor(settings, prepare=prepare_admin, fill=fill if settings.demo else None, on_ready=welcome)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    await supervisor.run()


async def prepare_admin(settings: Settings) -> None:
    """Sees to it that the administrator the environment names is there. Raises `StartError`."""
    from actors.process import telemetry
    from actors.supervision.services import StartError
    from api.command_line import administrators

    try:
        if await administrators.ensure_configured(settings):
            telemetry.logger.info("created administrator %s", settings.admin_email)
    except administrators.AdministratorError as error:
        raise StartError(f"BOXOFFICE_ADMIN_EMAIL, BOXOFFICE_ADMIN_PASSWORD: {error}") from error


async def load_demo(settings: Settings) -> Sequence[tuple[str, str, str]]:
    """Loads the demo season unless it is there, and lets `/readyz` know. Returns its log-ins (role, e-mail, password);
    raises `StartError`."""
    from actors.supervision.services import StartError
    from api.demo.season import SeasonError, load
    from api.views.readiness import season_mark

    try:
        logins = await load(settings)
    except SeasonError as error:
        raise StartError(f"the demo season could not be loaded: {error}") from error
    season_mark(settings).touch()
    return [(login.role, login.email, login.password) for login in logins]


def show(supervisor: Supervisor, logins: Sequence[tuple[str, str, str]]) -> None:
    """Prints what runs where, and how to log in, for whoever reads it."""
    table = Table(title="The box office is open", title_justify="left")
    for heading in ("what", "where", "address", "pid"):
        table.add_column(heading, overflow="fold")
    for part in supervisor.parts():
        place = "embedded" if part.pid is not None else "outside"
        table.add_row(part.name, place, part.address, str(part.pid or ""))
    screen = console()
    with screen.capture() as told:
        screen.print(table)
        if logins:
            people = Table(title="Demo log-ins", title_justify="left")
            for heading in ("role", "e-mail", "password"):
                people.add_column(heading)
            for login in logins:
                people.add_row(*login)
            screen.print(people)
        screen.print(
            f"API {supervisor.url}   by hand {supervisor.url}/docs   data {supervisor.data_dir}   stop: Ctrl-C"
        )
    try:
        typer.echo(told.get(), nl=False)
    except OSError:  # a reader that has gone, a disk that is full: no reason not to sell
        silence()


def raise_open_files() -> None:
    """Raises the soft limit of open files, for ourselves and everything started from here, as far as we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
