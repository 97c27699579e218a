"""Admins over HTTP against the running system: everybody's bookings, payments, refunds and cancellations, and changing
them on the record."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any
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
)

pytestmark = pytest.mark.stack

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
async def admin(http: httpx.AsyncClient, stack: Stack) -> dict[str, str]:
    return await log_in_admin(http, stack)


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    return await open_sale(http, plan=small_plan(rows=6, seats_per_row=12, standing=20))


async def me(http: httpx.AsyncClient, headers: dict[str, str]) -> str:
    """The account's id."""
    return str((await read(http, "/v1/accounts/me", headers))["id"])


async def listed(http: httpx.AsyncClient, admin: dict[str, str], noun: str, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await read(http, f"/v1/admin/{noun}", admin, **query))["items"]
    return items


async def audited(http: httpx.AsyncClient, admin: dict[str, str], booking: dict[str, Any]) -> list[dict[str, Any]]:
    """What the audit log says of a booking, newest first."""
    return await listed(http, admin, "audit", subject=f"booking:{booking['id']}")


async def end(http: httpx.AsyncClient, booking: dict[str, Any], headers: dict[str, str], **wish: Any) -> httpx.Response:
    body = {"reason": "the house is closed"} | wish
    return await http.post(f"/v1/admin/bookings/{booking['id']}/cancellation", json=body, headers=headers)


# --- reading ----------------------------------------------------------------------------------------------------------
async def test_admin_finds_bookings_by_customer_place_and_status(
    http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]
) -> None:
    customer = await sign_up(http)
    held = await hold(http, sale, customer, *sale.fresh(1))
    booking, _ = await paid_booking(http, sale, customer, *sale.fresh(1))
    whose = {"customer_id": await me(http, customer)}
    everything = await listed(http, admin, "bookings", **whose)
    assert everything == [each | whose | {"archived_at": None} for each in (booking, held)]
    assert await listed(http, admin, "bookings", **whose, status="held") == everything[1:]
    assert await listed(http, admin, "bookings", **whose, schedule_id=sale.schedule_id) == everything
    assert await listed(http, admin, "bookings", **whose, performance_id=sale.performance_id) == everything
    assert await listed(http, admin, "bookings", **whose, archived=True) == []
    for nobody in ("customer_id", "schedule_id", "performance_id"):
        assert await listed(http, admin, "bookings", **{nobody: NOWHERE}) == []
    assert await read(http, f"/v1/admin/bookings/{booking['id']}", admin) == everything[0]
    page = await read(http, "/v1/admin/bookings", admin, **whose, limit=1)
    rest = await read(http, "/v1/admin/bookings", admin, **whose, cursor=page["next_cursor"])
    assert page["items"] + rest["items"] == everything


async def test_admin_finds_payments_refunds_and_cancellations(
    http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]
) -> None:
    customer = await sign_up(http)
    booking, payment = await paid_booking(http, sale, customer, *sale.fresh(2))
    made = (await refund(http, payment, customer, seat_ids(booking)[0])).json()
    made.pop("booking")
    rest = (await refund(http, payment, customer)).json()
    rest.pop("booking")
    whose = {"customer_id": await me(http, customer)}
    where = whose | {"schedule_id": sale.schedule_id}
    (found,) = await listed(http, admin, "payments", booking_id=booking["id"])
    assert found == await read(http, f"/v1/payments/{payment['id']}", customer) | where
    assert found == await read(http, f"/v1/admin/payments/{payment['id']}", admin)
    assert (found["status"], found["refunded"]) == ("refunded", payment["amount"])
    assert found in await listed(http, admin, "payments", status="refunded", schedule_id=sale.schedule_id)
    assert found not in await listed(http, admin, "payments", status="approved", schedule_id=sale.schedule_id)
    refunds = await listed(http, admin, "refunds", status="completed", schedule_id=sale.schedule_id, limit=2)
    assert refunds == [each | where | {"provider": "sandbox"} for each in (rest, made)]
    (cancellation,) = await listed(http, admin, "cancellations", **whose)
    assert cancellation == await read(http, f"/v1/bookings/{booking['id']}/cancellation", customer) | whose
    assert cancellation["refund"] == rest
    for unknown in (NOWHERE, "nonsense"):
        problem(await http.get(f"/v1/admin/payments/{unknown}", headers=admin), 404, "payment_not_found")
        problem(await http.get(f"/v1/admin/bookings/{unknown}", headers=admin), 404, "booking_not_found")
    assert await listed(http, admin, "payments", schedule_id=NOWHERE) == []
    assert await listed(http, admin, "refunds", schedule_id=NOWHERE) == []
    assert await listed(http, admin, "cancellations", customer_id=NOWHERE) == []


