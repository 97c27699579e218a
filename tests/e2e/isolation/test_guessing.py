"""Passwords are guessed at, at many accounts and from one place, while a sale goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import uuid4

import httpx
import pytest

from tests.support.honest_sale import HonestSale

pytestmark = pytest.mark.stack


async def test_guessing_at_many_accounts_is_refused_and_costs_the_sale_nothing(
    attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    statuses: Counter[int] = Counter()
    async with honest_sale.goes_on() as beside:
        while beside.needs_more() or not statuses[429]:
            tries = [
                attacker.post("/v1/sessions", json={"email": f"{uuid4().hex}@example.com", "password": "password1"})
                for _ in range(20)
            ]
            statuses.update(answer.status_code for answer in await asyncio.gather(*tries))
    assert set(statuses) <= {401, 429, 503}
