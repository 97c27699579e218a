"""Damage planted in a running system: the admin's endpoint and `boxoffice reconcile` name it, and repair mends it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from actors.process.clock import SystemClock
from actors.process.settings import Settings
from engine.state import SOLD
from persistence.database.dsn import asyncpg_dsn
from persistence.providers.provider import CHARGE_WINDOW_MS, Approved, ChargeRequest
from persistence.providers.sandbox import SandboxProvider
from persistence.seats.cache import SeatView
from persistence.seats.redis_cache import KEY, RedisSeatCache
from tests.api.command_line.test_cli import boxoffice
from tests.conftest import MakeStack, Stack
from tests.support.sale import Sale, hold, log_in_admin, open_sale, paid_booking, pay, read, refund, sign_up
from tests.support.waiting import until

pytestmark = pytest.mark.stack

CLOCK = SystemClock()


class System:
    """A running system of this module's, and whoever looks into it."""

    def __init__(self, stack: Stack, http: httpx.AsyncClient, admin: dict[str, str], pool: asyncpg.Pool[Any]) -> None:
        self.stack = stack
        self.http = http
        self.admin = admin
        self.pool = pool

    def url(self, sale: Sale) -> str:
        return f"/v1/admin/schedules/{sale.schedule_id}/reconciliation"

    async def failing(self, sale: Sale, **query: Any) -> set[str]:
        report = await read(self.http, self.url(sale), self.admin, **query)
        return {check["name"] for check in report["checks"] if not check["holds"]}

    async def reconcile(self, *arguments: str) -> tuple[int, str]:
        return await boxoffice("reconcile", *arguments, "--data-dir", str(self.stack.data_dir))

    async def mended(self, sale: Sale, **query: Any) -> dict[str, Any]:
        answer = await self.http.post(self.url(sale), json={"dry_run": False}, params=query, headers=self.admin)
        assert answer.status_code == httpx.codes.OK, answer.text
        repair: dict[str, Any] = answer.json()
        return repair

    async def owner(self, sale: Sale) -> dict[str, Any]:
        return await read(self.http, f"/v1/admin/actors/{sale.schedule_id}", self.admin)

    async def at_rest(self, sale: Sale) -> None:
        """Until everything is published and shown."""

        async def rests() -> bool:
            row = await self.pool.fetchrow(
                "SELECT seq, published_seq FROM schedule_heads WHERE schedule_id = $1", sale.schedule_id
            )
            assert row is not None
            shown = (await self.http.get(f"/v1/schedules/{sale.schedule_id}/seats")).json()["version"]
            return bool(row["seq"] == row["published_seq"] == shown)

        await until(rests)

    async def metric(self, name: str) -> float | None:
        """A metric's value; `name` with its labels."""
        page = (await self.http.get("/metrics")).text
        values = [float(line.rpartition(" ")[2]) for line in page.splitlines() if line.rpartition(" ")[0] == name]
        return values[0] if values else None


@pytest.fixture(scope="module")
async def system(make_stack: MakeStack) -> AsyncIterator[System]:
    async with (
        make_stack(workers=1) as stack,
        stack.client(60) as http,
        asyncpg.create_pool(asyncpg_dsn(stack.database_url), min_size=1, max_size=2) as pool,
    ):
        yield System(stack, http, await log_in_admin(http, stack), pool)


@pytest.fixture
async def sold(system: System) -> tuple[Sale, dict[str, str], dict[str, Any], dict[str, Any]]:
    """A sale of which a customer has something of everything; the customer, and a booking with its payment."""
    sale, customer = await open_sale(system.http), await sign_up(system.http)
    booking, payment = await paid_booking(system.http, sale, customer, "A-1", "A-2")
    _, other = await paid_booking(system.http, sale, customer, "B-1")
    assert (await refund(system.http, other, customer)).status_code == httpx.codes.CREATED
    held = await hold(system.http, sale, customer, "C-1")
    assert (await pay(system.http, held, customer, "tok_decline_lost_card")).status_code == httpx.codes.PAYMENT_REQUIRED
    await system.at_rest(sale)
    return sale, customer, booking, payment


Sold = tuple[Sale, dict[str, str], dict[str, Any], dict[str, Any]]


async def test_everything_holds_also_on_kafka(system: System, sold: Sold) -> None:
    sale, *_ = sold
    report = await read(system.http, system.url(sale), system.admin, events=True)
    assert report["holds"], report
    assert {"memory_equals_journal", "seat_map_equals_journal", "events_equal_journal", "provider_books_agree"} <= {
        check["name"] for check in report["checks"]
    }
    code, output = await system.reconcile(sale.schedule_id, "--events")
    assert code == 0, output
    assert "everything agrees" in output


