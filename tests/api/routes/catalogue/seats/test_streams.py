"""The seat routes over real HTTP, on a server of their own: an in-memory cache and journal, no actor, no database."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import socket
import sys
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import cramjam
import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from sqlalchemy.exc import InterfaceError
from starlette.types import Lifespan

from actors.seats.seat_views import SeatViews
from api.http.problems import Problem, answer
from api.routes.catalogue.seats import Counts, HouseLayout, Seats, States, end_streams, router
from api.server.door import Rescue
from api.server.worker import Worker
from api.views import kept, seat_forms, seats
from api.views.seat_forms import Offer
from api.views.seats import SeatPages, Stream
from engine.plan_document import read_plan
from engine.seating_plan import SeatingPlan
from engine.state import HELD, SOLD
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import AreaCounts, MemorySeatCache, SeatDelta, SeatView
from tests.support.sale import hold, open_sale, sign_up, small_plan
from tests.support.sale import until as eventually
from tests.support.waiting import PATIENCE_SECONDS

PRICES = {"R": 150_000, "S": 90_000}  # the floor is not for sale


def document(rows: int, seats_per_row: int) -> dict[str, Any]:
    return {
        "name": "A house",
        "categories": [{"name": name, "color": "#f00"} for name in ("R", "S", "Floor")],
        "zones": [
            {
                "name": "1층",
                "rows": [
                    {
                        "row_number": str(row),
                        "seats": [
                            {
                                "seat_guid": f"{row}-{number}",
                                "seat_number": str(number),
                                "position": {"x": number * 10, "y": row * 10},
                                "category": "R" if row == 0 else "S",
                            }
                            for number in range(seats_per_row)
                        ],
                    }
                    for row in range(rows)
                ],
                "general_admission": [{"guid": "floor", "name": "Floor", "category": "Floor", "capacity": 100}],
            }
        ],
    }


PLAN = read_plan(document(rows=3, seats_per_row=20))


class World:
    """One schedule on sale, its journal and its terms."""

    def __init__(self) -> None:
        self.schedule_id = str(uuid4())
        self.cache = MemorySeatCache()
        self.newest: SeatView | None = SeatView(self.schedule_id, 1, bytes(PLAN.size), (AreaCounts(100, 0, 0, 0),))
        self.prices = dict(PRICES)
        self.journal_available = True
        self.database_available = True
        self.terms_read = 0
        self.views = SeatViews(self.cache, self.load, self.plan_of, self.journaled)
        self.pages = SeatPages(self.views, self.read_offer)
        self.app = application()
        self.app.state.seat_pages = self.pages

    @property
    def url(self) -> str:
        return f"/v1/schedules/{self.schedule_id}"

    async def journaled(self, schedule_ids: Collection[str]) -> Mapping[str, int]:
        return {}  # nothing that is not announced

    async def load(self, schedule_id: str) -> SeatView | None:
        if not self.journal_available:
            raise JournalUnavailable("the database is away")
        return self.newest if schedule_id == self.schedule_id else None

    async def plan_of(self, schedule_id: str, number: int) -> SeatingPlan:
        return PLAN

    async def read_offer(self, schedule_id: str, plan_number: int | None = None) -> Offer:
        self.terms_read += 1
        if not self.database_available:
            raise InterfaceError("SELECT", None, OSError("the database is away"))
        if schedule_id != self.schedule_id:
            raise UnknownSchedule(schedule_id)
        return Offer.of(PLAN, "KRW", dict(self.prices))

    async def publish(self, *changes: tuple[str, int], area: AreaCounts | None = None) -> int:
        before = self.newest
        assert before is not None
        delta = SeatDelta(
            self.schedule_id,
            before.version,
            before.version + 1,
            tuple((PLAN.index[seat], state) for seat, state in changes),
            () if area is None else ((0, area),),
        )
        self.newest = before.after(delta)
        await self.cache.publish(self.newest, delta)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await self.views.view(self.schedule_id)).version < delta.version:
                await asyncio.sleep(0)
        return delta.version


def application(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.add_exception_handler(Problem, lambda request, problem: answer(problem, request))
    app.add_middleware(Rescue)
    app.include_router(router)
    return app


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
    async with httpx.AsyncClient(base_url=base_url, headers={"accept-encoding": "identity"}) as client:
        await until(lambda: server.started)
        yield client
        world.pages.stop()
    server.should_exit = True
    await serving


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept for a while."""
    monkeypatch.setattr(seats, "TERMS_SECONDS", 0)
    monkeypatch.setattr(seats, "EVENT_PAUSE_SECONDS", 0)
    monkeypatch.setattr(kept.Page, "_took", lambda page, started: None)


