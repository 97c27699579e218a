"""Payments over HTTP against the running system and its payment sandbox: T10 of the customer's list, and bad days."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from actors.process.settings import Settings
from persistence.embedded.instance import kept_secret
from persistence.providers.sandbox import SIGNATURE_HEADER, sign, webhook_key
from tests.support.sale import (
    Sale,
    free_seats,
    hold,
    open_sale,
    pay,
    problem,
    seat_ids,
    shown,
    sign_up,
    small_plan,
    until,
)

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = pytest.mark.stack

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
async def sale(stack: Stack) -> Sale:
    """One house for all tests: 100 VIP seats, then 100 Standard."""
    async with stack.client() as client:
        return await open_sale(client, plan=small_plan(rows=10, seats_per_row=20))


@pytest.fixture(scope="module")
async def free_sale(stack: Stack) -> Sale:
    """A house whose VIP seats cost nothing."""
    async with stack.client() as client:
        return await open_sale(client, prices={"VIP": 0, "Standard": 55_000})


async def held(http: httpx.AsyncClient, sale: Sale, *seats: str) -> tuple[dict[str, str], dict[str, Any]]:
    """A new customer, and the customer's booking: a VIP seat and the seats named."""
    customer = await sign_up(http)
    return customer, await hold(http, sale, customer, *sale.fresh(), *seats)


async def booking_of(http: httpx.AsyncClient, booking: Mapping[str, Any], customer: dict[str, str]) -> dict[str, Any]:
    answer = await http.get(f"/v1/bookings/{booking['id']}", headers=customer)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def payments_of(http: httpx.AsyncClient, customer: dict[str, str], **filters: str) -> list[dict[str, Any]]:
    answer = await http.get("/v1/payments", params=filters, headers=customer)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


# --- T10 --------------------------------------------------------------------------------------------------------------
@pytest.mark.smoke
async def test_T10_1_held_order_is_paid_and_confirmed(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking = await held(http, sale, sale.seats[-1])
    answer = await pay(http, booking, customer)
    assert answer.status_code == 201, answer.text
    paid = answer.json()
    assert answer.headers["location"] == f"/v1/payments/{paid['id']}"
    assert (paid["status"], paid["amount"], paid["currency"]) == ("approved", 205_000, "KRW")
    assert paid["reference"].startswith("sbx_")
    confirmed = paid.pop("booking")
    assert (confirmed["status"], confirmed["expires_at"]) == ("confirmed", None)
    assert confirmed["seats"] == booking["seats"]
    assert confirmed["payment"] == paid
    assert await booking_of(http, booking, customer) == confirmed
    assert (await http.get(f"/v1/payments/{paid['id']}", headers=customer)).json() == paid
    assert await payments_of(http, customer) == [paid]


@pytest.mark.smoke
async def test_T10_2_paid_order_cannot_be_cancelled_and_the_answer_points_to_the_refund(
    http: httpx.AsyncClient,
    sale: Sale,
) -> None:
    customer, booking = await held(http, sale)
    paid = (await pay(http, booking, customer)).json()
    url = f"/v1/bookings/{booking['id']}"
    for answer in (await http.post(f"{url}/cancellation", headers=customer), await http.delete(url, headers=customer)):
        assert problem(answer, 409, "booking_paid")["refund_url"] == f"/v1/payments/{paid['id']}/refunds"
    assert (await booking_of(http, booking, customer))["status"] == "confirmed"
    taken = await http.post(sale.bookings_url, json={"seats": seat_ids(booking)}, headers=await sign_up(http))
    problem(taken, 409, "seats_unavailable")


@pytest.mark.smoke
async def test_T10_3_unpaid_order_can_be_cancelled_also_after_a_declined_payment(
    http: httpx.AsyncClient, sale: Sale
) -> None:
    customer, booking = await held(http, sale)
    problem(await pay(http, booking, customer, "tok_decline_lost_card"), 402, "payment_declined")
    answer = await http.post(f"/v1/bookings/{booking['id']}/cancellation", headers=customer)
    assert answer.status_code == 201
    problem(await pay(http, booking, customer), 409, "booking_already_cancelled")


# --- what a provider can say ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("tok_decline_insufficient_funds", "insufficient_funds"),
        ("tok_decline_lost_card", "lost_card"),
        ("tok_nobody_knows", "unknown_token"),
    ],
)
async def test_declined_payment_names_the_reason_keeps_the_hold_and_can_be_tried_again(
    http: httpx.AsyncClient, sale: Sale, token: str, reason: str
) -> None:
    customer, booking = await held(http, sale)
    declined = problem(await pay(http, booking, customer, token), 402, "payment_declined")
    assert declined["reason"] == reason
    now = await booking_of(http, booking, customer)
    assert (now["status"], now["expires_at"], now["seats"]) == ("held", booking["expires_at"], booking["seats"])
    assert (now["payment"]["status"], now["payment"]["reason"]) == ("declined", reason)
    assert (await pay(http, booking, customer)).status_code == 201
    assert [each["status"] for each in await payments_of(http, customer)] == ["approved", "declined"]
    assert [each["id"] for each in await payments_of(http, customer, status="declined")] == [declined["payment_id"]]
    assert await payments_of(http, customer, booking_id=NOWHERE) == []


