"""The command-line program `boxoffice`.

What a single command needs is imported by that command: all of it together takes two seconds to import.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from actors import telemetry
from actors.settings import Settings, SettingsError
from actors.supervisor import StartError, Supervisor
from persistence.embedded.instance import RunNote, is_locked, read_note

app = typer.Typer(
    name="boxoffice",
    help="An actor-based booking engine for performances.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # one of them may be a password
    add_completion=False,
)
admin = typer.Typer(help="Administrators.", no_args_is_help=True)
app.add_typer(admin, name="admin")

OPEN_FILES = 65_536  # a connection is a file; the usual soft limit of 1,024 is gone with the first crowd
WIDTH_OF_FILES = 160  # columns where the output isn't a terminal: nothing is cut there
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where everything is kept.", show_default=".boxoffice")
]


@app.command()
def up(
    host: Annotated[str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: any free one.", show_default="8000")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="API processes.", show_default="one per core")
    ] = None,
    data_dir: DataDir = None,
    demo: Annotated[bool, typer.Option("--demo/--no-demo", help="Load a demo season into an empty store.")] = False,
) -> None:
    """Start everything, serve until Ctrl-C or SIGTERM, stop everything."""
    settings = settings_for(data_dir)
    if workers is None and "BOXOFFICE_WORKERS" not in os.environ:
        workers = cores()
    given = {"host": host, "port": port, "workers": workers}
    settings = msgspec.structs.replace(settings, **{name: value for name, value in given.items() if value is not None})
    telemetry.configure(settings, "boxoffice")
    raise_open_files()
    try:
        asyncio.run(serve(settings, demo=demo))
    except StartError as error:
        fail(str(error))


async def serve(settings: Settings, *, demo: bool) -> None:
    """Runs the supervisor until a signal asks it to stop. Raises `StartError`."""

    async def welcome(supervisor: Supervisor) -> None:
        await prepare_admin(supervisor.settings)
        logins = await load_demo(supervisor.settings) if demo else []
        show(supervisor, logins)

    supervisor = Supervisor(settings, on_ready=welcome)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    await supervisor.run()


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database to this version's shape (`up` does it by itself)."""
    from persistence import database

    settings = connected(data_dir)
    assert settings.database_url is not None
    try:
        asyncio.run(database.migrate(settings.database_url))
    except database.DatabaseUnavailable as error:
        fail(str(error))
    console().print("The database is up to date.")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def demo(context: typer.Context) -> None:
    """Sell out a real venue to a crowd, audit the result (`boxoffice demo --help` for its options)."""
    raise typer.Exit(subprocess.call([sys.executable, "-m", "loadtest.demo", *context.args]))  # noqa: S603  # no shell; the arguments are the caller's own


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Look at every service and say what is wrong and what to do about it."""
    from api.doctor import State, examine

    colours = {State.FINE: "green", State.NOTE: "yellow", State.WRONG: "red"}
    settings, run = found_running(data_dir)
    findings = asyncio.run(examine(settings, run))
    state = "running" if run else "not running"
    table = Table(title=f"data directory {settings.data_path}: {state}", title_justify="left")
    for heading in ("what", "state", "seen", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        colour = colours[finding.state]
        table.add_row(finding.name, f"[{colour}]{finding.state.value}[/{colour}]", finding.seen, finding.advice)
    console().print(table)
    if any(finding.state is State.WRONG for finding in findings):
        raise typer.Exit(1)


@admin.command("create")
def create_admin(
    email: Annotated[str, typer.Option(help="The administrator's e-mail.")], data_dir: DataDir = None
) -> None:
    """Create an administrator; the password comes from BOXOFFICE_ADMIN_PASSWORD or a prompt."""
    from api import administrators
    from persistence.accounts import EmailTaken
    from persistence.database import DatabaseUnavailable

    settings = connected(data_dir)
    password = settings.admin_password or typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    try:
        asyncio.run(administrators.create(settings, email, password))
    except EmailTaken:
        fail(f"{email} is already registered")
    except (administrators.AdministratorError, DatabaseUnavailable) as error:
        fail(str(error))
    console().print(f"Administrator {email} created.")


async def prepare_admin(settings: Settings) -> None:
    """Creates the administrator the environment names, unless the e-mail is taken."""
    from api import administrators

    try:
        if await administrators.create_configured(settings):
            telemetry.logger.info("created administrator %s", settings.admin_email)
    except administrators.AdministratorError as error:
        raise StartError(f"BOXOFFICE_ADMIN_EMAIL, BOXOFFICE_ADMIN_PASSWORD: {error}") from error


async def load_demo(settings: Settings) -> Sequence[tuple[str, str, str]]:
    """Loads the demo season unless it is there; returns its log-ins as (role, e-mail, password)."""
    from api.demo.season import SeasonError, load

    try:
        season = await load(settings)
    except SeasonError as error:
        raise StartError(f"the demo season could not be loaded: {error}") from error
    return [(login.role, login.email, login.password) for login in season.logins]


def settings_for(data_dir: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The environment's settings, for the data directory given; complains clearly about a variable it cannot use."""
    try:
        settings = Settings.from_environment(environ)
    except SettingsError as error:
        fail(str(error))
    return settings if data_dir is None else msgspec.structs.replace(settings, data_dir=str(data_dir))


def found_running(data_dir: Path | None) -> tuple[Settings, RunNote | None]:
    """Settings that name the services running on the data directory, and the note they come from, if anything runs."""
    settings = settings_for(data_dir)
    run = read_note(settings.data_path)
    return (settings_for(data_dir, {**os.environ, **run.environment}), run) if run is not None else (settings, None)


def connected(data_dir: Path | None) -> Settings:
    """Settings that name a database; ends the program when there is none to be found."""
    settings, _ = found_running(data_dir)
    if settings.database_url is None:
        starting = is_locked(settings.data_path)
        fail(
            f"`boxoffice up` is just starting or stopping on {settings.data_path}: try again in a moment"
            if starting
            else f"nothing runs on {settings.data_path}: start `boxoffice up` first, or set DATABASE_URL"
        )
    return settings


def show(supervisor: Supervisor, logins: Sequence[tuple[str, str, str]]) -> None:
    """Prints what runs where, and how to log in."""
    table = Table(title="The box office is open", title_justify="left")
    for heading in ("what", "where", "address", "pid"):
        table.add_column(heading, overflow="fold")
    for part in supervisor.parts():
        place = "embedded" if part.pid is not None else "outside"
        table.add_row(part.name, place, part.address, str(part.pid or ""))
    screen = console()
    screen.print(table)
    if logins:
        people = Table(title="Demo log-ins", title_justify="left")
        for heading in ("role", "e-mail", "password"):
            people.add_column(heading)
        for login in logins:
            people.add_row(*login)
        screen.print(people)
    screen.print(f"API {supervisor.url}   by hand {supervisor.url}/docs   data {supervisor.data_dir}   stop: Ctrl-C")


def console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_FILES)


def fail(message: str) -> NoReturn:
    """Ends the program with the message on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"boxoffice: {message}")
    raise typer.Exit(1)


def cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def raise_open_files() -> None:
    """Raises the soft limit of open files, for ourselves and everything started from here, as far as we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    app()
