"""What a run has found: as it is written to JSON, and as everything else reads it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from msgspec import Struct


class Round(Struct, frozen=True, kw_only=True):
    """One round of one line of a scenario."""

    requests: int = 0  # answered
    created: int = 0  # of them 201: bookings, or purchases where every booking is paid
    refused: int = 0  # of them 409
    seconds: float = 0.0
    latency_us: dict[str, float] = {}  # percentile → µs
    cpu_us: dict[str, float] = {}  # process group → µs of CPU per request
    extra: dict[str, float] = {}  # what only some scenarios ask for
    settled: bool = True  # whether the machine was quiet before it


class Line(Struct, kw_only=True):
    """What is measured of one contender in a scenario."""

    label: str
    rounds: list[Round] = []
    missing: str = ""  # why there is no figure, if there is none

    def values(self, metric: str) -> list[float]:
        return [] if self.missing else [value_of(each, metric) for each in self.rounds]


class Ratio(Struct, kw_only=True):
    """A figure that the run is to show: the first line's median over the sum of the others', or by itself."""

    name: str
    over: str
    under: tuple[str, ...] = ()
    metric: str = "created"
    under_metric: str = ""  # if it is another one
    target: float | None = None
    at_least: bool = True  # or else at most
    value: float | None = None


class Result(Struct, kw_only=True):
    """A scenario's outcome."""

    name: str
    title: str
    note: str
    lines: list[Line]
    ratios: list[Ratio]


class Run(Struct, kw_only=True):
    """A whole run, with all that is needed to read it."""

    command: str
    date: str
    machine: str
    load_average: float  # when it began: more than 0.3 means that others used the machine
    rounds: int
    seconds: int
    connections: int
    verified: int  # acknowledged bookings that were looked up, and found
    results: list[Result]


class Spread(Struct, frozen=True):
    """Median and extremes."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(min(values), statistics.median(values), max(values))


def value_of(each: Round, metric: str) -> float:
    """A metric by its name: a rate per second (`created`, `requests`, `refused`), a percentile in µs (`p99`), `cpu`
    of a request and `cpu_created` of what was made, or one of the round's extras."""
    if metric in each.extra:
        return each.extra[metric]
    if metric.startswith("p") and metric[1:] in each.latency_us:
        return each.latency_us[metric[1:]]
    if metric == "cpu":
        return sum(each.cpu_us.values())
    if metric == "cpu_created" and each.created:  # of all requests that a booking took
        return sum(each.cpu_us.values()) * each.requests / each.created
    counts = {"created": each.created, "requests": each.requests, "refused": each.refused}
    if metric not in counts:
        raise KeyError(f"no round has the metric {metric!r}")
    return counts[metric] / each.seconds if each.seconds else 0.0


def work_out(ratio: Ratio, lines: Sequence[Line]) -> None:
    """Sets the ratio's value, if all that it needs was measured."""
    by_label = {line.label: line for line in lines}
    over = _median(by_label.get(ratio.over), ratio.metric)
    unders = [_median(by_label.get(label), ratio.under_metric or ratio.metric) for label in ratio.under]
    known = [each for each in unders if each is not None]
    if over is None or len(known) != len(unders):
        return
    divisor = sum(known) if unders else 1.0
    ratio.value = over / divisor if divisor else None


def met(ratio: Ratio) -> bool | None:
    """Whether the target is met; None if there is no target or no value."""
    if ratio.value is None or ratio.target is None:
        return None
    return ratio.value >= ratio.target if ratio.at_least else ratio.value <= ratio.target


def _median(line: Line | None, metric: str) -> float | None:
    if line is None or not line.rounds or line.missing:
        return None
    try:
        return statistics.median(line.values(metric))
    except KeyError:
        return None
