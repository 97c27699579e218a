"""A few seconds of every scenario against one running system, and a verdict that is not to be talked round.

Locust makes a process gevent's, so it is only ever run as a child here, by the command that people use.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import msgspec
import pytest
from fastapi import FastAPI, Request, Response

from loadtest.scenarios import outcome as outcomes
from loadtest.scenarios.outcome import Outcome
from loadtest.scenarios.scenario import SCENARIOS
from tests.conftest import Stack
from tests.support.services.serving import serve
from tests.support.waiting import PATIENCE_SECONDS

USERS, SECONDS = 7, 3
HOUSE = ("--venue", "opera")  # the smallest
AT_ONCE = 3  # runs; each waits most of its time
PATIENCE = ("--p95-ms", "60000")  # here the verdict is about answers: this machine may be busy with anything
ROOT = Path(__file__).parents[2]


class Run(msgspec.Struct):
    """One command that has ended."""

    code: int
    text: str
    directory: Path

    @property
    def outcome(self) -> Outcome:
        return outcomes.read(self.directory / "outcome.json")

    def count(self, kind: str) -> int:
        return sum(row.count for row in self.outcome.rows if row.kind == kind)


def environment(stack: Stack) -> dict[str, str]:
    admin = {"BOXOFFICE_ADMIN_EMAIL": stack.admin_email, "BOXOFFICE_ADMIN_PASSWORD": stack.admin_password}
    return {**stack.environment, **stack.run.environment, **admin}


async def command(*arguments: str, env: Mapping[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.scenarios", *arguments),
        env=env,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode()


# --- the running system -----------------------------------------------------------------------------------------------
class Liar:
    """What a proxy does to the system's answers. Each thing once."""

    def __init__(self) -> None:
        self.keys: list[str] = []  # of the requests to hold
        self.done: set[str] = set()

    def once(self, what: str) -> bool:
        new = what not in self.done
        self.done.add(what)
        return new


Falsify = Callable[[Liar, Request], Response | None]


def break_and_put_off(liar: Liar, request: Request) -> Response | None:
    """The first hold is put off; the first list of bookings fails."""
    if request.method == "POST" and request.url.path.endswith("/bookings"):
        liar.keys.append(request.headers["idempotency-key"])
        if liar.once("put off"):
            problem = b'{"code":"overloaded"}'
            headers = {"Retry-After": "1", "Content-Type": "application/problem+json"}
            return Response(problem, status_code=503, headers=headers)
    if request.url.path == "/v1/bookings" and liar.once("broken"):
        return Response(b"something went wrong", status_code=500)
    return None


def lose_a_cancellation(liar: Liar, request: Request) -> Response | None:
    """Says that a booking is cancelled, and does not cancel it."""
    if request.url.path.endswith("/cancellation") and request.method == "POST" and liar.once("lost"):
        return Response(b"{}", status_code=201, media_type="application/json")
    return None


@asynccontextmanager
async def proxy(upstream: str, falsify: Falsify) -> AsyncIterator[tuple[str, Liar]]:
    """The running system, but for what is falsified."""
    app, liar = FastAPI(), Liar()
    async with httpx.AsyncClient(base_url=upstream, timeout=PATIENCE_SECONDS, trust_env=False, verify=False) as client:

        @app.api_route("/{path:path}", methods=["GET", "POST", "PATCH"])
        async def forward(request: Request, path: str) -> Response:
            false = falsify(liar, request)
            if false is not None:
                return false
            headers = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
            url = httpx.URL(path=request.url.path, query=request.url.query.encode())
            answer = await client.request(request.method, url, content=await request.body(), headers=headers)
            # It comes unpacked.
            dropped = ("content-encoding", "content-length", "transfer-encoding")
            kept = {name: value for name, value in answer.headers.items() if name not in dropped}
            return Response(answer.content, status_code=answer.status_code, headers=kept)

        async with serve(app) as url:
            yield url, liar


class Everything(msgspec.Struct):
    """All runs of this module."""

    runs: dict[str, Run]
    put_off: Liar


