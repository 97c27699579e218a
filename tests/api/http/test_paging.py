"""Lists over HTTP: a cursor is of one list and nothing else, and fields may be named one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.http import paging
from api.http.problems import Problem
from tests.api.conftest import Worker
from tests.api.server.openapi import openapi_document
from tests.support.sale import Sale, open_sale, problem, read

PAYMENT = "0199f3a0-0000-7000-8000-0000000000aa"
ID, TIME = "0199f3a0-0000-7000-8000-000000000000", "2026-11-27T00:00:00+00:00"


# --- a cursor by itself -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reads", "key"),
    [(paging.id_in, (ID,)), (paging.version_in, ("17",)), (paging.time_and_id_in, (TIME, ID))],
)
@pytest.mark.parametrize("listed", ["", "one"])
def test_a_key_is_read_back_for_its_own_list(reads: Callable[[str], object], key: tuple[str, ...], listed: str) -> None:
    paging.LIST.set(listed)
    cursor = paging.encode_cursor(*key)
    assert reads(cursor)
    paging.LIST.set("another")
    with pytest.raises(Problem, match="validation_failed"):
        reads(cursor)


@pytest.mark.parametrize(
    ("reads", "keys"),
    [
        (paging.id_in, [(), ("x",), (ID, ID), (ID + "\0",), (ID[:-1],), ("٣" + ID[1:],)]),
        (paging.version_in, [(), ("x",), ("-1",), ("1", "2"), ("1" * 19,), ("٣",)]),
        (paging.time_and_id_in, [(), (ID,), ("x", ID), (TIME, "x"), (TIME[:19], ID), (TIME, ID, ID)]),
    ],
)
def test_what_is_no_key_of_the_list_is_refused(reads: Callable[[str], object], keys: list[tuple[str, ...]]) -> None:
    for key in keys:
        with pytest.raises(Problem, match="validation_failed"):
            reads(paging.encode_cursor(*key))


@pytest.mark.parametrize("cursor", ["", "x", "W10", "WyJ4Il0", "MQ", "bnVsbA", "W251bGxd", "{}"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Problem, match="validation_failed"):
        paging.id_in(cursor)


# --- every list -------------------------------------------------------------------------------------------------------
def lists() -> list[str]:
    """The paths of all that go on by a cursor."""
    return [
        path
        for path, methods in openapi_document()["paths"].items()
        if "cursor" in {each["name"] for each in methods.get("get", {}).get("parameters", ())}
    ]


async def administrator(worker: Worker) -> dict[str, str]:
    headers = await worker.sign_up("organizer")
    me = (await worker.http.get("/v1/accounts/me", headers=headers)).json()
    await worker.office.pool.execute("UPDATE accounts SET role = 'admin' WHERE id = $1", me["id"])
    return await worker.log_in(me["email"])


async def test_a_cursor_of_another_list_is_refused_by_every_list(worker: Worker) -> None:
    sale, admin = await open_sale(worker.http), await administrator(worker)
    await open_sale(worker.http)
    await paid(worker, sale)
    cursor = (await read(worker.http, "/v1/performances", {}, limit=1))["next_cursor"]
    assert cursor is not None
    paths = lists()
    assert len(paths) > 20
    for path in set(paths) - {"/v1/performances"}:
        answer = await first_of(worker.http, path, sale, admin, cursor)
        errors = problem(answer, 422, "validation_failed")["errors"]
        assert [each["field"] for each in errors] == ["cursor"], path
    assert (await read(worker.http, "/v1/performances", {}, limit=1, cursor=cursor))["items"]


async def test_every_list_takes_a_cursor_of_its_own(worker: Worker) -> None:
    """So that what refuses those of others does not refuse all."""
    sale, admin = await open_sale(worker.http), await administrator(worker)
    await paid(worker, sale)
    for path in lists():
        named = sale_path(path, sale)
        answers = []
        for key in ([ID], ["1"], [TIME, ID], ["sales", ID, "1"], ["1", TIME, ID]):
            paging.LIST.set(hashlib.sha256(named.encode()).hexdigest()[: paging.NAME_CHARACTERS])
            answers.append(await first_of(worker.http, path, sale, admin, paging.encode_cursor(*key)))
        assert 200 in {each.status_code for each in answers}, (path, answers[0].text)


def sale_path(path: str, sale: Sale) -> str:
    its = {"schedule_id": sale.schedule_id, "performance_id": sale.performance_id, "venue_id": sale.venue_id}
    return path.format_map(its | {"payment_id": PAYMENT})


async def paid(worker: Worker, sale: Sale) -> None:
    """A payment of the organizer's own, as far as the list of its refunds looks at it."""
    me = (await worker.http.get("/v1/accounts/me", headers=sale.organizer)).json()["id"]
    await worker.as_superuser(
        "INSERT INTO payments (id, booking_id, schedule_id, customer_id, status, amount, currency, provider,"
        f" requested_at) VALUES ('{PAYMENT}', '{PAYMENT}', '{sale.schedule_id}', '{me}', 'approved', 1, 'KRW',"
        f" 'sandbox', now()) ON CONFLICT (id) DO UPDATE SET customer_id = '{me}'"
    )


async def first_of(
    http: httpx.AsyncClient, path: str, sale: Sale, admin: dict[str, str], cursor: str
) -> httpx.Response:
    """What whoever may read the list is answered. What a door keeps is a list only if it is asked for."""
    query: dict[str, Any] = {"cursor": cursor} | ({"list": "offline"} if path.endswith("/check-ins") else {})
    for headers in (sale.organizer, admin):
        answer = await http.get(sale_path(path, sale), params=query, headers=headers)
        if answer.status_code != httpx.codes.FORBIDDEN:
            break
    return answer


# --- fields -----------------------------------------------------------------------------------------------------------
async def test_fields_may_be_named_one_by_one(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    one = f"/v1/performances/{sale.performance_id}"
    for query in ("fields=id&fields=title", "fields=id,title", "fields=title&fields=id,title"):
        assert set((await worker.http.get(f"{one}?{query}")).json()) == {"id", "title"}
        items = (await worker.http.get(f"/v1/performances?{query}")).json()["items"]
        assert {frozenset(each) for each in items} == {frozenset({"id", "title"})}
    for wrong in ("fields=secret&fields=id", "fields=id&fields=secret", "fields=&fields=", "fields=id" * 60):
        problem(await worker.http.get(f"{one}?{wrong}"), 422, "validation_failed")
