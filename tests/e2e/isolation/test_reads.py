"""Reading without end, and differently each time: no cache helps, and no sale notices."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from uuid import uuid4

import httpx
import pytest

from tests.support.honest_sale import HonestSale
from tests.support.sale import hold, open_sale, sign_up, small_plan

pytestmark = pytest.mark.stack

AT_ONCE = 24


async def test_whoever_reads_everything_again_and_again_slows_no_sale_down(
    attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    """The catalogue by ever other words, a large house's layout and states, an organizer's lists and exports."""
    large = await open_sale(attacker, plan=small_plan(rows=26, seats_per_row=100))
    customer = await sign_up(attacker)
    booking = await hold(attacker, large, customer, *large.fresh(1))
    schedule = f"/v1/schedules/{large.schedule_id}"
    organizer = f"/v1/organizer/schedules/{large.schedule_id}"
    reads = (
        ("/v1/performances?q={}&category={}", {}),
        ("/v1/performances/facets?q={}", {}),
        ("/v1/performances?date_from=2027-01-01&limit=200&q={}", {}),
        (f"{schedule}/layout?{{}}", {}),
        (f"{schedule}/states?{{}}", {}),
        (f"{schedule}/seats?{{}}", {}),
        (f"{organizer}/bookings.csv?q={{}}", large.organizer),
        (f"{organizer}/bookings?q={{}}", large.organizer),
        (f"{organizer}/settlement?{{}}", large.organizer),
        (f"/v1/bookings/{booking['id']}/history?{{}}", customer),
        ("/v1/bookings?limit=200&{}", customer),
        (f"/p/{large.performance_id}?{{}}", {"Accept": "text/html"}),
    )
    found: Counter[int] = Counter()
    turns = itertools.cycle(reads)
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            asked = [next(turns) for _ in range(AT_ONCE)]
            answers = await asyncio.gather(
                *(attacker.get(url.format(uuid4().hex, uuid4().hex), headers=headers) for url, headers in asked)
            )
            found.update(answer.status_code for answer in answers)
    assert set(found) <= {200, 304, 404, 429, 503}, found
    assert found[200] > found[503], found
