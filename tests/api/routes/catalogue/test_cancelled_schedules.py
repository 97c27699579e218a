"""An organizer cancels a performance over HTTP: nothing is sold any more, and everybody gets their money back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Stack
from tests.support.sale import (
    Sale,
    hold,
    log_in_admin,
    open_sale,
    paid_booking,
    pay,
    problem,
    read,
    refund,
    seat_ids,
    sign_up,
    small_plan,
    until,
)

pytestmark = pytest.mark.stack

REASON = {"reason": "the singer is ill"}


def url_of(sale: Sale) -> str:
    return f"/v1/organizer/schedules/{sale.schedule_id}/cancellation"


async def finished(http: httpx.AsyncClient, sale: Sale) -> None:
    """Waits until the cancellation has nothing left to do."""

    async def done() -> bool:
        return bool((await read(http, url_of(sale), sale.organizer))["finished"])

    await until(done)


async def test_everybody_gets_the_whole_price_back_whatever_the_policy(http: httpx.AsyncClient, stack: Stack) -> None:
    starts_at = datetime.now(UTC) + timedelta(days=2)  # a refund would cost three tenths of the price
    sale = await open_sale(http, plan=small_plan(standing=10), starts_at=starts_at.isoformat())
    customer, other = await sign_up(http), await sign_up(http)
    held = await hold(http, sale, customer, "A-1")
    booking, payment = await paid_booking(http, sale, customer, "A-2", "A-3", "floor", "floor")
    partly, of_partly = await paid_booking(http, sale, other, "B-1", "B-2")
    given_back = (await refund(http, of_partly, other, "B-1")).json()
    assert given_back["fee"] == 45_000
    paying = await hold(http, sale, other, "C-1")
    assert (await pay(http, paying, other, "tok_timeout_charged")).status_code == 202

    beforehand = await http.post(url_of(sale), params={"preview": "true"}, headers=sale.organizer)
    open_yet = {
        "schedule_id": sale.schedule_id,
        "unpaid": 2,
        "paid": 2,
        "places": 7,
        "amount": 516_000,
        "currency": "KRW",
    }
    # The provider may have said by now that it has the money.
    assert beforehand.json() in (open_yet, open_yet | {"unpaid": 1, "paid": 3, "amount": 571_000})
    assert (await read(http, f"/v1/schedules/{sale.schedule_id}", sale.organizer))["cancelled_at"] is None
    problem(await http.post(url_of(sale), headers=sale.organizer), 422, "validation_failed")
    answer = await http.post(url_of(sale), json=REASON, headers=sale.organizer)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == url_of(sale)
    assert (answer.json()["schedule_id"], answer.json()["reason"]) == (sale.schedule_id, REASON["reason"])
    schedule = await read(http, f"/v1/schedules/{sale.schedule_id}", {})
    assert (schedule["sale"]["state"], schedule["cancellation_reason"]) == ("cancelled", REASON["reason"])
    assert schedule["cancelled_at"] == answer.json()["cancelled_at"]
    refused = await http.post(sale.bookings_url, json={"seats": ["D-1"]}, headers=customer)
    assert problem(refused, 409, "schedule_cancelled")["at"] == schedule["cancelled_at"]

    await finished(http, sale)
    now = await read(http, f"/v1/bookings/{booking['id']}", customer)
    (made,) = now["refunds"]
    assert (now["status"], made["amount"], made["fee"], made["by"]) == ("refunded", 366_000, 0, "organizer")
    assert (made["seats"], made["reason"], made["status"]) == (seat_ids(booking), REASON["reason"], "completed")
    assert (await read(http, f"/v1/payments/{payment['id']}", customer))["refunded"] == 366_000
    ended = await read(http, f"/v1/bookings/{held['id']}/cancellation", customer)
    assert (ended["by"], ended["reason"], ended["refund"]) == ("organizer", REASON["reason"], None)
    now = await read(http, f"/v1/bookings/{partly['id']}", other)
    assert [(each["amount"], each["fee"]) for each in now["refunds"]] == [(105_000, 45_000), (150_000, 0)]
    # What was on its way to the provider came, and went back.
    now = await read(http, f"/v1/bookings/{paying['id']}", other)
    assert (now["status"], now["payment"]["refunded"]) == ("refunded", 55_000)
    progress = await read(http, url_of(sale), sale.organizer)
    assert (progress["bookings_ended"], progress["bookings_live"]) == (4, 0)
    assert (progress["refunds_completed"], progress["refunds_pending"]) == (3, 0)
    assert (progress["amount_refunded"], progress["amount_pending"]) == (571_000, 0)

    admin = await log_in_admin(http, stack)
    log = await read(http, "/v1/admin/audit", admin, subject=f"schedule:{sale.schedule_id}")
    assert log["items"][0]["action"] == "schedule.cancelled"
    assert log["items"][0]["after"]["reason"] == REASON["reason"]
    assert (await read(http, "/v1/admin/refunds", admin, schedule_id=sale.schedule_id, status="pending"))["items"] == []


async def test_who_asks_again_is_told_how_far_it_has_come(http: httpx.AsyncClient, stack: Stack) -> None:
    sale = await open_sale(http)
    problem(await http.get(url_of(sale), headers=sale.organizer), 409, "schedule_not_cancelled")
    headers = sale.organizer | {"Idempotency-Key": uuid4().hex}
    first = await http.post(url_of(sale), json=REASON, headers=headers)
    assert (first.status_code, first.json()["finished"]) == (202, True), "nobody had booked"
    again = [
        await http.post(url_of(sale), json=REASON, headers=headers),
        await http.post(url_of(sale), json={"reason": "another"}, headers=sale.organizer),
        await http.get(url_of(sale), headers=sale.organizer),
    ]
    assert [answer.status_code for answer in again] == [202, 202, 200]
    assert all(answer.json() == first.json() for answer in again)
    problem(await http.post(url_of(sale), json={"reason": "b"}, headers=headers), 422, "idempotency_key_reused")
    admin = await log_in_admin(http, stack)
    assert (await read(http, url_of(sale), admin)) == first.json()
    log = await read(http, "/v1/admin/audit", admin, subject=f"schedule:{sale.schedule_id}")
    assert [entry["action"] for entry in log["items"]] == ["schedule.cancelled", "schedule.created"]


async def test_cancelled_schedule_is_not_changed_but_deleted_once_nothing_is_live(http: httpx.AsyncClient) -> None:
    sale = await open_sale(http)
    await paid_booking(http, sale, await sign_up(http), "A-1")
    cancelled = (await http.post(url_of(sale), json=REASON, headers=sale.organizer)).json()
    url = f"/v1/schedules/{sale.schedule_id}"
    refused = problem(
        await http.patch(url, json={"hold_seconds": 60}, headers=sale.organizer), 409, "schedule_cancelled"
    )
    assert refused["at"] == cancelled["cancelled_at"]
    await finished(http, sale)
    assert (await http.delete(url, headers=sale.organizer)).status_code == 204
    problem(await http.get(url_of(sale), headers=sale.organizer), 404, "schedule_not_found")


async def test_only_its_organizer_cancels_a_schedule_and_says_why(http: httpx.AsyncClient) -> None:
    sale = await open_sale(http)
    for method, body in (("POST", REASON), ("GET", None)):
        problem(await http.request(method, url_of(sale), json=body), 401, "unauthenticated")
        problem(await http.request(method, url_of(sale), json=body, headers=await sign_up(http)), 403, "forbidden")
        stranger = await sign_up(http, "organizer")
        problem(await http.request(method, url_of(sale), json=body, headers=stranger), 404, "schedule_not_found")
        nowhere = "/v1/organizer/schedules/nonsense/cancellation"
        problem(await http.request(method, nowhere, json=body, headers=stranger), 404, "schedule_not_found")
    for wrong in ({}, {"reason": ""}, {"reason": None}, {"reason": "x" * 501}):
        problem(await http.post(url_of(sale), json=wrong, headers=sale.organizer), 422, "validation_failed")
    assert (await read(http, f"/v1/schedules/{sale.schedule_id}", {}))["sale"]["state"] == "on_sale"
