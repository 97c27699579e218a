"""Seats leave a booking only while nobody can be on them: whoever comes in sits on one that nobody else has bought."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.command_line import administrators
from tests.api.conftest import PASSWORD, Worker
from tests.api.routes.door.test_check_ins import Door, one
from tests.support.sale import hold, open_sale, problem, small_plan


@pytest.fixture
async def door(worker: Worker) -> Door:
    return Door(worker, await open_sale(worker.http, plan=small_plan(rows=2, seats_per_row=20, standing=20)))


@pytest.fixture
async def admin(worker: Worker) -> dict[str, str]:
    email = f"{uuid4().hex}@admin.example"
    await administrators.create(worker.office.settings, email, PASSWORD)
    return await worker.log_in(email)


async def own_codes(door: Door) -> dict[str, str]:
    """The code of each seat of the booking."""
    ticket = await door.worker.http.get(f"/v1/bookings/{door.booking_id}/ticket", headers=door.customer)
    return {seat["id"]: seat["code"] for seat in ticket.json()["seats"]}


async def quoted(door: Door, seats: list[str]) -> httpx.Response:
    url = f"/v1/payments/{door.payment_id}/refund_quote"
    return await door.worker.http.get(url, params={"seats": seats}, headers=door.customer)


async def given_back(door: Door, seats: list[str], **wish: Any) -> httpx.Response:
    url, body = f"/v1/payments/{door.payment_id}/refunds", {"seats": seats} | wish if seats else wish
    return await door.worker.http.post(url, json=body, headers=door.customer)


async def stays(door: Door, seats: list[str]) -> None:
    for answer in (await quoted(door, seats), await given_back(door, seats)):
        assert problem(answer, 409, "not_refundable")["reason"] == "checked_in"


async def test_of_those_who_came_in_by_codes_of_their_own_the_seats_stay_and_the_others_may_go(door: Door) -> None:
    await door.sold(3)
    codes = await own_codes(door)
    first, second, third = codes
    await door.read(one(codes[first]))
    for seats in ([first], [first, second], []):
        await stays(door, seats)
    assert (await quoted(door, [second, third])).status_code == 200
    assert (await given_back(door, [second])).status_code == 201
    (again,) = await door.read(one(codes[third]))
    assert again["result"] == "admitted", "the one that is left is free"


async def test_who_came_in_by_the_code_of_the_booking_may_sit_on_any_of_its_seats(door: Door) -> None:
    seats = list(door.sale.seats[:3])
    await door.read(one(await door.sold(3), places=1))
    for each in (*([seat] for seat in seats), seats[:2], []):
        await stays(door, each)
    taken_back = (await door.counts())["gates"]
    assert [(each["result"], each["places"]) for each in taken_back] == [("admitted", 1)]


@pytest.mark.parametrize(("inside", "may_go"), [(0, 4), (1, 3), (3, 1), (4, 0)])
async def test_places_in_a_standing_area_are_alike_and_as_many_stay_as_people_are_in(
    door: Door, inside: int, may_go: int
) -> None:
    (floor,) = door.sale.areas
    code = await door.sold_of([floor] * 4)
    if inside:
        await door.read(one(code, places=inside))
    if may_go < 4:
        await stays(door, [floor] * (may_go + 1))
    if may_go:
        assert (await given_back(door, [floor] * may_go)).status_code == 201
    counts = await door.counts(query="?list=offline")
    assert [(each["places"], each["entered"]) for each in counts["items"]] == ([(4 - may_go, inside)] if inside else [])


async def test_an_administrator_exchanges_no_seats_that_somebody_is_in_on_either(
    door: Door, admin: dict[str, str]
) -> None:
    entry = one(await door.sold(2), places=1)
    await door.read(entry)
    url, body = f"/v1/admin/bookings/{door.booking_id}", {"seats": door.sale.fresh(2)}
    refused = await door.worker.http.patch(url, json=body, headers=admin)
    assert problem(refused, 409, "booking_not_changeable")["reason"] == "checked_in"
    why = {"reason": "wrong door"}
    await door.worker.http.request("DELETE", f"/v1/check-ins/{entry['id']}", json=why, headers=door.sale.organizer)
    exchanged = await door.worker.http.patch(url, json=body, headers=admin)
    assert exchanged.status_code == 200, exchanged.text
    (again,) = await door.read(one(door.code(2)))
    assert again["result"] == "admitted", "the door is open"


@pytest.mark.parametrize(
    ("seats", "wish", "status", "code"),
    [
        ([], {"fee_percent": 0}, 403, "forbidden"),
        ([], {"amount": 1}, 422, "validation_failed"),
        (["no such seat"], {}, 422, "unknown_seat"),
    ],
)
async def test_a_refund_that_is_refused_shuts_no_door(
    door: Door, seats: list[str], wish: dict[str, Any], status: int, code: str
) -> None:
    whole = await door.sold(1)
    problem(await given_back(door, seats, **wish), status, code)
    (view,) = await door.read(one(whole))
    assert view["result"] == "admitted"


async def test_a_hold_is_nobody_s_for_good_and_is_exchanged_by_an_administrator(
    door: Door, admin: dict[str, str]
) -> None:
    booking = await hold(door.worker.http, door.sale, await door.worker.sign_up(), *door.sale.fresh(1))
    url, body = f"/v1/admin/bookings/{booking['id']}", {"seats": door.sale.fresh(1)}
    exchanged = await door.worker.http.patch(url, json=body, headers=admin)
    assert exchanged.status_code == 200, exchanged.text
