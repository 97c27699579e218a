"""What an organizer does to their own evenings, or would to others': nobody else's sale notices, and it is whole."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.honest_sale import HonestSale
from tests.support.sale import Sale, open_sale, problem, refused, sign_up

pytestmark = pytest.mark.stack

EVENINGS, BOOKED = 40, 12  # of a performance that is deleted; how many of them have an owner
CHANGES, READS = 40, 20
UNHURRIED_SECONDS = 2.0  # within which others read their bookings while one organizer changes everything


async def series(http: httpx.AsyncClient, sale: Sale, count: int) -> list[str]:
    """So many further evenings of the sale's performance."""
    body = {
        "starts_at": (sale.starts_at + timedelta(days=400)).isoformat(),
        "venue_id": sale.venue_id,
        "currency": "KRW",
        "prices": dict(sale.prices),
        "recurrence": f"FREQ=DAILY;COUNT={count}",
    }
    made = await http.post(f"/v1/performances/{sale.performance_id}/schedules", json=body, headers=sale.organizer)
    assert made.status_code == 201, made.text
    return [made.json()["id"], *(each["id"] for each in made.json()["recurring"])]


async def test_an_evening_deleted_before_its_sale_opens_is_never_sold(
    attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    customer = await sign_up(attacker)
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            opens_at = datetime.now(UTC) + timedelta(seconds=4)
            sale = await open_sale(attacker, sale_opens_at=opens_at.isoformat())
            url = f"/v1/schedules/{sale.schedule_id}"
            assert (await attacker.delete(url, headers=sale.organizer)).status_code == 204
            await asyncio.sleep((opens_at - datetime.now(UTC)).total_seconds())
            for _ in range(5):
                answer = await attacker.post(sale.bookings_url, json={"seats": ["A-1"]}, headers=customer)
                refused(answer, 404, "schedule_not_found")


async def test_a_performance_of_many_evenings_is_deleted_whole(
    attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    customer = await sign_up(attacker)

    async def book(evening: str) -> httpx.Response:
        return await attacker.post(f"/v1/schedules/{evening}/bookings", json={"quantity": 1}, headers=customer)

    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            sale = await open_sale(attacker)
            evenings = [sale.schedule_id, *await series(attacker, sale, EVENINGS)]
            for evening in evenings[:BOOKED]:
                booked = await book(evening)
                if booked.status_code == 429:  # in later rounds
                    continue
                cancelled = await attacker.delete(f"/v1/bookings/{booked.json()['id']}", headers=customer)
                assert (booked.status_code, cancelled.status_code) in ((201, 201), (201, 429)), cancelled.text
            begun = time.monotonic()
            deleted = await attacker.delete(f"/v1/performances/{sale.performance_id}", headers=sale.organizer)
            took = time.monotonic() - begun
            assert deleted.status_code == 204, deleted.text
            # One customer who asks for so many is told to slow down sooner or later.
            answers = await asyncio.gather(*map(book, evenings))
            assert {answer.status_code for answer in answers} <= {404, 429}
            for evening in evenings:
                problem(await attacker.get(f"/v1/schedules/{evening}"), 404, "schedule_not_found")
    assert took < 5.0 * beside.crowding, f"it took {took:.1f} s, {beside.crowding:.1f} times as long as alone"


async def test_forty_changes_at_once_take_nobody_else_s_connections(
    attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    sale, reader = await open_sale(attacker), await sign_up(attacker)
    url = f"/v1/schedules/{sale.schedule_id}"

    async def read() -> float:
        begun = time.monotonic()
        answer = await attacker.get("/v1/bookings", headers=reader)
        assert answer.status_code == 200, answer.text
        return time.monotonic() - begun

    def change(number: int) -> dict[str, Any]:
        starts_at = (sale.starts_at + timedelta(minutes=number)).isoformat()
        return {"starts_at": starts_at} if number % 4 == 0 else {"hold_seconds": 60 + number}

    statuses: Counter[int] = Counter()
    slowest: list[float] = []
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            changes = [
                asyncio.create_task(attacker.patch(url, json=change(number), headers=sale.organizer))
                for number in range(1, CHANGES + 1)
            ]
            slowest.append(max([await read() for _ in range(READS)]))
            statuses.update(answer.status_code for answer in await asyncio.gather(*changes))
    assert set(statuses) <= {200, 409, 429, 503}, statuses
    assert statuses[200] >= CHANGES // 4, statuses
    limit = UNHURRIED_SECONDS * beside.crowding
    assert min(slowest) <= limit, f"somebody's bookings took {min(slowest):.1f} s, where {limit:.1f} may be"


async def test_nobody_fills_somebody_else_s_venue(attacker: httpx.AsyncClient, honest_sale: HonestSale) -> None:
    sale, stranger = await open_sale(attacker), await sign_up(attacker, "organizer")
    title = {"title": f"Squatting {uuid4().hex}"}
    performance = await attacker.post("/v1/performances", json=title, headers=stranger)
    body = {
        "starts_at": (sale.starts_at + timedelta(days=30)).isoformat(),
        "venue_id": sale.venue_id,
        "currency": "KRW",
        "prices": dict(sale.prices),
        "recurrence": "FREQ=DAILY;COUNT=366",
    }
    url = f"/v1/performances/{performance.json()['id']}/schedules"
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            answers = await asyncio.gather(*(attacker.post(url, json=body, headers=stranger) for _ in range(10)))
            for answer in answers:
                refused(answer, 403, "venue_not_shared")
