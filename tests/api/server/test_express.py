"""The short way says what the long way says: each request is sent both ways, and what comes back is compared.

A query string that nobody reads is enough to be sent the long way.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api.http.large_bodies import BODY_LIMIT
from api.routes.bookings import bookings
from api.routes.catalogue import seats
from api.server.express import CATALOGUE, Express
from tests.api.conftest import Worker
from tests.support.sale import Sale, open_sale, small_plan

LONG_WAY = "?the=long+way"
OWN = {"id", "number", "created_at", "expires_at", "version", "seats"}  # what differs between one booking and the next
VARYING = {"request_id", "payment_id", "booking_id", "requested_at", "settled_at", "row", "number", "instance"}
NO_ID = "0199f3a0-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
async def sale(worker: Worker) -> Sale:
    return await open_sale(worker.http, plan=small_plan(rows=20, seats_per_row=20, standing=5))


@pytest.fixture(scope="module")
async def customer(worker: Worker) -> dict[str, str]:
    return await worker.sign_up()


@pytest.fixture
def only_short_way(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing gets past the shortcut."""

    async def long_way(self: object, scope: Scope, receive: Receive, send: Send) -> NoReturn:
        raise AssertionError(f"{scope['path']} went the long way")

    monkeypatch.setattr("api.server.admission.Admission.__call__", long_way)


def named(answer: httpx.Response) -> dict[str, str]:
    """The headers without the one that is every request's own."""
    return {name: value for name, value in answer.headers.items() if name != "x-request-id"}


