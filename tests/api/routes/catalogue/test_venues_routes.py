"""Venues over HTTP: what is taken as a seating plan, what is shown of it, and what a bad one is told."""

from __future__ import annotations

import copy
import json
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from api.routes.catalogue.venues import EXAMPLE_PLAN
from persistence.database.tables import audit_log, venues
from tests.api.conftest import Worker
from tests.support.sale import problem, small_plan


async def register(worker: Worker, plan: Any, headers: dict[str, str] | None = None, name: str = "A house") -> Any:
    headers = headers or await worker.sign_up("organizer")
    answer = await worker.http.post("/v1/venues", json={"name": name, "seating_plan": plan}, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/venues/{answer.json()['id']}"
    return answer.json()


async def test_a_venue_is_registered_and_read_back(worker: Worker) -> None:
    plan = small_plan(rows=4, seats_per_row=10, standing=300)
    made = await register(worker, plan)
    assert made["capacity"] == 340
    capacities = {category["name"]: category["capacity"] for category in made["categories"]}
    assert capacities == {"VIP": 20, "Standard": 20, "Standing": 300}
    read = (await worker.http.get(f"/v1/venues/{made['id']}")).json()
    assert read == {**made, "seating_plan": plan}


async def test_a_venue_can_be_read_without_its_plan(worker: Worker) -> None:
    made = await register(worker, small_plan())
    read = (await worker.http.get(f"/v1/venues/{made['id']}?fields=id, name")).json()
    assert read == {"id": made["id"], "name": "A house"}


async def test_registering_leaves_an_audit_entry(worker: Worker) -> None:
    made = await register(worker, small_plan())
    async with worker.office.database.connect() as connection:
        query = sa.select(audit_log.c.action, audit_log.c.account_id).where(
            audit_log.c.subject == f"venue:{made['id']}"
        )
        assert (await connection.execute(query)).all() == [("venue.created", made["organizer_id"])]


async def test_only_organizers_register(worker: Worker) -> None:
    body = {"name": "A house", "seating_plan": small_plan()}
    problem(await worker.http.post("/v1/venues", json=body), 401, "unauthenticated")
    problem(await worker.http.post("/v1/venues", json=body, headers=await worker.sign_up()), 403, "forbidden")


def broken_plan(change: str) -> Any:
    plan = copy.deepcopy(EXAMPLE_PLAN)
    first = plan["zones"][0]["rows"][0]["seats"][0]
    match change:
        case "a seat twice":
            plan["zones"][0]["rows"][1]["seats"][0]["seat_guid"] = first["seat_guid"]
        case "undeclared category":
            first["category"] = "Royal"
        case "no seats":
            plan["zones"] = []
        case "not finite":
            plan["size"]["width"] = float("inf")
        case _:
            plan = {}
    return plan


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ("a seat twice", "seating_plan.zones[0].rows[1].seats[0].seat_guid"),
        ("undeclared category", "seating_plan.zones[0].rows[0].seats[0].category"),
        ("no seats", "seating_plan.zones"),
        ("not finite", "seating_plan"),
        ("empty", "seating_plan"),
    ],
)
async def test_a_plan_that_cannot_be_sold_is_refused_with_the_place(worker: Worker, change: str, place: str) -> None:
    headers = await worker.sign_up("organizer")
    # By hand, because httpx refuses to send what must be refused.
    content = json.dumps({"name": "Broken", "seating_plan": broken_plan(change)})
    answer = await worker.http.post(
        "/v1/venues", content=content, headers={**headers, "Content-Type": "application/json"}
    )
    document = problem(answer, 422, "invalid_seating_plan")
    assert any(error["field"].startswith(place) for error in document["errors"]), document
    async with worker.office.database.connect() as connection:
        query = sa.select(sa.func.count()).select_from(venues).where(venues.c.name == "Broken")
        assert (await connection.execute(query)).scalar_one() == 0


@pytest.mark.parametrize("body", [{}, {"name": "A house"}, {"name": "", "seating_plan": {}}, {"seating_plan": []}])
async def test_a_venue_with_something_missing(worker: Worker, body: Any) -> None:
    answer = await worker.http.post("/v1/venues", json=body, headers=await worker.sign_up("organizer"))
    problem(answer, 422, "validation_failed")


async def test_a_plan_of_some_megabytes_is_taken(worker: Worker) -> None:
    plan = {**small_plan(), "drawing": "x" * 3_000_000}
    assert (await register(worker, plan))["capacity"] == 40


