"""Many wishes in one request: each has the answer that it would have had alone, and nobody else's fault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.support.sale import (
    PASSWORD,
    Sale,
    log_in,
    log_in_admin,
    open_sale,
    problem,
    seat_ids,
    shown,
    sign_up,
    small_plan,
)
from tests.support.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = pytest.mark.stack

LINES = {"Content-Type": "application/x-ndjson"}
# As they are sent, one a line. What is well-formed asks for any seat, so that it can be had twice.
WISHES = (
    b'{"quantity": 2, "category": "Standard"}',
    b'{"quantity": 1, "category": "Standard", "colour": "red"}',
    b'{"seats": ["nowhere"]}',
    b'{"seats": ["A-1", "A-1"]}',
    b'{"seats": ["TAKEN"]}',
    b'{"seats": ["B-1"], "quantity": 1}',
    b'{"quantity": 0}',
    b'{"quantity": "1"}',
    b'{"quantity": 1, "category": "no such"}',
    b'{"quantity": 1, "zone": "no such"}',
    b'{"quantity": 9000}',
    b'{"seats": ["\\ud800"]}',
    b'{"seats": ["\\u0000"]}',
    b'{"seats": ["\xff"]}',
    b'{"seats": []}',
    b'{"quantity": 1',
    b"[" * 20_000,
    b"{}",
    b"[]",
    b"null",
    b'"quantity"',
)


@pytest.fixture(scope="module")
async def sale(stack: Stack) -> Sale:
    async with httpx.AsyncClient(base_url=stack.base_url, timeout=PATIENCE_SECONDS, trust_env=False) as client:
        return await open_sale(client, plan=small_plan(rows=20, seats_per_row=20, standing=5))


def batch_url(sale: Sale) -> str:
    return f"{sale.bookings_url}:batch"


async def by_lines(http: httpx.AsyncClient, sale: Sale, customer: dict[str, str], *wishes: bytes) -> list[Any]:
    answer = await http.post(batch_url(sale), content=b"\n".join(wishes), headers=customer | LINES)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def what(answer: dict[str, Any]) -> dict[str, Any]:
    """Of a problem document, all but where and when."""
    return {name: value for name, value in answer.items() if name not in ("instance", "request_id")}


async def test_each_wish_is_answered_as_it_would_be_alone(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    (taken,) = sale.fresh(1)
    held = await http.post(sale.bookings_url, json={"seats": [taken]}, headers=await sign_up(http))
    assert held.status_code == 201
    wishes = [wish.replace(b"TAKEN", taken.encode()) for wish in WISHES]
    together = await by_lines(http, sale, customer, *wishes)
    assert len(together) == len(wishes)
    for wish, answer in zip(wishes, together, strict=True):
        alone = await http.post(
            sale.bookings_url, content=wish, headers=customer | {"Content-Type": "application/json"}
        )
        assert answer["status"] == alone.status_code, wish
        if alone.status_code == 201:
            assert answer["problem"] is None
            assert answer["booking"].keys() == alone.json().keys()
            assert len(answer["booking"]["seats"]) == len(alone.json()["seats"])
        else:
            assert answer["booking"] is None
            assert what(answer["problem"]) == what(alone.json()), wish
    assert {answer["status"] for answer in together} == {201, 400, 409, 422}


async def test_a_batch_of_a_hundred_holds_what_it_says(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    seats = sale.fresh(99)
    wishes = [json.dumps({"id": f"n-{number}", "seats": [seat]}).encode() for number, seat in enumerate(seats)]
    answers = await by_lines(http, sale, customer, *wishes, json.dumps({"seats": [seats[0]]}).encode())
    assert [answer["id"] for answer in answers] == [*(f"n-{number}" for number in range(99)), None]
    assert [seat_ids(answer["booking"]) for answer in answers[:99]] == [[seat] for seat in seats]
    assert answers[99]["problem"]["seats"] == [seats[0]]  # its neighbour had it
    await shown(http, sale, seats, free=False)
    for answer in answers[:99]:
        read = await http.get(f"/v1/bookings/{answer['booking']['id']}", headers=customer)
        assert read.json()["status"] == "held"


async def test_as_json_the_answers_are_json(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    wishes = [{"quantity": 1, "category": "Standard"}, {"id": "b", "seats": ["nowhere"]}, "none"]
    answer = await http.post(batch_url(sale), json={"wishes": wishes}, headers=customer)
    held, unknown, none = answer.json()["answers"]
    assert (held["id"], held["status"]) == (None, 201)
    assert (unknown["id"], unknown["problem"]["code"]) == ("b", "unknown_seat")
    assert none["problem"]["code"] == "validation_failed"


async def test_what_is_sent_again_is_done_once_in_whatever_company(http: httpx.AsyncClient, sale: Sale) -> None:
    customer = await sign_up(http)
    names = [uuid4().hex for _ in range(3)]
    wishes = [json.dumps({"id": name, "quantity": 1, "category": "Standard"}).encode() for name in names]
    first = await by_lines(http, sale, customer, *wishes)
    again = await by_lines(http, sale, customer, wishes[2], b'{"seats": ["nowhere"]}', wishes[0], wishes[0])
    assert [answer["booking"] for answer in again] == [
        first[2]["booking"],
        None,
        first[0]["booking"],
        first[0]["booking"],
    ]
    (other,) = await by_lines(http, sale, customer, json.dumps({"id": names[0], "quantity": 2}).encode())
    assert other["problem"]["code"] == "idempotency_key_reused"
    (strangers,) = await by_lines(http, sale, await sign_up(http), wishes[0])
    assert strangers["booking"]["id"] != first[0]["booking"]["id"]


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"", "application/x-ndjson", 422, "validation_failed"),
        (b"\n \n", "application/x-ndjson", 422, "validation_failed"),
        (b"{}\n" * 101, "application/x-ndjson", 422, "validation_failed"),
        (b'{"wishes": []}', "application/json", 422, "validation_failed"),
        (b'{"wishes": 1}', "application/json", 422, "validation_failed"),
        (b"[]", "application/json", 422, "validation_failed"),
        (b'{"wishes": [', "application/json", 400, "malformed_json"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}\n" * 40_000, "application/x-ndjson", 413, "body_too_large"),
    ],
)
async def test_what_is_no_batch_is_refused_whole(
    http: httpx.AsyncClient, sale: Sale, content: bytes, kind: str, status: int, code: str
) -> None:
    answer = await http.post(batch_url(sale), content=content, headers=await sign_up(http) | {"Content-Type": kind})
    problem(answer, status, code)


async def test_a_box_office_buys_for_many(http: httpx.AsyncClient, stack: Stack) -> None:
    sale = await open_sale(http, plan=small_plan(rows=5, seats_per_row=20), max_seats_per_customer=2)
    customer = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    account = (await http.post("/v1/accounts", json=customer)).json()["id"]
    admin = await log_in_admin(http, stack)
    changed = await http.patch(f"/v1/admin/accounts/{account}", json={"role": "box_office"}, headers=admin)
    assert (changed.status_code, changed.json()["role"]) == (200, "box_office")
    desk = await log_in(http, customer)
    assert (await http.get("/v1/accounts/me", headers=desk)).json()["role"] == "box_office"
    answers = await by_lines(http, sale, desk, *[b'{"quantity": 2}'] * 20)
    assert [answer["status"] for answer in answers] == [201] * 20
    booking = answers[0]["booking"]["id"]
    seats = seat_ids(answers[0]["booking"])
    single = await http.post(sale.bookings_url, json={"seats": ["E-1"]}, headers=desk)
    assert single.status_code == 201, single.text
    wider = await http.patch(f"/v1/bookings/{booking}", json={"seats": [*seats, "E-2"]}, headers=desk)
    assert (wider.status_code, len(wider.json()["seats"])) == (200, 3)
    card = {"method": {"type": "card", "token": "tok_approve"}}
    paid = await http.post(f"/v1/bookings/{booking}/payments", json=card, headers=desk)
    assert paid.status_code == 201, paid.text
    refund = await http.post(f"/v1/payments/{paid.json()['id']}/refunds", json={"seats": ["E-2"]}, headers=desk)
    assert refund.status_code == 201, refund.text
    assert len((await http.get("/v1/bookings?limit=200", headers=desk)).json()["items"]) == 21
    nobody = await by_lines(http, sale, await sign_up(http), b'{"quantity": 3}')
    assert nobody[0]["problem"]["code"] == "customer_limit_reached"


async def test_only_customers_may_and_only_where_something_is_sold(http: httpx.AsyncClient, sale: Sale) -> None:
    wish = b'{"quantity": 1}'
    assert (await http.post(batch_url(sale), content=wish, headers=LINES)).status_code == 401
    assert (await http.post(batch_url(sale), content=wish, headers=sale.organizer | LINES)).status_code == 403
    customer = await sign_up(http)
    for nowhere in (uuid4(), "nowhere", f"{sale.schedule_id}0"):
        answer = await http.post(
            f"/v1/schedules/{nowhere}/bookings:batch", content=wish + b"\n" + wish, headers=customer | LINES
        )
        assert answer.status_code == 200, answer.text
        told = [json.loads(line) for line in answer.text.splitlines()]
        assert [(each["status"], each["problem"]["code"]) for each in told] == [(404, "schedule_not_found")] * 2


async def test_only_a_line_feed_ends_a_line(http: httpx.AsyncClient, sale: Sale) -> None:
    customer, name = await sign_up(http), uuid4().hex
    wish = json.dumps({"id": name, "quantity": 1, "category": "Standard"}).encode()
    content = b'{"quantity": 1,\r"category": "Standard"}\r\n\r\n' + wish + b"\r\n\r"
    answer = await http.post(batch_url(sale), content=content, headers=customer | LINES)
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["status"] for each in told] == [201, 201], answer.text
    assert await by_lines(http, sale, customer, wish) == told[1:], "however its line ends it is the same wish"