async def test_a_row_changed_by_sql_is_named_and_mended_from_the_command_line(system: System, sold: Sold) -> None:
    sale, _, booking, _ = sold
    await system.pool.execute("UPDATE bookings SET seats = '{A-1,C-1}' WHERE id = $1", booking["id"])
    code, output = await system.reconcile(sale.schedule_id)
    assert code == 1
    assert f"{booking['id']}: another seats" in output
    assert "C-1: " in output
    assert f"bookings_equal_journal: bookings {booking['id']} is written as the journal says" in output
    assert "1 schedule examined, 1 does not agree.\nThis was a dry run" in output
    assert await system.failing(sale) == {"bookings_equal_journal", "seats_sold_once"}
    code, output = await system.reconcile(sale.schedule_id, "--repair")
    assert code == 0, output
    assert f"bookings {booking['id']} is written as the journal says" in output
    assert "1 schedule examined: everything agrees, 1 after a repair." in output
    assert await system.failing(sale, events=True) == set()


async def test_money_that_only_the_provider_knows_is_given_back(system: System, sold: Sold) -> None:
    sale, _, booking, _ = sold
    environment = system.stack.run.environment
    secret = (system.stack.data_dir / "secret").read_text().strip()
    sandbox = SandboxProvider(
        environment["BOXOFFICE_SANDBOX_URL"], Settings(secret=secret).sandbox_secrets[0], CLOCK.now_ms
    )
    stray, strange = (
        ChargeRequest(
            payment_id=CLOCK.new_id(),
            booking_id=booking_id,
            amount=1_234,
            currency="KRW",
            token="tok_approve",
            valid_until_ms=CLOCK.now_ms() + CHARGE_WINDOW_MS,
        )
        for booking_id in (booking["id"], CLOCK.new_id())
    )
    since_ms = CLOCK.now_ms() - 60_000
    for each in (stray, strange):
        assert isinstance(await sandbox.charge(each), Approved)
    assert await system.failing(sale) == {"provider_books_agree"}
    code, output = await system.reconcile("--repair")
    assert code == 1, "the one for nobody stays"
    assert f"payment {stray.payment_id} is given back" in output
    assert f"{strange.payment_id} of booking {strange.booking_id}: taken there, unknown here" in output
    assert await system.failing(sale) == set()

    async def given_back() -> bool:
        return any(
            [
                each.refunded == 1_234
                async for each in sandbox.payments(since_ms, CLOCK.now_ms())
                if each.payment_id == stray.payment_id
            ]
        )

    await until(given_back)
    await sandbox.close()
    await system.at_rest(sale)
    assert await system.failing(sale, events=True) == set()


async def test_a_seat_changed_in_redis_is_named_and_shown_anew(system: System, sold: Sold) -> None:
    sale, *_ = sold
    url = system.stack.run.environment["REDIS_URL"]
    cache, redis = RedisSeatCache(url), Redis.from_url(url)
    try:
        right = await cache.get(sale.schedule_id)
        assert right is not None
        await redis.delete(KEY + sale.schedule_id)
        await cache.put(SeatView(right.schedule_id, right.version, right.states[:-1] + bytes([SOLD]), right.areas))
        assert await system.failing(sale) == {"seat_map_equals_journal"}
        repair = await system.mended(sale)
        assert repair["after"]["holds"], repair

        async def shown() -> bool:  # by the new owner, which tells readers when it gets to it
            return await cache.get(sale.schedule_id) == right

        await until(shown)
    finally:
        await cache.close()
        await redis.aclose()


@pytest.mark.long
async def test_an_owner_that_is_paused_is_found_silent_and_replaced(system: System, sold: Sold) -> None:
    sale, customer, *_ = sold
    pid = (await system.owner(sale))["pid"]
    os.kill(pid, signal.SIGSTOP)
    report = await read(system.http, system.url(sale), system.admin)
    (wrong,) = [check for check in report["checks"] if not check["holds"]]
    assert (wrong["name"], wrong["actual"]) == ("memory_equals_journal", "the owner is silent")
    repair = await system.mended(sale)
    assert repair["after"]["holds"], repair
    assert (await system.owner(sale))["pid"] != pid
    await hold(system.http, sale, customer, "D-1")


