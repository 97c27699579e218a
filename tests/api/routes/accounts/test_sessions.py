"""Where somebody is logged in: seen, and ended one by one."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.api.conftest import PASSWORD, Worker
from tests.support.sale import problem

URL = "/v1/sessions"


async def new_account(worker: Worker) -> str:
    email = f"{uuid4().hex}@example.com"
    assert (await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})).status_code == 201
    return email


async def test_sessions_are_listed_newest_first_and_tell_which_is_which(worker: Worker) -> None:
    email = await new_account(worker)
    body = {"email": email, "password": PASSWORD}
    await worker.http.post(URL, json=body, headers={"User-Agent": "boxoffice-cli/1 \t" + "x" * 500})
    await worker.http.post(f"{URL}/browser", json=body, headers={"Sec-Fetch-Site": "same-origin"})
    worker.http.cookies.clear()
    own = await worker.log_in(email)
    items = (await worker.http.get(URL, headers=own)).json()["items"]
    assert [item["current"] for item in items] == [True, False, False]
    assert [item["browser"] for item in items] == [False, True, False]
    assert items[2]["client"].startswith("boxoffice-cli/1 x")
    assert len(items[2]["client"]) == 200
    assert set(items[0]) == {"id", "current", "browser", "client", "created_at", "used_at", "expires_at"}


async def test_pages_of_sessions_follow_one_another(worker: Worker) -> None:
    email = await new_account(worker)
    for _ in range(4):
        own = await worker.log_in(email)
    first = (await worker.http.get(URL, params={"limit": 3}, headers=own)).json()
    second = (await worker.http.get(URL, params={"limit": 3, "cursor": first["next_cursor"]}, headers=own)).json()
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert (len(ids), ids, second["next_cursor"]) == (4, sorted(ids, reverse=True), None)


async def test_an_ended_session_is_refused_at_once_and_not_listed(worker: Worker) -> None:
    email = await new_account(worker)
    other, own = await worker.log_in(email), await worker.log_in(email)
    items = (await worker.http.get(URL, headers=own)).json()["items"]
    (other_id,) = [item["id"] for item in items if not item["current"]]
    assert (await worker.http.delete(f"{URL}/{other_id}", headers=own)).status_code == 204
    problem(await worker.http.get("/v1/accounts/me", headers=other), 401, "unauthenticated")
    assert len((await worker.http.get(URL, headers=own)).json()["items"]) == 1
    problem(await worker.http.delete(f"{URL}/{other_id}", headers=own), 404, "session_not_found")


@pytest.mark.parametrize("session_id", ["none", "01980000-0000-7000-8000-00000000000f"])
async def test_a_session_that_is_not_there_is_not_found(worker: Worker, session_id: str) -> None:
    headers = await worker.sign_up()
    problem(await worker.http.delete(f"{URL}/{session_id}", headers=headers), 404, "session_not_found")


async def test_somebody_else_s_session_is_not_found(worker: Worker) -> None:
    stranger, own = await worker.sign_up(), await worker.sign_up()
    (item,) = (await worker.http.get(URL, headers=own)).json()["items"]
    problem(await worker.http.delete(f"{URL}/{item['id']}", headers=stranger), 404, "session_not_found")
    assert (await worker.http.get("/v1/accounts/me", headers=own)).status_code == 200


@pytest.mark.parametrize(("field", "longest"), [("username", 254), ("password", 1000)])
async def test_a_form_with_a_field_too_long_is_refused_unread(worker: Worker, field: str, longest: int) -> None:
    form = {"username": "a@example.com", "password": "x"}
    answer = await worker.http.post(f"{URL}/token", data={**form, field: "x" * (longest + 1)})
    assert [error["field"] for error in problem(answer, 422, "validation_failed")["errors"]] == [field]
    problem(await worker.http.post(f"{URL}/token", data={**form, field: "x" * longest}), 401, "invalid_credentials")
