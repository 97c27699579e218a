"""How long a start takes, and what it costs: `python -m loadtest.start`.

Each round starts the whole system on an empty data directory, once as `make run` does, until the API answers and until
the demo season is loaded and `/readyz` says yes; then holds a seat of each date on sale, whose owner sleeps, one after
the other, and once more; then stops it. CPU is that of the supervisor and all it has started, memory what is their own.
`--python` measures an older checkout with its own interpreter, in turns with this one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from loadtest.bench.contenders.processes import cpu_seconds, megabytes, tree
from loadtest.stack import inherited_environment
from persistence.embedded.instance import read_note, remove_run_directory
from persistence.embedded.process import Child, Program, child_environment, free_port

PROBE_SECONDS = 0.02
STOP_SECONDS = 30.0


class Start(Struct, frozen=True, kw_only=True):
    """One start. Times are from the first moment on, CPU until then, in seconds."""

    serving: float
    serving_cpu: float
    ready: float
    ready_cpu: float
    memory_mb: float
    first_hold: float  # of all, on a date nobody has asked for
    cold_hold: float  # the median of the first holds on the other dates
    warm_hold: float  # the median of a second hold on each
    stop: float


async def measure(python: str) -> Start:
    """Starts and stops the system of the checkout that `python` belongs to."""
    directory = Path(tempfile.mkdtemp(prefix="boxoffice-start-"))
    port = free_port()
    program = Program(
        name="boxoffice",
        argv=(
            *(python, "-m", "api.command_line.cli", "up", "--demo"),
            *("--port", str(port), "--data-dir", str(directory)),
        ),
        address="",
        environment={"PYTHONSAFEPATH": "1"},  # what runs is the interpreter's checkout, not the one we stand in
        stop_seconds=STOP_SECONDS,
        log=directory / "log",
    )
    try:
        began = time.monotonic()
        child = await Child.start(program, child_environment(inherited_environment()))
        try:
            processes = psutil.Process(child.pid)
            await answered(f"http://127.0.0.1:{port}/healthz")
            serving, serving_cpu = time.monotonic() - began, used(processes)
            while (note := read_note(directory)) is None or not note.ready:
                await asyncio.sleep(PROBE_SECONDS)
            ready, ready_cpu = time.monotonic() - began, used(processes)
            memory_mb = megabytes(tree(processes))
            first, cold, warm = await holds(f"http://127.0.0.1:{port}")
            stopping = time.monotonic()
        finally:
            await child.stop()
        stop = time.monotonic() - stopping
    finally:
        remove_run_directory(directory)
        shutil.rmtree(directory, ignore_errors=True)
    return Start(
        serving=serving,
        serving_cpu=serving_cpu,
        ready=ready,
        ready_cpu=ready_cpu,
        memory_mb=memory_mb,
        first_hold=first,
        cold_hold=cold,
        warm_hold=warm,
        stop=stop,
    )


async def holds(url: str) -> tuple[float, float, float]:
    """Seconds that a customer waits for one: the first of all, the first of a date, and the next of it."""
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        account = {"email": "first@loadtest.example", "password": "correct horse battery"}
        (await client.post("/v1/accounts", json={**account, "role": "customer"})).raise_for_status()
        session = (await client.post("/v1/sessions", json=account)).json()
        client.headers["Authorization"] = f"Bearer {session['access_token']}"
        performances = (await client.get("/v1/performances", params={"limit": 100})).json()["items"]
        dates: list[str] = []
        for each in performances:
            answer = await client.get(f"/v1/performances/{each['id']}/schedules", params={"available": True})
            dates += [date["id"] for date in answer.json()["items"]]
        seconds: list[list[float]] = [[], []]
        for times in seconds:
            for date in dates:
                began = time.monotonic()
                answer = await client.post(f"/v1/schedules/{date}/bookings", json={"quantity": 1})
                took = time.monotonic() - began
                if answer.status_code == httpx.codes.CREATED:  # not where one stands in line, or owns too many by now
                    times.append(took)
    (first, *cold), warm = seconds
    return first, statistics.median(cold), statistics.median(warm)


async def answered(url: str) -> None:
    """Returns when the URL is answered 200."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(url)).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(PROBE_SECONDS)


def used(root: psutil.Process) -> float:
    return sum(cpu_seconds({"all": tree(root)}).values())


async def main() -> None:
    """Measures starts by turns, and prints them."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", help="the interpreter in another checkout's .venv, to take turns with")
    options = parser.parse_args()
    pythons = {"this": sys.executable, **({"the other": options.python} if options.python else {})}
    starts: dict[str, list[Start]] = {name: [] for name in pythons}
    console = Console()
    for number in range(options.rounds):
        for name, python in pythons.items():
            starts[name].append(await measure(python))
            console.print(f"round {number + 1}, {name}: {starts[name][-1]}")
    table = Table(title=f"load average {os.getloadavg()[0]:.1f}; median (lowest–highest)", title_justify="left")
    for heading in ("", *starts):
        table.add_column(heading)
    for field in Start.__struct_fields__:
        found = {name: sorted(getattr(start, field) for start in each) for name, each in starts.items()}
        table.add_row(field, *(f"{statistics.median(f):.3f} ({f[0]:.3f}–{f[-1]:.3f})" for f in found.values()))
    console.print(table)


if __name__ == "__main__":
    asyncio.run(main())
