"""The command-line program `boxoffice`.

What a single command needs is imported by that command: all of it together takes two seconds to import.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from actors.process.settings import Settings, SettingsError
from persistence.embedded.instance import RunNote, is_locked, read_note

if TYPE_CHECKING:
    from actors.supervision.supervisor import Supervisor

app = typer.Typer(
    name="boxoffice",
    help="An actor-based booking engine for performances.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # one of them may be a password
    add_completion=False,
)
admin = typer.Typer(help="Administrators.", no_args_is_help=True)
app.add_typer(admin, name="admin")
events = typer.Typer(help="What happened, and the services that live on it.", no_args_is_help=True)
app.add_typer(events, name="events")
audit_log = typer.Typer(help="The audit log.", no_args_is_help=True)
app.add_typer(audit_log, name="audit")

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
    demo: Annotated[
        bool | None,
        typer.Option("--demo/--no-demo", help="Load a demo season into an empty store.", show_default="no-demo"),
    ] = None,
) -> None:
    """Start everything, serve until Ctrl-C or SIGTERM, stop everything."""
    from actors.process import telemetry
    from actors.supervision.supervisor import StartError

    settings = settings_for(data_dir)
    if workers is None and "BOXOFFICE_WORKERS" not in os.environ:
        workers = cores()
    given = {"host": host, "port": port, "workers": workers, "demo": demo}
    settings = msgspec.structs.replace(settings, **{name: value for name, value in given.items() if value is not None})
    telemetry.configure(settings, "boxoffice")
    raise_open_files()
    try:
        asyncio.run(serve(settings))
    except StartError as error:
        fail(str(error))


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


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database to this version's shape (`up` does it by itself)."""
    from persistence.database import connection

    settings = connected(data_dir)
    try:
        asyncio.run(connection.migrate(settings.database))
    except connection.DatabaseUnavailable as error:
        fail(str(error))
    console().print("The database is up to date.")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def demo(context: typer.Context) -> None:
    """Sell out a real venue to a crowd, audit the result (`boxoffice demo --help` for its options)."""
    raise typer.Exit(subprocess.call([sys.executable, "-m", "loadtest.demo", *context.args]))  # noqa: S603  # no shell; the arguments are the caller's own


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Look at every service and say what is wrong and what to do about it."""
    from api.command_line.doctor import State, examine

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


@app.command("nodes")
def show_nodes(data_dir: DataDir = None) -> None:
    """Show the machines of the cluster, and what each of them does."""
    from api.command_line.machines import MachinesError, listed

    try:
        rows = asyncio.run(listed(connected(data_dir)))
    except MachinesError as error:
        fail(str(error))
    if not rows:
        console().print("This machine is alone: BOXOFFICE_NODE names the machines of a cluster.")
        return
    table = Table(title="The machines of the cluster", title_justify="left")
    for heading in ("name", "state", "address", "processes", "schedules", "last heard", "background"):
        table.add_column(heading, overflow="fold")
    colours = {"serving": "green", "lost": "red"}
    for row in rows:
        state, node = row.state, row.node
        table.add_row(
            node.name,
            f"[{colours.get(state, 'yellow')}]{state}[/]",
            node.address,
            str(node.processes),
            str(row.schedules),
            f"{node.silent_seconds:.1f} s ago",
            "yes" if row.leads else "",
        )
    console().print(table)


@app.command()
def drain(
    node: Annotated[str | None, typer.Argument(help="The machine's name.", show_default="this one")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Have it take schedules in again.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="How long to wait for its schedules to leave.")] = 60,
    data_dir: DataDir = None,
) -> None:
    """Empty a machine of the cluster: its schedules are opened elsewhere, and it may be stopped."""
    from api.command_line import machines

    settings = connected(data_dir)
    name = node or settings.node or fail("which machine? Name one, or set BOXOFFICE_NODE")
    try:
        if undo:
            asyncio.run(machines.resume(settings, name))
            console().print(f"{name} takes schedules in again.")
            return
        left = asyncio.run(machines.drain(settings, name, within_seconds=seconds))
    except machines.MachinesError as error:
        fail(str(error))
    if left:
        fail(f"{left} schedules are still on {name} after {seconds:g} s: try again, or see `boxoffice doctor`")
    console().print(f"{name} is empty and takes nothing in: it may be stopped. `--undo` takes this back.")


@app.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, a line each.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show how the running system does, once a second, until Ctrl-C."""
    from api.command_line import top as view

    settings = connected(data_dir)
    screen = console()

    async def follow() -> None:
        if not as_json:
            await view.follow(settings, screen)
        async for overview in view.overviews(settings):
            typer.echo(msgspec.json.encode(overview))

    try:
        if once:
            overview = asyncio.run(view.once(settings))
            if as_json:
                typer.echo(msgspec.json.encode(overview))
            else:
                screen.print(view.rendered(overview, rows=len(overview.owners)))
        else:
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(follow())
    except view.TopError as error:
        fail(str(error))


