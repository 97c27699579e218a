"""Buyers at a cluster: each goes to the next machine when one doesn't take it, and nobody forgets what it was promised.

They hold seats of their choice, all from the same few, and give some of them back; a request without an answer, or one
that was told to come again, is sent again with its key. At the end every promise is compared with the journal, replayed
from its first record, and with the tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import uuid4

import asyncpg
import httpx
from msgspec import Struct

from engine.booking import Status
from loadtest.audit import check_bookings, check_ownership, replayed
from loadtest.http_client import Answer, Client, ConnectionLost
from persistence.journal.journal import PostgresJournal
from tests.cluster.machines import Cluster
from tests.support.sale import Sale, open_sale, sign_up, small_plan

SEATS, KEPT = 40, 10  # of a schedule, and of these held for good
PATIENCE_SECONDS = 60.0  # in which a request is answered somewhere
AGAIN_SECONDS = 0.1
ANSWERS = (httpx.codes.CREATED, httpx.codes.OK, httpx.codes.CONFLICT)


class Asked(Struct, frozen=True):
    """One request, from when it was first sent until it was answered for good."""

    schedule_id: str
    sent: float
    answered: float
    tries: int
    granted: bool


class Crowd:
    """The buyers, what they were promised, and what else they were told."""

    def __init__(self, cluster: Cluster, sales: Sequence[Sale], tokens: Sequence[str], pause_seconds: float) -> None:
        self.cluster = cluster
        self.sales = list(sales)  # on sale now
        self._closed: list[Sale] = []  # that nobody buys any more
        self.asked: list[Asked] = []
        self.errors: Counter[str] = Counter()  # whatever is neither an answer nor a request to come again
        self.told_to_come_again: Counter[str] = Counter()
        self.held: dict[str, tuple[str, str]] = {}  # booking → schedule, seat
        self.given_back: set[str] = set()
        self._tokens = tokens
        self._pause = pause_seconds
        self._over = asyncio.Event()
        self._kept: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def buying(self) -> AsyncIterator[None]:
        """Buys for the time of the block; afterwards nobody waits for an answer any more."""
        self._over.clear()
        buyers = [asyncio.create_task(self._buy(number)) for number in range(len(self._tokens))]
        try:
            yield
        finally:
            self._over.set()
            await asyncio.gather(*buyers)

    async def _buy(self, number: int) -> None:
        urls = self.cluster.urls
        urls = urls[number % len(urls) :] + urls[: number % len(urls)]
        clients = [Client(url) for url in urls]
        for client in clients:
            client.token = self._tokens[number]
        drawn = random.Random(number)
        while not self._over.is_set():
            sale = drawn.choice(self.sales)
            seat = drawn.choice(sale.seats)
            answer = await self._ask(clients, sale, sale.bookings_url, {"seats": [seat]})
            if answer is not None and answer.status == httpx.codes.CREATED:
                booking = answer.json()["id"]
                self.held[booking] = (sale.schedule_id, seat)
                if self._kept[sale.schedule_id] < KEPT and drawn.random() < 0.1:
                    self._kept[sale.schedule_id] += 1
                else:
                    back = await self._ask(clients, sale, f"/v1/bookings/{booking}/cancellation", {})
                    if back is not None and back.status == httpx.codes.OK:
                        self.given_back.add(booking)
            await asyncio.sleep(self._pause)
        for client in clients:
            client.close()

    async def _ask(self, clients: list[Client], sale: Sale, path: str, body: object) -> Answer | None:
        key = {"Idempotency-Key": uuid4().hex}
        began, tries = time.monotonic(), 0
        while time.monotonic() - began < PATIENCE_SECONDS:
            tries += 1
            try:
                answer = await clients[0].request("POST", path, body, key)
            except ConnectionLost:
                clients.append(clients.pop(0))
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            if answer.status in ANSWERS:
                granted = answer.status != httpx.codes.CONFLICT
                self.asked.append(Asked(sale.schedule_id, began, time.monotonic(), tries, granted))
                return answer
            if answer.status != httpx.codes.SERVICE_UNAVAILABLE or "retry-after" not in answer.headers:
                self.errors[f"{answer.status} {answer.code}"] += 1
                return answer
            self.told_to_come_again[answer.code] += 1
            clients.append(clients.pop(0))
            await asyncio.sleep(AGAIN_SECONDS)
        self.errors["no answer anywhere"] += 1
        return None

    async def open_more(self, count: int) -> None:
        """Opens so many schedules, in the place of those on sale for the longest."""
        async with self.cluster.http(next(iter(self.cluster.machines))) as http:
            opened = await open_sales(http, count)
        self._closed += self.sales[:count]
        self.sales[:] = [*self.sales[count:], *opened]

    # --- judging ------------------------------------------------------------------------------------------------------
    def answered_since(self, moment: float) -> set[str]:
        """The schedules that have granted a request sent after the moment."""
        return {each.schedule_id for each in self.asked if each.granted and each.sent > moment}

    def back_after(self, moment: float, schedules: Iterable[str]) -> dict[str, float]:
        """For each schedule the seconds from the moment until it granted what was asked, or asked again, after it."""
        first: dict[str, float] = {}
        for each in self.asked:
            if each.granted and each.answered > moment and (each.sent > moment or each.tries > 1):
                first[each.schedule_id] = min(each.answered, first.get(each.schedule_id, each.answered))
        return {schedule: first[schedule] - moment for schedule in schedules if schedule in first}

    def seconds(self, share: float, since: float = 0.0) -> float:
        """The time within which this share of the requests were answered."""
        times = sorted(each.answered - each.sent for each in self.asked if each.sent >= since)
        return times[min(len(times) - 1, int(len(times) * share))]

    async def audited(self) -> None:
        """Nothing that was promised is lost, nothing is sold twice, and every copy says what the journal says."""
        async with asyncpg.create_pool(self.cluster.database_url, min_size=0, max_size=2) as pool:
            journal = PostgresJournal(pool)
            for sale in (*self._closed, *self.sales):
                replay = await replayed(journal, sale.schedule_id)
                rows = await pool.fetch("SELECT * FROM bookings WHERE schedule_id = $1", sale.schedule_id)
                for check in (*check_ownership(replay, rows), check_bookings(replay, rows)):
                    assert check.holds, check
                for booking, (schedule, seat) in self.held.items():
                    if schedule == sale.schedule_id:
                        found = replay.bookings[booking]
                        assert [replay.plan.ids[index] for index in found.seats] == [seat]
                        assert found.status is Status.CANCELLED or booking not in self.given_back, booking
        assert self.held


async def crowd_at(cluster: Cluster, *, schedules: int, buyers: int, pause_seconds: float = 0.05) -> Crowd:
    """A crowd that is about to buy, and schedules for it, each opened by a first hold."""
    name = next(iter(cluster.machines))
    async with cluster.http(name) as http:
        sales = await open_sales(http, schedules)
        tokens = [(await sign_up(http))["Authorization"].removeprefix("Bearer ") for _ in range(buyers)]
    return Crowd(cluster, sales, tokens, pause_seconds)


async def open_sales(http: httpx.AsyncClient, count: int) -> list[Sale]:
    """So many schedules on sale."""
    organizer = await sign_up(http, "organizer")
    plan = small_plan(rows=4, seats_per_row=SEATS // 4)
    return [await open_sale(http, plan=plan, organizer=organizer) for _ in range(count)]