@pytest.mark.long
async def test_a_damaged_snapshot_stops_no_sale_and_is_named_and_dropped(system: System, sold: Sold) -> None:
    sale, customer, *_ = sold
    pid = (await system.owner(sale))["pid"]
    await system.pool.execute(
        "INSERT INTO snapshots (schedule_id, seq, payload)"
        " SELECT schedule_id, seq, 'nonsense' FROM schedule_heads WHERE schedule_id = $1",
        sale.schedule_id,
    )
    os.kill(pid, signal.SIGKILL)
    await hold(system.http, sale, customer, "D-2")
    assert (await system.owner(sale))["pid"] != pid
    assert await system.failing(sale) == {"snapshot_equals_journal"}
    code, output = await system.reconcile(sale.schedule_id, "--repair")
    assert code == 0, output
    assert "its snapshots are dropped" in output
    await hold(system.http, sale, customer, "D-3")
    await system.at_rest(sale)
    assert await system.failing(sale, events=True) == set()


async def test_events_that_a_broker_has_lost_are_published_anew(system: System, sold: Sold) -> None:
    sale, *_ = sold
    former = await system.stack.kill("kafka")
    await system.stack.replaced("kafka", former)  # the embedded one keeps its topics in memory

    async def readable() -> bool:
        report = await read(system.http, system.url(sale), system.admin, events=True)
        (check,) = [each for each in report["checks"] if each["name"] == "events_equal_journal"]
        return "cannot be read" not in check["actual"]

    await until(readable)
    assert await system.failing(sale, events=True) == {"events_equal_journal"}
    repair = await system.mended(sale, events=True)
    assert repair["after"]["holds"], repair
    (action,) = repair["actions"]
    told = "the watermark is set back, and a new owner publishes from version 1 on"
    assert action["action"].removesuffix(", which is still going on") == told  # on a busy machine it may be


@pytest.mark.long
async def test_the_background_process_finds_it_too_and_counts_it(system: System, sold: Sold) -> None:
    sale, _, booking, _ = sold

    async def counted(value: float) -> bool:
        return await system.metric('boxoffice_reconciliation_failed{check="bookings_equal_journal"}') == value

    await until(lambda: counted(0))
    await system.pool.execute("UPDATE bookings SET currency = 'USD' WHERE id = $1", booking["id"])
    await hold(system.http, sale, await sign_up(system.http), "D-3")  # what has changed is examined in the next round
    await until(lambda: counted(1))
    overall = await read(system.http, "/v1/admin/reconciliation", system.admin, failing=True)
    assert [item["schedule_id"] for item in overall["items"]] == [sale.schedule_id]
    await system.mended(sale)
    await until(lambda: counted(0))
    assert await system.metric('boxoffice_reconciliations_total{holds="true"}')
    assert await system.metric('boxoffice_reconciliations_total{holds="false"}')
    assert await system.metric("boxoffice_reconciliation_seconds_count")
    assert await system.metric("boxoffice_schedules_open"), "the schedule that was sold is in memory"


async def rewrite(system: System, statement: str, *arguments: object) -> None:
    """What somebody does who can do everything to the database."""
    async with system.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # no trigger refuses it
        await connection.execute(statement, *arguments)


async def test_an_audit_row_that_was_edited_is_named_by_the_command(system: System, sold: Sold) -> None:
    entry = await system.pool.fetchrow("SELECT id, seq, action FROM audit_log ORDER BY seq LIMIT 1")
    assert entry is not None
    await rewrite(system, "UPDATE audit_log SET action = 'nothing' WHERE id = $1", entry["id"])
    code, output = await system.reconcile()
    assert code == 1
    assert "audit_log_is_whole" in output
    assert f"edited: entry {entry['seq']}" in output
    await rewrite(system, "UPDATE audit_log SET action = $2 WHERE id = $1", entry["id"], entry["action"])


async def test_a_sale_that_goes_on_raises_no_false_alarm(system: System) -> None:
    sale = await open_sale(system.http)
    stop = asyncio.Event()

    async def buy(row: str) -> None:
        customer, number = await sign_up(system.http), 0
        while not stop.is_set():
            number = number % 10 + 1
            _, payment = await paid_booking(system.http, sale, customer, f"{row}-{number}")
            await refund(system.http, payment, customer)

    async with asyncio.TaskGroup() as group:
        for row in "ABCD":
            group.create_task(buy(row))
        versions = [0]
        while versions[-1] < 100:
            report = await read(system.http, system.url(sale), system.admin)
            assert report["holds"], [check for check in report["checks"] if not check["holds"]]
            versions.append(report["version"])
        stop.set()
    await system.at_rest(sale)
    assert await system.failing(sale, events=True) == set()