@events.command("tail")
def tail_events(
    schedule: Annotated[str | None, typer.Option(help="A schedule's id.", show_default="all")] = None,
    first: Annotated[
        int | None,
        typer.Option("--from", min=1, help="The first version, of one schedule.", show_default="the last 20"),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with what happens next.")] = True,
    data_dir: DataDir = None,
) -> None:
    """Show what happens, one event a line, until Ctrl-C."""
    from api.command_line.events_report import EventsError, tail

    async def show() -> None:
        async for text in tail(settings, schedule, first, follow=follow):
            typer.echo(text)

    settings = connected(data_dir)
    if first is not None and schedule is None:
        fail("--from needs --schedule: versions count per schedule")
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(show())
    except EventsError as error:
        fail(str(error))


@events.command("replay")
def replay_events(
    service: Annotated[str, typer.Argument(help="The receiving service whose data is made again.")] = "sales",
    schedule: Annotated[str | None, typer.Option(help="A schedule's id.", show_default="all")] = None,
    from_kafka: Annotated[bool, typer.Option("--from-kafka", help="From the topic, if it has every event.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Make a receiving service's data again from the journal; broken off, it goes on where it stopped."""
    from actors.receivers.services import SERVICES
    from api.command_line.events_report import EventsError, replay

    settings = connected(data_dir)
    if service not in SERVICES:
        fail(f"there is no service {service}: {', '.join(SERVICES)}")
    screen = console()
    columns = (TextColumn("{task.description}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
            task = bar.add_task("events", total=None)
            result = asyncio.run(
                replay(
                    settings,
                    service,
                    schedule,
                    lambda total: bar.update(task, total=total),
                    lambda taken: bar.advance(task, taken),
                    from_kafka=from_kafka,
                )
            )
    except EventsError as error:
        fail(str(error))
    same = "the same as before" if result.before == result.after else f"before: {result.before}"
    screen.print(f"{result.events} events taken; checksum {result.after}, {same}", highlight=False)


@app.command()
def reconcile(
    schedule: Annotated[str | None, typer.Argument(help="A schedule's id.", show_default="every schedule")] = None,
    repair: Annotated[bool, typer.Option("--repair/--dry-run", help="Mend what can be mended.")] = False,
    events: Annotated[bool, typer.Option("--events", help="Also read the events on Kafka, all of them.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Compare everything that knows about a schedule with its journal; fails if something does not agree.

    Without a schedule: every one, the audit log and the payment providers' books.
    """
    settings = connected(data_dir)
    note = read_note(settings.data_path)
    if note is not None:
        os.environ.update(note.environment)  # Ray reads how it is joined when it is imported
    from api.command_line.reconcile import ReconcileError, print_findings, run

    logging.getLogger("actors.reconciliation.repair").setLevel(logging.ERROR)  # what it did is printed below
    try:
        findings = asyncio.run(run(settings, schedule, dry_run=not repair, events=events))
    except ReconcileError as error:
        fail(str(error))
    print_findings(console(), findings, dry_run=not repair)
    if not findings.holds:
        raise typer.Exit(1)


@admin.command("create")
def create_admin(
    email: Annotated[str, typer.Option(help="The administrator's e-mail.")], data_dir: DataDir = None
) -> None:
    """Create an administrator; the password comes from BOXOFFICE_ADMIN_PASSWORD or a prompt."""
    from api.command_line import administrators
    from persistence.accounts.accounts import EmailTaken
    from persistence.database.connection import DatabaseUnavailable

    settings = connected(data_dir)
    password = settings.admin_password or typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    try:
        asyncio.run(administrators.create(settings, email, password))
    except EmailTaken:
        fail(f"{email} is already registered")
    except (administrators.AdministratorError, DatabaseUnavailable) as error:
        fail(str(error))
    console().print(f"Administrator {email} created.")


@audit_log.command("verify")
def verify_audit(
    data_dir: DataDir = None,
    heads: Annotated[
        Path | None, typer.Option(help="Exported heads.", show_default="audit-heads.jsonl in the data directory")
    ] = None,
) -> None:
    """Check that the audit log is as it was written; fails and names every entry that is not."""
    from api.command_line.audit_report import AuditReportError, verify

    settings = connected(data_dir)
    try:
        verification, notes = asyncio.run(verify(settings, heads))
    except AuditReportError as error:
        fail(str(error))
    screen = console()
    head = verification.head
    screen.print(f"{verification.entries} entries, {verification.heads} exported heads compared", highlight=False)
    screen.print(f"head {head.seq} {head.hash.hex()} of {head.at.isoformat()}" if head else "no head", highlight=False)
    for note in notes:
        screen.print(f"[yellow]{note}[/yellow]", highlight=False)
    if not verification.findings:
        screen.print("[green]The audit log is whole.[/green]" if not notes else "[green]The chain is whole.[/green]")
        return
    table = Table(title="The audit log is not as it was written", title_justify="left")
    for heading in ("what", "where", "seen"):
        table.add_column(heading, overflow="fold")
    for finding in verification.findings:
        table.add_row(f"[red]{finding.kind}[/red]", finding.where, finding.detail)
    screen.print(table)
    raise typer.Exit(1)


@audit_log.command("export")
def export_audit(
    data_dir: DataDir = None,
    output: Annotated[Path | None, typer.Option(help="The file to write.", show_default="standard output")] = None,
) -> None:
    """Write every entry as a line of JSON, oldest first, and then the head."""
    from api.command_line.audit_report import AuditReportError, export

    settings = connected(data_dir)
    try:
        count = asyncio.run(export(settings, output))
    except AuditReportError as error:
        fail(str(error))
    if output is not None:
        console().print(f"{count} entries written to {output}", markup=False, highlight=False)


async def prepare_admin(settings: Settings) -> None:
    """Sees to it that the administrator the environment names is there. Raises `StartError`."""
    from actors.process import telemetry
    from actors.supervision.supervisor import StartError
    from api.command_line import administrators

    try:
        if await administrators.ensure_configured(settings):
            telemetry.logger.info("created administrator %s", settings.admin_email)
    except administrators.AdministratorError as error:
        raise StartError(f"BOXOFFICE_ADMIN_EMAIL, BOXOFFICE_ADMIN_PASSWORD: {error}") from error


async def load_demo(settings: Settings) -> Sequence[tuple[str, str, str]]:
    """Loads the demo season unless it is there, and lets `/readyz` know. Returns its log-ins (role, e-mail, password);
    raises `StartError`."""
    from actors.supervision.supervisor import StartError
    from api.demo.season import SeasonError, load
    from api.views.readiness import season_mark

    try:
        season = await load(settings)
    except SeasonError as error:
        raise StartError(f"the demo season could not be loaded: {error}") from error
    season_mark(settings).touch()
    return [(login.role, login.email, login.password) for login in season.logins]


def settings_for(data_dir: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The environment's settings, for the data directory given; complains clearly about a variable it cannot use."""
    try:
        settings = Settings.from_environment(environ)
    except SettingsError as error:
        fail(str(error))
    return settings if data_dir is None else msgspec.structs.replace(settings, data_dir=str(data_dir))


def found_running(data_dir: Path | None) -> tuple[Settings, RunNote | None]:
    """Settings that name the services running on the data directory, and the note they come from, if anything runs.

    The secret is the one that `up` keeps there, unless the environment has another.
    """
    settings = settings_for(data_dir)
    run = read_note(settings.data_path)
    if run is not None:
        settings = settings_for(data_dir, {**os.environ, **run.environment})
    kept = settings.data_path / "secret"
    if not settings.secret and kept.exists():
        settings = msgspec.structs.replace(settings, secret=kept.read_text().strip())
    return settings, run


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