async def test_bookings_payments_and_refunds_are_found_by_who_which_when_and_how_much(
    http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]
) -> None:
    customer, other = await sign_up(http), await sign_up(http)
    booking, payment = await paid_booking(http, sale, customer, *sale.fresh(2))
    await paid_booking(http, sale, other, *sale.fresh(1))
    await refund(http, payment, customer)
    email = (await read(http, "/v1/accounts/me", customer))["email"]
    at = datetime.fromisoformat(booking["created_at"])
    soon = {"from": (at - timedelta(minutes=1)).isoformat(), "until": (at + timedelta(minutes=1)).isoformat()}
    never = {"from": (at - timedelta(days=9)).isoformat(), "until": (at - timedelta(days=8)).isoformat()}
    for noun in ("bookings", "payments", "refunds"):
        (found,) = await listed(http, admin, noun, email=email.upper())
        assert found in await listed(http, admin, noun, number=booking["number"].lower()), noun
        assert found in await listed(http, admin, noun, amount=booking["amount"], **soon), noun
        assert found not in await listed(http, admin, noun, amount=booking["amount"] + 1, **soon), noun
        assert await listed(http, admin, noun, email=email, **never) == [], noun
        assert await listed(http, admin, noun, email="nobody@example.com") == [], noun
        assert await listed(http, admin, noun, number="no number") == [], noun


async def test_what_waits_longest_comes_first_page_by_page(
    http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]
) -> None:
    customer = await sign_up(http)
    for _ in range(3):
        _, payment = await paid_booking(http, sale, customer, *sale.fresh(1))
        await refund(http, payment, customer)
    mine = {"email": (await read(http, "/v1/accounts/me", customer))["email"]}
    for noun in ("payments", "refunds"):
        newest = await listed(http, admin, noun, **mine)
        pages, cursor = [], {}
        while cursor is not None:
            page = await read(http, f"/v1/admin/{noun}", admin, **mine, oldest_first=True, limit=1, **cursor)
            pages += page["items"]
            cursor = None if page["next_cursor"] is None else {"cursor": page["next_cursor"]}
        assert pages == newest[::-1], noun
        bad = await http.get(f"/v1/admin/{noun}", params={"oldest_first": True, "cursor": "WyJhIl0"}, headers=admin)
        problem(bad, 422, "validation_failed")


OPERATIONS = [
    ("GET", "bookings/{id}", None),
    ("GET", "bookings/{id}/history", None),
    ("PATCH", "bookings/{id}", {"seats": ["A-1"]}),
    ("POST", "bookings/{id}/cancellation", {"reason": "because"}),
    ("DELETE", "bookings/{id}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_unknown_booking_is_not_found(
    http: httpx.AsyncClient, admin: dict[str, str], method: str, path: str, body: dict[str, Any] | None
) -> None:
    for unknown in (NOWHERE, "nonsense"):
        url = f"/v1/admin/{path.format(id=unknown)}"
        problem(await http.request(method, url, json=body, headers=admin), 404, "booking_not_found")


@pytest.mark.parametrize(
    ("noun", "query"),
    [
        ("bookings", {"status": "gone"}),
        ("bookings", {"customer_id": "nobody"}),
        ("bookings", {"archived": "maybe"}),
        ("payments", {"status": "requested"}),
        ("refunds", {"status": "refunded"}),
        ("cancellations", {"limit": 201}),
        ("refunds", {"cursor": "nonsense"}),
    ],
)
async def test_what_is_wrong_with_a_question_is_said(
    http: httpx.AsyncClient, admin: dict[str, str], noun: str, query: dict[str, Any]
) -> None:
    problem(await http.get(f"/v1/admin/{noun}", params=query, headers=admin), 422, "validation_failed")


# --- exchanging -------------------------------------------------------------------------------------------------------
async def test_admin_exchanges_a_customer_s_seats_on_the_record(
    http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]
) -> None:
    customer, (old, new, other) = await sign_up(http), sale.fresh(3)
    booking, _ = await paid_booking(http, sale, customer, old)
    url, headers = f"/v1/admin/bookings/{booking['id']}", admin | {"Idempotency-Key": uuid4().hex}
    for _ in range(2):
        changed = await http.patch(url, json={"seats": [new]}, headers=headers)
        assert (changed.status_code, seat_ids(changed.json())) == (200, [new]), changed.text
    assert changed.json() == await read(http, url, admin)
    assert seat_ids(await read(http, f"/v1/bookings/{booking['id']}", customer)) == [new]
    (entry,) = await audited(http, admin, booking)
    assert (entry["action"], entry["account_id"]) == ("booking.changed", await me(http, admin))
    assert (entry["before"]["seats"], entry["after"]["seats"]) == ([old], [new])
    await hold(http, sale, customer, other)
    taken = await http.patch(url, json={"seats": [other]}, headers=admin)
    assert problem(taken, 409, "seats_unavailable")["seats"] == [other]
    problem(await http.patch(url, json={"seats": ["Z-1"]}, headers=admin), 422, "unknown_seat")
    problem(await http.patch(url, json={"seats": []}, headers=admin), 422, "validation_failed")
    cheaper = await http.patch(url, json={"seats": [sale.seats[-1]]}, headers=admin)
    assert problem(cheaper, 409, "booking_not_changeable")["reason"] == "other_price"
    assert len(await audited(http, admin, booking)) == 1