# --- seats ------------------------------------------------------------------------------------------------------------
async def test_seats_shows_every_place_with_its_price_and_state(world: World, client: httpx.AsyncClient) -> None:
    await world.publish(("0-0", HELD), ("2-19", SOLD), area=AreaCounts(90, 6, 3, 1))
    response = await client.get(f"{world.url}/seats")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    body = response.json()
    assert (body["schedule_id"], body["version"], body["currency"]) == (world.schedule_id, 2, "KRW")
    assert [seat["id"] for seat in body["seats"]] == list(PLAN.ids[: PLAN.size])
    assert body["seats"][0] == {
        "id": "0-0",
        "zone": "1층",
        "row": "0",
        "number": "0",
        "category": "R",
        "price": 150_000,
        "state": "held",
    }
    assert [(seat["id"], seat["state"]) for seat in body["seats"] if seat["state"] != "free"] == [
        ("0-0", "held"),
        ("2-19", "sold"),
    ]
    assert body["areas"] == [
        {
            "id": "floor",
            "name": "Floor",
            "zone": "1층",
            "category": "Floor",
            "price": None,
            "capacity": 100,
            "left": 90,
            "held": 6,
            "sold": 3,
            "blocked": 1,
        }
    ]


async def test_answers_are_what_the_documentation_says(world: World, client: httpx.AsyncClient) -> None:
    try:
        Seats.model_validate_json((await client.get(f"{world.url}/seats")).content)
        Counts.model_validate_json((await client.get(f"{world.url}/availability")).content)
        HouseLayout.model_validate_json((await client.get(f"{world.url}/layout")).content)
        States.model_validate_json((await client.get(f"{world.url}/states")).content)
    except ValidationError as error:
        pytest.fail(str(error))


async def test_standing_room_alone_is_a_house_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = document(rows=0, seats_per_row=0)
    sheet = seat_forms.Sheet(Offer.of(read_plan(empty), "KRW", {}))
    view = SeatView("s", 1, b"", (AreaCounts(100, 0, 0, 0),))
    assert json.loads(sheet.page(view))["seats"] == []
    assert json.loads(sheet.snapshot(view))["areas"][0]["left"] == 100