@pytest.fixture(scope="module")
async def everything(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Everything:
    """Every scenario, and two against a system that is not what it seems."""
    turn = asyncio.Semaphore(AT_ONCE)
    runs: dict[str, Run] = {}
    directory = tmp_path_factory.mktemp("scenarios")

    async def run(label: str, scenario: str, url: str, *more: str) -> None:
        size = ("--users", str(USERS), "--seconds", str(SECONDS), "--reports", str(directory / label))
        async with turn:
            code, text = await command(scenario, "--url", url, *size, *HOUSE, *PATIENCE, *more, env=environment(stack))
        made = list((directory / label).iterdir())
        runs[label] = Run(code, text, made[0] if made else directory)

    # Two processes where it is cheapest to see that nothing of what they were told is lost.
    more = {"paying": ("--processes", "2"), "hot-seats": ("--html", str(directory / "hot.html"))}
    async with (
        proxy(stack.base_url, break_and_put_off) as (broken, put_off),
        proxy(stack.base_url, lose_a_cancellation) as (lying, _),
    ):
        honest: list[Awaitable[None]] = [run(each, each, stack.base_url, *more.get(each, ())) for each in SCENARIOS]
        await asyncio.gather(*honest, run("broken", "paying", broken), run("lying", "hot-seats", lying))
    return Everything(runs, put_off)


on_the_stack = pytest.mark.stack


@on_the_stack
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_is_played_judged_and_audited(everything: Everything, name: str) -> None:
    run = everything.runs[name]
    assert run.code == 0, run.text
    assert f"{name} passed" in run.text
    assert "the system's own reconciliation" in run.text
    for kind in SCENARIOS[name].must:
        assert run.count(kind) > 0, f"{kind} was never answered"
    assert run.outcome.failures == []


@on_the_stack
@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_answer_is_in_the_figures_and_every_hold_in_the_notes(everything: Everything, name: str) -> None:
    run = everything.runs[name]
    outcome = run.outcome
    counted = Counter[str]()
    for row in outcome.rows:
        counted[row.kind] += row.count
    assert counted == Counter(outcome.answers)  # Locust's own figures, and what users have noted
    assert run.count("hold") == len(outcome.promises) > 0


@on_the_stack
async def test_the_report_is_written_where_it_is_wanted(everything: Everything) -> None:
    page = (everything.runs["paying"].directory / "report.html").read_text()
    assert "pay: payment_declined" in page
    assert "PayingCustomer" in page
    elsewhere = everything.runs["hot-seats"].directory.parents[1] / "hot.html"
    assert "hold: seats_unavailable" in elsewhere.read_text()
    figures = (everything.runs["hot-seats"].directory / "locust_stats.csv").read_text()
    assert "hold: seats_unavailable" in figures


@on_the_stack
async def test_refusals_that_are_expected_are_told_as_a_share(everything: Everything) -> None:
    run = everything.runs["hot-seats"]
    refused, held = run.count("hold: seats_unavailable"), run.count("hold")
    assert f"hold: {refused} of {refused + held} refused as the scenario expects" in run.text


@on_the_stack
async def test_nobody_buys_before_the_rush_begins(everything: Everything) -> None:
    assert everything.runs["rush"].count("hold: sale_not_open") >= 1


@on_the_stack
async def test_an_unexpected_answer_fails_the_run_and_is_printed(everything: Everything) -> None:
    run = everything.runs["broken"]
    assert run.code == 1, run.text
    assert "unexpected answer, 1 times: my bookings: 500 something went wrong" in run.text
    assert "paying FAILED: unexpected answers." in run.text  # and the audit holds


@on_the_stack
async def test_a_request_that_is_put_off_is_counted_and_sent_again_with_its_key(everything: Everything) -> None:
    assert everything.runs["broken"].count("hold: overloaded") == 1
    keys = Counter(everything.put_off.keys)
    assert sorted(keys.values())[-2:] == [1, 2]


@on_the_stack
async def test_a_broken_promise_fails_the_run_by_the_audit_alone(everything: Everything) -> None:
    run = everything.runs["lying"]
    assert run.code == 1, run.text
    assert "hot-seats FAILED: cancelled or refunded bookings that live on." in run.text


@on_the_stack
async def test_damage_done_after_the_run_is_found_by_an_audit_of_its_outcome(
    everything: Everything, stack: Stack
) -> None:
    run = everything.runs["paying"]
    paid = next(each.promise for each in run.outcome.promises if each.promise.status == "confirmed")
    arguments = ("--audit", str(run.directory / "outcome.json"), "--url", stack.base_url, *PATIENCE)
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute("UPDATE bookings SET amount = amount + 1 WHERE id = $1", paid.booking_id)
        damaged = await command(*arguments, env=environment(stack))
        await connection.execute("UPDATE bookings SET amount = amount - 1 WHERE id = $1", paid.booking_id)
    finally:
        await connection.close()
    assert damaged[0] == 1, damaged[1]
    assert "bookings in the tables agree with the replay" in damaged[1].splitlines()[-1] + damaged[1].splitlines()[-2]
    assert paid.booking_id in damaged[1]


# --- what cannot be run -----------------------------------------------------------------------------------------------
async def test_a_system_that_is_not_there_is_no_verdict() -> None:
    named = {
        "BOXOFFICE_ADMIN_EMAIL": "a@example.com",
        "BOXOFFICE_ADMIN_PASSWORD": "secret-enough",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    code, text = await command("paying", "--url", "http://127.0.0.1:1", "--users", "1", env=named)
    assert code == 2
    assert "the run could not be made" in text
    assert "Traceback" not in text


def test_locust_never_gets_into_the_process_that_judges() -> None:
    looked = "import sys, loadtest.scenarios.__main__; sys.exit('gevent' in sys.modules or 'locust' in sys.modules)"
    subprocess.run([sys.executable, "-c", looked], check=True, cwd=ROOT)


def test_locust_finds_its_users_and_a_shape() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--list"],
        capture_output=True,
        check=True,
        cwd=ROOT,
    )
    found = set(made.stdout.decode().split())
    for scenario in SCENARIOS.values():
        assert {*scenario.crowd, *scenario.staff} <= found