# --- ending -----------------------------------------------------------------------------------------------------------
async def test_admin_cancels_an_unpaid_booking(http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]) -> None:
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, *sale.fresh(1))
    headers = admin | {"Idempotency-Key": uuid4().hex}
    answers = [await end(http, booking, headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201], answers[0].text
    made = answers[0].json()
    assert answers[1].json() == made
    assert (made["by"], made["reason"], made["refund"]) == ("admin", "the house is closed", None)
    assert made["customer_id"] == await me(http, customer)
    seen = await read(http, f"/v1/bookings/{booking['id']}/cancellation", customer)
    assert seen | {"customer_id": made["customer_id"]} == made
    assert (await read(http, f"/v1/bookings/{booking['id']}", customer))["status"] == "cancelled"
    problem(await end(http, booking, admin), 409, "booking_already_cancelled")
    problem(await end(http, booking, headers, reason="another"), 422, "idempotency_key_reused")
    (entry,) = await audited(http, admin, booking)
    assert (entry["action"], entry["after"]["reason"]) == ("booking.cancelled", "the house is closed")
    assert (entry["before"]["status"], entry["after"]["status"]) == ("held", "cancelled")


@pytest.mark.parametrize(
    ("wish", "amount", "fee", "refused"),
    [({}, 300_000, 0, "already_refunded"), ({"refund": False}, 0, 300_000, "not_refundable")],
)
async def test_admin_ends_a_paid_booking_with_the_money_or_without(
    http: httpx.AsyncClient,
    sale: Sale,
    admin: dict[str, str],
    wish: dict[str, Any],
    amount: int,
    fee: int,
    refused: str,
) -> None:
    customer = await sign_up(http)
    booking, payment = await paid_booking(http, sale, customer, *sale.fresh(2))
    headers = admin | {"Idempotency-Key": uuid4().hex}
    answers = [await end(http, booking, headers, **wish) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201], answers[0].text
    made = answers[0].json()
    assert answers[1].json() == made
    assert (made["refund"]["amount"], made["refund"]["fee"], made["refund"]["by"]) == (amount, fee, "admin")
    assert (made["refund"]["status"], made["refund"]["id"]) == ("completed", made["id"])
    now = await read(http, f"/v1/bookings/{booking['id']}", customer)
    assert (now["status"], now["refunds"], now["payment"]["refunded"]) == ("refunded", [made["refund"]], amount)
    problem(await end(http, booking, admin), 409, "booking_already_cancelled")
    problem(await refund(http, payment, admin, reason="again"), 409, refused)
    (entry,) = await audited(http, admin, booking)
    assert (entry["before"]["status"], entry["after"]["status"]) == ("confirmed", "refunded")
    assert (entry["after"]["amount"], entry["after"]["fee"]) == (amount, fee)
    await hold(http, sale, await sign_up(http), *seat_ids(booking))


async def test_admin_ends_what_is_left_of_a_booking(http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]) -> None:
    customer = await sign_up(http)
    booking, payment = await paid_booking(http, sale, customer, "floor", "floor", "floor")
    await refund(http, payment, customer, "floor")
    made = (await end(http, booking, admin)).json()
    assert (made["refund"]["seats"], made["refund"]["amount"]) == (["floor", "floor"], 66_000)
    found = await read(http, f"/v1/admin/payments/{payment['id']}", admin)
    assert (found["status"], found["refunded"]) == ("refunded", 99_000)


async def test_booking_is_not_ended_while_it_is_being_paid_or_without_a_reason(
    http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]
) -> None:
    customer = await sign_up(http)
    booking = await hold(http, sale, customer, *sale.fresh(1))
    assert (await pay(http, booking, customer, "tok_timeout_charged")).status_code == 202
    problem(await end(http, booking, admin), 409, "payment_in_progress")
    for wish in ({"reason": ""}, {"reason": " "}, {"refund": "yes"}, {"refund": None}):
        problem(await end(http, booking, admin, **wish), 422, "validation_failed")
    assert await audited(http, admin, booking) == []


