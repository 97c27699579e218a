"""A schedule that can be examined, on a database of its own, and something of everything that may happen to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.examined import Examined, Past, examined_schedule


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[Examined]:
    async with examined_schedule(database_url) as opened:
        yield opened


@pytest.fixture
async def past(house: Examined) -> Past:
    return await house.a_past()
