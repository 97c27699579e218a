"""Every operation of the document, tried by those it is not for, and with what nobody means.

The ids are real ones: somebody's schedule, booking, payment, ticket, door link, session. So whatever looks at what it
is given before it looks at whose it is, or falls over it, is found, be it an operation that comes tomorrow.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from msgspec import Struct

from tests.api.conftest import Worker
from tests.api.routes.door.test_check_ins import Door
from tests.api.server.openapi import openapi_document
from tests.api.server.test_storable import admin, resolved
from tests.support.sale import hold, open_sale, problem

SCHEMA = openapi_document()
ENDLESS = re.compile(r"/stream$|^/metrics$|^/v1/bench")  # streams never end
METHODS = ("get", "post", "put", "patch", "delete")


class Operation(Struct, frozen=True):
    """One operation, and what it may answer."""

    method: str
    path: str
    query: tuple[str, ...]
    body: Any  # an example; None where it takes none
    statuses: frozenset[int]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def example_of(schema: dict[str, Any]) -> Any:
    """An example of what a schema describes."""
    schema = resolved(schema)
    if schema.get("examples"):
        return schema["examples"][0]
    if "example" in schema or "default" in schema:
        return schema.get("example", schema.get("default"))
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        return example_of(branch)
    match schema.get("type"):
        case "object":
            required = schema.get("required", ())
            return {name: example_of(each) for name, each in schema.get("properties", {}).items() if name in required}
        case "array":
            return [example_of(schema.get("items", {}))]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case "string":
            return str(uuid4()) if schema.get("format") == "uuid" else "text of some length"
    return None


# Where the first example does not stand by itself.
BODIES = {"patch /v1/bookings/{booking_id}": {"quantity": 1}}


def operations() -> Iterator[Operation]:
    for path, methods in SCHEMA["paths"].items():
        if ENDLESS.search(path):
            continue
        for method, operation in methods.items():
            if method not in METHODS:
                continue
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            body = None if content is None else content.get("example", example_of(content["schema"]))
            yield Operation(
                method=method,
                path=path,
                query=tuple(each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"),
                body=BODIES.get(f"{method} {path}", body),
                statuses=frozenset(int(status) for status in operation["responses"] if status.isdigit()),
            )


OPERATIONS = list(operations())


class Scene(Struct, frozen=True):
    """Somebody's things, by the names that paths have for them, and who else there is."""

    http: httpx.AsyncClient
    ids: dict[str, str]
    customer: dict[str, str]
    organizer: dict[str, str]
    others: dict[str, dict[str, str]]
    admin: dict[str, str]

    def address(self, operation: Operation, **changed: str) -> str:
        return operation.path.format_map({**dict.fromkeys(_names(operation), str(uuid4())), **self.ids, **changed})

    async def send(self, operation: Operation, address: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        content = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        return await self.http.request(operation.method.upper(), address, content=content, headers=headers | kind)


def _names(operation: Operation) -> list[str]:
    return re.findall(r"{(\w+)}", operation.path)


@pytest.fixture(scope="module")
async def scene(worker: Worker) -> Scene:
    http = worker.http
    door = Door(worker, await open_sale(http))
    code = await door.sold(2)
    entry = {"id": str(uuid4()), "code": code}
    await door.read(entry)
    staff = await http.post(f"{door.url}/door-staff", json={"name": "North"}, headers=door.sale.organizer)
    held = await hold(http, door.sale, door.customer, *door.sale.fresh(1))
    sessions = await http.get("/v1/sessions", headers=door.customer)
    grants = f"/v1/venues/{door.sale.venue_id}/grants"
    grant = await http.post(grants, json={"organizer_id": str(uuid4())}, headers=door.sale.organizer)
    place = await http.post(f"/v1/schedules/{door.sale.schedule_id}/queue", headers=door.customer)
    ids = {
        "schedule_id": door.sale.schedule_id,
        "performance_id": door.sale.performance_id,
        "venue_id": door.sale.venue_id,
        "booking_id": held["id"],
        "payment_id": door.payment_id,
        "check_in_id": entry["id"],
        "staff_id": staff.json()["id"],
        "session_id": sessions.json()["items"][0]["id"],
        "grant_id": grant.json()["id"],
        "account_id": (await http.get("/v1/accounts/me", headers=door.customer)).json()["id"],
        "provider": "sandbox",
        "code": code,
        "ticket": place.json()["ticket"],
        "seat_id": door.sale.seats[0],
    }
    others = {role: await worker.sign_up(role) for role in ("customer", "organizer")}
    return Scene(http, ids, door.customer, door.sale.organizer, {"a stranger": {}, **others}, await admin(worker))


# --- whose it is ------------------------------------------------------------------------------------------------------
# What everybody may see or do with these ids. A stranger's wish for seats, or a place in line, is a customer's own.
EVERYBODY_S = re.compile(
    r"get /v1/(schedules|performances|venues)/{\w+}(/(seats|layout|states|availability|schedules))?"
    r"|post /v1/schedules/{schedule_id}/(bookings(:batch)?|queue)|get /problems/{code}|post /v1/webhooks/{provider}"
)


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if "{" in each.path], ids=str)
async def test_what_is_somebody_else_s_is_not_there(scene: Scene, operation: Operation) -> None:
    if EVERYBODY_S.fullmatch(f"{operation.method} {operation.path}"):
        return
    for who, headers in scene.others.items():
        answer = await scene.send(operation, scene.address(operation), operation.body, headers)
        assert answer.status_code in (401, 403, 404, 410), (who, answer.status_code, answer.text)