async def test_a_plan_nested_beyond_reason_is_refused(worker: Worker) -> None:
    headers = {**await worker.sign_up("organizer"), "Content-Type": "application/json"}
    content = '{"name": "Deep", "seating_plan": {"zones": ' + "[" * 900 + "]" * 900 + "}}"
    answer = await worker.http.post("/v1/venues", content=content, headers=headers)
    problem(answer, 422, "invalid_seating_plan")


async def test_venues_are_listed_newest_first_and_page_by_page(worker: Worker) -> None:
    mark, headers = uuid4().hex, await worker.sign_up("organizer")
    made = [(await register(worker, small_plan(), headers, f"Hall {mark} {number}"))["id"] for number in range(5)]
    found: list[str] = []
    cursor = ""
    for expected in (2, 2, 1):
        page = (await worker.http.get(f"/v1/venues?q={mark.upper()}&limit=2&fields=id{cursor}")).json()
        assert len(page["items"]) == expected
        found += [item["id"] for item in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert found == made[::-1]


async def test_signs_in_a_search_are_no_words(worker: Worker) -> None:
    mark, headers = uuid4().hex, await worker.sign_up("organizer")
    await register(worker, small_plan(), headers, f"100% {mark}")
    await register(worker, small_plan(), headers, f"1000 {mark}")
    for words, count in ((f"100% {mark}", 2), (f"1000_ {mark}", 1), (f"\\{mark}' & !", 2), (mark, 2), ("%", 0)):
        page = (await worker.http.get("/v1/venues", params={"q": words})).json()
        assert len(page["items"]) == count, words


async def test_a_venue_says_where_it_is_and_what_its_clocks_show(worker: Worker) -> None:
    headers, mark = await worker.sign_up("organizer"), uuid4().hex
    place = {"city": "Berlin", "address": f"Unter den Linden {mark}", "time_zone": "Europe/Berlin"}
    body = {"name": "Staatsoper", "seating_plan": small_plan(), **place}
    made = (await worker.http.post("/v1/venues", json=body, headers=headers)).json()
    assert made.items() >= place.items()
    changed = await worker.http.patch(
        f"/v1/venues/{made['id']}", json={"time_zone": "Europe/Vienna", "city": None}, headers=headers
    )
    assert changed.status_code == 200, changed.text
    assert changed.json() == {**made, "time_zone": "Europe/Vienna", "city": None}
    assert [venue["id"] for venue in (await worker.http.get(f"/v1/venues?q=linden {mark}")).json()["items"]] == [
        made["id"]
    ]
    assert (await register(worker, small_plan()))["time_zone"] == "Asia/Seoul"
    stranger = await worker.sign_up("organizer")
    answer = await worker.http.patch(f"/v1/venues/{made['id']}", json={"city": "Bonn"}, headers=stranger)
    problem(answer, 404, "venue_not_found")


@pytest.mark.parametrize("zone", ["", "KST", "+09:00", "asia/seoul", "Mars/Olympus", "../etc/passwd", None, 9])
async def test_a_time_zone_that_is_none(worker: Worker, zone: Any) -> None:
    body = {"name": "Hall", "seating_plan": small_plan(), "time_zone": zone}
    answer = await worker.http.post("/v1/venues", json=body, headers=await worker.sign_up("organizer"))
    assert [error["field"] for error in problem(answer, 422, "validation_failed")["errors"]] == ["time_zone"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "cursor=x", "cursor=WyJ4Il0", "fields=", "fields=x"]
)
async def test_list_parameters_that_are_wrong(worker: Worker, query: str) -> None:
    problem(await worker.http.get(f"/v1/venues?{query}"), 422, "validation_failed")


async def test_an_unknown_venue(worker: Worker) -> None:
    problem(await worker.http.get(f"/v1/venues/{uuid4()}"), 404, "venue_not_found")


async def test_a_repeated_key_registers_once(worker: Worker) -> None:
    headers = {**await worker.sign_up("organizer"), "Idempotency-Key": uuid4().hex}
    first = await register(worker, small_plan(), headers)
    assert await register(worker, small_plan(), headers) == first
    answer = await worker.http.post(
        "/v1/venues", json={"name": "Another", "seating_plan": small_plan()}, headers=headers
    )
    problem(answer, 422, "idempotency_key_reused")


async def test_the_example_can_be_tried_as_it_stands(worker: Worker) -> None:
    assert (await register(worker, EXAMPLE_PLAN))["capacity"] == 8
