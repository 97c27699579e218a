"""Text that cannot be stored goes no further than the door, whichever operation, field or parameter it is meant for."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from api.http import large_bodies, storable
from api.http.problems import Problem
from api.server.admission import SPARED
from tests.api.conftest import Worker
from tests.api.server.openapi import openapi_document
from tests.support.sale import open_sale, problem, small_plan

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"
IN_JSON = {"NUL": "a\0b", "half a pair": "\ud800", "the other half": "x\udfff"}
IN_ADDRESSES = {"NUL": "a%00b", "half a pair": "%ED%A0%80", "no UTF-8": "%FF"}
JSON = {"Content-Type": "application/json"}
HOLDS = 60

SCHEMA = openapi_document()


class Attack(Struct, frozen=True):
    """One operation with one text in it that cannot be stored."""

    method: str
    path: str
    field: str  # what the answer must name
    body: bytes | None = None
    content_type: str = "application/json"

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.field}"


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMA["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def strings(schema: dict[str, Any], place: tuple[str, ...] = (), depth: int = 0) -> Iterator[tuple[str, ...]]:
    """Where strings stand in what a schema describes: `*` for an item of a list, `{}` for a member of any name."""
    schema = resolved(schema)
    if depth > 6:
        return
    for branch in itertools.chain(schema.get("anyOf", ()), schema.get("oneOf", ()), schema.get("allOf", ())):
        yield from strings(branch, place, depth + 1)
    if schema.get("type") == "string":
        yield place
    if schema.get("type") == "array":
        yield from strings(schema.get("items", {}), (*place, "*"), depth + 1)
    for name, each in schema.get("properties", {}).items():
        yield from strings(each, (*place, name), depth + 1)
    if schema.get("additionalProperties") not in (None, False):
        yield (*place, "{}")


def document(place: tuple[str, ...], text: str) -> Any:
    """The smallest document with the text in its place."""
    if not place:
        return text
    first, *rest = place
    if first == "*":
        return [document(tuple(rest), text)]
    if first == "{}":
        return {"any": {"depth": [text]}}
    return {first: document(tuple(rest), text)}


def named(place: tuple[str, ...]) -> str:
    return ".".join({"*": "0", "{}": "any.depth.0"}.get(each, each) for each in place)


def attacks() -> Iterator[Attack]:
    for path, methods in SCHEMA["paths"].items():
        for method, operation in methods.items():
            parameters = operation.get("parameters", [])
            names = [each["name"] for each in parameters if each["in"] == "path"]
            plain = path.format(**dict.fromkeys(names, NOWHERE))
            for parameter in parameters:
                for text in IN_ADDRESSES.values():
                    name = parameter["name"]
                    if parameter["in"] == "path":
                        values = dict.fromkeys(names, NOWHERE) | {name: text}
                        yield Attack(method.upper(), path.format(**values), name)
                    elif parameter["in"] == "query":
                        yield Attack(method.upper(), f"{plain}?{name}={text}", name)
            if method in ("get", "head"):
                yield from (Attack(method.upper(), f"{plain}?a{text}=1", "a") for text in IN_ADDRESSES.values())
                continue
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                for place in set(strings(content["schema"])):
                    if place[-1:] == (SPARED.get(path),):
                        continue
                    if media_type == "application/json":
                        for text in IN_JSON.values():
                            body = json.dumps(document(place, text)).encode()
                            yield Attack(method.upper(), plain, named(place) or "body", body)
                    else:
                        for text in IN_ADDRESSES.values():
                            yield Attack(
                                method.upper(), plain, named(place), f"{place[-1]}={text}".encode(), media_type
                            )
                if media_type == "application/json":
                    body = json.dumps({"anything": {"\ud800": 1}, "\0": 2}).encode()
                    yield Attack(method.upper(), plain, "anything.?", body)


ATTACKS = sorted(set(attacks()), key=str)


def test_the_walk_finds_what_there_is_to_attack() -> None:
    """Every operation with a parameter in its address or a body; those with neither take no text."""
    operations = {
        (method.upper(), path)
        for path, methods in SCHEMA["paths"].items()
        for method, operation in methods.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {}) or "{" in path
    }
    assert len({(attack.method, attack.path.partition("?")[0]) for attack in ATTACKS}) >= len(operations)
    assert {"seats.0", "zone", "seating_plan.any.depth.0", "method.token", "schedule_id", "q"} <= {
        attack.field for attack in ATTACKS
    }


async def test_no_operation_takes_text_that_cannot_be_stored_and_neighbours_book_on(worker: Worker) -> None:
    """Two neighbours hold seats at the same schedule all the while; every one of their holds is granted."""
    sale = await open_sale(worker.http, plan=small_plan(rows=10, seats_per_row=20))
    tokens = {role: await worker.sign_up(role) for role in ("customer", "organizer")}
    tokens["admin"] = await admin(worker)
    done = asyncio.Event()

    async def book(neighbour: dict[str, str]) -> int:
        held = 0
        while held < HOLDS or not done.is_set():
            booking = await worker.http.post(sale.bookings_url, json={"quantity": 1}, headers=neighbour)
            assert booking.status_code == 201, booking.text
            await worker.http.post(f"/v1/bookings/{booking.json()['id']}/cancellation", headers=neighbour)
            held += 1
        return held

    async def attack_all() -> None:
        try:
            for attack in ATTACKS:
                path = attack.path.replace(f"/v1/schedules/{NOWHERE}/", f"/v1/schedules/{sale.schedule_id}/")
                await judge(worker.http, attack, path, tokens)
        finally:
            done.set()

    neighbours = [await worker.sign_up() for _ in range(2)]
    await asyncio.gather(attack_all(), *(book(neighbour) for neighbour in neighbours))


async def judge(http: httpx.AsyncClient, attack: Attack, path: str, tokens: dict[str, dict[str, str]]) -> None:
    """As whoever may use the operation: refused, naming the field."""
    for headers in tokens.values():
        answer = await http.request(
            attack.method, path, content=attack.body, headers=headers | {"Content-Type": attack.content_type}
        )
        if answer.status_code == 403:
            continue
        errors = problem(answer, 422, "validation_failed")["errors"]
        assert any(error["field"].startswith(attack.field) for error in errors), (str(attack), errors)
        return
    pytest.fail(f"{attack} is nobody's")


async def admin(worker: Worker) -> dict[str, str]:
    headers = await worker.sign_up("organizer")
    me = (await worker.http.get("/v1/accounts/me", headers=headers)).json()
    async with worker.office.database.begin() as connection:
        await connection.exec_driver_sql(f"UPDATE accounts SET role = 'admin' WHERE id = '{me['id']}'")
    return await worker.log_in(me["email"])


# --- the check itself -------------------------------------------------------------------------------------------------
TEXTS = st.text(st.characters(codec=None, categories=None) | st.sampled_from(["\0", "\ud800", "\udc00", "\\", "u"]))
DOCUMENTS = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def storable_text(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def all_storable(value: Any) -> bool:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, dict):
        return all(storable_text(name) and all_storable(each) for name, each in value.items())
    return all(map(all_storable, value)) if isinstance(value, list) else True


@given(DOCUMENTS)
def test_a_document_is_refused_exactly_if_something_in_it_cannot_be_stored(value: Any) -> None:
    body = json.dumps(value).encode()
    understood = json.loads(body)  # two halves that meet are a pair
    if all_storable(understood):
        asyncio.run(storable.check_json(body))
    else:
        with pytest.raises(Problem, match="validation_failed"):
            asyncio.run(storable.check_json(body))


async def test_only_the_text_of_a_member_that_is_spared_may_be_anything() -> None:
    await storable.check_json(json.dumps([{"code": "\ud800\0"}, {"code": "x", "id": "y"}]).encode(), "code")
    for other in ({"code": ["\0"]}, {"code": {"\0": "x"}}, {"code": "\0", "id": "\0"}, {"cod\0e": "x"}, ["code", "\0"]):
        with pytest.raises(Problem, match="validation_failed"):
            await storable.check_json(json.dumps(other).encode(), "code")


@given(DOCUMENTS)
def test_a_large_document_is_read_in_parts_as_it_would_be_whole(value: Any) -> None:
    body = json.dumps([value, {"filling": ["x" * 1000] * 70, "value": value}], ensure_ascii=True).encode()
    if all_storable(json.loads(body)):
        assert large_bodies.decode(body) == json.loads(body)
