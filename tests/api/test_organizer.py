"""Organizers: their own performances and bookings, and seats kept out of the sale."""

from __future__ import annotations

import httpx
import pytest

from tests.api.sale import Sale, free_seats, hold, open_sale, problem, seat_ids, sign_up, until

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

    async def shown_as_blocked() -> bool:
        return not set(seats) & await free_seats(http, sale)

    await until(shown_as_blocked)
    answer = await http.request("DELETE", url, json={"seats": seats}, headers=sale.organizer)
    assert answer.status_code == 204, answer.text
    await hold(http, sale, customer, *seats)


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
