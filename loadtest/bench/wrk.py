"""The load: wrk with our script, and what it saw."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from loadtest.stack import StackError

SCRIPT = Path(__file__).with_name("wrk.lua")
STALL_US = 100_000
LEAD_SECONDS = 1  # until every thread of wrk runs


class Drive(Struct, frozen=True, kw_only=True):
    """One run of wrk. See wrk.lua for the modes; `expected` are the only answers that may come."""

    mode: str
    url: str
    paths: tuple[str, ...]
    seconds: int
    connections: int
    threads: int
    expected: frozenset[str]
    tokens: tuple[str, ...] = ()
    seats: tuple[str, ...] = ()  # those to ask for, or to draw from
    seed: int = 1
    target: int = 0
    rate: float = 0.0
    etag: str = ""
    repeats: bool = False  # a seat may be asked for twice: nobody takes it


class Seen(Struct, frozen=True, kw_only=True):
    """What wrk reports. `answers` are counted by status; the answer to a payment as `paid <status>`."""

    answers: dict[str, int]
    used: int  # wishes, of all paths; those up to it may have been asked for
    ran_out: int  # requests for which no wish was left
    microseconds: int
    errors: int  # no answer: connections refused or lost, time-outs
    latency_us: dict[str, int]  # percentile → µs; 100 is the slowest


class Driven(Struct, frozen=True):
    """A run of wrk, with the ids of what it was told was created, and the stalls it met."""

    seen: Seen
    created: list[str]
    stalls: int | None = None  # None where they are not counted
    unevenness: float | None = None  # the 99th percentile of the path that waited longest ÷ that of the middle one


async def drive(load: Drive, directory: Path) -> Driven:
    """Runs wrk with its files in `directory`. Raises `StackError` if it fails, or meets answers that may not come."""
    write_inputs(load, directory)
    alone = load.threads == load.connections
    seconds = load.seconds + (2 * LEAD_SECONDS if alone else 0)
    process = await asyncio.create_subprocess_exec(
        "wrk",
        *("-t", str(load.threads), "-c", str(load.connections), "-d", f"{seconds}s", "--timeout", "20s"),
        *("-s", str(SCRIPT), load.url, "--", *arguments(load, directory)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise StackError(f"wrk ended with {process.returncode}: {complaints.decode(errors='replace')[:500]}")
    seen = parse(out)
    check(seen, load, complaints.decode(errors="replace"))
    created, timed = noted(directory)
    if not alone:
        return Driven(seen, created)
    seen = msgspec.structs.replace(seen, latency_us=percentiles([each.latency_us for each in timed]))
    return Driven(seen, created, count_stalls([(each.at_us, each.latency_us) for each in timed]), unevenness(timed))


def write_inputs(load: Drive, directory: Path) -> None:
    """The script's files. Every thread gets wishes of its own, so that no seat is asked for twice."""
    files = {"tokens": load.tokens, "paths": load.paths, "seats": load.seats}
    if load.mode in ("spread", "batch", "purchase"):
        paths = range(1, len(load.paths) + 1)
        wishes = [f"{path} {seat}" for path in paths for seat in load.seats]
        if not load.rate:  # paced, one house is sold after the other; otherwise all at the same time
            wishes = [f"{path} {seat}" for seat in load.seats for path in paths]
        files |= {f"wishes-{number}": tuple(wishes[number :: load.threads]) for number in range(load.threads)}
    for name, lines in files.items():
        (directory / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


def arguments(load: Drive, directory: Path) -> list[str]:
    """As the script reads them."""
    begin = int((time.monotonic() + LEAD_SECONDS) * 1e6)
    values = {
        "mode": load.mode,
        "inputs": directory,
        "outputs": directory,
        "threads": load.threads,
        "connections": load.connections,
        "seed": load.seed,
        "begin": begin,
        "finish": begin + load.seconds * 1_000_000,
        "rate": load.rate,
        "etag": load.etag,
        **({"target": load.target} if load.target else {}),
    }
    return [f"{name}={value}" for name, value in values.items()]


def parse(out: bytes) -> Seen:
    """The script's last line. Raises `StackError` if there is none."""
    lines = out.splitlines()
    try:
        return msgspec.json.decode(lines[-1] if lines else b"", type=Seen)
    except msgspec.DecodeError as error:
        raise StackError(f"wrk said nothing that can be read: {out[-300:].decode(errors='replace')}") from error


def check(seen: Seen, load: Drive, complaints: str) -> None:
    """Raises `StackError` for a round that does not count."""
    if seen.ran_out and not load.repeats:
        raise StackError(f"{seen.ran_out} requests found no seat left: give fewer --seconds")
    unexpected = {status: count for status, count in seen.answers.items() if status not in load.expected}
    if unexpected or seen.errors:
        raise StackError(
            f"unexpected answers {unexpected}, {seen.errors} connections without an answer; {complaints[:500]}"
        )
    if not seen.answers:
        raise StackError(f"no request was answered within {load.seconds} s")
    if load.target and seen.answers.get("201", 0) < load.target:
        raise StackError(f"only {seen.answers.get('201', 0)} of {load.target} were booked within {load.seconds} s")


class Timed(NamedTuple):
    """An answer: when it came, how long it took, and to a request for which path (from 1)."""

    at_us: int
    latency_us: int
    path: int


def noted(directory: Path) -> tuple[list[str], list[Timed]]:
    """What the threads wrote down: the ids of what was answered 201, and when each answer came."""
    created, timed = [], []
    for path in directory.glob("thread-*.txt"):
        for line in path.read_text().splitlines():
            kind, *words = line.split()
            if kind == "created":
                created.append(words[0])
            else:
                timed.append(Timed(int(float(words[0])), int(float(words[1])), int(words[2])))
    return created, timed


def percentiles(latencies: Sequence[int]) -> dict[str, int]:
    """By nearest rank, those that wrk reports, too."""
    if not latencies:
        return {}
    ordered = sorted(latencies)
    ranks = {"50": 0.5, "75": 0.75, "90": 0.9, "95": 0.95, "99": 0.99, "99.9": 0.999, "100": 1.0}
    return {name: ordered[max(0, -int(-share * len(ordered) // 1) - 1)] for name, share in ranks.items()}


def unevenness(timed: Sequence[Timed]) -> float | None:
    """How much longer one path's requests may take than another's; None where there is one path only."""
    by_path: dict[int, list[int]] = {}
    for each in timed:
        by_path.setdefault(each.path, []).append(each.latency_us)
    slowest = [percentiles(latencies)["99"] for latencies in by_path.values()]
    return max(slowest) / statistics.median(slowest) if len(slowest) > 1 else None


def count_stalls(timed: Sequence[tuple[int, int]], over_us: int = STALL_US) -> int:
    """How many times requests took longer; those that waited at the same time waited for the same stall."""
    stalls, busy_until = 0, 0
    for begun, at in sorted((at - took, at) for at, took in timed if took > over_us):
        if begun >= busy_until:
            stalls += 1
        busy_until = max(busy_until, at)
    return stalls
