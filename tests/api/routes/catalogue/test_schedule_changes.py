"""Schedules over HTTP: changing, cancelling and deleting them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Worker
from tests.api.routes.catalogue.schedule_requests import NOWHERE, YESTERDAY, change, create, fields
from tests.support.sale import hold, open_sale, problem


# --- changing ---------------------------------------------------------------------------------------------------------
async def test_new_prices_hold_from_the_next_booking_on(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    before = await hold(worker.http, sale, customer, "A-1")
    answer = await change(worker, sale, prices={"VIP": 200_000, "Standard": 60_000})
    assert (answer.status_code, answer.json()["prices"]) == (200, {"VIP": 200_000, "Standard": 60_000})
    after = await hold(worker.http, sale, customer, "A-2")
    assert (before["amount"], after["amount"]) == (150_000, 200_000)
    kept = (await worker.http.get(f"/v1/bookings/{before['id']}", headers=customer)).json()
    assert kept["amount"] == 150_000


async def test_a_sale_can_be_closed_and_opened_again(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    closed = datetime.now(UTC) - timedelta(seconds=5)
    assert (await change(worker, sale, sale_closes_at=closed.isoformat())).json()["sale"]["state"] == "closed"
    answer = await worker.http.post(sale.bookings_url, json={"seats": ["A-1"]}, headers=customer)
    problem(answer, 409, "sale_closed")
    assert (await change(worker, sale, sale_closes_at=None)).json()["sale"]["state"] == "on_sale"
    await hold(worker.http, sale, customer, "A-1")


async def test_every_term_can_be_changed(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    starts_at = sale.starts_at + timedelta(days=400)
    wanted = {
        "starts_at": starts_at.isoformat(timespec="milliseconds"),
        "sale_opens_at": (starts_at - timedelta(days=10)).isoformat(timespec="milliseconds"),
        "sale_closes_at": (starts_at - timedelta(hours=1)).isoformat(timespec="milliseconds"),
        "max_seats_per_customer": 2,
        "hold_seconds": 120,
        "refund_when_moved": False,
    }
    answer = await change(worker, sale, **wanted)
    assert answer.status_code == 200
    assert answer.json().items() >= wanted.items()
    assert (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json().items() >= wanted.items()


async def test_a_rule_makes_schedules_and_changes_none(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    for wish in ({"recurrence": "FREQ=DAILY;COUNT=5"}, {"recurrence": "x", "hold_seconds": 111}):
        errors = problem(await change(worker, sale, **wish), 422, "validation_failed")["errors"]
        assert [each["field"] for each in errors] == ["recurrence"]
    answer = await change(worker, sale, recurrence=None)
    assert (answer.status_code, answer.json()["hold_seconds"]) == (200, 600)


async def test_changes_at_once_do_not_undo_one_another(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    answers = await asyncio.gather(
        change(worker, sale, hold_seconds=111),
        change(worker, sale, max_seats_per_customer=3),
        change(worker, sale, prices={"VIP": 1, "Standard": 2}),
        change(worker, sale, refund_when_moved=False),
    )
    assert {answer.status_code for answer in answers} == {200}
    read = (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json()
    assert (read["hold_seconds"], read["max_seats_per_customer"], read["refund_when_moved"]) == (111, 3, False)
    assert read["prices"] == {"VIP": 1, "Standard": 2}


async def test_a_change_with_a_key_is_made_once(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    url, headers = f"/v1/schedules/{sale.schedule_id}", {**sale.organizer, "Idempotency-Key": uuid4().hex}
    for _ in range(2):
        answer = await worker.http.patch(url, json={"hold_seconds": 90}, headers=headers)
        assert (answer.status_code, answer.json()["hold_seconds"]) == (200, 90)
    answer = await worker.http.patch(url, json={"hold_seconds": 91}, headers=headers)
    problem(answer, 422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"prices": {"VIP": 1}}, "prices"),
        ({"prices": None}, "prices"),
        ({"starts_at": YESTERDAY}, "starts_at"),
        ({"starts_at": None}, "starts_at"),
        ({"sale_closes_at": "2099-01-01T00:00:00Z"}, "sale_closes_at"),
        ({"sale_opens_at": "2099-01-01T00:00:00Z"}, "sale_opens_at"),
        ({"venue_id": NOWHERE}, "venue_id"),
        ({"currency": "USD"}, "currency"),
        ({"hold_seconds": None}, "hold_seconds"),
        ({"waiting_room": None}, "waiting_room"),
    ],
)
async def test_what_is_wrong_with_a_change_is_named(worker: Worker, wrong: dict[str, Any], field: str) -> None:
    sale = await open_sale(worker.http)
    before = (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json()
    assert fields(await change(worker, sale, **wrong)) == [field]
    assert (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json() == before


async def test_a_schedule_is_not_moved_into_another(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    other = (await create(worker, sale)).json()
    answer = await change(worker, sale, starts_at=other["starts_at"])
    assert problem(answer, 409, "schedule_conflict")["conflicts_with"] == [other["id"]]
    # By a few minutes it may move: it does not conflict with itself.
    assert (await change(worker, sale, starts_at=(sale.starts_at + timedelta(minutes=5)).isoformat())).is_success


async def test_only_the_organizer_changes_a_schedule(worker: Worker) -> None:
    sale, stranger = await open_sale(worker.http), await worker.sign_up("organizer")
    url = f"/v1/schedules/{sale.schedule_id}"
    for method, body in (("PATCH", {"hold_seconds": 60}), ("DELETE", None)):
        problem(await worker.http.request(method, url, json=body), 401, "unauthenticated")
        problem(await worker.http.request(method, url, json=body, headers=await worker.sign_up()), 403, "forbidden")
        problem(await worker.http.request(method, url, json=body, headers=stranger), 404, "schedule_not_found")


async def test_a_cancelled_schedule_is_shown_as_such_and_neither_sold_nor_changed(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    url = f"/v1/schedules/{sale.schedule_id}"
    cancelled = await worker.http.post(
        f"/v1/organizer/schedules/{sale.schedule_id}/cancellation", json={"reason": "flood"}, headers=sale.organizer
    )
    assert (cancelled.status_code, cancelled.json()["bookings_live"]) == (202, 1)
    read = (await worker.http.get(url)).json()
    assert (read["sale"]["state"], read["cancellation_reason"]) == ("cancelled", "flood")
    assert read["cancelled_at"] == cancelled.json()["cancelled_at"]
    listed = f"/v1/performances/{sale.performance_id}/schedules"
    assert [item["id"] for item in (await worker.http.get(listed)).json()["items"]] == [sale.schedule_id]
    assert (await worker.http.get(f"{listed}?available=true")).json()["items"] == []
    for answer in (
        await worker.http.post(sale.bookings_url, json={"seats": ["A-2"]}, headers=customer),
        await worker.http.post(sale.bookings_url, json={"quantity": 1}, headers=customer),
        await worker.http.patch(f"/v1/bookings/{booking['id']}", json={"seats": ["A-2"]}, headers=customer),
        await worker.http.post(f"/v1/bookings/{booking['id']}/extension", headers=customer),
        await worker.http.post(
            f"/v1/bookings/{booking['id']}/payments",
            json={"method": {"type": "card", "token": "tok_approve"}},
            headers=customer,
        ),
        await change(worker, sale, hold_seconds=60),
    ):
        assert problem(answer, 409, "schedule_cancelled")["at"] == read["cancelled_at"]
    # Its time is free for another, and it goes once nobody has seats any more.
    assert (await create(worker, sale, starts_at=sale.starts_at.isoformat())).status_code == 201
    problem(await worker.http.delete(url, headers=sale.organizer), 409, "schedule_has_bookings")
    assert (await worker.http.delete(f"/v1/bookings/{booking['id']}", headers=customer)).status_code == 201
    assert (await worker.http.delete(url, headers=sale.organizer)).status_code == 204


# --- deleting ---------------------------------------------------------------------------------------------------------
async def test_a_schedule_with_live_bookings_is_not_deleted(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    url = f"/v1/schedules/{sale.schedule_id}"
    problem(await worker.http.delete(url, headers=sale.organizer), 409, "schedule_has_bookings")
    assert (await worker.http.delete(f"/v1/bookings/{booking['id']}", headers=customer)).is_success
    assert (await worker.http.delete(url, headers=sale.organizer)).status_code == 204
    problem(await worker.http.get(url), 404, "schedule_not_found")
    problem(await worker.http.delete(url, headers=sale.organizer), 404, "schedule_not_found")
    answer = await worker.http.post(sale.bookings_url, json={"seats": ["A-1"]}, headers=customer)
    problem(answer, 404, "schedule_not_found")


async def test_deleting_against_a_crowd_loses_nobody(worker: Worker) -> None:
    for _ in range(5):
        sale, customer = await open_sale(worker.http), await worker.sign_up()
        deleted, *booked = await asyncio.gather(
            worker.http.delete(f"/v1/schedules/{sale.schedule_id}", headers=sale.organizer),
            *(worker.http.post(sale.bookings_url, json={"seats": [seat]}, headers=customer) for seat in sale.seats[:6]),
        )
        won = [answer for answer in booked if answer.status_code == 201]
        if deleted.status_code == 204:
            assert not won
        else:
            problem(deleted, 409, "schedule_has_bookings")
            assert won
            read = (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json()
            assert (read["sale"]["state"], read["sale_closes_at"]) == ("on_sale", None)
