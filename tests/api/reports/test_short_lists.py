"""Lists that are short as a rule are read like all others: so many at a time, to their end, nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import Worker
from tests.support.sale import Sale, open_sale, problem, read

Make = Callable[[int], tuple[str, dict[str, Any]]]


def blocks(sale: Sale) -> tuple[str, Make]:
    url = f"/v1/organizer/schedules/{sale.schedule_id}/blocks"
    return url, lambda number: (url, {"seats": [f"A-{number + 1}"], "reason": "camera"})


def door_staff(sale: Sale) -> tuple[str, Make]:
    url = f"/v1/schedules/{sale.schedule_id}/door-staff"
    return url, lambda number: (url, {"name": f"Gate {number}"})


def grants(sale: Sale) -> tuple[str, Make]:
    url = f"/v1/venues/{sale.venue_id}/grants"
    return url, lambda number: (url, {"email": f"hall{number}@example.com"})


@pytest.mark.parametrize("which", [blocks, door_staff, grants])
async def test_it_is_read_page_by_page(worker: Worker, which: Callable[[Sale], tuple[str, Make]]) -> None:
    sale = await open_sale(worker.http)
    url, make = which(sale)
    for number in range(5):
        where, body = make(number)
        made = await worker.http.post(where, json=body, headers=sale.organizer)
        assert made.status_code == 201, made.text
    whole = await read(worker.http, url, sale.organizer)
    assert (len(whole["items"]), whole["next_cursor"]) == (5, None)
    found: list[Any] = []
    query: dict[str, Any] = {"limit": 2}
    for expected in (2, 2, 1):
        page = await read(worker.http, url, sale.organizer, **query)
        assert len(page["items"]) == expected
        found += page["items"]
        query["cursor"] = page["next_cursor"]
    assert query["cursor"] is None
    assert found == whole["items"]
    for wrong in ({"limit": 0}, {"limit": 201}, {"cursor": "x"}, {"cursor": "WyJ4Il0"}):
        answer = await worker.http.get(url, params=wrong, headers=sale.organizer)
        problem(answer, 422, "validation_failed")