async def test_slow_provider_is_waited_for(http: httpx.AsyncClient, sale: Sale) -> None:
    for _ in range(3):  # it takes three of the five seconds that it may, and a busy machine takes its part
        customer, booking = await held(http, sale)
        answer = await pay(http, booking, customer, "tok_slow")
        if answer.status_code != httpx.codes.ACCEPTED:
            break
    assert (answer.status_code, answer.json()["status"]) == (201, "approved")


@pytest.mark.parametrize(
    ("token", "payment_status", "booking_status"),
    [("tok_timeout_charged", "approved", "confirmed"), ("tok_timeout_uncharged", "declined", "held")],
)
async def test_silent_provider_leaves_the_payment_pending_until_the_truth_arrives(
    http: httpx.AsyncClient, sale: Sale, token: str, payment_status: str, booking_status: str
) -> None:
    customer, booking = await held(http, sale)
    await shown(http, sale, seat_ids(booking), free=False)
    answer = await pay(http, booking, customer, token)
    assert answer.status_code == 202, answer.text
    pending = answer.json()
    assert (pending["status"], pending["booking"]["status"]) == ("pending", "held")
    assert int(answer.headers["retry-after"]) > 0

    async def status() -> str:
        payment = (await http.get(f"/v1/payments/{pending['id']}", headers=customer)).json()
        return str(payment["status"])

    async def settled() -> bool:
        return await status() == payment_status

    # Nothing moves while money may be on its way.
    again = await pay(http, booking, customer)
    cancelled = await http.delete(f"/v1/bookings/{booking['id']}", headers=customer)
    free = await free_seats(http, sale)
    if await status() != "pending":
        pytest.skip("on this machine the truth has come before anybody could ask")
    problem(again, 409, "payment_in_progress")
    problem(cancelled, 409, "payment_in_progress")
    assert not set(seat_ids(booking)) & free
    await until(settled)
    assert (await booking_of(http, booking, customer))["status"] == booking_status
    if booking_status == "held":
        assert (await pay(http, booking, customer)).status_code == 201


