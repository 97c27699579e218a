"""The figures as pictures: throughput as bars, latencies as curves, CPU per request in stacks. Small SVG files.

The same figures give the same file: no dates, no random ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loadtest.bench.figures.results import Line, Result, Run, Spread

DIRECTORY = Path(__file__).parents[3] / "docs" / "img"
POINTS = ("50", "75", "90", "95", "99", "99.9", "100")
WIDTH_INCHES, BAR_INCHES, REST_INCHES = 8.0, 0.4, 1.2


def draw(run: Run, directory: Path = DIRECTORY) -> list[tuple[str, str]]:
    """Draws what the run has figures for; returns titles, and paths relative to docs/."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9})
    results = {result.name: result for result in run.results}
    wanted: tuple[tuple[str, str, str, Callable[[Any, Sequence[Line]], None]], ...] = (
        ("spread", "throughput", "Requests per second", throughput),
        ("fight", "fight", "Bookings per second until 95 % of a hot house is sold", throughput),
        ("spread", "cpu", "CPU per request, by process", cpu),
        ("spread", "latency", "Latency at full load", latency),
        ("rate", "latency-paced", "Latency at 70 % of the peak", latency),
    )
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    for scenario, name, title, draw_on in wanted:
        lines = measured(results.get(scenario))
        if scenario == "rate":
            lines = [line for line in lines if "70 %" in line.label or "same rate" in line.label]
        if not lines:
            continue
        path = directory / f"bench-{name}.svg"
        _draw_one(path, title, lines, draw_on)
        drawn.append((title, f"{directory.name}/{path.name}"))
    return drawn


def measured(result: Result | None) -> list[Line]:
    return [] if result is None else [line for line in result.lines if line.rounds and not line.missing]


def _draw_one(path: Path, title: str, lines: Sequence[Line], draw_on: Callable[[Any, Sequence[Line]], None]) -> None:
    from matplotlib.figure import Figure

    height = 4.0 if draw_on is latency else REST_INCHES + BAR_INCHES * len(lines)
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    draw_on(axes, lines)
    axes.grid(axis="x" if draw_on is not latency else "both", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="svg", metadata={"Date": None})


def throughput(axes: Any, lines: Sequence[Line]) -> None:
    """Medians as bars, the extremes as whiskers."""
    spreads = [Spread.of(line.values("created")) for line in lines]
    medians = [each.median for each in spreads]
    reach = [[each.median - each.low for each in spreads], [each.high - each.median for each in spreads]]
    colors = ["#1e88e5" if line.label.startswith("ours") else "#90a4ae" for line in lines]
    axes.barh([line.label for line in lines], medians, xerr=reach, color=colors, ecolor="#455a64")
    axes.invert_yaxis()
    axes.set_xlabel("per second")


def cpu(axes: Any, lines: Sequence[Line]) -> None:
    """One stack a line, one colour a process."""
    labels = [line.label for line in lines]
    groups = dict.fromkeys(name for line in lines for each in line.rounds for name in each.cpu_us)
    offsets = [0.0] * len(lines)
    for name in groups:
        values = [Spread.of([each.cpu_us.get(name, 0.0) for each in line.rounds]).median for line in lines]
        if max(values) < 1:
            continue
        axes.barh(labels, values, left=offsets, label=name)
        offsets = [offset + value for offset, value in zip(offsets, values, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("µs of CPU per request")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def latency(axes: Any, lines: Sequence[Line]) -> None:
    """Percentiles, the median of the rounds."""
    for line in lines:
        points = [name for name in POINTS if all(name in each.latency_us for each in line.rounds)]
        values = [Spread.of([each.latency_us[name] / 1000 for each in line.rounds]).median for name in points]
        axes.plot(points, values, marker="o", markersize=3, label=line.label)
    axes.set_yscale("log")
    axes.set_xlabel("percentile (100: the slowest)")
    axes.set_ylabel("ms")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
