"""Requests for schedules, as tests of their routes make them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.api.conftest import Worker
from tests.support.sale import Sale, problem

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).isoformat()


def fields(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in problem(answer, 422, "validation_failed")["errors"]]


def body_of(sale: Sale, **different: Any) -> dict[str, Any]:
    """A request for one more schedule at the sale's venue, a year later."""
    body = {
        "starts_at": (sale.starts_at + timedelta(days=365)).isoformat(),
        "venue_id": sale.venue_id,
        "currency": "KRW",
        "prices": dict(sale.prices),
        **different,
    }
    return {name: value for name, value in body.items() if value != "left out"}


async def create(worker: Worker, sale: Sale, **different: Any) -> httpx.Response:
    url = f"/v1/performances/{sale.performance_id}/schedules"
    return await worker.http.post(url, json=body_of(sale, **different), headers=sale.organizer)


async def change(worker: Worker, sale: Sale, **wanted: Any) -> httpx.Response:
    return await worker.http.patch(f"/v1/schedules/{sale.schedule_id}", json=wanted, headers=sale.organizer)
