"""The command-line program `boxoffice`.

What a single command needs is imported by that command: all of it together takes two seconds to import.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from actors.process import machine
from actors.process.settings import unknown
from api.command_line.opening import raise_open_files, serve
from api.command_line.running import connected, found_running, settings_for
from api.command_line.screen import NobodyReads, console, fail, say, silence, without_end
from persistence.embedded.instance import read_note

app = typer.Typer(
    name="boxoffice",
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


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"boxoffice {version('boxoffice')}")
        raise typer.Exit


@app.callback()
def boxoffice(
    _: Annotated[
        bool, typer.Option("--version", help="Show which release this is.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """An actor-based booking engine for performances."""


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
    from actors.supervision.services import StartError

    settings = settings_for(data_dir)
    if workers is None and not os.environ.get("BOXOFFICE_WORKERS"):
        workers = machine.cores()
    given = {"host": host, "port": port, "workers": workers, "demo": demo}
    settings = msgspec.structs.replace(settings, **{name: value for name, value in given.items() if value is not None})
    telemetry.configure(settings, "boxoffice")
    for name in unknown(os.environ):
        telemetry.logger.warning("%s is no variable of this release: is it misspelled?", name)
    raise_open_files()
    try:
        asyncio.run(serve(settings))
    except StartError as error:
        fail(str(error))


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database to this version's shape (`up` does it by itself)."""
    from persistence.database.away import DatabaseUnavailable
    from persistence.database.connection import migrate as brought_up_to_date
    from persistence.database.suitable import UnsuitableDatabase

    settings = connected(data_dir)
    try:
        asyncio.run(brought_up_to_date(settings.database))
    except (DatabaseUnavailable, UnsuitableDatabase) as error:
        fail(str(error))
    console().print("The database is up to date.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    data_dir: DataDir = None,
) -> None:
    """Write the database as it is at this moment to a file, while it sells."""
    from api.command_line.backup import BackupError, back_up

    try:
        size = back_up(connected(data_dir), file)
    except BackupError as error:
        fail(str(error))
    console().print(f"{file} has all of it, {size / 2**20:,.1f} MiB. Keep the secret, too.", highlight=False)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `boxoffice backup` wrote.")],
    data_dir: DataDir = None,
) -> None:
    """Make the database again from a backup, where there is none: before `up`, with nothing running."""
    from api.command_line.backup import BackupError
    from api.command_line.backup import restore as restored

    try:
        restored(settings_for(data_dir), file)
    except BackupError as error:
        fail(str(error))
    console().print("Restored. Now `boxoffice up`, then `boxoffice reconcile`.", highlight=False)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def demo(context: typer.Context) -> None:
    """Sell out a real venue to a crowd, audit the result (`boxoffice demo --help` for its options)."""
    raise typer.Exit(subprocess.call([sys.executable, "-m", "loadtest.demo", *context.args]))  # noqa: S603  # no shell; the arguments are the caller's own


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Look at every service and say what is wrong and what to do about it."""
    from api.command_line.doctor import examine
    from api.command_line.finding import State

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
        async with contextlib.aclosing(view.overviews(settings)) as coming:
            async for overview in coming:
                say(msgspec.json.encode(overview))

    try:
        if once:
            overview = asyncio.run(view.once(settings))
            if as_json:
                typer.echo(msgspec.json.encode(overview))
            else:
                screen.print(view.rendered(overview, rows=len(overview.owners)))
        else:
            with without_end():
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
            say(text)

    settings = connected(data_dir)
    if first is not None and schedule is None:
        fail("--from needs --schedule: versions count per schedule")
    if not follow and schedule is None:
        fail("--no-follow needs --schedule: of all schedules, what happens from now on is shown")
    try:
        with without_end():
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
    from persistence.database.away import DatabaseUnavailable

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
    except NobodyReads:
        silence()
        raise typer.Exit(1) from None
    if output is not None:
        console().print(f"{count} entries written to {output}", markup=False, highlight=False)


if __name__ == "__main__":
    app()
