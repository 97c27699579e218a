"""The demo sells a house out on the running system, and its audit notices damage."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import asyncpg
import pytest
from rich.console import Console

from actors.process.settings import Settings
from api.demo import season
from api.demo.venues import DemoVenue
from loadtest import demo
from loadtest.buyers import Ledger
from loadtest.demo import Outcome
from loadtest.sale import Sale
from loadtest.stack import Stack as DrivenStack
from loadtest.stack import StackError, running_stack
from tests.conftest import MakeStack, Stack
from tests.support.sale import PRICES, small_plan

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]


def driven(stack: Stack) -> DrivenStack:
    """The session's system as the demo knows it."""
    environment = {
        **stack.run.environment,
        "BOXOFFICE_ADMIN_EMAIL": stack.admin_email,
        "BOXOFFICE_ADMIN_PASSWORD": stack.admin_password,
    }
    return running_stack(stack.base_url, Settings.from_environment(environment))


def small_house() -> DemoVenue:
    plan = small_plan(rows=6, seats_per_row=20, standing=30)
    categories = {category["name"] for category in plan["categories"]}
    return DemoVenue(
        name=f"Small house {uuid4()}",
        city="서울 Seoul",
        address="1 Small Street",
        capacity=150,
        seating_plan=lambda: plan,
        prices=MappingProxyType({name: price for name, price in PRICES.items() if name in categories}),
    )


@pytest.fixture(scope="module")
async def outcome(stack: Stack) -> Outcome:
    """A small house, sold out to a crowd."""
    return await demo.run(driven(stack), small_house(), 40, Console(file=io.StringIO()))


async def test_a_crowd_buys_a_house_out_and_everything_agrees(outcome: Outcome) -> None:
    assert [check for check in outcome.checks if not check.holds] == []
    assert outcome.ledger.unexpected == []
    assert outcome.holds
    assert outcome.ledger.seats_sold() == 150


async def test_the_report_says_what_happened_and_that_it_holds(outcome: Outcome) -> None:
    page = io.StringIO()
    demo.report(outcome, Console(file=page, width=120))
    text = page.getvalue()
    assert "150 places, 40 buyers" in text
    assert "sold out in" in text
    assert "The audit holds." in text


async def test_damage_to_the_tables_is_noticed(stack: Stack, outcome: Outcome) -> None:
    booking_id, promise = next(
        (each, promise) for each, promise in outcome.ledger.promises.items() if promise.status == "confirmed"
    )
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute("UPDATE bookings SET status = 'expired' WHERE id = $1", booking_id)
        damaged = await demo.inspect(driven(stack), outcome.sale, outcome.ledger)
        await connection.execute("UPDATE bookings SET status = 'confirmed' WHERE id = $1", booking_id)
        repaired = await demo.inspect(driven(stack), outcome.sale, outcome.ledger)
    finally:
        await connection.close()
    failing = {check.name for check in damaged if not check.holds}
    assert {"paid bookings without their seats", "bookings in the tables agree with the replay"} <= failing
    assert [check for check in repaired if not check.holds] == []
    assert promise.status == "confirmed"


async def test_an_answer_that_nobody_expects_fails_the_demo(outcome: Outcome) -> None:
    ledger = Ledger(unexpected=["hold: 500"])
    assert not Outcome(outcome.sale, 1, 0.0, 1.0, ledger, outcome.checks).holds


async def test_a_sale_cut_short_is_reported_and_does_not_hold(outcome: Outcome) -> None:
    page = io.StringIO()
    sale = Sale(outcome.sale.schedule_id, "Cut short", 150)
    demo.report(Outcome(sale, 1, 0.0, 1.0, Ledger(unexpected=["hold: 500 "]), []), Console(file=page, width=120))
    assert "THE AUDIT DOES NOT HOLD" in page.getvalue()


def test_a_running_system_must_be_named_completely() -> None:
    with pytest.raises(StackError, match="BOXOFFICE_ADMIN_EMAIL"):
        running_stack("http://127.0.0.1:1", Settings())
    with pytest.raises(StackError, match="DATABASE_URL"):
        running_stack("http://127.0.0.1:1", Settings(admin_email="a@example.com", admin_password="x"))


async def test_the_command_ends_with_2_when_it_cannot_be_run(stack: Stack) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.demo", "--url", "http://127.0.0.1:1"),
        env={**stack.environment, **stack.run.environment},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 2
    assert b"the demo could not be run" in out
    assert b"Traceback" not in out


async def first_steps(readme: str, url: str, directory: Path) -> str:
    """Does what stands there to be typed, in a shell that stops at what fails; gives what it prints."""
    typed = "\n".join(re.findall(r"```sh\n(.*?)```", (ROOT / readme).read_text(), re.DOTALL))
    typed = typed.replace("http://127.0.0.1:8000", url).replace("minji@", f"{uuid4().hex}@")
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", typed),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=directory,
    )
    out, _ = await shell.communicate()
    assert shell.returncode == 0, out.decode()
    return out.decode()


@pytest.mark.long
async def test_the_season_is_loaded_into_an_empty_store_once(make_stack: MakeStack, tmp_path: Path) -> None:
    async with make_stack("--demo", workers=1) as stack:
        for readme in ("README.md", "README.ko.md"):  # at once: a newcomer does not wait for a sale to open
            told = await first_steps(readme, f"http://127.0.0.1:{stack.port}", tmp_path)
            found = re.findall(r'"status":"(held|confirmed|refunded)"|"(code|cancelled_at)":"', told)
            assert {one or other for one, other in found} == {
                "held",
                "confirmed",
                "refunded",
                "code",
                "cancelled_at",
            }, told
        environment = {**stack.run.environment, "BOXOFFICE_PORT": str(stack.port)}
        settings = Settings.from_environment(environment)
        logins = await season.load(settings)  # which finds it there, as the counts say below
        assert {login.role for login in logins} == {"customer", "organizer", "admin"}
        connection = await asyncpg.connect(stack.database_url)
        try:
            counts = await connection.fetchrow(
                "SELECT (SELECT count(*) FROM venues), (SELECT count(*) FROM performances),"
                " (SELECT count(*) FROM schedules)"
            )
        finally:
            await connection.close()
        assert counts is not None
        evenings = sum(len(show.evenings) for show in season.SEASON)
        assert tuple(counts) == (3, len(season.SEASON), evenings)
        async with stack.client() as client:
            assert (await client.get("/readyz")).json()["checks"]["demo"] == "up"
            shows = (await client.get("/v1/performances")).json()["items"]
            (gone,) = [show["id"] for show in shows if show["sale"]["state"] == "sold_out"]
            (evening,) = (await client.get(f"/v1/performances/{gone}/schedules")).json()["items"]
            left = (await client.get(f"/v1/schedules/{evening['id']}/availability")).json()["categories"]
        assert all(each["sold"] > 0 and each["sold"] == each["total"] for each in left), "sold, not only taken"
        states = [show["sale"]["state"] for show in shows]
        assert states.count("sold_out") == 1
        assert any(show["seats_left"] is not None and 0 < show["seats_left"] < 50 for show in shows)
