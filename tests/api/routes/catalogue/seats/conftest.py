"""A schedule on sale, on a server of its own over real HTTP: an in-memory cache and journal, no actor, no database."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn

from api.views import kept, seats
from tests.api.routes.catalogue.seats.world import World
from tests.support.waiting import soon


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.views.start()
    yield world
    world.pages.stop()
    await world.views.stop()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a real server; an in-process transport would not stream."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(world.app, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(
        base_url=base_url,
        headers={"accept-encoding": "identity"},
        verify=False,  # reading the certificates takes longer than most of these tests
    ) as client:
        await soon(lambda: server.started)
        yield client
        world.pages.stop()
    server.should_exit = True
    await serving


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept for a while."""
    monkeypatch.setattr(seats, "TERMS_SECONDS", 0)
    monkeypatch.setattr(seats, "EVENT_PAUSE_SECONDS", 0)
    monkeypatch.setattr(kept.Page, "_took", lambda page, started: None)
