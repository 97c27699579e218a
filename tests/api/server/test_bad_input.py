"""Bad input against the running system: each a precise problem document, and nothing changed.

"Nothing" is checked after every test: the schedule's version stands still, and the
customer has no booking but the one there was.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.sale import Sale, hold, open_sale, problem, sign_up, small_plan, until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = pytest.mark.stack

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A sale with one held booking."""

    http: httpx.AsyncClient
    sale: Sale
    customer: dict[str, str]
    booking: dict[str, Any]

    async def version(self) -> int:
        answer = await self.http.get(f"/v1/schedules/{self.sale.schedule_id}/availability")
        version: int = answer.json()["version"]
        return version

    async def bookings(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.http.get("/v1/bookings", headers=self.customer)).json()["items"]
        return items

    async def book(self, body: Any) -> httpx.Response:
        return await self.http.post(self.sale.bookings_url, json=body, headers=self.customer)


@pytest.fixture(scope="module")
async def opened(stack: Stack) -> AsyncIterator[Scene]:
    async with stack.client() as http:
        sale, customer = await open_sale(http), await sign_up(http)
        booking = await hold(http, sale, customer, "A-1")
        scene = Scene(http=http, sale=sale, customer=customer, booking=booking)

        async def shown() -> bool:
            return await scene.version() >= int(booking["version"])

        await until(shown)  # what readers see follows within moments
        yield scene


@pytest.fixture
async def scene(opened: Scene) -> AsyncIterator[Scene]:
    """The scene, and the proof that the test has changed nothing in it."""
    version = await opened.version()
    yield opened
    assert await opened.bookings() == [opened.booking]
    assert await opened.version() == version


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{'seats': ['A-2']}", b'{"seats": ["A-2"]', b"\xff\xfe", b'{"quantity": NaN}', b"[" * 60_000],
    ids=["empty", "open", "single quotes", "cut off", "not UTF-8", "NaN", "deeply nested"],
)
async def test_malformed_json(scene: Scene, body: bytes) -> None:
    headers = scene.customer | {"Content-Type": "application/json"}
    answer = await scene.http.post(scene.sale.bookings_url, content=body, headers=headers)
    if body in (b"", b'{"quantity": NaN}'):  # nothing at all, and what some decoders let through: still nothing usable
        assert answer.status_code in (400, 422)
        problem(answer, answer.status_code, answer.json()["code"])
    else:
        problem(answer, 400, "malformed_json")


@pytest.mark.parametrize("seats", [["Z-99"], ["A-2", "Z-99"], [" A-2"], ["a-2"]])
async def test_unknown_seat(scene: Scene, seats: list[str]) -> None:
    answer = await scene.book({"seats": seats})
    document = problem(answer, 422, "unknown_seat")
    assert document["seats"] == [seat for seat in seats if seat != "A-2"]
    assert document["errors"][0]["field"] == "seats"


@pytest.mark.parametrize("quantity", [0, -1, 101, 10_000, 10**30, 1.5, "2", True, None, [2]])
async def test_quantity_that_is_none(scene: Scene, quantity: object) -> None:
    document = problem(await scene.book({"quantity": quantity}), 422, "validation_failed")
    assert [error["field"] for error in document["errors"]] == ["seats" if quantity is None else "quantity"]


async def test_10_000_seats_at_once(scene: Scene) -> None:
    document = problem(
        await scene.book({"seats": [f"A-{number}" for number in range(10_000)]}), 422, "validation_failed"
    )
    assert [error["field"] for error in document["errors"]] == ["seats"]
    assert "100" in document["errors"][0]["message"]


async def test_same_seat_twice(scene: Scene) -> None:
    document = problem(await scene.book({"seats": ["A-2", "A-3", "A-2"]}), 422, "duplicate_seat")
    assert document["seats"] == ["A-2"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"seats": []},
        {"seats": "A-2"},
        {"seats": [2]},
        {"seats": [""]},
        {"seats": ["A" * 1000]},
        {"seats": None, "quantity": None},
        {"seats": ["A-2"], "quantity": 1},
        {"seats": ["A-2"], "category": "VIP"},
        {"quantity": 1, "adjacent": "yes"},
        {"quantity": 1, "category": 7},
        [],
        "A-2",
        None,
    ],
)
async def test_neither_seats_nor_a_quantity_or_both(scene: Scene, body: object) -> None:
    document = problem(await scene.book(body), 422, "validation_failed")
    assert document["errors"]
    assert all(error["message"] for error in document["errors"])


