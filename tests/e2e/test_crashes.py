"""Processes die in the middle of a running sale: what was answered stands, once, and no error is unexplained."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import psutil
import pytest

from tests.conftest import MakeStack, Stack
from tests.support.sale import Sale, log_in_admin, open_sale, sign_up, small_plan, until
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.stack

BUYERS = 24


@dataclass
class Crowd:
    """Buyers who hold random pairs of seats, cancel some, and write down every answer they got."""

    stack: Stack
    sale: Sale
    buyers: list[dict[str, str]]
    held: dict[str, dict[str, Any]] = field(default_factory=dict)  # booking id → the booking as it was answered
    cancelled: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)  # cancellations that got no answer
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0  # connections that ended without an answer
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Future[Any] | None = None

    def start(self) -> None:
        self.running = asyncio.gather(*(self._buy(buyer) for buyer in self.buyers))

    async def _buy(self, headers: dict[str, str]) -> None:
        async with self.stack.client() as http:
            while not self.stop.is_set():
                seats = random.sample(self.sale.seats, 2)
                answer = await self._post(http, self.sale.bookings_url, {"seats": seats}, headers)
                if answer is None or answer.status_code != 201:
                    continue
                booking = answer.json()
                self.held[booking["id"]] = booking
                if random.random() < 0.6:
                    self.unsure.add(booking["id"])
                    ended = await self._post(http, f"/v1/bookings/{booking['id']}/cancellation", {}, headers)
                    if ended is not None and ended.status_code in (201, 409):
                        self.unsure.discard(booking["id"])
                        self.cancelled.add(booking["id"])

    async def _post(
        self, http: httpx.AsyncClient, url: str, body: object, headers: dict[str, str]
    ) -> httpx.Response | None:
        """One wish, sent again with the same key until it has an answer, as a careful client does."""
        key = {"Idempotency-Key": uuid4().hex}
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE_SECONDS:
            try:
                answer = await http.post(url, json=body, headers=headers | key)
            except httpx.TransportError:
                self.broken += 1
                if self.stop.is_set():
                    return None
                await asyncio.sleep(0.1)  # as a client waits before it asks again
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code != 503:
                return answer
            assert int(answer.headers["Retry-After"]) >= 1
            await asyncio.sleep(0.1)  # less than it is told to
        return None

    async def grown(self, by: int) -> None:
        """Waits until so many more bookings are answered."""
        goal = len(self.held) + by

        async def reached() -> bool:
            return len(self.held) >= goal

        await until(reached)

    async def goes_home(self) -> None:
        """Ends the sale and waits for the last answer, so that the tables no longer move."""
        self.stop.set()
        assert self.running is not None
        await self.running

    def only_expected_answers(self) -> None:
        assert set(self.statuses) <= {201, 409, 503}, self.statuses

    async def audit(self, expiring: bool = False) -> None:
        """Every acknowledged booking is there as it was answered; no seat has two owners; the journal has no gap."""
        connection = await asyncpg.connect(self.stack.database_url)
        rows = await connection.fetch("SELECT * FROM bookings WHERE schedule_id = $1", self.sale.schedule_id)
        versions = await connection.fetch(
            "SELECT seq FROM journal WHERE schedule_id = $1 ORDER BY seq", self.sale.schedule_id
        )
        await connection.close()
        stored = {str(row["id"]): row for row in rows}
        for booking_id, booking in self.held.items():
            assert booking_id in stored, f"acknowledged booking {booking_id} is lost"
            row = stored[booking_id]
            assert row["seats"] == [seat["id"] for seat in booking["seats"]]
            if booking_id in self.cancelled:
                assert row["status"] == "cancelled"
            elif booking_id not in self.unsure:
                assert row["status"] == "held" or (expiring and row["status"] == "expired")
        owners = Counter(seat for row in rows if row["status"] in ("held", "confirmed") for seat in row["seats"])
        assert [seat for seat, times in owners.items() if times > 1] == []
        assert [row["seq"] for row in versions] == list(range(1, len(versions) + 1))


async def admin_headers(stack: Stack) -> dict[str, str]:
    async with stack.client() as http:
        return await log_in_admin(http, stack)


@pytest.fixture(scope="module")
async def own_stack(make_stack: MakeStack) -> AsyncIterator[Stack]:
    """Its processes are about to die: not the one that other tests share."""
    async with make_stack(workers=2, BOXOFFICE_OWNER_PROCESSES="2") as stack:
        yield stack


@pytest.fixture(scope="module")
async def buyers(own_stack: Stack) -> list[dict[str, str]]:
    """The accounts of a crowd."""
    async with own_stack.client(60) as http:
        return list(await asyncio.gather(*(sign_up(http) for _ in range(BUYERS))))


@pytest.fixture
async def crowd(own_stack: Stack, buyers: list[dict[str, str]]) -> AsyncIterator[Crowd]:
    async with own_stack.client(60) as http:
        sale = await open_sale(http, plan=small_plan(rows=20, seats_per_row=30), max_seats_per_customer=1000)
    crowd = Crowd(own_stack, sale, buyers)
    crowd.start()
    yield crowd
    await crowd.goes_home()


@pytest.fixture
async def owner_pid(own_stack: Stack, crowd: Crowd) -> Callable[[], Awaitable[int]]:
    headers = await admin_headers(own_stack)

    async def ask() -> int:
        async with own_stack.client() as http:
            answer = await http.get(f"/v1/admin/actors/{crowd.sale.schedule_id}", headers=headers)
        assert answer.status_code == 200, answer.text
        pid: int = answer.json()["pid"]
        return pid

    return ask


async def test_a_killed_actor_loses_no_acknowledged_booking_and_doubles_none(
    own_stack: Stack, crowd: Crowd, owner_pid: Callable[[], Awaitable[int]]
) -> None:
    for _ in range(3):
        await crowd.grown(by=40)
        pid = await owner_pid()
        psutil.Process(pid).kill()
        await crowd.grown(by=5)
        assert await owner_pid() != pid
    await crowd.goes_home()
    crowd.only_expected_answers()
    assert crowd.broken == 0
    await crowd.audit()


async def test_a_paused_actor_is_replaced_and_harmless_when_it_wakes(
    own_stack: Stack, crowd: Crowd, owner_pid: Callable[[], Awaitable[int]]
) -> None:
    await crowd.grown(by=40)
    paused = psutil.Process(await owner_pid())
    paused.suspend()
    await crowd.grown(by=20)
    assert await owner_pid() != paused.pid
    with contextlib.suppress(psutil.NoSuchProcess):  # Ray may have ended it by now
        paused.resume()
    await asyncio.to_thread(paused.wait, 20)
    await crowd.grown(by=20)
    await crowd.goes_home()
    crowd.only_expected_answers()
    await crowd.audit()


async def test_a_schedule_has_its_process_to_itself_when_that_is_asked_and_nobody_loses_a_request_by_it(
    own_stack: Stack, crowd: Crowd, buyers: list[dict[str, str]], owner_pid: Callable[[], Awaitable[int]]
) -> None:
    admin = await admin_headers(own_stack)
    async with own_stack.client(60) as http, contextlib.AsyncExitStack() as closing:
        plan = small_plan(rows=20, seats_per_row=30)
        beside = [await open_sale(http, plan=plan, max_seats_per_customer=1000) for _ in range(3)]
        crowds = [crowd, *(Crowd(own_stack, sale, buyers[:4]) for sale in beside)]
        for each in crowds[1:]:
            each.start()
            closing.push_async_callback(each.goes_home)

        async def sell(by: int) -> None:
            await asyncio.gather(*(each.grown(by) for each in crowds))

        async def alone() -> bool:
            heads = (await http.get("/v1/admin/actors", params={"limit": 200}, headers=admin)).json()["items"]
            hosts = {head["schedule_id"]: head["host"] for head in heads if head["host"] is not None}
            own = hosts.pop(crowd.sale.schedule_id, None)
            return own is not None and own not in hosts.values()

        async def dedicate(dedicated: bool) -> None:
            url = f"/v1/admin/schedules/{crowd.sale.schedule_id}"
            answer = await http.patch(url, json={"dedicated": dedicated}, headers=admin)
            assert answer.status_code == 200, answer.text
            assert answer.json()["dedicated"] is dedicated

        await sell(by=10)
        assert not await alone()  # there are two processes
        await dedicate(True)
        await until(alone)
        await sell(by=10)
        for each in crowds:
            assert set(each.statuses) <= {201, 409}, each.statuses
        psutil.Process(await owner_pid()).kill()
        await sell(by=10)
        assert await alone()
        await dedicate(False)
        for each in crowds:
            await each.goes_home()
            each.only_expected_answers()
            assert each.broken == 0
            await each.audit()


async def test_a_killed_api_worker_loses_no_acknowledged_booking(own_stack: Stack, crowd: Crowd) -> None:
    await crowd.grown(by=40)
    former = await own_stack.kill("worker-1")
    await crowd.grown(by=20)
    await own_stack.replaced("worker-1", former)
    await crowd.grown(by=20)
    await crowd.goes_home()
    crowd.only_expected_answers()
    await crowd.audit()


@pytest.mark.parametrize("part", ["postgres", "redis", "kafka"])
async def test_a_killed_service_comes_back_and_nothing_acknowledged_is_lost(
    own_stack: Stack, crowd: Crowd, part: str
) -> None:
    await crowd.grown(by=20)
    former = await own_stack.kill(part)
    await own_stack.replaced(part, former)
    await crowd.grown(by=20)
    await crowd.goes_home()
    crowd.only_expected_answers()
    await crowd.audit()


async def test_after_everything_was_killed_all_acknowledged_bookings_are_there_and_holds_expire(
    own_stack: Stack, buyers: list[dict[str, str]]
) -> None:
    async with own_stack.client(60) as http:
        plan = small_plan(rows=20, seats_per_row=30)
        sale = await open_sale(http, plan=plan, max_seats_per_customer=1000, hold_seconds=30)
    crowd = Crowd(own_stack, sale, buyers)
    crowd.start()
    await crowd.grown(by=60)
    await own_stack.kill_all()
    await crowd.goes_home()
    assert crowd.broken > 0
    await own_stack.start()
    await crowd.audit(expiring=True)
    connection = await asyncpg.connect(own_stack.database_url)
    try:

        async def all_expired() -> bool:
            query = "SELECT count(*) FROM bookings WHERE schedule_id = $1 AND status = 'held'"
            return await connection.fetchval(query, sale.schedule_id) == 0

        # Nobody asks for the schedule: the sweeper alone brings its owner back.
        await until(all_expired)
        late = await connection.fetchval(
            "SELECT min(j.at_ms - extract(epoch FROM b.expires_at) * 1000) FROM journal j"
            " JOIN bookings b ON b.id = j.booking_id WHERE j.type = 'reservation.expired' AND j.schedule_id = $1",
            sale.schedule_id,
        )
        assert late >= 0, "a hold ended before its time"
    finally:
        await connection.close()
