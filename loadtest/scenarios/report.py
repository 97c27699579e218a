"""What a person reads in the end: what was asked and answered, the thresholds, the audit, and one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtest.audit import Check
from loadtest.scenarios.outcome import Outcome, Row
from loadtest.scenarios.verdict import Threshold

FAILURES_SHOWN = 20
FIGURES = ("p50 ms", "p95 ms", "p99 ms", "max ms")


def passed(thresholds: Sequence[Threshold], checks: Sequence[Check]) -> bool:
    return all(each.holds for each in thresholds) and all(each.holds for each in checks)


def report(outcome: Outcome, thresholds: Sequence[Threshold], checks: Sequence[Check], console: Console) -> None:
    """Prints all of it."""
    console.print()
    rate = outcome.requests / outcome.seconds if outcome.seconds else 0.0
    console.print(
        f"{outcome.scenario}: {outcome.users} users, {outcome.requests} requests in {outcome.seconds:.1f} s,"
        f" {rate:.0f} a second, {len(outcome.promises)} bookings",
        style="bold",
    )
    console.print(_answers(outcome.rows))
    for kind, (refused, decided) in outcome.shares().items():
        console.print(f"{kind}: {refused} of {decided} refused as the scenario expects, {refused / decided:.1%}")
    console.print(f"put off by the server (503, asked again with the same key): {outcome.overloaded()}")
    limits = Table("threshold", "asked", "found", "", title="Thresholds")
    for each in thresholds:
        limits.add_row(each.name, each.limit, each.found, _verdict(each.holds))
    console.print(limits)
    audit = Table("check", "expected", "found", "", title="Audit")
    for check in checks:
        audit.add_row(check.name, check.expected, check.actual, _verdict(check.holds))
    console.print(audit)
    for check in checks:
        for offender in check.offenders:
            console.print(f"{check.name}: {offender}", style="red", markup=False)
    for failure in sorted(outcome.failures, key=lambda each: -each.times)[:FAILURES_SHOWN]:
        text = f"unexpected answer, {failure.times} times: {failure.kind}: {failure.message}"
        console.print(text, style="red", markup=False)
    for crash in outcome.crashes[:FAILURES_SHOWN]:
        console.print(f"a mistake of the crowd's own: {crash}", style="red", markup=False)


def conclude(
    outcome: Outcome, thresholds: Sequence[Threshold], checks: Sequence[Check], files: Sequence[Path], console: Console
) -> None:
    """The last lines."""
    for file in files:
        console.print(f"written: {file}", markup=False, soft_wrap=True)
    broken = [each.name for each in thresholds if not each.holds]
    broken += [check.name for check in checks if not check.holds]
    if broken:
        console.print(f"{outcome.scenario} FAILED: {', '.join(broken)}.", style="bold red", markup=False)
    else:
        kept = f"{len(thresholds)} thresholds kept, {len(checks)} checks of the audit hold"
        console.print(f"{outcome.scenario} passed: {kept}.", style="bold")


def _answers(rows: Sequence[Row]) -> Table:
    table = Table("request", "answers", "a second", *FIGURES, "failed", title="Answers")
    for row in rows:
        figures = (row.p50_ms, row.p95_ms, row.p99_ms, row.max_ms)
        # Rows without a method are findings about other answers, most of which take no time of their own.
        shown = [f"{each:.0f}" if row.method or row.max_ms else "" for each in figures]
        failed = f"[red]{row.failures}[/red]" if row.failures else "0"
        table.add_row(row.kind, str(row.count), f"{row.per_second:.1f}", *shown, failed)
    return table


def _verdict(holds: bool) -> str:
    return "holds" if holds else "[red]FAILS[/red]"