@pytest.mark.parametrize("page", ["seats", "availability", "layout", "states", "stream"])
@pytest.mark.parametrize("schedule_id", ["0199f39c-11d2-7a0f-8c8e-51d0c7b9a011", "not-an-id", "%00"])
async def test_an_unknown_schedule_is_not_found(client: httpx.AsyncClient, page: str, schedule_id: str) -> None:
    response = await client.get(f"/v1/schedules/{schedule_id}/{page}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "schedule_not_found"


@pytest.mark.parametrize("page", ["seats", "availability", "states", "stream"])
async def test_nothing_to_read_from_is_a_503_with_a_time_to_come_back(
    world: World, client: httpx.AsyncClient, page: str
) -> None:
    world.cache.available = False
    world.journal_available = False
    response = await client.get(f"{world.url}/{page}")
    assert (response.status_code, response.json()["code"]) == (503, "dependency_unavailable")
    assert response.headers["retry-after"] == "2"


async def test_seats_are_shown_although_the_database_is_away(world: World, client: httpx.AsyncClient) -> None:
    await client.get(f"{world.url}/seats")
    world.database_available = world.journal_available = False
    await world.publish(("0-0", HELD))
    body = (await client.get(f"{world.url}/seats")).json()
    assert (body["version"], body["seats"][0]["price"]) == (2, 150_000)


# --- conditional and compressed answers -------------------------------------------------------------------------------
@pytest.mark.parametrize("page", ["seats", "availability", "states"])
async def test_unchanged_is_304(world: World, client: httpx.AsyncClient, page: str) -> None:
    first = await client.get(f"{world.url}/{page}")
    assert first.headers["cache-control"] == "no-cache"
    etag = first.headers["etag"]
    second = await client.get(f"{world.url}/{page}", headers={"if-none-match": etag})
    assert (second.status_code, second.content, second.headers["etag"]) == (304, b"", etag)
    await world.publish(("0-0", HELD))
    third = await client.get(f"{world.url}/{page}", headers={"if-none-match": etag})
    assert third.status_code == 200
    assert third.headers["etag"] != etag


@pytest.mark.parametrize("page", ["seats", "availability", "states"])
async def test_other_prices_are_another_answer(world: World, client: httpx.AsyncClient, page: str) -> None:
    etag = (await client.get(f"{world.url}/{page}")).headers["etag"]
    world.prices["R"] = 1
    changed = await client.get(f"{world.url}/{page}", headers={"if-none-match": etag})
    assert changed.status_code == 200
    assert '"price":1,' in changed.text or '"prices":{"R":1,' in changed.text
    assert changed.json()["version"] == 1


@pytest.mark.parametrize(
    ("template", "status"),
    [
        ("{weak}", 304),
        ("{strong}", 304),
        ('"other", {weak}', 304),
        ('W/"a,b" ,{strong}, "c"', 304),
        ("*", 304),
        ('"other"', 200),
        ("", 200),
        ("{bare}", 200),
        ('"', 200),
    ],
)
async def test_if_none_match_takes_lists_and_weak_tags(
    world: World, client: httpx.AsyncClient, template: str, status: int
) -> None:
    weak = (await client.get(f"{world.url}/seats")).headers["etag"]
    strong = weak.removeprefix("W/")
    value = template.format(weak=weak, strong=strong, bare=strong.strip('"'))
    response = await client.get(f"{world.url}/seats", headers={"if-none-match": value})
    assert response.status_code == status


async def test_if_none_match_may_come_in_several_headers(world: World, client: httpx.AsyncClient) -> None:
    etag = (await client.get(f"{world.url}/seats")).headers["etag"]
    response = await client.get(f"{world.url}/seats", headers=[("if-none-match", '"x"'), ("if-none-match", etag)])
    assert response.status_code == 304


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("br, GZIP;q=0.5", "gzip"),
        ("*", "gzip"),
        ("identity", None),
        ("gzip;q=0, *", None),
        ("gzip; q=0.000", None),
        ("*;q=0", None),
        ("", None),
    ],
)
async def test_seats_are_compressed_for_who_takes_it(
    world: World, client: httpx.AsyncClient, accepted: str, coding: str | None
) -> None:
    async with client.stream("GET", f"{world.url}/seats", headers={"accept-encoding": accepted}) as response:
        raw = b"".join([chunk async for chunk in response.aiter_raw()])
    assert response.headers.get("content-encoding") == coding
    assert response.headers["vary"] == "Accept-Encoding"
    body = json.loads(gzip.decompress(raw) if coding else raw)
    assert len(body["seats"]) == PLAN.size


async def test_a_version_is_written_out_and_compressed_once(world: World) -> None:
    first, second = await world.pages.seats(world.schedule_id, ""), await world.pages.seats(world.schedule_id, "")
    assert isinstance(first, kept.Page)
    assert first is second
    assert await first.compressed() is await first.compressed()