async def test_unknown_category_and_zone(scene: Scene) -> None:
    problem(await scene.book({"quantity": 1, "category": "Royal"}), 422, "unknown_category")
    problem(await scene.book({"quantity": 1, "zone": "Moon"}), 422, "unknown_zone")


@pytest.mark.parametrize("schedule_id", [NOWHERE, "1", "' OR 1=1 --"])
async def test_unknown_schedule(scene: Scene, schedule_id: str) -> None:
    url = f"/v1/schedules/{schedule_id}/bookings"
    answer = await scene.http.post(url, json={"quantity": 1}, headers=scene.customer)
    assert (answer.status_code, answer.json()["code"]) == (404, "schedule_not_found")


async def test_foreign_booking(scene: Scene) -> None:
    stranger = await sign_up(scene.http)
    url = f"/v1/bookings/{scene.booking['id']}"
    problem(await scene.http.get(url, headers=stranger), 404, "booking_not_found")
    problem(await scene.http.delete(url, headers=stranger), 404, "booking_not_found")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer garbage",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
        "Basic dXNlcjpwYXNzd29yZA==",
        "Bearer " + "x" * 5000,
    ],
)
async def test_missing_or_garbage_access_token(scene: Scene, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await scene.http.post(scene.sale.bookings_url, json={"quantity": 1}, headers=headers)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "method"),
        ({"method": {}}, "method"),
        ({"method": "card"}, "method"),
        ({"method": {"type": "card"}}, "method.token"),
        ({"method": {"type": "card", "token": ""}}, "method.token"),
        ({"method": {"type": "card", "token": None}}, "method.token"),
        ({"method": {"type": "card", "token": 4242424242424242}}, "method.token"),
        ({"method": {"type": "card", "token": "x" * 501}}, "method.token"),
        ({"method": {"type": "cash", "token": "tok_approve"}}, "method.type"),
    ],
)
async def test_missing_or_garbage_card_token(scene: Scene, body: object, field: str) -> None:
    answer = await scene.http.post(f"/v1/bookings/{scene.booking['id']}/payments", json=body, headers=scene.customer)
    document = problem(answer, 422, "validation_failed")
    assert any(error["field"].startswith(field) for error in document["errors"])
    assert "4242" not in answer.text
    assert "tok_" not in answer.text


@pytest.mark.parametrize("declared", [True, False], ids=["with Content-Length", "chunked"])
async def test_body_of_10_MB(scene: Scene, declared: bool) -> None:
    body = b'{"seats": ["' + b"A" * (10 * MIB) + b'"]}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), MIB):
            yield body[start : start + MIB]

    headers = scene.customer | {"Content-Type": "application/json"}
    content = body if declared else chunks()
    answer = await scene.http.post(scene.sale.bookings_url, content=content, headers=headers)
    problem(answer, 413, "body_too_large")


async def test_plan_with_duplicate_seats(scene: Scene) -> None:
    plan = small_plan()
    seats = plan["zones"][0]["rows"][1]["seats"]
    seats[3]["seat_guid"] = "A-1"
    answer = await scene.http.post(
        "/v1/venues", json={"name": "Twice", "seating_plan": plan}, headers=scene.sale.organizer
    )
    assert answer.status_code == 422, answer.text
    document = problem(answer, 422, answer.json()["code"])
    assert any("zones" in error["field"] and "A-1" in error["message"] for error in document["errors"])
    listed = await scene.http.get("/v1/venues", headers=scene.sale.organizer)
    assert all(venue["name"] != "Twice" for venue in listed.json()["items"])


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "umlaut-ü"])
async def test_garbage_idempotency_key(scene: Scene, key: str) -> None:
    headers = [(name.encode(), value.encode()) for name, value in scene.customer.items()]
    headers += [(b"Idempotency-Key", key.encode()), (b"Content-Type", b"application/json")]
    answer = await scene.http.post(
        scene.sale.bookings_url, content=json.dumps({"quantity": 1}).encode(), headers=httpx.Headers(headers)
    )
    document = problem(answer, 422, "validation_failed")
    assert document["errors"][0]["field"] == "Idempotency-Key"


async def test_unknown_route_and_method(scene: Scene) -> None:
    problem(await scene.http.get("/v1/nothing-here"), 404, "route_not_found")
    problem(await scene.http.put(f"/v1/bookings/{scene.booking['id']}", json={}), 405, "method_not_allowed")
