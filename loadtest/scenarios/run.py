"""One run from beginning to end: a stage, Locust as a child process, its outcome, and the audit of what it left behind.

Locust's processes die with this one, whatever ends it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import msgspec
from msgspec import Struct

from loadtest.audit import Check, Sources, audit
from loadtest.sale import venue_named
from loadtest.scenarios import outcome as outcomes
from loadtest.scenarios import stage as stages
from loadtest.scenarios.notes import ledger_of
from loadtest.scenarios.outcome import Outcome
from loadtest.scenarios.scenario import Scenario
from loadtest.stack import Stack, StackError
from persistence.database.dsn import asyncpg_dsn
from persistence.embedded.process import Child, Program, child_environment, free_port
from persistence.events.log import KafkaEventLog

LOCUSTFILE = Path(__file__).parent.parent / "locustfile.py"
LOOPBACK = "127.0.0.1"
FINISH_SECONDS = 75.0  # `crew.FINISH_SECONDS`, and time to write the report
WORKERS_SECONDS = 300.0  # for workers on other machines to be started
LOG_LINES = 15
OUTCOME, REPORT, LOG = "outcome.json", "report.html", "locust.log"


class Order(Struct, frozen=True, kw_only=True):
    """What is to be run, and how."""

    scenario: Scenario
    users: int
    seconds: int
    venue: str
    directory: Path  # for everything that is written
    html: Path
    processes: int = 1
    expect_workers: int = 0  # on other machines
    bind_host: str = "*"
    port: int = 5557


class Stages(Struct, frozen=True):
    """Who is told how far things are."""

    begins: Callable[[str], None]
    account: Callable[[], None]


def check_locust() -> None:
    """Raises `StackError` where Locust is not installed."""
    if importlib.util.find_spec("locust") is None:
        raise StackError("Locust is not installed: it is one of the development dependencies (`make install`)")


async def play(stack: Stack, order: Order, tell: Stages) -> Outcome:
    """Prepares, drives, and returns what came of it. Raises `StackError` where that cannot be done."""
    order.directory.mkdir(parents=True, exist_ok=True)
    tell.begins(f"preparing: {order.users} customers and a schedule at {venue_named(order.venue).name}")
    stage = await stages.prepare(stack, order.scenario, order.users, venue_named(order.venue), tell.account)
    with tempfile.TemporaryDirectory(prefix="boxoffice-stage-") as private:
        path = Path(private) / "stage.json"
        stages.write(stage, path)
        tell.begins(f"driving {stack.url}: {order.users} users for {order.seconds} s")
        await drive(order, path)
    return outcomes.read(order.directory / OUTCOME)


async def drive(order: Order, stage: Path) -> None:
    """Runs Locust until it has written its outcome."""
    written = order.directory / OUTCOME
    written.unlink(missing_ok=True)
    log = order.directory / LOG
    log.unlink(missing_ok=True)
    program = Program(
        name="locust",
        argv=(*(sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE)), *_arguments(order, stage)),
        address="",
        stop_seconds=FINISH_SECONDS,
        log=log,
    )
    child = await Child.start(program, child_environment(os.environ))
    try:
        patience = order.seconds + FINISH_SECONDS + (WORKERS_SECONDS if order.expect_workers else 0.0)
        async with asyncio.timeout(patience):
            code = await child.wait()
    except TimeoutError:
        raise StackError(f"Locust did not come to an end within {patience:g} s{_end_of(log)}") from None
    finally:
        await child.stop()
    if code not in (0, 1) or not written.exists():  # 1: it has seen failures, which we count ourselves
        raise StackError(f"Locust ended with exit code {code}{_end_of(log)}")


def _arguments(order: Order, stage: Path) -> list[str]:
    arguments = [
        "--headless",
        "--only-summary",
        *("--stage", str(stage), "--scenario", order.scenario.name),
        *("--users", str(order.users), "--run-time", f"{order.seconds}s"),
        *("--stop-timeout", "30"),  # for users who leave while the run goes on
        *("--html", str(order.html)),
        *("--csv", str(order.directory / "locust")),
        *("--outcome", str(order.directory / OUTCOME)),
    ]
    if order.expect_workers:
        arguments += ["--master", "--expect-workers", str(order.expect_workers)]
        arguments += ["--expect-workers-max-wait", f"{WORKERS_SECONDS:g}"]
        arguments += ["--master-bind-host", order.bind_host, "--master-bind-port", str(order.port)]
    elif order.processes > 1:
        port = str(free_port(LOOPBACK))
        arguments += ["--processes", str(order.processes), "--master-bind-host", LOOPBACK, "--master-bind-port", port]
        arguments += ["--master-host", LOOPBACK, "--master-port", port]
    return arguments


def _end_of(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:] if log.exists() else []
    return "; the end of its log:\n" + "\n".join(lines) if lines else ""


async def inspect(stack: Stack, outcome: Outcome) -> list[Check]:
    """Opens every source of truth and compares them with each other and with what the crowd was told."""
    log = KafkaEventLog(stack.kafka)
    client = await stack.admin()
    try:
        # A schedule that nobody has bought from has had no owner yet, and nothing of it is on Kafka.
        await client.request("GET", f"/v1/admin/actors/{outcome.schedule_id}")
        ledger = ledger_of(outcome.schedule_id, outcome.promises)
        async with asyncpg.create_pool(asyncpg_dsn(stack.database_url), min_size=1, max_size=2) as pool:
            return await audit(Sources(outcome.schedule_id, client, pool, log), ledger, sold_out=False)
    finally:
        client.close()
        await log.close()


def read_outcome(path: Path) -> Outcome:
    """Of a run that was made elsewhere. Raises `StackError`."""
    try:
        return outcomes.read(path)
    except (OSError, msgspec.DecodeError) as error:
        raise StackError(f"{path} is no outcome of a run: {error}") from error


def directory_for(scenario: str, root: Path) -> Path:
    """A place of its own for each run."""
    return root / f"{scenario}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