async def test_customer_who_hangs_up_while_paying_has_paid(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking = await held(http, sale)
    with contextlib.suppress(httpx.TimeoutException):
        await http.post(
            f"/v1/bookings/{booking['id']}/payments",
            json={"method": {"type": "card", "token": "tok_slow"}},
            headers=customer,
            timeout=1.0,  # the provider takes longer
        )

    async def confirmed() -> bool:
        return bool((await booking_of(http, booking, customer))["status"] == "confirmed")

    await until(confirmed)


async def test_client_cannot_choose_what_to_pay(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking = await held(http, sale)
    body = {"method": {"type": "card", "token": "tok_approve"}, "amount": 1, "currency": "XXX"}
    paid = (await http.post(f"/v1/bookings/{booking['id']}/payments", json=body, headers=customer)).json()
    assert (paid["amount"], paid["currency"]) == (150_000, "KRW")


async def test_free_booking_is_confirmed_without_a_provider(http: httpx.AsyncClient, free_sale: Sale) -> None:
    customer, booking = await held(http, free_sale)
    answer = await pay(http, booking, customer)
    assert answer.status_code == 201, answer.text
    free = answer.json()
    assert (free["id"], free["status"], free["amount"], free["provider"]) == (None, "approved", 0, None)
    assert free["booking"] == await booking_of(http, booking, customer)
    assert free["booking"]["status"] == "confirmed"
    problem(await pay(http, booking, customer), 409, "booking_already_paid")
    assert await payments_of(http, customer) == []
    cancelled = await http.post(f"/v1/bookings/{booking['id']}/cancellation", headers=customer)
    assert cancelled.status_code == 201, "there is no money to refund"


async def test_free_booking_exchanged_for_paid_seats_is_charged(http: httpx.AsyncClient, free_sale: Sale) -> None:
    customer, booking = await held(http, free_sale)
    await http.patch(f"/v1/bookings/{booking['id']}", json={"seats": [free_sale.seats[-1]]}, headers=customer)
    paid = (await pay(http, booking, customer)).json()
    assert (paid["status"], paid["amount"]) == ("approved", 55_000)


# --- once -------------------------------------------------------------------------------------------------------------
async def test_two_payments_at_once_charge_once(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking = await held(http, sale)
    answers = await asyncio.gather(*(pay(http, booking, customer) for _ in range(6)))
    assert [answer.status_code for answer in answers].count(201) == 1
    for answer in answers:
        if answer.status_code != 201:
            assert answer.status_code == 409
            assert answer.json()["code"] in ("payment_in_progress", "booking_already_paid")
    assert [each["status"] for each in await payments_of(http, customer)] == ["approved"]


async def test_paid_booking_is_not_paid_again(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking = await held(http, sale)
    await pay(http, booking, customer)
    problem(await pay(http, booking, customer), 409, "booking_already_paid")
    assert len(await payments_of(http, customer)) == 1


async def test_same_key_answers_the_same_payment(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking = await held(http, sale)
    headers = customer | {"Idempotency-Key": uuid4().hex}
    first, again = await pay(http, booking, headers), await pay(http, booking, headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    problem(await pay(http, booking, headers, "tok_slow"), 422, "idempotency_key_reused")
    assert len(await payments_of(http, customer)) == 1


async def test_same_key_answers_the_same_decline_also_after_a_later_success(
    http: httpx.AsyncClient, sale: Sale
) -> None:
    customer, booking = await held(http, sale)
    headers = customer | {"Idempotency-Key": uuid4().hex}
    first = problem(await pay(http, booking, headers, "tok_decline_lost_card"), 402, "payment_declined")
    assert (await pay(http, booking, customer)).status_code == 201
    again = problem(await pay(http, booking, headers, "tok_decline_lost_card"), 402, "payment_declined")
    assert (again["payment_id"], again["reason"]) == (first["payment_id"], "lost_card")


async def test_same_key_of_a_pending_payment_finds_out_and_charges_once(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking = await held(http, sale)
    headers = customer | {"Idempotency-Key": uuid4().hex}
    pending = (await pay(http, booking, headers, "tok_timeout_charged")).json()
    again = await pay(http, booking, headers, "tok_timeout_charged")
    assert (again.status_code, again.json()["id"]) == (201, pending["id"])
    assert [each["id"] for each in await payments_of(http, customer)] == [pending["id"]]


# --- whose ------------------------------------------------------------------------------------------------------------
async def test_somebody_else_s_and_unknown_payments_are_not_found(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking = await held(http, sale)
    paid = (await pay(http, booking, customer)).json()
    stranger = await sign_up(http)
    for payment_id in (paid["id"], NOWHERE, "not-an-id"):
        problem(await http.get(f"/v1/payments/{payment_id}", headers=stranger), 404, "payment_not_found")
    problem(await http.get(f"/v1/payments/{paid['id']}"), 401, "unauthenticated")
    assert await payments_of(http, stranger) == []


async def test_payments_are_listed_page_by_page(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking = await held(http, sale)
    for _ in range(3):
        await pay(http, booking, customer, "tok_decline_lost_card")
    everything = await payments_of(http, customer)
    page = (await http.get("/v1/payments", params={"limit": 2}, headers=customer)).json()
    rest = await payments_of(http, customer, cursor=page["next_cursor"])
    assert page["items"] + rest == everything
    assert len(everything) == 3


# --- crashes ----------------------------------------------------------------------------------------------------------
async def test_worker_killed_while_the_provider_answers_charges_once_and_the_same_key_finds_out(
    stack: Stack, sale: Sale, http: httpx.AsyncClient
) -> None:
    customer, booking = await held(http, sale)
    headers = customer | {"Idempotency-Key": uuid4().hex}
    async with stack.client() as doomed:
        paying = asyncio.create_task(pay(doomed, booking, headers, "tok_slow"))

        async def requested() -> bool:
            return bool(await payments_of(http, customer, status="pending"))

        await until(requested)
        workers = [name for name in stack.run.processes if name.startswith("worker-")]
        killed = {name: await stack.kill(name) for name in workers}
        with pytest.raises(httpx.TransportError):
            await paying
    for name, pid in killed.items():
        await stack.replaced(name, pid)
    await stack.answers()
    async with stack.client() as again:
        answer = await pay(again, booking, headers, "tok_slow")
        assert answer.status_code == 201, answer.text
        assert answer.json()["booking"]["status"] == "confirmed"
        assert [each["id"] for each in await payments_of(again, customer)] == [answer.json()["id"]]


async def test_sandbox_killed_after_it_has_charged_still_tells_so(
    stack: Stack, sale: Sale, http: httpx.AsyncClient
) -> None:
    customer, booking = await held(http, sale)
    pending = await pay(http, booking, customer, "tok_timeout_charged")
    assert pending.status_code == 202, pending.text
    await stack.replaced("sandbox", await stack.kill("sandbox"))

    async def confirmed() -> bool:
        return bool((await booking_of(http, booking, customer))["status"] == "confirmed")

    await until(confirmed)


async def test_card_token_is_nowhere_in_the_database(stack: Stack, sale: Sale, http: httpx.AsyncClient) -> None:
    token = f"tok_{uuid4().hex}"
    customer, booking = await held(http, sale)
    headers = customer | {"Idempotency-Key": uuid4().hex}
    problem(await pay(http, booking, headers, token), 402, "payment_declined")
    connection = await asyncpg.connect(stack.database_url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert {"journal", "payments"} <= {row["tablename"] for row in tables}
        for row in tables:
            count = await connection.fetchval(
                f"""SELECT count(*) FROM "{row["tablename"]}" AS t WHERE t::text LIKE $1 OR t::text LIKE $2""",
                f"%{token}%",
                f"%{token.encode().hex()}%",  # as bytea is written
            )
            assert count == 0, row["tablename"]
    finally:
        await connection.close()
    assert token not in stack.log.read_text()


# --- webhooks ---------------------------------------------------------------------------------------------------------
async def test_webhook_without_a_good_signature_is_refused(http: httpx.AsyncClient) -> None:
    body = b'{"id": "whk_1", "type": "payment.approved", "data": {"id": "' + NOWHERE.encode() + b'"}}'
    for headers in ({}, {SIGNATURE_HEADER: "t=1,v1=00"}, {SIGNATURE_HEADER: "nonsense"}):
        problem(await http.post("/v1/webhooks/sandbox", content=body, headers=headers), 400, "bad_signature")


async def test_webhook_of_an_unknown_provider_is_not_found(http: httpx.AsyncClient) -> None:
    problem(await http.post("/v1/webhooks/nobody", content=b"{}"), 404, "provider_not_found")


def signed(stack: Stack, message: dict[str, Any]) -> dict[str, Any]:
    """A webhook as the sandbox would send it."""
    body = json.dumps(message).encode()
    key = webhook_key(Settings(secret=kept_secret(stack.data_dir / "secret")).sandbox_secrets[0])
    return {"content": body, "headers": {SIGNATURE_HEADER: sign(key, body, int(time.time()))}}


async def test_signed_webhook_that_means_nothing_to_us_is_received(stack: Stack, http: httpx.AsyncClient) -> None:
    for message in (
        {"id": "whk_1", "type": "balance.changed", "data": {}},
        {"id": "whk_2", "type": "payment.approved", "data": {"id": NOWHERE}},
        {"id": "whk_3", "type": "payment.approved", "data": {"id": "'; DROP TABLE payments"}},
    ):
        assert (await http.post("/v1/webhooks/sandbox", **signed(stack, message))).status_code == 200


async def test_webhook_that_claims_more_than_the_provider_knows_changes_nothing(
    stack: Stack, sale: Sale, http: httpx.AsyncClient
) -> None:
    customer, booking = await held(http, sale)
    declined = problem(await pay(http, booking, customer, "tok_decline_lost_card"), 402, "payment_declined")
    before = await booking_of(http, booking, customer)
    claim = {"id": "whk_4", "type": "payment.approved", "data": {"id": declined["payment_id"], "status": "approved"}}
    for _ in range(2):
        assert (await http.post("/v1/webhooks/sandbox", **signed(stack, claim))).status_code == 200
    assert await booking_of(http, booking, customer) == before