# --- putting away -----------------------------------------------------------------------------------------------------
async def test_ended_booking_is_put_away_and_out_of_the_lists(
    http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]
) -> None:
    customer = await sign_up(http)
    booking, payment = await paid_booking(http, sale, customer, *sale.fresh(1))
    url = f"/v1/admin/bookings/{booking['id']}"
    problem(await http.delete(url, headers=admin), 409, "booking_live")
    await refund(http, payment, customer)
    for _ in range(2):
        assert (await http.delete(url, headers=admin)).status_code == 204
    whose = {"customer_id": await me(http, customer)}
    of_booking = {"booking_id": booking["id"]}
    assert (await read(http, "/v1/bookings", customer))["items"] == []
    assert await listed(http, admin, "bookings", **whose) == []
    assert await listed(http, admin, "payments", **of_booking) == []
    assert await listed(http, admin, "cancellations", **whose) == []
    (found,) = await listed(http, admin, "bookings", **whose, archived=True)
    assert found["archived_at"] is not None
    assert [each["id"] for each in await listed(http, admin, "payments", **of_booking, archived=True)] == [
        payment["id"]
    ]
    (ended,) = await listed(http, admin, "cancellations", **whose, archived=True)
    assert ended["booking_id"] == booking["id"]
    # Put away, not gone.
    assert await read(http, url, admin) == found
    assert (await read(http, f"/v1/bookings/{booking['id']}", customer))["status"] == "refunded"
    assert [entry["action"] for entry in await audited(http, admin, booking)] == ["booking.archived"]


async def test_what_was_put_away_stays_in_its_organizers_books(http: httpx.AsyncClient, admin: dict[str, str]) -> None:
    sale = await open_sale(http)
    customer, other = await sign_up(http), await sign_up(http)
    booking, _ = await paid_booking(http, sale, customer, "A-1")
    await paid_booking(http, sale, other, "C-1")
    assert (await end(http, booking, admin, refund=False)).status_code == 201
    assert (await http.delete(f"/v1/admin/bookings/{booking['id']}", headers=admin)).status_code == 204
    url = f"/v1/organizer/schedules/{sale.schedule_id}"
    settled = await read(http, f"{url}/settlement", sale.organizer)
    assert (settled["gross"], settled["refunded"], settled["fees"]) == (205_000, 0, 150_000)
    table = await http.get(f"{url}/bookings.csv", headers=sale.organizer)
    rows = list(csv.DictReader(io.StringIO(table.text.removeprefix("\ufeff"))))
    for column, name in (("paid", "gross"), ("refunded", "refunded"), ("fees", "fees")):
        assert sum(int(row[column]) for row in rows) == settled[name], name
    (found,) = (await read(http, f"{url}/bookings", sale.organizer, q=booking["number"]))["items"]
    assert (found["id"], found["status"]) == (booking["id"], "refunded")


async def test_held_booking_is_not_put_away(http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]) -> None:
    booking = await hold(http, sale, await sign_up(http), *sale.fresh(1))
    problem(await http.delete(f"/v1/admin/bookings/{booking['id']}", headers=admin), 409, "booking_live")


# --- the story --------------------------------------------------------------------------------------------------------
async def test_admin_reads_a_booking_s_story(http: httpx.AsyncClient, sale: Sale, admin: dict[str, str]) -> None:
    customer = await sign_up(http)
    booking, _ = await paid_booking(http, sale, customer, *sale.fresh(1))
    await end(http, booking, admin)
    url = f"/v1/admin/bookings/{booking['id']}/history"
    story = await read(http, url, admin)
    journal = await read(http, f"/v1/admin/schedules/{sale.schedule_id}/journal", admin, booking=booking["id"])
    assert story == journal
    assert [item["type"] for item in story["items"]][-2:] == ["refund.requested", "payment.refunded"]
    assert story["items"][0]["data"]["customer_id"] == await me(http, customer)
    assert (story["items"][-2]["data"]["by"], story["items"][-2]["data"]["seats"]) == ("admin", seat_ids(booking))
    schedule = await read(http, f"/v1/schedules/{sale.schedule_id}", {})
    opened = await read(http, f"/v1/admin/schedules/{sale.schedule_id}/journal", admin, limit=1)
    terms = opened["items"][0]["data"]["terms"]
    assert (terms["starts_at"], terms["sale_opens_at"]) == (schedule["starts_at"], None)
    assert (terms["prices"], terms["refund_policy"]) == (schedule["prices"], schedule["refund_policy"])
