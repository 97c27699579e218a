"""Reports from other systems' trackers (docs/reports.md), tried here over HTTP: each by its number in that table."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from tests.api.conftest import PASSWORD, Worker
from tests.support.sale import Sale, free_seats, hold, open_sale, problem, read, seat_ids, small_plan, until

STANDING = small_plan(rows=2, seats_per_row=4, standing=10)


async def wish(worker: Worker, sale: Sale, headers: dict[str, str], *seats: str, **more: str) -> httpx.Response:
    return await worker.http.post(sale.bookings_url, json={"seats": seats}, headers=headers | more)


async def until_left(worker: Worker, sale: Sale, standing: int) -> None:
    """Readers are told within moments."""

    async def so() -> bool:
        counts = await read(worker.http, f"/v1/schedules/{sale.schedule_id}/availability", {})
        return {each["category"]: each["free"] for each in counts["categories"]}["Standing"] == standing

    await until(so)


async def another_date(worker: Worker, sale: Sale, starts_at: datetime) -> httpx.Response:
    made = await worker.http.post(
        "/v1/performances", json={"title": f"Another {uuid4()}", "duration_minutes": 90}, headers=sale.organizer
    )
    body = {"venue_id": sale.venue_id, "currency": "KRW", "prices": dict(sale.prices)}
    url = f"/v1/performances/{made.json()['id']}/schedules"
    return await worker.http.post(url, json={**body, "starts_at": starts_at.isoformat()}, headers=sale.organizer)


async def test_found_01_many_who_come_at_once_get_no_more_than_there_is(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=STANDING)
    crowd = [await worker.sign_up() for _ in range(8)]
    answers = await asyncio.gather(*(wish(worker, sale, each, "floor", "floor") for each in crowd))
    assert sorted(each.status_code for each in answers) == [201] * 5 + [409] * 3
    await until_left(worker, sale, 0)


async def test_found_02_ten_places_are_not_sold_as_eleven_lines(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=STANDING)
    customer = await worker.sign_up()
    refused = problem(await wish(worker, sale, customer, *["floor"] * 11), 409, "seats_unavailable")
    assert refused["seats"] == ["floor"]
    await until_left(worker, sale, 10)
    assert (await wish(worker, sale, customer, *["floor"] * 10)).status_code == 201


async def test_found_03_who_holds_all_that_they_may_can_still_change_it_and_what_is_cancelled_is_there_again(
    worker: Worker,
) -> None:
    sale = await open_sale(worker.http, max_seats_per_customer=3)
    customer, other = await worker.sign_up(), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1", "A-2", "A-3")
    problem(await wish(worker, sale, customer, "A-4"), 409, "customer_limit_reached")
    changed = await worker.http.patch(f"/v1/bookings/{booking['id']}", json={"seats": ["A-3", "A-4"]}, headers=customer)
    assert seat_ids(changed.json()) == ["A-3", "A-4"]
    assert (await worker.http.delete(f"/v1/bookings/{booking['id']}", headers=customer)).is_success
    await hold(worker.http, sale, customer, "A-1", "A-2", "A-3")
    await hold(worker.http, sale, other, "A-4")


async def test_found_04_what_is_shown_as_left_can_be_had_to_the_last_place(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=STANDING)
    customer = await worker.sign_up()
    for _ in range(3):
        booking = await hold(worker.http, sale, customer, "floor", "floor", "floor")
        assert (await worker.http.delete(f"/v1/bookings/{booking['id']}", headers=customer)).is_success
    await hold(worker.http, sale, customer, *["floor"] * 9)
    await until_left(worker, sale, 1)
    await hold(worker.http, sale, await worker.sign_up(), "floor")


async def test_found_05_a_limit_holds_over_all_kinds_of_places_together(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=STANDING, max_seats_per_customer=2)
    customer = await worker.sign_up()
    refused = problem(await wish(worker, sale, customer, "A-1", "B-1", "floor"), 409, "customer_limit_reached")
    assert (refused["limit"], refused["available"]) == (2, 2)
    await hold(worker.http, sale, customer, "A-1", "floor")


async def test_found_06_a_seat_that_the_house_does_not_have_is_booked_by_nobody(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    customer = await worker.sign_up()
    refused = problem(await wish(worker, sale, customer, "A-1", "FAKE-ROW-99"), 422, "unknown_seat")
    assert refused["seats"] == ["FAKE-ROW-99"]
    assert "A-1" in await free_seats(worker.http, sale)


async def test_found_07_a_button_pressed_twice_books_once(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    customer = await worker.sign_up()
    key = {"Idempotency-Key": str(uuid4())}
    first, second = await asyncio.gather(*(wish(worker, sale, customer, "A-1", "A-2", **key) for _ in range(2)))
    made = {answer.json()["id"] for answer in (first, second) if answer.status_code == 201}
    assert len(made) == 1
    assert {first.status_code, second.status_code} <= {201, 409}
    again = await wish(worker, sale, customer, "A-1", "A-2", **key)
    assert (again.status_code, again.json()["id"]) == (201, made.pop())
    assert len((await read(worker.http, "/v1/bookings", customer))["items"]) == 1


async def test_found_08_a_date_that_moves_leaves_the_hall_to_others(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    moved = sale.starts_at + timedelta(hours=5)
    taken = problem(await another_date(worker, sale, sale.starts_at), 409, "schedule_conflict")
    assert taken["conflicts_with"] == [sale.schedule_id]
    url = f"/v1/schedules/{sale.schedule_id}"
    answer = await worker.http.patch(url, json={"starts_at": moved.isoformat()}, headers=sale.organizer)
    assert answer.status_code == 200, answer.text
    assert (await another_date(worker, sale, sale.starts_at)).status_code == 201
    problem(await another_date(worker, sale, moved), 409, "schedule_conflict")


async def test_found_09_one_may_begin_when_the_other_ends(worker: Worker) -> None:
    sale = await open_sale(worker.http)  # an hour and a half
    problem(await another_date(worker, sale, sale.starts_at + timedelta(minutes=89)), 409, "schedule_conflict")
    assert (await another_date(worker, sale, sale.starts_at + timedelta(minutes=90))).status_code == 201
    around = sale.starts_at - timedelta(minutes=89)
    problem(await another_date(worker, sale, around), 409, "schedule_conflict")


async def test_found_10_an_address_is_one_however_its_letters_are_cased(worker: Worker) -> None:
    email = f"Mixed.Case+{uuid4().hex}@Example.com"
    account: dict[str, Any] = {"email": email, "password": PASSWORD}
    assert (await worker.http.post("/v1/accounts", json=account)).status_code == 201
    for spelled in (email.lower(), email.upper()):
        again = await worker.http.post("/v1/accounts", json=account | {"email": spelled})
        problem(again, 409, "email_taken")
        assert await worker.log_in(spelled)


async def test_found_11_what_only_looks_like_a_ticket_opens_no_door(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    made_up = json.dumps({"ticketId": "anything", "eventId": sale.schedule_id, "userName": "Guest"})
    read_codes = [{"id": str(uuid4()), "code": made_up}, {"id": str(uuid4()), "code": "AQGY" * 33}]
    url = f"/v1/schedules/{sale.schedule_id}/check-ins"
    answer = await worker.http.post(url, json=read_codes, headers=sale.organizer)
    assert answer.status_code == 200, answer.text
    assert [(each["result"], each["places"]) for each in answer.json()] == [("not_genuine", 0)] * 2


async def test_found_12_who_never_went_on_holds_nothing_for_long(worker: Worker) -> None:
    sale = await open_sale(worker.http, hold_seconds=30)
    customer = await worker.sign_up()
    before = datetime.now(UTC)
    booking = await hold(worker.http, sale, customer, *sale.seats[:5])
    after = datetime.now(UTC)
    ends = datetime.fromisoformat(booking["expires_at"])
    assert ends - after < timedelta(seconds=31)
    assert timedelta(seconds=29) < ends - before
    for _ in range(3):  # who asks for more time again and again
        await worker.http.post(f"/v1/bookings/{booking['id']}/extension", headers=customer)
    extended = datetime.fromisoformat(
        (await read(worker.http, f"/v1/bookings/{booking['id']}", customer))["expires_at"]
    )
    assert extended - after < timedelta(seconds=61)  # twice the time, and not for ever
