"""Many evenings that nobody has asked for yet, touched at once: each is answered, and a sale beside them goes on."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import httpx
import pytest

from actors.process import machine
from loadtest.stack import OWNER, words_of
from persistence.embedded.instance import marked
from tests.conftest import Stack
from tests.support.honest_sale import HonestSale, address_of
from tests.support.sale import PRICES, sign_up, small_plan
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.stack

EVENINGS, PATIENT = 200, 120
DEADLINE_SECONDS = 15.0  # of a request, `BOXOFFICE_DEADLINE_SECONDS`
ANSWERED_SECONDS = DEADLINE_SECONDS + 5.0  # what lies around it on a busy machine
STILL_SOLD_SECONDS = 1.0  # within which 99 of 100 holds of the sale beside are answered: opening is work on its cores
CONNECTIONS = 60  # of PostgreSQL: a stated number, however many schedules are open
FIRST_CUSTOMER = 1_000  # addresses of the patient ones begin here


@pytest.fixture
async def evenings(besieged: Stack) -> list[str]:
    """A season of evenings on sale, none of them ever asked for: where to book each."""
    async with besieged.client(60) as http:
        organizer = await sign_up(http, "organizer")
        plan = small_plan()
        venue = await http.post("/v1/venues", json={"name": "A house", "seating_plan": plan}, headers=organizer)
        assert venue.status_code == 201, venue.text
        performance = await http.post("/v1/performances", json={"title": f"Season {uuid4().hex}"}, headers=organizer)
        assert performance.status_code == 201, performance.text
        starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
        body = {
            "starts_at": starts_at.isoformat(),
            "venue_id": venue.json()["id"],
            "currency": "KRW",
            "prices": {category["name"]: PRICES[category["name"]] for category in plan["categories"]},
            "recurrence": f"FREQ=DAILY;COUNT={EVENINGS}",
        }
        url = f"/v1/performances/{performance.json()['id']}/schedules"
        made = await http.post(url, json=body, headers=organizer)
        assert made.status_code == 201, made.text
        first = made.json()
    return [f"/v1/schedules/{each['id']}/bookings" for each in (first, *first["recurring"])]


async def test_one_customer_who_touches_two_hundred_evenings_is_answered_and_stops_nobody(
    attacker: httpx.AsyncClient, honest_sale: HonestSale, evenings: list[str]
) -> None:
    customer = await sign_up(attacker)

    async def touch(url: str) -> tuple[int, str | None, float]:
        begun = time.monotonic()
        answer = await attacker.post(url, json={"quantity": 1}, headers=customer)
        return answer.status_code, answer.headers.get("Retry-After"), time.monotonic() - begun

    async with honest_sale.goes_on(STILL_SOLD_SECONDS):
        answers = await asyncio.gather(*(touch(url) for url in evenings))
    statuses = Counter(status for status, _, _ in answers)
    assert set(statuses) <= {201, 429, 503}, statuses
    assert all(int(again or 0) >= 1 for status, again, _ in answers if status != 201)
    assert max(seconds for _, _, seconds in answers) <= ANSWERED_SECONDS


async def test_customers_who_come_again_when_they_are_told_all_have_their_evening(
    besieged: Stack, honest_sale: HonestSale, evenings: list[str]
) -> None:
    async def signed_up(number: int) -> tuple[httpx.AsyncClient, dict[str, str]]:
        transport = httpx.AsyncHTTPTransport(verify=False, local_address=address_of(FIRST_CUSTOMER + number))
        http = httpx.AsyncClient(
            base_url=besieged.base_url, transport=transport, timeout=PATIENCE_SECONDS, trust_env=False
        )
        return http, await sign_up(http)

    customers = [await signed_up(number) for number in range(PATIENT)]

    async def book(customer: tuple[httpx.AsyncClient, dict[str, str]], url: str) -> None:
        http, headers = customer
        headers = headers | {"Idempotency-Key": uuid4().hex}
        while True:
            answer = await http.post(url, json={"quantity": 1}, headers=headers)
            if answer.status_code == 201:
                return
            assert answer.status_code in (429, 503), answer.text
            await asyncio.sleep(int(answer.headers["Retry-After"]))

    try:
        async with honest_sale.goes_on(STILL_SOLD_SECONDS), asyncio.timeout(120):
            await asyncio.gather(*map(book, customers, evenings))
    finally:
        for http, _ in customers:
            await http.aclose()
    owners = [each for each in marked(besieged.data_dir) if words_of(each).startswith(OWNER)]
    assert 1 <= len(owners) <= machine.cores()
    connection = await asyncpg.connect(besieged.database_url)
    connections = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    await connection.close()
    assert connections <= CONNECTIONS
