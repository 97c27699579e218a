"""A house with waiting rooms, for the tests of lines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api.office.under_way import all_ended
from tests.api.conftest import Worker
from tests.api.routes.bookings.queue_house import House


@pytest.fixture
async def house(worker: Worker, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr("api.office.booked.KEPT_SECONDS", 0.0)  # what is changed counts at once
    as_before = worker.office
    opened = House(worker, redis_url)
    yield opened
    await all_ended()  # somebody may be let in for who had seats last
    await opened.line.close()
    worker.app.state.office = as_before
