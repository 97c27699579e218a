"""Refunds over HTTP against the running system and its payment sandbox: what is given back, to whom, and how surely."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

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
    shown,
    sign_up,
    small_plan,
    until,
)

pytestmark = pytest.mark.stack

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"
ODD = {"VIP": 150_001, "Standard": 55_555, "Standing": 33_333}


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    """More than a month ahead: giving back is free of charge."""
    return await open_sale(http, plan=small_plan(rows=10, seats_per_row=20, standing=50), prices=ODD)


@pytest.fixture(scope="module")
async def near(http: httpx.AsyncClient) -> Sale:
    """Eight days ahead: by the usual scale a tenth of the price is kept."""
    starts_at = datetime.now(UTC) + timedelta(days=8)
    return await open_sale(http, plan=small_plan(standing=50), prices=ODD, starts_at=starts_at.isoformat())


@pytest.fixture(scope="module")
async def admin(http: httpx.AsyncClient, stack: Stack) -> dict[str, str]:
    return await log_in_admin(http, stack)


async def bought(
    http: httpx.AsyncClient, sale: Sale, *seats: str, token: str = "tok_approve"
) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
    """A new customer, and what the customer has booked and paid."""
    customer = await sign_up(http)
    return customer, *await paid_booking(http, sale, customer, *seats, token=token)


# --- what is given back -----------------------------------------------------------------------------------------------
async def test_T10_2_paid_order_is_refunded_instead_and_its_seats_are_free_again_at_once(
    http: httpx.AsyncClient, sale: Sale
) -> None:
    customer, booking, payment = await bought(http, sale, *sale.fresh(2))
    url = problem(await http.delete(f"/v1/bookings/{booking['id']}", headers=customer), 409, "booking_paid")
    answer = await http.post(url["refund_url"], json={"reason": "cannot come"}, headers=customer)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/v1/refunds/{made['id']}"
    assert (made["status"], made["amount"], made["fee"], made["currency"]) == ("completed", 300_002, 0, "KRW")
    assert (made["seats"], made["reason"], made["by"]) == (seat_ids(booking), "cannot come", "customer")
    assert (made["payment_id"], made["booking_id"]) == (payment["id"], booking["id"])
    assert made["reference"].startswith("sbr_")
    assert made["settled_at"] >= made["requested_at"]
    ended = made.pop("booking")
    assert (ended["status"], ended["expires_at"], ended["refunds"]) == ("refunded", None, [made])
    assert (ended["payment"]["status"], ended["payment"]["refunded"]) == ("refunded", 300_002)
    again = await http.post(sale.bookings_url, json={"seats": seat_ids(booking)}, headers=await sign_up(http))
    assert again.status_code == 201, again.text


async def test_refunded_order_is_shown_as_such_everywhere(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking, payment = await bought(http, sale, *sale.fresh(1))
    made = (await refund(http, payment, customer, reason="a cold")).json()
    ended = made.pop("booking")
    assert await read(http, f"/v1/bookings/{booking['id']}", customer) == ended
    assert (await read(http, "/v1/bookings", customer, status="refunded"))["items"] == [ended]
    assert (await read(http, "/v1/bookings", customer, status="confirmed"))["items"] == []
    assert await read(http, f"/v1/payments/{payment['id']}", customer) == ended["payment"]
    assert (await read(http, "/v1/payments", customer, status="refunded"))["items"] == [ended["payment"]]
    assert (await read(http, "/v1/payments", customer, status="approved"))["items"] == []
    assert (await read(http, f"/v1/payments/{payment['id']}/refunds", customer))["items"] == [made]
    assert await read(http, f"/v1/refunds/{made['id']}", customer) == made
    cancellation = await read(http, f"/v1/bookings/{booking['id']}/cancellation", customer)
    assert (cancellation["id"], cancellation["reason"], cancellation["refund"]) == (made["id"], "a cold", made)
    assert (await read(http, "/v1/cancellations", customer))["items"] == [cancellation]
    organizer_s = f"/v1/organizer/schedules/{sale.schedule_id}/bookings"
    shown = (await read(http, organizer_s, sale.organizer, status="refunded"))["items"]
    assert ended in [{name: each[name] for name in ended} for each in shown]

    reworded = await http.patch(
        f"/v1/bookings/{booking['id']}/cancellation", json={"reason": "the flu"}, headers=customer
    )
    assert reworded.json() == cancellation | {"reason": "the flu"}


async def test_T9_3_refunded_order_cannot_be_cancelled_paid_changed_or_refunded_again(
    http: httpx.AsyncClient, sale: Sale
) -> None:
    customer, booking, payment = await bought(http, sale, *sale.fresh(1))
    assert (await refund(http, payment, customer)).status_code == 201
    url = f"/v1/bookings/{booking['id']}"
    problem(await http.post(f"{url}/cancellation", headers=customer), 409, "booking_already_cancelled")
    problem(await http.delete(url, headers=customer), 409, "booking_already_cancelled")
    problem(await pay(http, booking, customer), 409, "booking_already_cancelled")
    change = await http.patch(url, json={"seats": sale.fresh(1)}, headers=customer)
    problem(change, 409, "booking_already_cancelled")
    problem(await refund(http, payment, customer), 409, "already_refunded")
    quote = await http.get(f"/v1/payments/{payment['id']}/refund_quote", headers=customer)
    problem(quote, 409, "already_refunded")


async def test_seats_given_back_one_by_one_come_to_what_all_together_would_have(
    http: httpx.AsyncClient, near: Sale
) -> None:
    seats = [*near.fresh(2), near.seats[-1], near.areas[0], near.areas[0]]
    customer, booking, payment = await bought(http, near, *seats)
    url = f"/v1/payments/{payment['id']}"
    whole = await read(http, f"{url}/refund_quote", customer)
    fees = [15_000, 15_000, 5_555, 3_333, 3_333]
    assert (whole["fee"], whole["amount"]) == (sum(fees), booking["amount"] - sum(fees))
    made = []
    for left, seat in reversed(list(enumerate(seats))):
        one = (await refund(http, payment, customer, seat)).json()
        now = one.pop("booking")
        assert (one["seats"], one["fee"], one["status"]) == ([seat], fees[left], "completed")
        assert seat_ids(now) == seats[:left] or left == 0
        assert now["status"] == ("partially_refunded" if left else "refunded")
        made.append(one)
        assert now["refunds"] == made
        assert now["payment"]["refunded"] == sum(each["amount"] for each in made)
        assert now["payment"]["status"] == now["status"]
        if left == 2:
            assert (await read(http, "/v1/bookings", customer, status="partially_refunded"))["items"] == [now]
            paid = (await read(http, "/v1/payments", customer, status="partially_refunded"))["items"]
            assert paid == [now["payment"]]
            problem(
                await http.get(f"/v1/bookings/{booking['id']}/cancellation", headers=customer),
                404,
                "cancellation_not_found",
            )
    assert sum(each["amount"] for each in made) == whole["amount"]
    listed = await read(http, f"{url}/refunds", customer, limit=3)
    rest = await read(http, f"{url}/refunds", customer, cursor=listed["next_cursor"])
    assert listed["items"] + rest["items"] == made[::-1]
    cancellation = await read(http, f"/v1/bookings/{booking['id']}/cancellation", customer)
    assert cancellation["refund"] == made[-1]


async def test_seat_given_back_is_free_and_the_others_stay(http: httpx.AsyncClient, sale: Sale) -> None:
    first, second = sale.fresh(2)
    customer, booking, payment = await bought(http, sale, first, second)
    now = (await refund(http, payment, customer, first)).json()["booking"]
    assert (now["status"], seat_ids(now), now["amount"]) == ("partially_refunded", [second], 150_001)
    await shown(http, sale, [first], free=True)
    await shown(http, sale, [second], free=False)
    assert problem(await refund(http, payment, customer, first), 409, "already_refunded")["seats"] == [first]
    problem(await http.delete(f"/v1/bookings/{booking['id']}", headers=customer), 409, "booking_paid")


@pytest.mark.parametrize(
    ("seats", "status", "code"),
    [
        (["Z-9"], 422, "unknown_seat"),
        (["the first of the booking", "the first of the booking"], 422, "duplicate_seat"),
        (["a seat of somebody else's"], 409, "not_refundable"),
        (["floor"], 409, "not_refundable"),
        ([], 422, "validation_failed"),
        (["the first of the booking"] * 101, 422, "validation_failed"),
    ],
)
async def test_only_seats_of_the_booking_are_given_back(
    http: httpx.AsyncClient, sale: Sale, seats: list[str], status: int, code: str
) -> None:
    mine, other = sale.fresh(2)
    customer, booking, payment = await bought(http, sale, mine)
    named = {"the first of the booking": mine, "a seat of somebody else's": other}
    wanted = [named.get(seat, seat) for seat in seats]
    problem(await refund(http, payment, customer, seats=wanted), status, code)
    if wanted:
        quote = await http.get(f"/v1/payments/{payment['id']}/refund_quote", params={"seats": wanted}, headers=customer)
        problem(quote, status, code)
    assert await read(http, f"/v1/bookings/{booking['id']}", customer) == booking


# --- by the policy ----------------------------------------------------------------------------------------------------
def end_of_day_before(starts_at: datetime, days: int) -> datetime:
    """When the day ends, in Seoul, that lies so many days before."""
    day = starts_at.astimezone(ZoneInfo("Asia/Seoul")).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=days - 1)


async def test_quote_says_what_the_refund_then_gives_and_changes_nothing(http: httpx.AsyncClient, near: Sale) -> None:
    customer, booking, payment = await bought(http, near, *near.fresh(2))
    first = seat_ids(booking)[0]
    quote = await read(http, f"/v1/payments/{payment['id']}/refund_quote", customer, seats=[first])
    assert (quote["seats"], quote["fee_percent"], quote["fee"], quote["amount"]) == ([first], 10, 15_000, 135_001)
    assert datetime.fromisoformat(quote["until"]) == end_of_day_before(near.starts_at, 7)
    assert datetime.fromisoformat(quote["refundable_until"]) == near.starts_at
    assert await read(http, f"/v1/bookings/{booking['id']}", customer) == booking
    made = (await refund(http, payment, customer, first)).json()
    assert (made["amount"], made["fee"]) == (quote["amount"], quote["fee"])


async def test_the_policy_of_the_moment_of_booking_holds(http: httpx.AsyncClient, admin: dict[str, str]) -> None:
    starts_at = datetime.now(UTC) + timedelta(days=20)
    sale = await open_sale(http, prices={"VIP": 150_001, "Standard": 55_555}, starts_at=starts_at.isoformat())
    early, _, promised = await bought(http, sale, *sale.fresh(1))
    url = f"/v1/schedules/{sale.schedule_id}"
    strict = [{"days_before": 30, "fee_percent": 5}]
    for policy, at in ((strict, end_of_day_before(sale.starts_at, 30)), ([], None)):
        changed = await http.patch(url, json={"refund_policy": policy}, headers=sale.organizer)
        assert changed.json()["refund_policy"] == policy
        late, booking, payment = await bought(http, sale, *sale.fresh(1))
        for answer in (
            await refund(http, payment, late),
            await http.get(f"/v1/payments/{payment['id']}/refund_quote", headers=late),
        ):
            refused = problem(answer, 409, "not_refundable")
            assert refused.get("at") == (at.astimezone(UTC).isoformat(timespec="milliseconds") if at else None)
        assert (await read(http, f"/v1/bookings/{booking['id']}", late))["status"] == "confirmed"
    quote = await read(http, f"/v1/payments/{promised['id']}/refund_quote", early)
    assert (quote["fee"], quote["amount"]) == (0, 150_001)
    # Whoever booked before it was moved has the whole price back.
    moved = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    assert (await http.patch(url, json={"starts_at": moved}, headers=sale.organizer)).status_code == 200
    quote = await read(http, f"/v1/payments/{promised['id']}/refund_quote", early)
    made = (await refund(http, promised, early)).json()
    assert (made["fee"], made["amount"]) == (quote["fee"], quote["amount"]) == (0, 150_001)
    # What the policy refuses, an admin may grant, and is told beforehand what it comes to.
    quoted = await read(http, f"/v1/payments/{payment['id']}/refund_quote", admin, fee_percent=0)
    assert quoted["amount"] == booking["amount"]
    granted = await refund(http, payment, admin, reason="out of courtesy")
    assert (granted.status_code, granted.json()["amount"]) == (201, 150_001)


async def test_what_was_not_paid_is_not_refunded(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, *sale.fresh(1))
    declined = problem(await pay(http, booking, customer, "tok_decline_lost_card"), 402, "payment_declined")
    problem(await refund(http, {"id": declined["payment_id"]}, customer), 409, "not_refundable")
    assert (await pay(http, booking, customer)).status_code == 201
    # A later attempt paid: the money is there, but not in this payment.
    problem(await refund(http, {"id": declined["payment_id"]}, customer), 409, "not_refundable")
    pending = await hold(http, sale, customer, *sale.fresh(1))
    # Whether it is known by then that nothing was charged or not, there is nothing to give back.
    payment = (await pay(http, pending, customer, "tok_timeout_uncharged")).json()
    assert payment["status"] == "pending"
    problem(await refund(http, payment, customer), 409, "not_refundable")


async def test_free_booking_has_no_payment_and_is_cancelled_instead(http: httpx.AsyncClient) -> None:
    sale = await open_sale(http, prices={"VIP": 0, "Standard": 55_000})
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, "A-1")
    assert (await pay(http, booking, customer)).json()["id"] is None
    cancelled = await http.delete(f"/v1/bookings/{booking['id']}", headers=customer)
    assert (cancelled.status_code, cancelled.json()["refund"]) == (201, None)
    # With a seat that costs something there is money to give back, and the free seat goes with it.
    customer, booking, payment = await bought(http, sale, "A-2", "D-1")
    now = (await refund(http, payment, customer, "A-2")).json()
    assert (now["status"], now["amount"], now["reference"]) == ("completed", 0, None)
    assert (await refund(http, payment, customer)).json()["amount"] == 55_000


# --- whose ------------------------------------------------------------------------------------------------------------
async def test_refunds_are_the_customer_s_own(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking, payment = await bought(http, sale, *sale.fresh(2))
    made = (await refund(http, payment, customer, seat_ids(booking)[0])).json()
    stranger = await sign_up(http)
    url = f"/v1/payments/{payment['id']}"
    problem(await refund(http, payment, stranger), 404, "payment_not_found")
    problem(await refund(http, payment, sale.organizer), 404, "payment_not_found")
    problem(await refund(http, payment, {}), 401, "unauthenticated")
    for path in ("refunds", "refund_quote"):
        problem(await http.get(f"{url}/{path}", headers=stranger), 404, "payment_not_found")
        problem(await http.get(f"{url}/{path}"), 401, "unauthenticated")
    for unknown in (NOWHERE, "nonsense"):
        problem(await refund(http, {"id": unknown}, customer), 404, "payment_not_found")
        problem(await http.get(f"/v1/refunds/{unknown}", headers=customer), 404, "refund_not_found")
    problem(await http.get(f"/v1/refunds/{made['id']}", headers=stranger), 404, "refund_not_found")
    problem(await http.get(f"/v1/refunds/{made['id']}"), 401, "unauthenticated")


async def test_customer_cannot_choose_the_fee(http: httpx.AsyncClient, near: Sale) -> None:
    customer, _, payment = await bought(http, near, *near.fresh(1))
    problem(await refund(http, payment, customer, fee_percent=0), 403, "forbidden")
    assert (await read(http, f"/v1/payments/{payment['id']}", customer))["refunded"] == 0


async def test_admin_refunds_outside_the_policy_with_a_reason_and_on_the_record(
    http: httpx.AsyncClient, near: Sale, admin: dict[str, str]
) -> None:
    customer, booking, payment = await bought(http, near, *near.fresh(2))
    first, second = seat_ids(booking)
    refused = problem(await refund(http, payment, admin), 422, "validation_failed")
    assert [error["field"] for error in refused["errors"]] == ["reason"]
    for wrong in (-1, 101, "10", 1.5):
        problem(await refund(http, payment, admin, reason="x", fee_percent=wrong), 422, "validation_failed")
    quote_url = f"/v1/payments/{payment['id']}/refund_quote"
    problem(await http.get(quote_url, params={"fee_percent": 0}, headers=customer), 403, "forbidden")
    quoted = await read(http, quote_url, admin, seats=first, fee_percent=50)
    assert (quoted["amount"], quoted["fee"], quoted["fee_percent"], quoted["until"]) == (75_001, 75_000, 50, None)
    half = (await refund(http, payment, admin, first, reason="sat behind a pillar", fee_percent=50)).json()
    assert (half["amount"], half["fee"], half["by"]) == (75_001, 75_000, "admin")
    quoted = await read(http, quote_url, admin, fee_percent=0)
    rest = (await refund(http, payment, admin, reason="and was cold")).json()
    assert (quoted["amount"], quoted["fee"], quoted["seats"]) == (rest["amount"], rest["fee"], rest["seats"])
    assert (rest["amount"], rest["fee"], rest["seats"]) == (150_001, 0, [second])
    assert (await read(http, f"/v1/refunds/{rest['id']}", customer))["reason"] == "and was cold"
    log = (await read(http, "/v1/admin/audit", admin, subject=f"booking:{booking['id']}"))["items"]
    assert [entry["action"] for entry in log] == ["booking.refunded"] * 2
    assert [entry["before"]["refunded"] for entry in log] == [75_001, 0]
    assert [entry["after"]["refund_id"] for entry in log] == [rest["id"], half["id"]]
    assert (log[1]["after"]["fee"], log[1]["after"]["seats"]) == (75_000, [first])
    assert log[1]["after"]["reason"] == "sat behind a pillar"


# --- once -------------------------------------------------------------------------------------------------------------
async def test_same_key_answers_the_same_refund(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking, payment = await bought(http, sale, *sale.fresh(2))
    first, second = seat_ids(booking)
    headers = customer | {"Idempotency-Key": uuid4().hex}
    made = await refund(http, payment, headers, first)
    assert made.json() == (await refund(http, payment, headers, first)).json()
    problem(await refund(http, payment, headers, second), 422, "idempotency_key_reused")
    assert (await refund(http, payment, customer, second)).status_code == 201
    again = (await refund(http, payment, headers, first)).json()
    assert (again.pop("booking")["status"], again["id"]) == ("refunded", made.json()["id"])
    assert again["seats"] == [first]


async def test_same_key_of_a_payment_refunded_since_is_still_answered_as_paid(
    http: httpx.AsyncClient, sale: Sale
) -> None:
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, *sale.fresh(1))
    headers = customer | {"Idempotency-Key": uuid4().hex}
    paid = (await pay(http, booking, headers)).json()
    await refund(http, paid, customer)
    again = await pay(http, booking, headers)
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (201, paid["id"], "approved")


async def test_of_many_refunds_at_once_one_gives_the_money_back(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, booking, payment = await bought(http, sale, *sale.fresh(1))
    answers = await asyncio.gather(*(refund(http, payment, customer) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert len((await read(http, f"/v1/payments/{payment['id']}/refunds", customer))["items"]) == 1
    assert (await read(http, f"/v1/bookings/{booking['id']}", customer))["payment"]["refunded"] == 150_001


# --- what a provider can do -------------------------------------------------------------------------------------------
async def test_silent_provider_leaves_the_refund_pending_and_the_same_key_finds_out(
    http: httpx.AsyncClient, sale: Sale
) -> None:
    customer, booking, payment = await bought(http, sale, *sale.fresh(1), token="tok_refund_timeout")
    headers = customer | {"Idempotency-Key": uuid4().hex}
    answer = await refund(http, payment, headers)
    assert answer.status_code == 201, answer.text
    pending = answer.json()
    assert (pending["status"], pending["settled_at"], pending["reference"]) == ("pending", None, None)
    assert pending["booking"]["status"] == "refunded"
    assert (await hold(http, sale, await sign_up(http), *seat_ids(booking)))["status"] == "held"
    made = (await refund(http, payment, headers)).json()
    assert (made["id"], made["status"]) == (pending["id"], "completed")
    assert await read(http, f"/v1/refunds/{made['id']}", customer) == {k: v for k, v in made.items() if k != "booking"}


async def test_customer_who_hangs_up_while_the_provider_is_silent_gets_the_money_back(
    http: httpx.AsyncClient, sale: Sale, stack: Stack
) -> None:
    customer, _, payment = await bought(http, sale, *sale.fresh(1), token="tok_refund_timeout")
    async with stack.client(1) as impatient:
        with contextlib.suppress(httpx.TimeoutException):
            await refund(impatient, payment, customer)

    async def completed() -> bool:
        items = (await read(http, f"/v1/payments/{payment['id']}/refunds", customer))["items"]
        return bool(items and items[0]["status"] == "completed")

    # By the background process, which asks about refunds that nobody has confirmed after ten seconds.
    await until(completed)


async def test_refund_that_the_provider_refuses_is_owed_until_an_admin_has_paid_it_out_by_hand(
    http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]
) -> None:
    customer, booking, payment = await bought(http, sale, *sale.fresh(1), token="tok_refund_refused")
    pending = (await refund(http, payment, customer)).json()
    assert (pending["status"], pending["booking"]["status"]) == ("pending", "refunded")
    owed = await read(http, "/v1/admin/refunds", admin, status="pending", schedule_id=sale.schedule_id)
    assert pending["id"] in [each["id"] for each in owed["items"]]
    url, body = f"/v1/admin/refunds/{pending['id']}/settlement", {"reference": "T-1", "reason": "the card is closed"}
    problem(await http.post(url, json=body, headers=customer), 403, "forbidden")
    problem(await http.post(url, json={"reference": "T-1"}, headers=admin), 422, "validation_failed")
    for _ in range(2):
        settled = await http.post(url, json=body, headers=admin)
        assert settled.status_code == 201, settled.text
        made = settled.json()
        assert (made["status"], made["reference"]) == ("completed", "manual:T-1")
    problem(await http.post(url, json=body | {"reference": "T-2"}, headers=admin), 409, "already_refunded")
    nowhere = f"/v1/admin/refunds/{NOWHERE}/settlement"
    problem(await http.post(nowhere, json=body, headers=admin), 404, "refund_not_found")
    log = (await read(http, "/v1/admin/audit", admin, subject=f"booking:{booking['id']}"))["items"]
    assert [(entry["action"], entry["after"]["reason"]) for entry in log] == [("refund.settled", "the card is closed")]


# --- the story --------------------------------------------------------------------------------------------------------
async def test_history_tells_the_customer_what_happened_to_the_order(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, *sale.fresh(2))
    problem(await pay(http, booking, customer, "tok_decline_lost_card"), 402, "payment_declined")
    payment = (await pay(http, booking, customer)).json()
    first, second = seat_ids(booking)
    await refund(http, payment, customer, first)
    await refund(http, payment, customer, reason="and so do I")
    url = f"/v1/bookings/{booking['id']}/history"
    story = await read(http, url, customer)
    assert [item["type"] for item in story["items"]] == [
        "reservation.held",
        "payment.requested",
        "payment.declined",
        "payment.requested",
        "payment.approved",
        "reservation.confirmed",
        "refund.requested",
        "payment.refunded",
        "refund.requested",
        "payment.refunded",
    ]
    held, given_back = story["items"][0]["data"], story["items"][8]["data"]
    assert (held["seats"], held["expires_at"]) == ([first, second], booking["expires_at"])
    assert (given_back["seats"], given_back["amount"], given_back["reason"]) == ([second], 150_001, "and so do I")
    assert not {"customer_id", "booking_id", "request_id", "fingerprint"} & {
        name for item in story["items"] for name in [*item, *item["data"]]
    }
    page = await read(http, url, customer, limit=4)
    rest = await read(http, url, customer, from_version=page["next_version"])
    assert page["items"] + rest["items"] == story["items"]
    assert (page["next_version"], rest["next_version"]) == (rest["items"][0]["version"], None)
    problem(await http.get(url, headers=await sign_up(http)), 404, "booking_not_found")
    problem(await http.get(url), 401, "unauthenticated")
