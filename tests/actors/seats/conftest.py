"""The read path without Redis, Postgres or an actor."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from actors.seats.seat_views import SeatViews
from tests.actors.seats.world import World, reading


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def views(world: World) -> AsyncIterator[SeatViews]:
    async with reading(world) as views:
        yield views