# --- how times are written --------------------------------------------------------------------------------------------
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+.*")
WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}\+00:00")
EXACT = "/v1/admin/audit"  # as it was hashed, to the microsecond


def texts(document: Any) -> Iterator[str]:
    match document:
        case dict():
            for each in document.values():
                yield from texts(each)
        case list():
            for each in document:
                yield from texts(each)
        case str():
            yield document


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.method == "get"], ids=str)
async def test_every_time_is_written_in_one_form(scene: Scene, operation: Operation) -> None:
    if operation.path == EXACT or not operation.path.startswith("/v1/"):
        return
    for headers in (scene.organizer, scene.customer, scene.admin):
        answer = await scene.send(operation, scene.address(operation), None, headers)
        if answer.headers.get("content-type") == "application/json":
            strange = [each for each in texts(answer.json()) if TIME.fullmatch(each) and not WRITTEN.fullmatch(each)]
            assert strange == []


# --- what nobody means ------------------------------------------------------------------------------------------------
# fmt: off
STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**30, 1.5, 1e308, "", " ", "x" * 5_000, "\u202eevil\u2066", "👩\u200d👧" * 40, "0", "NaN"),
    *("ﷺ" * 300, "2031-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59", "' OR 1=1 --", "../../etc/passwd", "{{7*7}}"),
    *([], {}, [None], [[]] * 50, [{}], {"a": {"a": {"a": []}}}, ["x"] * 500, "FREQ=SECONDLY;COUNT=999999999"),
)
# fmt: on
EACH = 7  # of them, others for each operation
ADDRESSED = (
    *("", "-1", "99999999999999999999", "1e9", "null", "[]", "%27%20OR%201%3D1", "%E2%80%AE", "%F0%9F%91%A9"),
    "a" * 3_000,
)


def spoiled(body: Any, value: Any) -> Iterator[Any]:
    """The body with the value in each of its places, one at a time, and as a whole."""
    yield value
    if isinstance(body, dict):
        for name, each in body.items():
            for other in spoiled(each, value):
                yield {**body, name: other}
    elif isinstance(body, list):
        for number, each in enumerate(body[:2]):
            for other in spoiled(each, value):
                yield [*body[:number], other, *body[number + 1 :]]


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_nothing_falls_over_what_nobody_means(scene: Scene, operation: Operation) -> None:
    """As organizer, customer and admin by turns: refused or done, as the document says, and never our fault."""
    askers = itertools.cycle((scene.organizer, scene.customer, scene.admin))
    address = scene.address(operation)
    tries = [(f"{address}?{name}={text}", operation.body) for name in operation.query for text in ADDRESSED]
    for name, text in itertools.product(_names(operation), ADDRESSED[1:]):
        tries.append((scene.address(operation, **{name: text}), operation.body))
    if operation.body is not None:
        strange = random.Random(str(operation)).sample(STRANGE, EACH)
        tries += [(address, body) for value in strange for body in spoiled(operation.body, value)]
    for where, body in tries:
        answer = await scene.send(operation, where, body, next(askers))
        assert answer.status_code < 500, (where, body, answer.text)
        if answer.status_code != 404 or "{" not in operation.path:
            assert answer.status_code in operation.statuses, (where, body, answer.status_code, answer.text)


DEEP = ("[" * 20_000 + "]" * 20_000, '{"a":' * 5_000 + "1" + "}" * 5_000)  # nested beyond what any decoder follows
MARK = "where the depth goes"


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.body is not None], ids=str)
async def test_no_decoder_falls_over_depth(scene: Scene, operation: Operation) -> None:
    """Anywhere in a body: which decoder reads that place, or skips it, differs from route to route."""
    for asker, deep, body in itertools.product(
        (scene.organizer, scene.customer, scene.admin), DEEP, spoiled(operation.body, MARK)
    ):
        content = json.dumps(body).replace(json.dumps(MARK), deep)
        headers = {**asker, "Content-Type": "application/json"}
        answer = await scene.http.request(
            operation.method.upper(), scene.address(operation), content=content, headers=headers
        )
        assert 400 <= answer.status_code < 500, (body, answer.status_code, answer.text[:200])


# What their bodies leave out is done to all of a booking, and for good.
FOR_GOOD = (
    "/v1/payments/{payment_id}/refunds",
    "/v1/bookings/{booking_id}/transfers",
    "/v1/admin/bookings/{booking_id}/cancellation",
)


@pytest.mark.parametrize("path", FOR_GOOD)
async def test_what_is_not_taken_back_takes_no_member_that_is_not_known(scene: Scene, path: str) -> None:
    (operation,) = (each for each in OPERATIONS if (each.method, each.path) == ("post", path))
    asker = scene.admin if "/admin/" in path else scene.customer
    body = {**operation.body, "amount": 1}
    answer = await scene.send(operation, scene.address(operation), body, {**asker, "Accept-Language": "ko"})
    assert problem(answer, 422, "validation_failed")["errors"] == [{"field": "amount", "message": "없는 필드입니다"}]
