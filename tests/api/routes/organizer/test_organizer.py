"""Organizers: their own performances and bookings, and seats kept out of the sale."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from tests.conftest import Stack
from tests.support.sale import (
    Sale,
    hold,
    log_in_admin,
    open_sale,
    problem,
    read,
    seat_ids,
    shown,
    sign_up,
    small_plan,
)

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    return await open_sale(http)


async def test_an_organizer_sees_who_has_booked_and_nobody_else_does(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, stranger = await sign_up(http), await sign_up(http, "organizer")
    booking = await hold(http, sale, customer, *sale.fresh(2))
    url = f"/v1/organizer/schedules/{sale.schedule_id}/bookings"
    items = (await http.get(url, headers=sale.organizer)).json()["items"]
    assert seat_ids(next(item for item in items if item["id"] == booking["id"])) == seat_ids(booking)
    problem(await http.get(url, headers=stranger), 404, "schedule_not_found")
    problem(await http.get(url, headers=customer), 403, "forbidden")
    problem(await http.get(url), 401, "unauthenticated")


async def test_an_organizer_s_list_holds_their_own_performances_only(http: httpx.AsyncClient, sale: Sale) -> None:
    mine = (await http.get("/v1/organizer/performances", headers=sale.organizer)).json()
    assert [item["id"] for item in mine["items"]] == [sale.performance_id]
    new = await sign_up(http, "organizer")
    assert (await http.get("/v1/organizer/performances", headers=new)).json() == {"items": [], "next_cursor": None}


async def test_blocked_seats_are_not_for_sale_until_they_are_unblocked(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, seats = await sign_up(http), sale.fresh(2)
    url = f"/v1/organizer/schedules/{sale.schedule_id}/blocks"
    blocked = await http.post(url, json={"seats": seats, "reason": "camera"}, headers=sale.organizer)
    assert blocked.status_code == 201, blocked.text
    refused = problem(
        await http.post(sale.bookings_url, json={"seats": seats}, headers=customer), 409, "seats_unavailable"
    )
    assert refused["seats"] == seats
    await shown(http, sale, seats, free=False)
    answer = await http.request("DELETE", url, json={"seats": seats}, headers=sale.organizer)
    assert answer.status_code == 204, answer.text
    await hold(http, sale, customer, *seats)


async def test_blocks_are_listed_with_their_reasons_until_they_are_gone(http: httpx.AsyncClient) -> None:
    sale = await open_sale(http, plan=small_plan(standing=5))
    url = f"/v1/organizer/schedules/{sale.schedule_id}/blocks"
    for seats, reason in ((["A-1", "A-2"], "camera"), (["floor", "floor"], "desk"), (["A-3", "floor"], "press")):
        await http.post(url, json={"seats": seats, "reason": reason}, headers=sale.organizer)
    await http.request("DELETE", url, json={"seats": ["A-2", "floor"]}, headers=sale.organizer)
    items = (await read(http, url, sale.organizer))["items"]
    assert [(item["seats"], item["reason"]) for item in items] == [
        (["A-1"], "camera"),
        (["floor", "floor"], "desk"),
        (["A-3"], "press"),
    ]
    assert all(item["by"] == "organizer" for item in items)
    problem(await http.get(url, headers=await sign_up(http, "organizer")), 404, "schedule_not_found")


async def test_a_repeated_block_is_one_change_on_the_record(http: httpx.AsyncClient, sale: Sale, stack: Stack) -> None:
    seats, headers = sale.fresh(1), sale.organizer | {"Idempotency-Key": uuid4().hex}
    url = f"/v1/organizer/schedules/{sale.schedule_id}/blocks"
    answers = [await http.post(url, json={"seats": seats, "reason": "camera"}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    admin = await log_in_admin(http, stack)
    query = {"subject": f"schedule:{sale.schedule_id}", "action": "seats.blocked"}
    log = (await read(http, "/v1/admin/audit", admin, **query))["items"]
    assert [entry["after"]["seats"] for entry in log].count(seats) == 1


async def test_bookings_are_listed_by_their_status(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, *sale.fresh(1))
    url = f"/v1/organizer/schedules/{sale.schedule_id}/bookings"
    for status, listed in (("held", True), ("partially_refunded", False), ("refunded", False), ("cancelled", False)):
        items = (await read(http, url, sale.organizer, status=status))["items"]
        assert (booking["id"] in [item["id"] for item in items]) == listed, status
    problem(await http.get(url, params={"status": "gone"}, headers=sale.organizer), 422, "validation_failed")


async def test_a_held_seat_cannot_be_blocked_and_a_stranger_blocks_nothing(http: httpx.AsyncClient, sale: Sale) -> None:
    seats = sale.fresh(2)
    await hold(http, sale, await sign_up(http), seats[0])
    url = f"/v1/organizer/schedules/{sale.schedule_id}/blocks"
    body = {"seats": seats, "reason": "camera"}
    assert (
        problem(await http.post(url, json=body, headers=sale.organizer), 409, "seats_unavailable")["seats"] == seats[:1]
    )
    problem(await http.post(url, json=body, headers=await sign_up(http, "organizer")), 404, "schedule_not_found")
    problem(await http.post(url, json=body | {"seats": ["Z-1"]}, headers=sale.organizer), 422, "unknown_seat")
    problem(await http.post(url, json=body | {"seats": []}, headers=sale.organizer), 422, "validation_failed")
