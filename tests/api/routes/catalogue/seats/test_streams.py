"""The stream of a schedule's seats over real HTTP: begins, goes on, resumes, is bounded, and ends when it has to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from base64 import b64decode
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from api.routes.catalogue.seats import end_streams
from api.server.worker import Worker
from api.views import seats
from api.views.seats import Stream
from engine.state import HELD, SOLD
from persistence.seats.cache import AreaCounts
from tests.api.routes.catalogue.seats.world import PLAN, Events, World, application, streaming
from tests.support.waiting import PATIENCE_SECONDS, soon, until


async def test_a_stream_begins_with_every_state_and_goes_on_with_changes(
    world: World, client: httpx.AsyncClient
) -> None:
    async with streaming(client, f"{world.url}/stream") as events:
        assert events.response.headers["content-type"].startswith("text/event-stream")
        assert events.response.headers["cache-control"] == "no-cache"
        assert events.response.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in events.response.headers
        first = await events.next()
        snapshot = json.loads(first["data"])
        assert (first["event"], first["id"], snapshot["version"]) == ("snapshot", "1", 1)
        assert snapshot["seats"] == [{"id": seat, "state": "free"} for seat in PLAN.ids[: PLAN.size]]
        assert snapshot["areas"] == [{"id": "floor", "left": 100, "held": 0, "sold": 0, "blocked": 0}]
        await world.publish(("1-3", HELD), area=AreaCounts(99, 1, 0, 0))
        second = await events.next()
        assert (second["event"], second["id"]) == ("seats", "2")
        assert json.loads(second["data"]) == {
            "version": 2,
            "seats": [{"id": "1-3", "state": "held"}],
            "areas": [{"id": "floor", "left": 99, "held": 1, "sold": 0, "blocked": 0}],
        }


async def test_changes_come_merged_at_most_so_often(
    world: World, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with streaming(client, f"{world.url}/stream") as events:
        with monkeypatch.context() as patched:
            patched.setattr(seats, "EVENT_PAUSE_SECONDS", 0.02)
            await events.next()
            await world.publish(("0-0", HELD))
            await world.publish(("0-0", SOLD))
            await world.publish(("0-1", HELD))
        versions: list[int] = []
        states: dict[str, str] = {}
        while not versions or versions[-1] < 4:
            event = await events.next()
            versions.append(int(event["id"]))
            states |= {seat["id"]: seat["state"] for seat in json.loads(event["data"])["seats"]}
    assert versions == sorted(set(versions))
    assert states == {"0-0": "sold", "0-1": "held"}


@pytest.mark.parametrize("how", ["header", "query"])
async def test_a_stream_resumes_after_the_last_event(world: World, client: httpx.AsyncClient, how: str) -> None:
    await client.get(f"{world.url}/seats")
    for seat in ("0-0", "0-1", "0-2"):
        await world.publish((seat, HELD))
    headers = {"last_event_id": "2"} if how == "header" else {}
    query = "?last_event_id=2" if how == "query" else ""
    async with streaming(client, f"{world.url}/stream{query}", **headers) as events:
        event = await events.next()
        assert (event["event"], event["id"]) == ("seats", "4")
        assert [seat["id"] for seat in json.loads(event["data"])["seats"]] == ["0-1", "0-2"]


async def test_a_packed_stream_goes_on_from_the_version_of_the_states(world: World, client: httpx.AsyncClient) -> None:
    await world.publish(("0-0", HELD))
    version = (await client.get(f"{world.url}/states")).json()["version"]
    await world.publish(("0-1", SOLD), area=AreaCounts(99, 1, 0, 0))
    async with streaming(client, f"{world.url}/stream?packed=true&last_event_id={version}") as events:
        event = await events.next()
        assert (event["event"], event["id"]) == ("seats", "3")
        assert json.loads(event["data"]) == {
            "from": 2,
            "version": 3,
            "seats": [[1, SOLD]],
            "areas": [[0, [99, 1, 0, 0]]],
        }


@pytest.mark.parametrize("query", ["", "&last_event_id=0"])
async def test_a_packed_stream_that_cannot_go_on_begins_anew_in_few_bytes(
    world: World, client: httpx.AsyncClient, query: str
) -> None:
    await world.publish(("0-1", SOLD))
    async with streaming(client, f"{world.url}/stream?packed=true{query}") as events:
        event = await events.next()
        assert (event["event"], event["id"]) == ("snapshot", "2")
        snapshot = json.loads(event["data"])
        assert (snapshot["version"], snapshot["areas"]) == (2, [[100, 0, 0, 0]])
        assert b64decode(snapshot["seats"])[0] == SOLD << 2


async def test_report_17_terms_that_change_are_told_while_people_look(world: World, client: httpx.AsyncClient) -> None:
    states = (await client.get(f"{world.url}/states")).json()
    async with streaming(client, f"{world.url}/stream") as events:
        await events.next()
        world.prices = {"R": 160_000}
        await world.publish()  # a version in which no seat has changed
        assert (await events.next())["id"] == "2"
        event = await events.next()
        assert (event["event"], "id" in event) == ("terms", False)
        told = json.loads(event["data"])
        assert told["prices"] == {"R": 160_000, "S": None, "Floor": None}
        now = (await client.get(f"{world.url}/states")).json()
        assert told.items() <= now.items()
        assert now["terms"] != states["terms"]


@pytest.mark.parametrize("packed", ["false", "true"])
async def test_report_17_who_goes_on_with_old_terms_is_told_the_new_ones_first(
    world: World, client: httpx.AsyncClient, packed: str
) -> None:
    terms = (await client.get(f"{world.url}/states")).json()["terms"]
    world.prices = {"R": 1}
    await until(lambda: asks_anew(world, client, terms))
    query = f"packed={packed}&last_event_id=1&terms={terms}"
    async with streaming(client, f"{world.url}/stream?{query}") as events:
        assert json.loads((await events.next())["data"])["prices"]["R"] == 1


async def asks_anew(world: World, client: httpx.AsyncClient, terms: str) -> bool:
    return bool((await client.get(f"{world.url}/states")).json()["terms"] != terms)


async def test_both_forms_of_a_stream_are_served_side_by_side(world: World, client: httpx.AsyncClient) -> None:
    async with (
        streaming(client, f"{world.url}/stream?last_event_id=1") as listed,
        streaming(client, f"{world.url}/stream?last_event_id=1&packed=true") as packed,
    ):
        await world.publish(("0-1", SOLD))
        assert json.loads((await listed.next())["data"])["seats"] == [{"id": "0-1", "state": "sold"}]
        assert json.loads((await packed.next())["data"])["seats"] == [[1, SOLD]]


async def test_a_stream_that_missed_nothing_waits(world: World, client: httpx.AsyncClient) -> None:
    await client.get(f"{world.url}/seats")
    async with streaming(client, f"{world.url}/stream", last_event_id="1") as events:
        await world.publish(("0-0", HELD))
        assert (await events.next())["id"] == "2"


@pytest.mark.parametrize("last", ["0", "-5", "1e3", "abc", "9" * 18, "9" * 500, "", "²"])
async def test_a_last_event_nobody_knows_begins_anew(world: World, client: httpx.AsyncClient, last: str) -> None:
    async with client.stream("GET", f"{world.url}/stream", params={"last_event_id": last}) as response:
        events = Events(response)
        await events.next()
        assert (await events.next())["event"] == "snapshot"


async def test_a_quiet_stream_has_a_heartbeat(
    world: World, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "HEARTBEAT_SECONDS", 0.01)
    async with streaming(client, f"{world.url}/stream") as events:
        await events.next()
        assert await events.next() == {"": "ping"}
        assert await events.next() == {"": "ping"}
        await world.publish(("0-0", HELD))
        while (event := await events.next()) == {"": "ping"}:
            pass
        assert event["id"] == "2"


async def test_streams_are_bounded_and_a_place_is_free_again_when_a_client_leaves(
    world: World, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "STREAMS_PER_WORKER", 2)
    async with streaming(client, f"{world.url}/stream"):
        async with streaming(client, f"{world.url}/stream"):
            refused = await client.get(f"{world.url}/stream")
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert refused.headers["retry-after"] == "5"
        await soon(lambda: len(world.pages.streams) == 1)
        async with streaming(client, f"{world.url}/stream"):
            pass
    await soon(lambda: not world.pages.streams)
    assert not world.views._copies[world.schedule_id].subscribers


async def test_one_place_cannot_have_all_the_streams(
    world: World, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "STREAMS_PER_PLACE", 2)
    async with streaming(client, f"{world.url}/stream"), streaming(client, f"{world.url}/stream"):
        refused = await client.get(f"{world.url}/stream")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        stream = await world.pages.stream(world.schedule_id, None, place="192.0.2.8")
        assert stream.place == "192.0.2.8", "others are served"


async def test_all_streams_end_when_told_to_and_none_is_opened_afterwards(
    world: World, client: httpx.AsyncClient
) -> None:
    async with streaming(client, f"{world.url}/stream") as first, streaming(client, f"{world.url}/stream") as second:
        await first.next()
        world.pages.stop()
        await first.ends()
        await second.next()
        await second.ends()
    assert (await client.get(f"{world.url}/stream")).status_code == 503


async def test_a_stream_ends_when_its_schedule_is_gone(world: World, client: httpx.AsyncClient) -> None:
    async with streaming(client, f"{world.url}/stream") as events:
        await events.next()
        world.newest = None
        world.cache.available = False
        await events.ends()


async def test_a_client_that_takes_nothing_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "SEND_SECONDS", 0.01)
    stream = await world.pages.stream(world.schedule_id, None)
    await asyncio.wait_for(called(stream), PATIENCE_SECONDS)
    assert not world.pages.streams


async def test_a_client_that_takes_nothing_does_not_hold_up_the_end(world: World) -> None:
    stream = await world.pages.stream(world.schedule_id, None)
    running = asyncio.create_task(called(stream))
    await soon(lambda: stream._sending is not None)
    world.pages.stop()
    await asyncio.wait_for(running, PATIENCE_SECONDS)


async def called(stream: Stream) -> None:
    """Runs the stream for a client that is connected and reads nothing."""

    async def never(*message: object) -> Any:
        await asyncio.Event().wait()

    await stream({"type": "http", "asgi": {"spec_version": "2.3"}}, never, never)


# --- stopping the server ----------------------------------------------------------------------------------------------
async def test_an_open_stream_does_not_hold_up_a_server_that_is_told_to_stop() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    root = Path(seats.__file__).parents[2]
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__)),
        str(listener.fileno()),
        pass_fds=[listener.fileno()],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            schedule_id = (await server.stdout.readline()).decode().strip()
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with (
            httpx.AsyncClient(base_url=base_url, timeout=PATIENCE_SECONDS) as client,
            streaming(client, f"/v1/schedules/{schedule_id}/stream") as events,
        ):
            assert (await events.next())["event"] == "snapshot"
            server.terminate()
            await events.ends()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.wait()
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
        listener.close()


def serve(descriptor: int) -> None:
    """What the test above runs: an API worker's server, but one whose patience has no limit."""
    world = World()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await world.views.start()
        app.state.seat_pages = world.pages
        print(world.schedule_id, flush=True)  # noqa: T201  # what the test above waits for
        yield
        await world.views.stop()

    app = application(lifespan)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_config=None)
    Worker(config, None, partial(end_streams, app)).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
