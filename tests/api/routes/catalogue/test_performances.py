"""Performances: T3 to T6 of the customer's list over HTTP against the running system, and what surrounds them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from persistence.database.tables import audit_log
from tests.api.conftest import Worker
from tests.support.sale import hold, open_sale, pay, problem, sign_up

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"


def fresh_title() -> str:
    return f"호두까기 인형 {uuid4().hex}"


async def register(http: httpx.AsyncClient, headers: dict[str, str], **body: Any) -> Any:
    answer = await http.post("/v1/performances", json={"title": fresh_title(), **body}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def fields(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in problem(answer, 422, "validation_failed")["errors"]]


# --- T3: registering --------------------------------------------------------------------------------------------------
@pytest.mark.stack
async def test_T3_1_a_performance_is_registered(http: httpx.AsyncClient) -> None:
    body = {"title": fresh_title(), "description": "발레", "category": "ballet", "duration_minutes": 130}
    answer = await http.post("/v1/performances", json=body, headers=await sign_up(http, "organizer"))
    assert answer.status_code == 201
    assert answer.json().items() >= body.items()
    assert (await http.get(f"/v1/performances/{answer.json()['id']}")).json() == answer.json()


@pytest.mark.stack
@pytest.mark.parametrize("body", [{}, {"description": "발레"}, {"title": ""}, {"title": "  "}, {"title": None}])
async def test_T3_2_missing_information_is_named(http: httpx.AsyncClient, body: Any) -> None:
    answer = await http.post("/v1/performances", json=body, headers=await sign_up(http, "organizer"))
    assert fields(answer) == ["title"]


@pytest.mark.stack
async def test_T3_3_the_title_of_an_existing_performance_is_refused(http: httpx.AsyncClient) -> None:
    organizer = await sign_up(http, "organizer")
    made = await register(http, organizer, title=f"Carmen {uuid4().hex}")
    for title in (made["title"], made["title"].upper(), f" {made['title']} "):
        answer = await http.post("/v1/performances", json={"title": title}, headers=organizer)
        problem(answer, 409, "performance_title_taken")
    # Another organizer may play the same piece.
    await register(http, await sign_up(http, "organizer"), title=made["title"])


# --- T4: listing ------------------------------------------------------------------------------------------------------
@pytest.mark.stack
async def test_T4_1_registered_performances_are_returned(http: httpx.AsyncClient) -> None:
    organizer = await sign_up(http, "organizer")
    made = [await register(http, organizer) for _ in range(3)]
    page = (await http.get("/v1/performances?limit=200")).json()
    listed = {item["id"]: item for item in page["items"]}
    for performance in made:
        assert listed[performance["id"]] == performance


@pytest.mark.stack
async def test_T4_2_fields_can_be_left_out(http: httpx.AsyncClient) -> None:
    made = await register(http, await sign_up(http, "organizer"))
    chosen = {"id": made["id"], "title": made["title"]}
    assert (await http.get(f"/v1/performances/{made['id']}?fields=id,title")).json() == chosen
    page = (await http.get("/v1/performances?fields=id,title&limit=200")).json()
    assert chosen in page["items"]
    assert all(item.keys() == {"id", "title"} for item in page["items"])


async def test_T4_3_nothing_registered_at_all_is_a_clear_error(fresh_worker: Worker) -> None:
    for query in ("", "?q=carmen", "?category=ballet", "?date_from=2026-12-01"):
        problem(await fresh_worker.http.get(f"/v1/performances{query}"), 404, "catalogue_empty")
    organizer = await fresh_worker.sign_up("organizer")
    made = await register(fresh_worker.http, organizer)
    answer = await fresh_worker.http.get("/v1/performances?q=nothing-matches")
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})
    await fresh_worker.http.delete(f"/v1/performances/{made['id']}", headers=organizer)
    problem(await fresh_worker.http.get("/v1/performances"), 404, "catalogue_empty")


# --- T5: editing ------------------------------------------------------------------------------------------------------
@pytest.mark.stack
async def test_T5_1_a_performance_is_edited(http: httpx.AsyncClient) -> None:
    organizer = await sign_up(http, "organizer")
    made = await register(http, organizer, description="Old", category="opera")
    url = f"/v1/performances/{made['id']}"
    patched = await http.patch(url, json={"description": "New"}, headers=organizer)
    assert (patched.status_code, patched.json()["description"], patched.json()["category"]) == (200, "New", "opera")
    title = fresh_title()
    replaced = await http.put(url, json={"title": title}, headers=organizer)
    assert (replaced.status_code, replaced.json()["title"], replaced.json()["category"]) == (200, title, None)
    assert (await http.get(url)).json() == replaced.json()


@pytest.mark.stack
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("performance_id", [NOWHERE, "none"])
async def test_T5_2_editing_what_does_not_exist_is_a_clear_error(
    http: httpx.AsyncClient, method: str, performance_id: str
) -> None:
    organizer = await sign_up(http, "organizer")
    answer = await http.request(method, f"/v1/performances/{performance_id}", json={"title": "New"}, headers=organizer)
    problem(answer, 404, "performance_not_found")


@pytest.mark.stack
async def test_T5_3_editing_with_information_missing_is_a_clear_error(http: httpx.AsyncClient) -> None:
    organizer = await sign_up(http, "organizer")
    made = await register(http, organizer)
    url = f"/v1/performances/{made['id']}"
    assert fields(await http.put(url, json={"description": "No title"}, headers=organizer)) == ["title"]
    assert fields(await http.patch(url, json={"title": None}, headers=organizer)) == ["title"]
    assert (await http.get(url)).json() == made


# --- T6: deleting -----------------------------------------------------------------------------------------------------
@pytest.mark.stack
async def test_T6_1_a_performance_is_deleted_unless_it_has_live_bookings(http: httpx.AsyncClient) -> None:
    sale, customer = await open_sale(http), await sign_up(http)
    url = f"/v1/performances/{sale.performance_id}"
    booking = await hold(http, sale, customer, "A-1")
    problem(await http.delete(url, headers=sale.organizer), 409, "performance_has_bookings")
    assert (await http.post(f"/v1/bookings/{booking['id']}/cancellation", headers=customer)).status_code == 201
    assert (await http.delete(url, headers=sale.organizer)).status_code == 204
    problem(await http.get(url), 404, "performance_not_found")
    problem(await http.get(f"/v1/schedules/{sale.schedule_id}"), 404, "schedule_not_found")
    # The history stays the customer's.
    assert (await http.get(f"/v1/bookings/{booking['id']}", headers=customer)).json()["status"] == "cancelled"


@pytest.mark.stack
async def test_T6_1_a_performance_with_paid_bookings_is_not_deleted(http: httpx.AsyncClient) -> None:
    sale, customer = await open_sale(http), await sign_up(http)
    assert (await pay(http, await hold(http, sale, customer, "A-1"), customer)).status_code == 201
    url = f"/v1/performances/{sale.performance_id}"
    problem(await http.delete(url, headers=sale.organizer), 409, "performance_has_bookings")
    await hold(http, sale, customer, "A-2")  # and its sale goes on


@pytest.mark.stack
async def test_T6_2_deleting_what_does_not_exist_is_a_clear_error(http: httpx.AsyncClient) -> None:
    organizer = await sign_up(http, "organizer")
    problem(await http.delete(f"/v1/performances/{NOWHERE}", headers=organizer), 404, "performance_not_found")
    made = await register(http, organizer)
    url = f"/v1/performances/{made['id']}"
    assert (await http.delete(url, headers=organizer)).status_code == 204
    problem(await http.delete(url, headers=organizer), 404, "performance_not_found")


# --- and more ---------------------------------------------------------------------------------------------------------
async def test_a_deleted_title_is_free_again(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    made = await register(worker.http, organizer)
    await worker.http.delete(f"/v1/performances/{made['id']}", headers=organizer)
    assert (await register(worker.http, organizer, title=made["title"]))["id"] != made["id"]


async def test_a_title_is_the_same_in_any_unicode_form(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    mark = uuid4().hex
    await register(worker.http, organizer, title=f"공연 {mark}")
    decomposed = {"title": f"\u1100\u1169\u11bc\u110b\u1167\u11ab {mark}"}
    problem(
        await worker.http.post("/v1/performances", json=decomposed, headers=organizer), 409, "performance_title_taken"
    )


async def test_renaming_to_a_taken_title_is_refused(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    one, other = await register(worker.http, organizer), await register(worker.http, organizer)
    for method in ("PUT", "PATCH"):
        answer = await worker.http.request(
            method, f"/v1/performances/{one['id']}", json={"title": other["title"]}, headers=organizer
        )
        problem(answer, 409, "performance_title_taken")


async def test_registering_the_same_title_at_once_makes_one(worker: Worker) -> None:
    organizer, body = await worker.sign_up("organizer"), {"title": fresh_title()}
    answers = await asyncio.gather(
        *(worker.http.post("/v1/performances", json=body, headers=organizer) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


async def test_only_the_organizer_changes_a_performance(worker: Worker) -> None:
    made = await register(worker.http, await worker.sign_up("organizer"))
    url = f"/v1/performances/{made['id']}"
    stranger, customer = await worker.sign_up("organizer"), await worker.sign_up()
    for method, body in (("PUT", {"title": "Mine"}), ("PATCH", {"title": "Mine"}), ("DELETE", None)):
        problem(await worker.http.request(method, url, json=body), 401, "unauthenticated")
        problem(await worker.http.request(method, url, json=body, headers=customer), 403, "forbidden")
        problem(await worker.http.request(method, url, json=body, headers=stranger), 404, "performance_not_found")
    assert (await worker.http.get(url)).json() == made


async def test_every_change_leaves_an_audit_entry(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    made = await register(worker.http, organizer, category="opera")
    url = f"/v1/performances/{made['id']}"
    await worker.http.patch(url, json={"category": "ballet"}, headers=organizer)
    await worker.http.delete(url, headers=organizer)
    async with worker.office.database.connect() as connection:
        query = sa.select(audit_log.c.action, audit_log.c.before, audit_log.c.after).where(
            audit_log.c.subject == f"performance:{made['id']}"
        )
        entries = (await connection.execute(query.order_by(audit_log.c.id))).all()
    assert [entry.action for entry in entries] == ["performance.created", "performance.changed", "performance.deleted"]
    assert (entries[1].before, entries[1].after) == ({"category": "opera"}, {"category": "ballet"})


async def test_search_finds_words_of_title_and_description(worker: Worker) -> None:
    organizer, mark = await worker.sign_up("organizer"), uuid4().hex
    titled = await register(worker.http, organizer, title=f"Nutcracker {mark}", category="Ballet")
    described = await register(worker.http, organizer, description=f"About a {mark.upper()}", category="opera")
    found = (await worker.http.get("/v1/performances", params={"q": mark})).json()["items"]
    assert [item["id"] for item in found] == [described["id"], titled["id"]]
    found = (await worker.http.get("/v1/performances", params={"q": mark, "category": "ballet"})).json()["items"]
    assert [item["id"] for item in found] == [titled["id"]]


async def test_a_date_range_finds_what_is_played_in_it(worker: Worker) -> None:
    sale = await open_sale(worker.http, starts_at="2031-05-05T19:30:00+09:00")
    for query, there in {
        "date_from=2031-05-05&date_to=2031-05-05": True,
        "date_from=2031-05-05T10:30:00Z": True,
        "date_from=2031-05-05T10:30:00.001Z": False,
        "date_from=2031-05-05T19:30:00%2B09:00": True,
        "date_from=2031-05-05T19:30:00+09:00": True,
        "date_from=2031-05-06": False,
        "date_to=2031-05-04": False,
        "date_from=2031-05-01&date_to=2031-05-05T10:30:00Z": False,
    }.items():
        found = (await worker.http.get(f"/v1/performances?limit=200&{query}")).json()["items"]
        assert (sale.performance_id in {item["id"] for item in found}) is there, query


@pytest.mark.parametrize("value", ["yesterday", "2031-13-01", "2031-05-05T10:00:00", "9999-12-31", "0001-01-01", ""])
async def test_dates_that_are_none(worker: Worker, value: str) -> None:
    for name in ("date_from", "date_to"):
        assert fields(await worker.http.get("/v1/performances", params={name: value})) == [name]


async def test_pages_neither_skip_nor_repeat_while_the_list_grows(worker: Worker) -> None:
    organizer, mark = await worker.sign_up("organizer"), uuid4().hex
    made = [(await register(worker.http, organizer, title=f"{mark} {number}"))["id"] for number in range(5)]
    found: list[str] = []
    params = {"q": mark, "limit": "2"}
    while True:
        page = (await worker.http.get("/v1/performances", params=params)).json()
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
        await register(worker.http, organizer, title=f"{mark} {uuid4().hex}")
    assert found == made[::-1]


@pytest.mark.parametrize("query", ["fields=id,secret", "fields=,", "cursor=abc", "limit=0"])
async def test_list_parameters_that_are_wrong(worker: Worker, query: str) -> None:
    problem(await worker.http.get(f"/v1/performances?{query}"), 422, "validation_failed")


async def test_a_venue_that_does_not_exist_is_named(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    for venue_id in (NOWHERE, "none"):
        body = {"title": fresh_title(), "venue_id": venue_id}
        assert fields(await worker.http.post("/v1/performances", json=body, headers=organizer)) == ["venue_id"]


async def test_deleting_against_a_crowd_loses_nobody(worker: Worker) -> None:
    """Whoever gets a seat while the performance is being deleted keeps it, and then the performance stays."""
    for _ in range(5):
        sale, customer = await open_sale(worker.http), await worker.sign_up()
        url = f"/v1/performances/{sale.performance_id}"
        deleted, *booked = await asyncio.gather(
            worker.http.delete(url, headers=sale.organizer),
            *(worker.http.post(sale.bookings_url, json={"seats": [seat]}, headers=customer) for seat in sale.seats[:6]),
        )
        won = [answer for answer in booked if answer.status_code == 201]
        if deleted.status_code == 204:
            assert not won
            assert {answer.json()["code"] for answer in booked} == {"schedule_not_found"}
        else:
            problem(deleted, 409, "performance_has_bookings")
            assert won
            late = await worker.http.post(sale.bookings_url, json={"seats": [sale.seats[-1]]}, headers=customer)
            assert late.status_code == 201, "the sale goes on"


async def test_what_was_played_can_be_deleted(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    async with worker.office.database.begin() as connection:
        past = datetime.now(UTC) - timedelta(days=1)
        await connection.execute(
            sa.text("UPDATE schedules SET starts_at = :past WHERE id = :id"), {"past": past, "id": sale.schedule_id}
        )
    answer = await worker.http.delete(f"/v1/performances/{sale.performance_id}", headers=sale.organizer)
    assert answer.status_code == 204