async def test_a_costly_page_is_not_written_out_for_every_version(world: World) -> None:
    first = await world.pages.seats(world.schedule_id, "")
    assert isinstance(first, kept.Page)
    first.not_before = float("inf")
    await world.publish(("0-0", HELD))
    assert await world.pages.seats(world.schedule_id, "") is first
    assert await world.pages.seats(world.schedule_id, first.etag) == first.etag
    first.not_before = 0
    renewed = await world.pages.seats(world.schedule_id, "")
    assert isinstance(renewed, kept.Page)
    assert json.loads(renewed.body)["version"] == 2


async def test_terms_are_read_once_for_many_who_ask_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "TERMS_SECONDS", 60)
    await asyncio.gather(*(world.pages.seats(world.schedule_id, "") for _ in range(50)))
    assert world.terms_read == 1


# --- availability -----------------------------------------------------------------------------------------------------
async def test_availability_counts_per_category(world: World, client: httpx.AsyncClient) -> None:
    await world.publish(("0-0", HELD), ("1-0", SOLD), area=AreaCounts(90, 6, 3, 1))
    body = (await client.get(f"{world.url}/availability")).json()
    counts = ("total", "free", "held", "sold", "blocked")
    assert (body["version"], body["currency"]) == (2, "KRW")
    assert [(each["category"], each["price"], *(each[name] for name in counts)) for each in body["categories"]] == [
        ("R", 150_000, 20, 19, 1, 0, 0),
        ("S", 90_000, 40, 39, 0, 1, 0),
        ("Floor", None, 100, 90, 6, 3, 1),
    ]


