"""A sale to drive: a venue, a performance and a schedule on sale, made through the HTTP API; and a crowd for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from msgspec import Struct

from api.demo.venues import VENUES, DemoVenue
from loadtest.buyers import PASSWORD, Buyer, Habits, Ledger
from loadtest.http_client import Client
from loadtest.stack import StackError, logged_in

NAMES = {"sejong": "Sejong", "opera": "Opera", "arena": "Arena"}
SALE_SECONDS = 300.0
SIGN_UPS_AT_ONCE = 16  # the server hashes few passwords at a time


class Sale(Struct, frozen=True):
    """A schedule on sale."""

    schedule_id: str
    title: str
    capacity: int


def venue_named(word: str) -> DemoVenue:
    """One of the demo's venues by its short name: sejong, opera or arena."""
    return next(venue for venue in VENUES if NAMES[word] in venue.name)


async def open_sale(url: str, venue: DemoVenue) -> Sale:
    """Registers an organizer, the venue and a performance in it, and opens a schedule. Raises `StackError`."""
    client = await newcomer(url, "organizer")
    try:
        place = await created(client, "/v1/venues", {"name": venue.name, "seating_plan": venue.seating_plan()})
        title = f"Opening night at {venue.name}"
        performance = await created(client, "/v1/performances", {"title": title, "venue_id": place["id"]})
        schedule_id = await open_schedule(client, performance["id"], place["id"], venue.prices, days=30)
    finally:
        client.close()
    return Sale(schedule_id, title, venue.capacity)


async def newcomer(url: str, role: str) -> Client:
    """A new customer or organizer, logged in."""
    email = f"{role}-{uuid4()}@loadtest.example"
    client = Client(url)
    try:
        await created(client, "/v1/accounts", {"email": email, "password": PASSWORD, "role": role})
    finally:
        client.close()
    return await logged_in(url, email, PASSWORD)


async def open_schedule(
    client: Client,
    performance_id: str,
    venue_id: str,
    prices: Mapping[str, int],
    *,
    days: int,
    sale_opens_at: datetime | None = None,
) -> str:
    """A schedule that starts in so many days and is on sale now, or from the time given; returns its id."""
    starts_at = datetime.now(UTC) + timedelta(days=days)
    terms = {
        "starts_at": starts_at.isoformat(timespec="seconds"),
        "venue_id": venue_id,
        "currency": "KRW",
        "prices": dict(prices),
    }
    if sale_opens_at is not None:
        terms["sale_opens_at"] = sale_opens_at.isoformat(timespec="milliseconds")
    return str((await created(client, f"/v1/performances/{performance_id}/schedules", terms))["id"])


async def created(client: Client, path: str, body: object) -> dict[str, Any]:
    """Makes something. Raises `StackError` with the answer if it is refused."""
    answer = await client.patient("POST", path, body)
    if answer.status != 201:
        raise StackError(f"POST {path}: {answer.status} {answer.body[:500].decode(errors='replace')}")
    value: dict[str, Any] = answer.json()
    return value


async def gather_crowd(
    url: str, schedule_id: str, size: int, ledger: Ledger, signed_up: Callable[[], None]
) -> list[Buyer]:
    """Signs up that many buyers and logs them in; `signed_up` is called after each."""
    turn = asyncio.Semaphore(SIGN_UPS_AT_ONCE)
    run = uuid4().hex[:8]
    buyers = [
        Buyer(url, f"buyer-{number}-{run}@loadtest.example", schedule_id, ledger, Habits()) for number in range(size)
    ]

    async def sign_up(buyer: Buyer) -> None:
        async with turn:
            await buyer.sign_up()
        signed_up()

    await asyncio.gather(*(sign_up(buyer) for buyer in buyers))
    return buyers


async def sell_out(buyers: list[Buyer], watch: Callable[[], Coroutine[None, None, None]]) -> float:
    """Lets everybody buy at once until nothing is left; returns when it began. `watch` runs beside it.

    A sale that takes longer than `SALE_SECONDS` is cut short: the audit then says what is wrong.
    """
    watching = asyncio.create_task(watch())
    start = time.perf_counter()
    crowd = [asyncio.create_task(buyer.buy_until_sold_out()) for buyer in buyers]
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SALE_SECONDS):
                await asyncio.gather(*crowd)
        return start
    finally:
        for task in [*crowd, watching]:
            task.cancel()
        await asyncio.wait([*crowd, watching])
        for buyer in buyers:
            buyer.close()
