"""Bookings over HTTP against the running system: T7, T8 and T9 of the customer's list, and what surrounds them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.support.sale import (
    Sale,
    hold,
    log_in_admin,
    open_sale,
    paid_booking,
    problem,
    read,
    seat_ids,
    shown,
    sign_up,
    small_plan,
)

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = pytest.mark.stack

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
async def sale(stack: Stack) -> Sale:
    """One house for all tests that don't need one of their own: 200 VIP seats to name, 200 Standard to be found."""
    async with stack.client() as client:
        return await open_sale(client, plan=small_plan(rows=20, seats_per_row=20, standing=5))


# --- T7: making an order ----------------------------------------------------------------------------------------------
async def test_T7_1_order_is_made_from_schedule_and_quantity(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    answer = await http.post(sale.bookings_url, json={"quantity": 3, "category": "Standard"}, headers=customer)
    assert answer.status_code == 201
    booking = answer.json()
    assert answer.headers["location"] == f"/v1/bookings/{booking['id']}"
    assert (booking["status"], booking["schedule_id"]) == ("held", sale.schedule_id)
    assert booking["performance_id"] == sale.performance_id
    assert [seat["category"] for seat in booking["seats"]] == ["Standard"] * 3
    assert (booking["amount"], booking["currency"]) == (3 * 55_000, "KRW")
    held_for = datetime.fromisoformat(booking["expires_at"]) - datetime.fromisoformat(booking["created_at"])
    assert held_for > timedelta(0)


async def test_T7_1_order_is_made_from_named_seats(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    one, other = sale.fresh(2)
    booking = await hold(http, sale, customer, other, one)
    assert booking["seats"] == [
        {
            "id": seat,
            "zone": "Stalls",
            "row": seat.partition("-")[0],
            "number": seat.partition("-")[2],
            "category": "VIP",
            "price": 150_000,
        }
        for seat in (other, one)
    ]
    assert booking["amount"] == 300_000
    assert booking["payment"] is None


async def test_T7_1_standing_room_is_one_entry_per_place(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, "floor", "floor")
    assert seat_ids(booking) == ["floor", "floor"]
    assert (await http.get(f"/v1/bookings/{booking['id']}", headers=customer)).json() == booking
    left = problem(
        await http.post(sale.bookings_url, json={"quantity": 4, "category": "Standing"}, headers=customer),
        409,
        "not_enough_seats",
    )
    assert left["available"] == 3


async def test_T7_2_unknown_schedule_is_not_found(http: httpx.AsyncClient) -> None:
    customer = await sign_up(http)
    for schedule_id in (NOWHERE, "not-an-id"):
        answer = await http.post(f"/v1/schedules/{schedule_id}/bookings", json={"quantity": 1}, headers=customer)
        problem(answer, 404, "schedule_not_found")


async def test_T7_3_quantity_beyond_what_is_left_is_refused_with_what_is_left(http: httpx.AsyncClient) -> None:
    sale, customer = await open_sale(http, plan=small_plan(rows=2, seats_per_row=4)), await sign_up(http)
    await hold(http, sale, customer, quantity=3, category="VIP")
    answer = await http.post(sale.bookings_url, json={"quantity": 2, "category": "VIP"}, headers=customer)
    assert problem(answer, 409, "not_enough_seats")["available"] == 1
    answer = await http.post(sale.bookings_url, json={"quantity": 6}, headers=customer)
    assert problem(answer, 409, "not_enough_seats")["available"] == 5


async def test_taken_seats_are_named_and_the_group_is_all_or_nothing(http: httpx.AsyncClient, sale: Sale) -> None:
    first, second = await sign_up(http), await sign_up(http)
    mine, contested, left = sale.fresh(3)
    await hold(http, sale, first, mine, contested)
    answer = await http.post(sale.bookings_url, json={"seats": [contested, left]}, headers=second)
    assert problem(answer, 409, "seats_unavailable")["seats"] == [contested]
    assert seat_ids(await hold(http, sale, second, left)) == [left]


async def test_one_of_many_at_the_same_seat_gets_it(http: httpx.AsyncClient, sale: Sale) -> None:
    customers = [await sign_up(http) for _ in range(4)]
    seats = sale.fresh()
    answers = await asyncio.gather(
        *(http.post(sale.bookings_url, json={"seats": seats}, headers=each) for each in customers * 4)
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 15


async def test_customer_limit_is_told_with_the_limit(http: httpx.AsyncClient) -> None:
    sale, customer = await open_sale(http, max_seats_per_customer=2), await sign_up(http)
    await hold(http, sale, customer, quantity=2)
    answer = await http.post(sale.bookings_url, json={"quantity": 1}, headers=customer)
    assert problem(answer, 409, "customer_limit_reached")["limit"] == 2


async def test_sale_that_has_not_opened_says_when_it_will(http: httpx.AsyncClient) -> None:
    opens = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    sale, customer = await open_sale(http, sale_opens_at=opens.isoformat()), await sign_up(http)
    answer = await http.post(sale.bookings_url, json={"quantity": 1}, headers=customer)
    assert datetime.fromisoformat(problem(answer, 409, "sale_not_open")["at"]) == opens


async def test_only_customers_book(http: httpx.AsyncClient, sale: Sale) -> None:
    problem(await http.post(sale.bookings_url, json={"quantity": 1}), 401, "unauthenticated")
    problem(await http.post(sale.bookings_url, json={"quantity": 1}, headers=sale.organizer), 403, "forbidden")


# --- T8: reading orders -----------------------------------------------------------------------------------------------
async def test_T8_1_order_is_read_back_exactly_as_it_was_answered(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, *sale.fresh(2))
    answer = await http.get(f"/v1/bookings/{booking['id']}", headers=customer)
    assert (answer.status_code, answer.json()) == (200, booking)


async def test_T8_2_own_orders_are_listed_newest_first_and_page_by_page(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    await hold(http, sale, await sign_up(http), *sale.fresh())
    bookings = [await hold(http, sale, customer, *sale.fresh()) for _ in range(3)]
    answer = await http.get("/v1/bookings", headers=customer)
    assert answer.json() == {"items": bookings[::-1], "next_cursor": None}
    first = (await http.get("/v1/bookings", params={"limit": 2}, headers=customer)).json()
    rest = (
        await http.get("/v1/bookings", params={"limit": 2, "cursor": first["next_cursor"]}, headers=customer)
    ).json()
    assert first["items"] + rest["items"] == bookings[::-1]
    assert rest["next_cursor"] is None


async def test_T8_2_orders_are_filtered_by_status_performance_and_schedule(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, sales = await sign_up(http), [sale, await open_sale(http)]
    first, second = [await hold(http, each, customer, *each.fresh()) for each in sales]
    cancelled = await hold(http, sales[1], customer, *sales[1].fresh())
    await http.delete(f"/v1/bookings/{cancelled['id']}", headers=customer)

    async def listed(**filters: str) -> list[str]:
        answer = await http.get("/v1/bookings", params=filters, headers=customer)
        return [item["id"] for item in answer.json()["items"]]

    assert await listed(performance_id=sales[0].performance_id) == [first["id"]]
    assert await listed(schedule_id=sales[1].schedule_id) == [cancelled["id"], second["id"]]
    assert await listed(status="held") == [second["id"], first["id"]]
    assert await listed(status="cancelled") == [cancelled["id"]]
    assert await listed(status="confirmed") == []
    for wrong in ({"status": "lost"}, {"performance_id": "x"}, {"limit": "0"}, {"cursor": "x"}):
        problem(await http.get("/v1/bookings", params=wrong, headers=customer), 422, "validation_failed")


async def test_T8_3_unknown_order_is_not_found(http: httpx.AsyncClient) -> None:
    customer = await sign_up(http)
    for booking_id in (NOWHERE, "not-an-id"):
        problem(await http.get(f"/v1/bookings/{booking_id}", headers=customer), 404, "booking_not_found")


async def test_somebody_else_s_order_is_not_found_whatever_is_done_to_it(http: httpx.AsyncClient, sale: Sale) -> None:
    owner, stranger = await sign_up(http), await sign_up(http)
    mine, other = sale.fresh(2)
    booking = await hold(http, sale, owner, mine)
    url = f"/v1/bookings/{booking['id']}"
    card = {"method": {"type": "card", "token": "tok_approve"}}
    for answer in (
        await http.get(url, headers=stranger),
        await http.patch(url, json={"seats": [other]}, headers=stranger),
        await http.patch(url, json={"schedule_id": NOWHERE, "seats": [other]}, headers=stranger),
        await http.delete(url, headers=stranger),
        await http.post(f"{url}/cancellation", json={}, headers=stranger),
        await http.get(f"{url}/cancellation", headers=stranger),
        await http.post(f"{url}/extension", headers=stranger),
        await http.post(f"{url}/payments", json=card, headers=stranger),
    ):
        problem(answer, 404, "booking_not_found")
    assert (await http.get(url, headers=owner)).json() == booking


# --- T9: cancelling ---------------------------------------------------------------------------------------------------
async def test_T9_1_cancelled_order_s_seats_are_free_again_at_once(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, next_one = await sign_up(http), await sign_up(http)
    seats = sale.fresh(2)
    booking = await hold(http, sale, customer, *seats)
    url = f"/v1/bookings/{booking['id']}"
    answer = await http.post(f"{url}/cancellation", json={"reason": "cannot come"}, headers=customer)
    assert answer.status_code == 201
    cancellation = answer.json()
    assert cancellation["booking_id"] == booking["id"]
    assert (cancellation["reason"], cancellation["by"]) == ("cannot come", "customer")
    assert seat_ids(await hold(http, sale, next_one, *seats)) == seats
    assert (await http.get(url, headers=customer)).json()["status"] == "cancelled"
    assert (await http.get(f"{url}/cancellation", headers=customer)).json() == cancellation
    assert (await http.get("/v1/cancellations", headers=customer)).json()["items"] == [cancellation]


async def test_T9_1_cancelled_seats_are_shown_as_free(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    (seat,) = sale.fresh()
    booking = await hold(http, sale, customer, seat)
    await shown(http, sale, [seat], free=False)
    await http.delete(f"/v1/bookings/{booking['id']}", headers=customer)
    await shown(http, sale, [seat], free=True)


async def test_T9_1_delete_cancels_too(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, *sale.fresh())
    answer = await http.delete(f"/v1/bookings/{booking['id']}", headers=customer)
    assert (answer.status_code, answer.json()["booking_id"]) == (201, booking["id"])


async def test_T9_2_unknown_order_cannot_be_cancelled(http: httpx.AsyncClient) -> None:
    customer = await sign_up(http)
    problem(await http.post(f"/v1/bookings/{NOWHERE}/cancellation", headers=customer), 404, "booking_not_found")
    problem(await http.delete(f"/v1/bookings/{NOWHERE}", headers=customer), 404, "booking_not_found")


async def test_T9_3_cancelled_order_cannot_be_cancelled_again(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    url = f"/v1/bookings/{(await hold(http, sale, customer, *sale.fresh()))['id']}"
    first = (await http.post(f"{url}/cancellation", headers=customer)).json()
    for answer in (await http.post(f"{url}/cancellation", headers=customer), await http.delete(url, headers=customer)):
        problem(answer, 409, "booking_already_cancelled")
    assert (await http.get(f"{url}/cancellation", headers=customer)).json() == first


async def test_reason_of_a_cancellation_can_be_reworded_and_a_live_booking_has_none(
    http: httpx.AsyncClient, sale: Sale
) -> None:
    customer = await sign_up(http)
    url = f"/v1/bookings/{(await hold(http, sale, customer, *sale.fresh()))['id']}/cancellation"
    problem(await http.get(url, headers=customer), 404, "cancellation_not_found")
    problem(await http.patch(url, json={"reason": "x"}, headers=customer), 404, "cancellation_not_found")
    await http.post(url, headers=customer)
    assert (await http.patch(url, json={"reason": "ill"}, headers=customer)).json()["reason"] == "ill"
    assert (await http.get(url, headers=customer)).json()["reason"] == "ill"
    problem(await http.patch(url, json={"reason": "x" * 501}, headers=customer), 422, "validation_failed")


# --- exchange, extend, expire -----------------------------------------------------------------------------------------
async def test_exchange_keeps_what_stays_and_frees_what_goes(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, other = await sign_up(http), await sign_up(http)
    (goes, stays), cheaper = sale.fresh(2), sale.seats[-1]
    booking = await hold(http, sale, customer, goes, stays)
    url = f"/v1/bookings/{booking['id']}"
    answer = await http.patch(url, json={"seats": [stays, cheaper]}, headers=customer)
    assert answer.status_code == 200
    assert (seat_ids(answer.json()), answer.json()["amount"]) == ([stays, cheaper], 205_000)
    assert answer.json() == (await http.get(url, headers=customer)).json()
    await hold(http, sale, other, goes)


async def test_refused_exchange_leaves_the_old_seats(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, other = await sign_up(http), await sign_up(http)
    mine, taken, left = sale.fresh(3)
    booking = await hold(http, sale, customer, mine)
    await hold(http, sale, other, taken)
    url = f"/v1/bookings/{booking['id']}"
    answer = await http.patch(url, json={"seats": [taken, left]}, headers=customer)
    assert problem(answer, 409, "seats_unavailable")["seats"] == [taken]
    problem(await http.patch(url, json={}, headers=customer), 422, "validation_failed")
    elsewhere = await http.patch(url, json={"schedule_id": NOWHERE, "seats": [left]}, headers=customer)
    problem(elsewhere, 404, "schedule_not_found")
    assert (await http.get(url, headers=customer)).json() == booking


async def test_extension_starts_the_hold_anew(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, *sale.fresh())
    answer = await http.post(f"/v1/bookings/{booking['id']}/extension", headers=customer)
    assert answer.status_code == 201
    assert answer.json()["expires_at"] > booking["expires_at"]
    await http.delete(f"/v1/bookings/{booking['id']}", headers=customer)
    again = await http.post(f"/v1/bookings/{booking['id']}/extension", headers=customer)
    problem(again, 409, "booking_already_cancelled")


# --- idempotency ------------------------------------------------------------------------------------------------------
async def test_same_key_and_body_give_the_first_answer_again(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    headers = customer | {"Idempotency-Key": uuid4().hex}
    first = await hold(http, sale, headers, quantity=2, category="Standard")
    assert await hold(http, sale, headers, quantity=2, category="Standard") == first
    assert len((await http.get("/v1/bookings", headers=customer)).json()["items"]) == 1
    other = await http.post(sale.bookings_url, json={"quantity": 3}, headers=headers)
    problem(other, 422, "idempotency_key_reused")


async def test_same_key_at_once_books_once(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    headers, wish = customer | {"Idempotency-Key": uuid4().hex}, {"quantity": 1, "category": "Standard"}
    answers = await asyncio.gather(*(http.post(sale.bookings_url, json=wish, headers=headers) for _ in range(10)))
    made = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert len(set(made)) == 1
    for answer in answers:
        if answer.status_code != 201:
            problem(answer, 409, "idempotency_in_progress")


async def test_same_key_cancels_once_and_answers_the_same_cancellation(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    url = f"/v1/bookings/{(await hold(http, sale, customer, *sale.fresh()))['id']}/cancellation"
    headers = customer | {"Idempotency-Key": uuid4().hex}
    answers = [await http.post(url, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()


async def test_same_key_of_two_customers_is_two_wishes(http: httpx.AsyncClient, sale: Sale) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    bookings: list[dict[str, Any]] = [
        await hold(http, sale, await sign_up(http) | key, quantity=1, category="Standard") for _ in range(2)
    ]
    assert bookings[0]["id"] != bookings[1]["id"]


async def test_problem_is_told_in_korean_to_who_prefers_it(http: httpx.AsyncClient) -> None:
    customer = await sign_up(http)
    answer = await http.get(f"/v1/bookings/{NOWHERE}", headers=customer | {"Accept-Language": "ko-KR"})
    assert problem(answer, 404, "booking_not_found")["title"] == "없는 예매"


# --- what a booking is of, and what it is called ----------------------------------------------------------------------
async def test_booking_says_what_is_played_where_and_until_when_it_can_be_given_back(http: httpx.AsyncClient) -> None:
    steps = [{"days_before": 2, "fee_percent": 10}, {"days_before": 1, "fee_percent": 50}]
    sale, customer = await open_sale(http, refund_policy=steps), await sign_up(http)
    answer = await http.post(sale.bookings_url, json={"quantity": 1}, headers=customer)
    booking = answer.json()
    title = (await http.get(f"/v1/performances/{sale.performance_id}")).json()["title"]
    said = booking["schedule"]
    assert (said["performance_title"], said["venue_name"], said["time_zone"]) == (title, "A house", "Asia/Seoul")
    starts_at, ends_at = (datetime.fromisoformat(said[name]) for name in ("starts_at", "ends_at"))
    assert (starts_at, ends_at - starts_at) == (sale.starts_at, timedelta(minutes=90))
    assert [step["fee_percent"] for step in booking["refund_terms"]] == [10, 50]
    until = [datetime.fromisoformat(step["until"]) for step in booking["refund_terms"]]
    assert sorted(until) == until
    assert all(each < sale.starts_at for each in until)
    # The policy is the one it was booked by, whatever holds for those who book now.
    url = f"/v1/schedules/{sale.schedule_id}"
    assert (await http.patch(url, json={"refund_policy": []}, headers=sale.organizer)).status_code == 200
    again = await http.get(f"/v1/bookings/{booking['id']}", headers=customer)
    assert again.json() == booking
    for each in (answer, again):
        told = datetime.fromisoformat(each.headers["server-time"])
        assert abs(told - datetime.now(UTC)) < timedelta(minutes=1)


async def test_booking_is_found_by_its_number(http: httpx.AsyncClient, sale: Sale, stack: Stack) -> None:
    customer, admin = await sign_up(http), await log_in_admin(http, stack)
    booking, _ = await paid_booking(http, sale, customer, *sale.fresh(1))
    held = await hold(http, sale, customer, *sale.fresh(1))
    assert booking["number"] != held["number"]

    async def found(number: str, **more: str) -> list[str]:
        page = await read(http, "/v1/admin/bookings", admin, number=number, **more)
        return [each["id"] for each in page["items"]]

    for spelling in (booking["number"], booking["number"].lower().replace("-", " ")):
        assert await found(spelling) == [booking["id"]]
    assert await found(held["number"], schedule_id=sale.schedule_id) == [held["id"]]
    assert await found("AAAA-AAAA") == []


async def test_so_many_instead_and_others_than_those_offered(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, quantity=2, category="Standard")
    url, offered = f"/v1/bookings/{booking['id']}", seat_ids(booking)
    more = await http.patch(url, json={"quantity": 3}, headers=customer)
    assert more.status_code == 200, more.text
    assert {seat["category"] for seat in more.json()["seats"]} == {"Standard"}
    assert (len(more.json()["seats"]), more.json()["amount"]) == (3, 3 * 55_000)
    others = await http.patch(url, json={"quantity": 2, "exclude": offered}, headers=customer)
    assert not set(seat_ids(others.json())) & set(offered)
    left = await http.patch(url, json={"quantity": 100, "adjacent": True}, headers=customer)
    assert problem(left, 409, "not_enough_seats")["available"] > 0
    assert (await http.get(url, headers=customer)).json()["seats"] == others.json()["seats"]
    for body in ({}, {"seats": offered, "quantity": 2}, {"seats": offered, "exclude": offered}):
        problem(await http.patch(url, json=body, headers=customer), 422, "validation_failed")