# --- layout and states ------------------------------------------------------------------------------------------------
async def test_a_layout_may_be_kept_for_good_at_the_address_that_has_its_digest(
    world: World, client: httpx.AsyncClient
) -> None:
    digest = (await client.get(f"{world.url}/states")).json()["layout"]
    named = await client.get(f"{world.url}/layout", params={"digest": digest})
    assert named.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert named.json()["digest"] == digest
    for other in ({}, {"digest": "another"}):
        answered = await client.get(f"{world.url}/layout", params=other)
        assert answered.headers["cache-control"] == "no-cache"
        assert answered.content == named.content
    again = await client.get(f"{world.url}/layout", headers={"if-none-match": named.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(("accepted", "coding"), [("gzip, br", "br"), ("gzip", "gzip"), ("identity", None)])
async def test_a_layout_goes_out_in_the_smallest_form_a_client_takes(
    world: World, client: httpx.AsyncClient, accepted: str, coding: str | None
) -> None:
    async with client.stream("GET", f"{world.url}/layout", headers={"accept-encoding": accepted}) as response:
        raw = b"".join([chunk async for chunk in response.aiter_raw()])
    assert response.headers.get("content-encoding") == coding
    readers = {"br": lambda: bytes(cramjam.brotli.decompress(raw)), "gzip": lambda: gzip.decompress(raw)}
    assert json.loads(readers.get(coding or "", lambda: raw)())["seats"]["id"] == list(PLAN.ids[: PLAN.size])


async def test_a_layout_is_made_and_compressed_once(world: World) -> None:
    first, second = await world.pages.layout(world.schedule_id), await world.pages.layout(world.schedule_id)
    assert first is second
    assert await first.compressed("br") is await first.compressed("br")


async def test_states_follow_the_layouts_order(world: World, client: httpx.AsyncClient) -> None:
    await world.publish(("0-0", HELD), ("2-19", SOLD), area=AreaCounts(90, 6, 3, 1))
    states = (await client.get(f"{world.url}/states")).json()
    packed = b64decode(states["seats"])
    ids = (await client.get(f"{world.url}/layout")).json()["seats"]["id"]
    taken = {ids[i]: state for i in range(len(ids)) if (state := packed[i // 4] >> 2 * (i % 4) & 3)}
    assert (states["version"], taken, states["areas"]) == (2, {"0-0": HELD, "2-19": SOLD}, [[90, 6, 3, 1]])
    assert states["prices"] == {"R": 150_000, "S": 90_000, "Floor": None}


# --- the stream -------------------------------------------------------------------------------------------------------
class Events:
    """Reads a stream as a browser would."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The next block's fields; a comment is the field ''."""
        block: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while line := await anext(self._lines):
                name, _, value = line.partition(":")
                block[name] = value.removeprefix(" ")
        return block

    async def ends(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(StopAsyncIteration):
                await self.next()


@contextlib.asynccontextmanager
async def streaming(client: httpx.AsyncClient, url: str, **headers: str) -> AsyncIterator[Events]:
    async with client.stream(
        "GET", url, headers={name.replace("_", "-"): headers[name] for name in headers}
    ) as response:
        assert response.status_code == 200, await response.aread()
        events = Events(response)
        assert await events.next() == {"retry": "2000"}
        yield events


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
    await eventually(lambda: asks_anew(world, client, terms))
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
        await until(lambda: len(world.pages.streams) == 1)
        async with streaming(client, f"{world.url}/stream"):
            pass
    await until(lambda: not world.pages.streams)
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
    await until(lambda: stream._sending is not None)
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


# --- the running system -----------------------------------------------------------------------------------------------
@pytest.mark.stack
async def test_a_booking_is_seen_by_who_watches_and_by_who_asks(http: httpx.AsyncClient) -> None:
    sale = await open_sale(http, plan=small_plan(standing=50))
    url = f"/v1/schedules/{sale.schedule_id}"
    before = await http.get(f"{url}/seats")
    async with streaming(http, f"{url}/stream") as events:
        assert (await events.next())["event"] == "snapshot"
        await hold(http, sale, await sign_up(http), sale.seats[0], sale.seats[1])
        states: dict[str, str] = {}
        while not states:
            event = await events.next()
            states = {seat["id"]: seat["state"] for seat in json.loads(event["data"])["seats"]}
        assert states == {sale.seats[0]: "held", sale.seats[1]: "held"}

    async def seen() -> bool:
        after = await http.get(f"{url}/seats", headers={"if-none-match": before.headers["etag"]})
        return after.status_code == 200 and after.json()["version"] >= int(event["id"])

    await eventually(seen)
    left = (await http.get(f"{url}/availability")).json()["categories"]
    assert {each["category"]: each["held"] for each in left} == {"VIP": 2, "Standard": 0, "Standing": 0}


@pytest.mark.stack
async def test_other_prices_reach_readers(http: httpx.AsyncClient) -> None:
    sale = await open_sale(http)
    url = f"/v1/schedules/{sale.schedule_id}"
    await http.get(f"{url}/seats")
    changed = await http.patch(url, json={"prices": {"VIP": 1, "Standard": 2}}, headers=sale.organizer)
    assert changed.status_code == 200, changed.text

    async def seen() -> bool:
        return {seat["price"] for seat in (await http.get(f"{url}/seats")).json()["seats"]} == {1, 2}

    await eventually(seen)


# --- the documentation ------------------------------------------------------------------------------------------------
def test_the_routes_are_documented() -> None:
    paths = application().openapi()["paths"]
    page = paths["/v1/schedules/{schedule_id}/seats"]["get"]["responses"]
    assert page["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Seats")
    assert "304" in page
    assert "application/problem+json" in page["404"]["content"]
    stream = paths["/v1/schedules/{schedule_id}/stream"]["get"]["responses"]
    assert list(stream["200"]["content"]) == ["text/event-stream"]
    assert "application/problem+json" in stream["503"]["content"]


if __name__ == "__main__":
    serve(int(sys.argv[1]))
