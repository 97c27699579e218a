"""The figures as Markdown, with all that is needed to read them, and their place in docs/performance.md."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

import psutil

from loadtest.bench.figures.results import Line, Ratio, Result, Run, Spread, met
from loadtest.stack import StackError

REPORT = Path(__file__).parents[3] / "docs" / "performance.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
BUSY_LOAD = 0.3


def markdown(run: Run, plots: Sequence[tuple[str, str]] = ()) -> str:
    """The whole report; `plots` are (title, path relative to the document)."""
    parts = [BEGIN, *heading(run), *(f"![{title}]({path})\n" for title, path in plots)]
    for result in run.results:
        parts += section(result)
    return "\n".join([*parts, END])


def heading(run: Run) -> list[str]:
    """Command, machine, date, and what may have disturbed the run."""
    lines = [
        f"`{run.command}` on {run.machine}, {run.date}: {run.rounds} interleaved rounds of {run.seconds} s,"
        f" {run.connections} connections unless said otherwise, wrk on the same machine; median (lowest–highest)."
        f" All {run.verified:,} bookings that were acknowledged were looked up afterwards in the database of whoever"
        " acknowledged them: they were there, each with seats of its own.",
        "",
    ]
    if run.load_average > BUSY_LOAD:
        lines += [
            f"Others were using the machine when it began (load average {run.load_average:.1f}): read the ratios, with"
            " their spread, and not the rates.",
            "",
        ]
    return lines


def section(result: Result) -> list[str]:
    """One scenario: rates and latencies, CPU, and what it was to show."""
    lines = [f"### {result.name}: {result.title}", ""]
    if result.note:
        lines += [result.note, ""]
    lines += rates(result)
    if any(each.cpu_us for line in result.lines for each in line.rounds):
        lines += cpu(result.lines)
    if result.ratios:
        lines += ["| figure | value | target | |", "| --- | ---: | ---: | --- |", *map(ratio_row, result.ratios), ""]
    lines += [f"- {line.label} has no figure: {line.missing}" for line in result.lines if line.missing]
    unsettled = [line.label for line in result.lines if not all(each.settled for each in line.rounds)]
    if unsettled:
        lines += [f"- The machine did not come to rest before or after rounds of: {', '.join(unsettled)}."]
    return lines if lines[-1] == "" else [*lines, ""]


def rates(result: Result) -> list[str]:
    """Requests per second where requests were made, and percentiles."""
    refused = any(each.created and each.refused for line in result.lines for each in line.rounds)
    columns = ["per second", *(["refused/s"] if refused else []), "p50 ms", "p95 ms", "p99 ms", "slowest ms"]
    lines = [f"| {result.name} | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for line in result.lines:
        if line.missing or not line.rounds:
            lines.append(f"| {line.label} |{' – |' * len(columns)}")
            continue
        booked = any(each.created for each in line.rounds)
        cells = [cell(line, "created" if booked else "requests")]
        if refused:
            cells.append(cell(line, "refused") if booked else "–")
        cells += [cell(line, f"p{name}", 1_000) for name in ("50", "95", "99", "100")]
        lines.append(f"| {line.label} | {' | '.join(cells)} |")
    return [*lines, ""]


def cpu(lines: Sequence[Line]) -> list[str]:
    """µs of CPU per request, by process."""
    groups = list(dict.fromkeys(name for line in lines for each in line.rounds for name in each.cpu_us))
    groups = [name for name in groups if any(each.cpu_us.get(name, 0) >= 1 for line in lines for each in line.rounds)]
    table = [f"| µs of CPU per request | all | {' | '.join(groups)} |", f"| --- |{' ---: |' * (len(groups) + 1)}"]
    for line in lines:
        rounds = [] if line.missing else [each for each in line.rounds if each.cpu_us]
        if not rounds:
            continue
        cells = [format(Spread.of([sum(each.cpu_us.values()) for each in rounds]).median, ",.0f")]
        for name in groups:
            used = Spread.of([each.cpu_us.get(name, 0.0) for each in rounds]).median
            cells.append(format(used, ",.0f") if used >= 0.5 else "–")
        table.append(f"| {line.label} | {' | '.join(cells)} |")
    return [*table, ""]


def cell(line: Line, metric: str, unit: float = 1.0) -> str:
    """Median and extremes, as `5,000 (4,800–5,100)`; a dash where the line has no such figure."""
    try:
        values = [value / unit for value in line.values(metric)]
    except KeyError:
        return "–"
    spread = Spread.of(values)
    if not spread.high:
        return "–"
    form = ",.0f" if spread.median >= 100 else ".1f" if spread.median >= 1 else ".2f"
    low, median, high = (format(value, form) for value in (spread.low, spread.median, spread.high))
    return f"{median} ({low}–{high})"


def ratio_row(ratio: Ratio) -> str:
    """A row of the table of ratios: what was measured, what was wanted, and whether that is met."""
    value = "not measured" if ratio.value is None else f"{ratio.value:.2f}"
    target = "" if ratio.target is None else f"{'≥' if ratio.at_least else '≤'} {ratio.target:g}"
    verdict = {None: "", True: "met", False: "missed"}[met(ratio)]
    return f"| {ratio.name} | {value} | {target} | {verdict} |"


def machine() -> str:
    """What the figures were taken on."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        processor = models[0] if models else processor
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"{psutil.cpu_count()} × {processor}, {memory:.0f} GiB, {system}, Python {platform.python_version()}"


def write(figures: str, report: Path = REPORT) -> None:
    """Replaces the figures in the report, and nothing else of it. Raises `StackError` if it has no place for them."""
    text = report.read_text()
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise StackError(f"{report} has no place for the figures: {BEGIN} … {END}")
    report.write_text(before + figures + after)
