"""A sale over HTTP that goes on for as long as it is wanted: several schedules, holds, changes, payments, refunds.

Each buyer keeps to seats of its own, so that every wish must be granted; whatever is not is remembered. What a sale
comes to is counted in events of the journal.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from loadtest.http_client import Answer, Client
from tests.support.sale import Sale, open_sale, sign_up, small_plan
from tests.support.waiting import until

BUYERS = 16
ROWS, SEATS_PER_ROW = 16, 60
TRIES = 30  # of a wish that is told to come again later
PATIENCE_SECONDS = 300.0


class BusySale:
    """Some schedules and the buyers who are at them."""

    def __init__(self, url: str, pool: asyncpg.Pool[Any], sales: list[Sale], tokens: list[str], seed: int) -> None:
        self.schedules = [sale.schedule_id for sale in sales]
        self.refused: list[str] = []
        self.answers: Counter[int] = Counter()
        self._pool = pool
        self._sales = sales
        self._stop = asyncio.Event()
        self._buyers = [
            _Buyer(self, Client(url), token, random.Random(f"{seed} {number}"), number)
            for number, token in enumerate(tokens)
        ]

    async def heads(self) -> dict[str, int]:
        """How far each schedule's journal goes."""
        rows = await self._pool.fetch(
            "SELECT schedule_id::text, seq FROM schedule_heads WHERE schedule_id = ANY($1::uuid[])", self.schedules
        )
        return dict(rows)

    async def reach(self, events: int) -> None:
        """Waits until so many events have happened in all."""

        async def reached() -> bool:
            return sum((await self.heads()).values()) >= events

        await until(reached, PATIENCE_SECONDS)

    async def events(self) -> int:
        return sum((await self.heads()).values())

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """The buyers buy for the time of the block, and come to an end after it."""
        async with asyncio.TaskGroup() as group:
            for buyer in self._buyers:
                group.create_task(buyer.buy(self._stop))
            try:
                yield
            finally:
                self._stop.set()

    def seats_of(self, buyer: int) -> dict[str, list[str]]:
        """Which seats are a buyer's own, by schedule."""
        return {sale.schedule_id: list(sale.seats[buyer :: len(self._buyers)]) for sale in self._sales}


class _Buyer:
    """One customer at one connection."""

    def __init__(self, sale: BusySale, client: Client, token: str, random_: random.Random, number: int) -> None:
        self._sale = sale
        self._client = client
        self._client.token = token
        self._random = random_
        self._number = number

    async def buy(self, stop: asyncio.Event) -> None:
        free = self._sale.seats_of(self._number)
        try:
            while not stop.is_set():
                schedule_id = self._random.choice(list(free))
                await self._buy_one(schedule_id, free[schedule_id])
        finally:
            self._client.close()

    async def _buy_one(self, schedule_id: str, free: list[str]) -> None:
        """A booking of one seat, most of the time given up again."""
        seat = free.pop(0)
        booking = await self._post(f"/v1/schedules/{schedule_id}/bookings", {"seats": [seat]})
        if booking is None:
            return
        url, fate = f"/v1/bookings/{booking['id']}", self._random.random()
        if fate < 0.03:
            return  # held, and nothing further
        if fate < 0.13:
            other = free.pop(0)
            if await self._ask("PATCH", url, {"seats": [other]}) is not None:
                seat, other = other, seat
            free.append(other)
        elif fate < 0.20:
            payment = await self._post(f"{url}/payments", {"method": {"type": "card", "token": "tok_approve"}})
            if payment is None or fate < 0.16:
                return  # sold
            await self._post(f"/v1/payments/{payment['id']}/refunds", {})
            free.append(seat)
            return
        await self._post(f"{url}/cancellation", {})
        free.append(seat)

    async def _post(self, path: str, body: object) -> Any:
        return await self._ask("POST", path, body)

    async def _ask(self, method: str, path: str, body: object) -> Any:
        """A wish that must be granted; None where it was not. Asked again where the answer is to come again later."""
        key = {"Idempotency-Key": str(UUID(int=self._random.getrandbits(128), version=4))}
        answer = Answer(0, {}, b"")
        for _ in range(TRIES):
            answer = await self._client.request(method, path, body, key)
            self._sale.answers[answer.status] += 1
            if answer.status != httpx.codes.SERVICE_UNAVAILABLE:
                break
            await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
        if answer.status in (httpx.codes.OK, httpx.codes.CREATED):
            return answer.json()
        self._sale.refused.append(f"{method} {path}: {answer.status} {answer.body[:300].decode(errors='replace')}")
        return None


async def open_busy_sale(url: str, pool: asyncpg.Pool[Any], *, schedules: int = 3, seed: int = 1) -> BusySale:
    """Schedules on sale, and customers with accounts."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False, verify=False) as http:
        organizer = await sign_up(http, "organizer")
        plan = small_plan(ROWS, SEATS_PER_ROW)
        sales = [await open_sale(http, plan=plan, organizer=organizer) for _ in range(schedules)]
        customers = [await sign_up(http) for _ in range(BUYERS)]
    tokens = [each["Authorization"].removeprefix("Bearer ") for each in customers]
    return BusySale(url, pool, sales, tokens, seed)