def told(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """An answer without what makes every booking different."""
    headers = {name: value for name, value in named(answer).items() if name not in ("content-length", "server-time")}
    body = answer.json() if answer.content else None
    if isinstance(body, dict):
        body.pop("request_id", None)
    if answer.status_code == 201:
        headers["location"] = headers["location"].replace(body["id"], "{id}")
        body = {name: value for name, value in body.items() if name not in OWN} | {"seats": len(body["seats"])}
    return answer.status_code, headers, body


async def to_pay(worker: Worker, sale: Sale, customer: dict[str, str]) -> str:
    """Where a booking of one place is paid for."""
    booking = await worker.http.post(sale.bookings_url, json={"quantity": 1}, headers=customer)
    return f"/v1/bookings/{booking.json()['id']}/payments"


def shape(value: Any) -> Any:
    """A document without what makes every booking different: names all the way down, and texts that are no ids."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items() if name not in OWN | VARYING}
    return [shape(each) for each in value] if isinstance(value, list) else value


WISHES = {
    "the best two": b'{"quantity": 2}',
    "a category": b'{"quantity": 1, "category": "Standard", "adjacent": true}',
    "standing room": b'{"seats": ["floor"]}',
    "members nobody knows": b'{"quantity": 1, "colour": "red"}',
    "no such seat": b'{"seats": ["nowhere"]}',
    "no such category": b'{"quantity": 1, "category": "Gold"}',
    "one seat twice": b'{"seats": ["T-20", "T-20"]}',
    "seats and a quantity": b'{"seats": ["T-20"], "quantity": 1}',
    "more than there are": b'{"quantity": 6, "category": "Standing"}',
    "nothing": b"{}",
    "no body": b"",
    "null": b"null",
    "a list": b"[]",
    "half a document": b'{"seats": ["T-20"',
    "not UTF-8": b'{"seats": ["\xff"]}',
    "UTF-16": '{"quantity": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"quantity": 1}',
    "a number as text": b'{"quantity": "2"}',
    "a number with a point": b'{"quantity": 2.0}',
    "no whole number": b'{"quantity": 2.5}',
    "a truth value": b'{"quantity": true}',
    "not a number": b'{"quantity": NaN}',
    "beyond every integer": b'{"quantity": 1' + 5000 * b"0" + b"}",
    "a member twice": b'{"quantity": 50, "quantity": 1}',
    "a seat that is a number": b'{"seats": [1]}',
    "an empty seat": b'{"seats": [""]}',
    "a NUL": b'{"seats": ["a\\u0000"]}',
    "half a character": b'{"seats": ["\\ud800"]}',
    "too many seats": json.dumps({"seats": ["floor"] * 2_000}).encode(),
    "a large body": b'{"quantity": 1' + b" " * BODY_LIMIT + b"}",
    "deep": b'{"seats": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
}


@pytest.mark.parametrize("body", WISHES.values(), ids=WISHES)
async def test_a_wish_is_answered_alike(worker: Worker, sale: Sale, customer: dict[str, str], body: bytes) -> None:
    headers = customer | {"Content-Type": "application/json"}
    short = await worker.http.post(sale.bookings_url, content=body, headers=headers)
    long = await worker.http.post(sale.bookings_url + LONG_WAY, content=body, headers=headers)
    assert told(short) == told(long)


PAYMENTS = {
    "a card": b'{"method": {"type": "card", "token": "tok_approve"}}',
    "members nobody knows": b'{"method": {"type": "card", "token": "tok_approve", "name": "Kim"}, "tip": 1}',
    "an empty token": b'{"method": {"type": "card", "token": ""}}',
    "a token too long": b'{"method": {"type": "card", "token": "' + b"x" * 501 + b'"}}',
    "a token that is a number": b'{"method": {"type": "card", "token": 4242}}',
    "cash": b'{"method": {"type": "cash", "token": "tok_approve"}}',
    "no method": b"{}",
    "no body": b"",
    "half a document": b'{"method": {',
}


@pytest.fixture(scope="module")
async def free_sale(worker: Worker) -> Sale:
    """A house that costs nothing, so that it is paid for without a provider, of which this worker has none."""
    return await open_sale(worker.http, plan=small_plan(), prices={"VIP": 0, "Standard": 0})


@pytest.mark.parametrize("body", PAYMENTS.values(), ids=PAYMENTS)
@pytest.mark.parametrize("free", [False, True])
async def test_a_payment_is_answered_alike(
    worker: Worker, sale: Sale, free_sale: Sale, *, body: bytes, free: bool
) -> None:
    customer = await worker.sign_up()
    short, long = [
        await worker.http.post(
            await to_pay(worker, free_sale if free else sale, customer) + way,
            content=body,
            headers=customer | {"Content-Type": "application/json"},
        )
        for way in ("", LONG_WAY)
    ]
    assert (short.status_code, shape(short.json())) == (long.status_code, shape(long.json()))
    assert short.status_code in ({201} if free else {202}) | {400, 422}


async def test_what_cannot_be_paid_is_refused_either_way(worker: Worker, free_sale: Sale) -> None:
    customer = await worker.sign_up()
    path = await to_pay(worker, free_sale, customer)
    card = {"method": {"type": "card", "token": "tok_approve"}}
    for headers, where, code in (
        ({}, path, "unauthenticated"),
        (free_sale.organizer, path, "booking_not_found"),
        (await worker.sign_up(), path, "booking_not_found"),
        (customer, f"/v1/bookings/{NO_ID}/payments", "booking_not_found"),
        (customer, "/v1/bookings/none/payments", "booking_not_found"),
    ):
        short = await worker.http.post(where, json=card, headers=headers)
        long = await worker.http.post(where + LONG_WAY, json=card, headers=headers)
        assert told(short) == told(long)
        assert short.json()["code"] == code
    assert (await worker.http.post(path, json=card, headers=customer)).status_code == 201
    short, long = [await worker.http.post(path + way, json=card, headers=customer) for way in ("", LONG_WAY)]
    assert told(short) == told(long)
    assert short.json()["code"] == "booking_already_paid"


HEADERS = {
    "no token": {"Authorization": ""},
    "not a token": {"Authorization": "Bearer nonsense"},
    "another scheme": {"Authorization": "Basic eDp5"},
    "Korean": {"Accept-Language": "ko"},
    "no JSON": {"Content-Type": "text/plain"},
    "JSON of a kind": {"Content-Type": "application/merge-patch+json"},
    "JSON with a character set": {"Content-Type": "application/json; charset=utf-8"},
    "a key that is none": {"Idempotency-Key": "two words"},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("body", [b'{"quantity": 1}', b'{"seats": ["nowhere"]}', b'{"quantity": 0}'])
async def test_headers_mean_the_same(
    worker: Worker, sale: Sale, customer: dict[str, str], headers: dict[str, str], body: bytes
) -> None:
    headers = customer | {"Content-Type": "application/json"} | headers
    short = await worker.http.post(sale.bookings_url, content=body, headers=headers)
    long = await worker.http.post(sale.bookings_url + LONG_WAY, content=body, headers=headers)
    assert told(short) == told(long)


async def test_whoever_is_no_customer_is_forbidden_either_way(worker: Worker, sale: Sale) -> None:
    for path in (sale.bookings_url, sale.bookings_url + LONG_WAY):
        answer = await worker.http.post(path, json={"quantity": 1}, headers=sale.organizer)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("schedule_id", [NO_ID, NO_ID.upper(), "none"])
@pytest.mark.parametrize("noun", ["availability", "seats", "states"])
async def test_an_unknown_schedule_is_not_found_either_way(
    worker: Worker, customer: dict[str, str], schedule_id: str, noun: str
) -> None:
    for path in (f"/v1/schedules/{schedule_id}/{noun}", f"/v1/schedules/{schedule_id}/bookings"):
        method = "GET" if path.endswith(noun) else "POST"
        body = None if method == "GET" else {"quantity": 1}
        short = await worker.http.request(method, path, json=body, headers=customer)
        long = await worker.http.request(method, path + LONG_WAY, json=body, headers=customer)
        assert told(short) == told(long)
        assert short.status_code == 404


async def test_a_key_is_recognised_whichever_way_the_repeat_takes(
    worker: Worker, sale: Sale, customer: dict[str, str]
) -> None:
    headers = customer | {"Idempotency-Key": "once"}
    first = await worker.http.post(sale.bookings_url, json={"quantity": 1}, headers=headers)
    again = await worker.http.post(sale.bookings_url + LONG_WAY, json={"quantity": 1}, headers=headers)
    other = await worker.http.post(sale.bookings_url, json={"quantity": 2}, headers=headers)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_body_in_pieces_is_taken(worker: Worker, sale: Sale, customer: dict[str, str]) -> None:
    async def pieces() -> Any:
        for piece in (b'{"quan', b'tity"', b": 1}"):
            yield piece

    for length in ({}, {"Content-Length": "15"}):
        headers = customer | {"Content-Type": "application/json"} | length
        answer = await worker.http.post(sale.bookings_url, content=pieces(), headers=headers)
        assert answer.status_code == 201


@pytest.mark.parametrize("end", [b" ", b"}"])
async def test_a_body_is_judged_as_a_whole(worker: Worker, sale: Sale, customer: dict[str, str], end: bytes) -> None:
    async def pieces() -> Any:
        yield b'{"quantity": 1}'
        for _ in range(20):
            yield end

    headers = customer | {"Content-Type": "application/json", "Content-Length": "35"}
    short = await worker.http.post(sale.bookings_url, content=pieces(), headers=headers)
    long = await worker.http.post(sale.bookings_url + LONG_WAY, content=pieces(), headers=headers)
    assert told(short) == told(long)
    assert short.status_code == (201 if end == b" " else 400)


@pytest.mark.parametrize("noun", ["availability", "seats", "states"])
async def test_reads_are_answered_alike_and_unchanged_ones_with_304(worker: Worker, noun: str) -> None:
    sale = await open_sale(worker.http, plan=small_plan())  # nobody books here, so nothing changes between two reads
    path = f"/v1/schedules/{sale.schedule_id}/{noun}"
    short, long = await worker.http.get(path), await worker.http.get(path + LONG_WAY)
    assert (short.content, named(short)) == (long.content, named(long))
    known = {"If-None-Match": f'"something else", {short.headers["etag"]}'}
    short, long = await worker.http.get(path, headers=known), await worker.http.get(path + LONG_WAY, headers=known)
    assert (short.status_code, named(short)) == (long.status_code, named(long))
    assert short.status_code == 304


@pytest.mark.parametrize("address", [CATALOGUE, "/healthz"])
async def test_what_has_no_id_reads_the_same_either_way(worker: Worker, sale: Sale, address: str) -> None:
    short, long = await worker.http.get(address), await worker.http.get(address + LONG_WAY)
    assert (short.status_code, short.content, named(short)) == (200, long.content, named(long))
    for path in (address + "/", address.upper(), "/v1"):
        short, long = await worker.http.get(path), await worker.http.get(path + LONG_WAY)
        assert told(short) == told(long)


@pytest.mark.usefixtures("only_short_way")
async def test_what_is_well_formed_goes_the_short_way(
    worker: Worker, sale: Sale, free_sale: Sale, customer: dict[str, str]
) -> None:
    (seat,) = sale.fresh()
    assert (await worker.http.post(sale.bookings_url, json={"seats": [seat]}, headers=customer)).status_code == 201
    taken = await worker.http.post(sale.bookings_url, json={"seats": [seat]}, headers=customer)
    assert (taken.status_code, taken.json()["seats"]) == (409, [seat])
    card = {"method": {"type": "card", "token": "tok_approve"}}
    paid = await worker.http.post(await to_pay(worker, free_sale, customer), json=card, headers=customer)
    assert (paid.status_code, paid.json()["booking"]["status"]) == (201, "confirmed")
    for noun in ("availability", "seats", "states"):
        assert (await worker.http.get(f"/v1/schedules/{sale.schedule_id}/{noun}")).status_code == 200
    for address in (CATALOGUE, "/healthz"):
        assert (await worker.http.get(address)).status_code == 200


def test_shortcuts_to_routes_that_are_not_there_are_closed() -> None:
    async def nowhere(scope: Scope, receive: Receive, send: Send) -> None: ...

    routes = [route for noun in (bookings, seats) for route in noun.router.routes if isinstance(route, APIRoute)]
    assert {noun for *_, noun in Express(nowhere, routes)._shortcuts} == {"bookings", "availability", "seats", "states"}
    assert not Express(nowhere, [])._shortcuts
