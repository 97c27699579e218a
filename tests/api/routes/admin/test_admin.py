"""Admins: owners in memory, and what happened to a schedule, in order."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conftest import Stack
from tests.support.sale import Sale, hold, open_sale, pay, problem, sign_up

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
async def admin(http: httpx.AsyncClient, stack: Stack) -> dict[str, str]:
    credentials = {"email": stack.admin_email, "password": stack.admin_password}
    session = await http.post("/v1/sessions", json=credentials)
    assert session.status_code == 201, session.text
    return {"Authorization": f"Bearer {session.json()['access_token']}"}


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    return await open_sale(http)


async def journal(http: httpx.AsyncClient, sale: Sale, headers: dict[str, str], **query: Any) -> dict[str, Any]:
    answer = await http.get(f"/v1/admin/schedules/{sale.schedule_id}/journal", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_the_journal_tells_a_booking_s_story_in_order(
    http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]
) -> None:
    customer, (seat,) = await sign_up(http), sale.fresh()
    booking = await hold(http, sale, customer, seat)
    assert (await pay(http, booking, customer)).status_code == 201
    page = await journal(http, sale, admin, booking=booking["id"])
    assert [item["type"] for item in page["items"]] == [
        "reservation.held",
        "payment.requested",
        "payment.approved",
        "reservation.confirmed",
    ]
    by_seat = await journal(http, sale, admin, seat=seat)
    assert [item["data"]["seats"] for item in by_seat["items"]] == [[seat]]
    assert "tok_approve" not in str(page)


async def test_the_journal_is_read_page_by_page_without_gaps(
    http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]
) -> None:
    await hold(http, sale, await sign_up(http), *sale.fresh(1))
    versions, following = [], 1
    while following is not None:
        page = await journal(http, sale, admin, from_version=following, limit=2)
        versions += [item["version"] for item in page["items"]]
        following = page["next_version"]
    assert versions == list(range(1, len(versions) + 1))
    assert (await journal(http, sale, admin, seat="nowhere"))["items"] == []


async def test_an_owner_s_memory_can_be_looked_into(http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]) -> None:
    booking = await hold(http, sale, await sign_up(http), *sale.fresh(1))
    memory = (await http.get(f"/v1/admin/actors/{sale.schedule_id}", headers=admin)).json()
    assert memory["durable_version"] >= booking["version"]
    assert len(memory["state_hash"]) == 32
    listed: list[str] = []
    cursor: str | None = None
    while cursor is not None or not listed:
        query = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        page = (await http.get("/v1/admin/actors", params=query, headers=admin)).json()
        listed += [item["schedule_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert sale.schedule_id in listed


async def test_a_schedule_is_given_a_process_to_itself_and_the_audit_log_says_by_whom(
    http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]
) -> None:
    await hold(http, sale, await sign_up(http), *sale.fresh(1))
    url = f"/v1/admin/schedules/{sale.schedule_id}"
    for dedicated in (True, True, False):  # said twice it is done once
        answer = await http.patch(url, json={"dedicated": dedicated}, headers=admin)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["schedule_id"], told["dedicated"], told["hot"]) == (sale.schedule_id, dedicated, False)
        assert told["host"].startswith("owners-")
        heads = (await http.get("/v1/admin/actors", params={"limit": 200}, headers=admin)).json()["items"]
        assert [head["dedicated"] for head in heads if head["schedule_id"] == sale.schedule_id] == [dedicated]
    query = {"subject": f"schedule:{sale.schedule_id}"}
    entries = (await http.get("/v1/admin/audit", params=query, headers=admin)).json()["items"]
    assert [each["action"] for each in entries][:2] == ["schedule.shared", "schedule.dedicated"]
    assert entries[1]["after"] == {"dedicated": True}


async def test_whose_a_process_is_only_admins_say(http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]) -> None:
    url = f"/v1/admin/schedules/{sale.schedule_id}"
    problem(await http.patch(url, json={"dedicated": True}), 401, "unauthenticated")
    problem(await http.patch(url, json={"dedicated": True}, headers=sale.organizer), 403, "forbidden")
    for wrong in ({}, {"dedicated": None}, {"dedicated": "yes"}):
        problem(await http.patch(url, json=wrong, headers=admin), 422, "validation_failed")
    unknown = "/v1/admin/schedules/00000000-0000-7000-8000-000000000404"
    problem(await http.patch(unknown, json={"dedicated": True}, headers=admin), 404, "schedule_not_found")


@pytest.mark.parametrize("path", ["actors", "actors/{id}", "schedules/{id}/journal"])
async def test_all_of_it_is_for_admins_only(http: httpx.AsyncClient, sale: Sale, path: str) -> None:
    url = "/v1/admin/" + path.format(id=sale.schedule_id)
    problem(await http.get(url), 401, "unauthenticated")
    problem(await http.get(url, headers=sale.organizer), 403, "forbidden")


@pytest.mark.parametrize("path", ["actors/{id}", "schedules/{id}/journal"])
async def test_an_unknown_schedule_is_not_found(http: httpx.AsyncClient, admin: dict[str, str], path: str) -> None:
    for unknown in ("00000000-0000-7000-8000-000000000404", "nonsense"):
        url = "/v1/admin/" + path.format(id=unknown)
        problem(await http.get(url, headers=admin), 404, "schedule_not_found")
