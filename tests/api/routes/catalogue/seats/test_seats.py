"""The pages of a schedule's seats over real HTTP: what they show, when they are unchanged, how they are compressed."""

from __future__ import annotations

import asyncio
import gzip
import json
from base64 import b64decode
from datetime import timedelta

import cramjam
import httpx
import pytest
from pydantic import ValidationError

from api.http.models import rfc3339
from api.routes.catalogue.seats import Counts, HouseLayout, Seats, States
from api.views import kept, seat_forms, seats
from api.views.seat_forms import Offer
from engine.plan_document import read_plan
from engine.state import HELD, SOLD
from persistence.seats.cache import AreaCounts, SeatView
from tests.api.routes.catalogue.seats.world import PLAN, World, application, document, streaming
from tests.support.sale import hold, open_sale, sign_up, small_plan
from tests.support.waiting import until


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

    await until(seen)
    left = (await http.get(f"{url}/availability")).json()["categories"]
    assert {each["category"]: each["held"] for each in left} == {"VIP": 2, "Standard": 0, "Standing": 0}


@pytest.mark.stack
async def test_report_17_a_start_that_is_moved_is_told_while_people_look(http: httpx.AsyncClient) -> None:
    sale = await open_sale(http)
    url = f"/v1/schedules/{sale.schedule_id}"
    before = (await http.get(f"{url}/states")).json()
    later = rfc3339(sale.starts_at + timedelta(hours=1))
    assert (await http.patch(url, json={"starts_at": later}, headers=sale.organizer)).status_code == 200

    async def told() -> bool:
        now = (await http.get(f"{url}/states")).json()
        return bool((now["starts_at"], now["terms"] != before["terms"]) == (later, True))

    await until(told)


@pytest.mark.stack
async def test_other_prices_reach_readers(http: httpx.AsyncClient) -> None:
    sale = await open_sale(http)
    url = f"/v1/schedules/{sale.schedule_id}"
    await http.get(f"{url}/seats")
    changed = await http.patch(url, json={"prices": {"VIP": 1, "Standard": 2}}, headers=sale.organizer)
    assert changed.status_code == 200, changed.text

    async def seen() -> bool:
        return {seat["price"] for seat in (await http.get(f"{url}/seats")).json()["seats"]} == {1, 2}

    await until(seen)


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
