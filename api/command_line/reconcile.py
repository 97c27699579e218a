"""`boxoffice reconcile`: every schedule or one examined, mended if asked, and what was found as a table."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from actors.process.settings import Settings, SettingsError
from actors.reconciliation.audit_heads import heads_of
from actors.reconciliation.checks import Check
from actors.reconciliation.desk import Desk, Result, open_desk
from actors.reconciliation.provider_books import is_id
from actors.reconciliation.repair import Mended
from actors.reconciliation.watch import check_audit
from persistence.database.away import is_away
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.providers.opening import NotConfigured


class ReconcileError(RuntimeError):
    """Nothing can be examined; the message says why and what to do."""


class Findings(Struct, frozen=True):
    """All that was examined; `overall` is what belongs to no single schedule, where all were examined."""

    results: list[Result]
    overall: list[Check]

    @property
    def holds(self) -> bool:
        return all(each.holds for each in self.results) and all(each.holds for each in self.overall)


# --- the command ------------------------------------------------------------------------------------------------------
async def run(settings: Settings, schedule_id: str | None, *, dry_run: bool, events: bool) -> Findings:
    """Examines one schedule, or all and what belongs to none. Raises `ReconcileError`."""
    if settings.redis_url is None or settings.ray_address is None:
        raise ReconcileError("REDIS_URL and RAY_ADDRESS must be set, or `boxoffice up` must be running")
    if schedule_id is not None and not is_id(schedule_id):
        raise ReconcileError(f"{schedule_id} is no id of a schedule")
    try:
        async with open_desk(settings) as desk:
            if events and desk.log is None:
                raise ReconcileError("events are not published here: KAFKA_BOOTSTRAP_SERVERS is not set")
            if schedule_id is not None:
                return Findings([await desk.treat(schedule_id, dry_run=dry_run, events=events)], [])
            return await _all(desk, settings, dry_run=dry_run, events=events)
    except UnknownSchedule as error:
        raise ReconcileError(f"there is no schedule {error}") from error
    except (NotConfigured, SettingsError, ConnectionError) as error:
        raise ReconcileError(str(error)) from error
    except Exception as error:
        if is_away(error) or isinstance(error, JournalUnavailable):
            raise ReconcileError(f"the database cannot be reached: {error}") from error
        raise


async def _all(desk: Desk, settings: Settings, *, dry_run: bool, events: bool) -> Findings:
    """Every schedule by itself; the providers' books once for all, and again for those that they name."""
    checks, strange = await desk.overall_books()
    results = [
        await desk.treat(each, dry_run=dry_run, events=events, with_providers=each in strange)
        for each in await desk.schedules()
    ]
    if any(each.after is not None for each in results):
        checks, _ = await desk.overall_books()
    heads = heads_of(settings)
    return Findings(results, [await check_audit(desk.database, heads), *checks])


# --- the table --------------------------------------------------------------------------------------------------------
def print_findings(screen: Console, findings: Findings, *, dry_run: bool) -> None:
    """Prints what was found: of a single schedule every check, of many those that do not hold."""
    alone = len(findings.results) == 1
    for result in findings.results:
        report = result.report
        if alone or not report.holds:
            _print(screen, f"Schedule {report.schedule_id} at version {report.version}", report.checks, whole=alone)
            _print_actions(screen, result.actions, "What would be done" if dry_run else "What was done")
        if result.after is not None and not result.after.holds:
            _print(screen, "Still so after the repair", result.after.checks)
    if any(not check.holds for check in findings.overall):
        _print(screen, "What belongs to no single schedule", findings.overall)
    _conclude(screen, findings, dry_run=dry_run)


def _print(screen: Console, title: str, checks: Sequence[Check], *, whole: bool = False) -> None:
    table = Table(title=title, title_justify="left")
    for heading in ("check", "holds", "expected", "found"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        if whole or not check.holds:
            holds = "[green]yes[/green]" if check.holds else "[red]no[/red]"
            table.add_row(check.name, holds, escape(check.expected), escape(check.actual))
    screen.print(table)
    for check in checks:  # below the table, where ids are not broken
        if check.offenders and not check.holds:
            screen.print(f"[red]{check.name}[/red]", highlight=False)
            for offender in check.offenders:
                screen.print(f"  {escape(offender)}", highlight=False, soft_wrap=True)


def _print_actions(screen: Console, actions: Sequence[Mended], title: str) -> None:
    if actions:
        screen.print(f"[bold]{title}[/bold]", highlight=False)
    for each in actions:
        screen.print(f"  {each.check}: {escape(each.action)}", highlight=False, soft_wrap=True)


def _conclude(screen: Console, findings: Findings, *, dry_run: bool) -> None:
    count, left = len(findings.results), sum(not each.holds for each in findings.results)
    mended = sum(each.holds and not each.report.holds for each in findings.results)
    told = f"{count} schedule{'' if count == 1 else 's'} examined"
    told += f", {left} {'does' if left == 1 else 'do'} not agree" if left else ": everything agrees"
    if mended:
        told += f", {mended} after a repair"
    wrong = sorted({check.name for check in findings.overall if not check.holds})
    if findings.overall:
        told += f"; overall: {', '.join(wrong)} does not hold" if wrong else "; so do audit log and providers' books"
    screen.print(f"[{'green' if findings.holds else 'red'}]{told}.[/]", highlight=False)
    if dry_run and left:
        screen.print("This was a dry run: --repair does what it says would be done.", highlight=False)
