"""Who guesses, commands or listens without end is refused; whose account it is, and everybody else, is not."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from uuid import uuid4

import httpx
import pytest

from api.office import limits
from tests.conftest import Stack
from tests.support.honest_sale import HonestSale, address_of
from tests.support.sale import PASSWORD, sign_up
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.stack

WORKERS = 2
PLACES = [address_of(6_000 + number) for number in range(60)]


def client_at(stack: Stack, address: str) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(verify=False, local_address=address)
    return httpx.AsyncClient(base_url=stack.base_url, transport=transport, timeout=PATIENCE_SECONDS, trust_env=False)


async def log_in(http: httpx.AsyncClient, email: str, password: str = "a wrong password") -> int:
    return (await http.post("/v1/sessions", json={"email": email, "password": password})).status_code


async def test_guesses_from_everywhere_do_not_shut_out_whose_account_it_is(
    besieged: Stack, honest_sale: HonestSale
) -> None:
    home = address_of(7_000)
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            email = f"{uuid4().hex}@example.com"
            async with client_at(besieged, home) as http:
                await http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
                assert await log_in(http, email, PASSWORD) == httpx.codes.CREATED
            guesses: Counter[int] = Counter()
            began = time.monotonic()
            for place in PLACES:
                async with client_at(besieged, place) as http:
                    guesses[await log_in(http, email)] += 1
            more = math.ceil((time.monotonic() - began) / (10 * 60 / 20))  # as time passes: twenty in ten minutes
            assert 20 <= guesses[401] <= 20 + more
            assert guesses[429] == len(PLACES) - guesses[401]
            async with client_at(besieged, home) as http:
                assert await log_in(http, email, PASSWORD) == httpx.codes.CREATED


async def test_guesses_of_the_current_password_are_refused(
    attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    headers = await sign_up_somewhere(attacker)
    found: Counter[int] = Counter()
    async with honest_sale.goes_on() as beside:
        while beside.needs_more() or found.total() < 100:
            body = {"password": "a new long password", "current_password": f"guess {found.total()}"}
            found[(await attacker.patch("/v1/accounts/me", json=body, headers=headers)).status_code] += 1
    assert found[422] <= 20
    assert set(found) <= {422, 429}


async def test_a_customer_s_commands_are_counted_whatever_they_are(
    attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    headers = await sign_up_somewhere(attacker)
    seat = {"seats": [honest_sale.sale.seats[-2]]}  # none of those that the others want
    booking = await attacker.post(honest_sale.sale.bookings_url, json=seat, headers=headers)
    assert booking.status_code == httpx.codes.CREATED, booking.text
    url = f"/v1/bookings/{booking.json()['id']}/extension"
    found: Counter[int] = Counter()
    began = time.monotonic()
    async with honest_sale.goes_on() as beside:
        while beside.needs_more() or found.total() < 2_000:
            answers = await asyncio.gather(*(attacker.post(url, headers=headers) for _ in range(40)))
            found.update(answer.status_code for answer in answers)
    windows = math.ceil((time.monotonic() - began) / limits.WINDOW_SECONDS) + 1
    assert found.total() - found[429] <= windows * WORKERS * limits.COMMANDS_PER_WINDOW["customer"], found
    assert found[429], found


async def test_one_client_cannot_have_all_the_streams(
    besieged: Stack, attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    url = f"/v1/schedules/{honest_sale.sale.schedule_id}/stream"
    opened: list[httpx.Response] = []
    refused, others = 0, set[int]()
    try:
        async with honest_sale.goes_on() as beside:
            while beside.needs_more() or len(opened) + refused < 150:
                answer = await attacker.send(attacker.build_request("GET", url), stream=True)
                if answer.status_code == httpx.codes.OK:
                    opened.append(answer)
                else:
                    refused += answer.status_code == httpx.codes.TOO_MANY_REQUESTS
                    others.add(answer.status_code)
                    await answer.aclose()
            async with client_at(besieged, address_of(7_001)) as http, http.stream("GET", url) as other:
                assert other.status_code == httpx.codes.OK
    finally:
        await asyncio.gather(*(answer.aclose() for answer in opened))
    assert len(opened) <= 200, "a hundred on each worker"
    assert others <= {429}


async def sign_up_somewhere(http: httpx.AsyncClient) -> dict[str, str]:
    """An account that is logged in, made where its log-in is not refused yet."""
    async with httpx.AsyncClient(
        base_url=http.base_url, timeout=PATIENCE_SECONDS, trust_env=False, verify=False
    ) as calm:
        return await sign_up(calm)
