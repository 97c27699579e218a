"""What one request does wrong is never another's answer."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.support.honest_sale import HonestSale
from tests.support.sale import problem, sign_up

pytestmark = pytest.mark.stack


async def test_requests_that_cannot_be_encoded_spoil_nobody_s_booking(
    attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    customer = await sign_up(attacker)
    headers = customer | {"Content-Type": "application/json"}
    bodies = (b'{"seats": ["\\ud800"]}', b'{"quantity": 1, "zone": "\\udfff"}', b'{"quantity": 1, "\\ud800": 1}')
    async with honest_sale.goes_on() as beside:
        tried = 0
        while beside.needs_more():
            body = bodies[tried % len(bodies)]
            answers = await asyncio.gather(
                *(attacker.post(honest_sale.sale.bookings_url, content=body, headers=headers) for _ in range(4))
            )
            tried += 1
            if answers[0].status_code == httpx.codes.TOO_MANY_REQUESTS:
                continue
            assert problem(answers[0], 422, "validation_failed")["errors"][0]["field"]
