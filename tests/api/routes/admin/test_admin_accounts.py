"""What admins do about accounts: lock them, give them another role, and never shut themselves out."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import PASSWORD, Worker
from tests.support.sale import hold, open_sale, problem

URL = "/v1/admin/accounts"


class Person:
    """Somebody with an account."""

    def __init__(self, worker: Worker, account: dict[str, Any], headers: dict[str, str]) -> None:
        self._worker = worker
        self.id: str = account["id"]
        self.email: str = account["email"]
        self.headers = headers

    async def status(self) -> int:
        return (await self._worker.http.get("/v1/accounts/me", headers=self.headers)).status_code

    async def change(self, other: Person, **change: Any) -> httpx.Response:
        return await self._worker.http.patch(f"{URL}/{other.id}", json=change, headers=self.headers)


async def somebody(worker: Worker, role: str = "customer", **facts: str) -> Person:
    email = f"{uuid4().hex}@example.com"
    asked = "customer" if role == "admin" else role
    account = (
        await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD, "role": asked, **facts})
    ).json()
    if role == "admin":
        await worker.office.pool.execute("UPDATE accounts SET role = 'admin' WHERE id = $1", account["id"])
    return Person(worker, account, await worker.log_in(email))


async def log_in(worker: Worker, person: Person) -> httpx.Response:
    return await worker.http.post("/v1/sessions", json={"email": person.email, "password": PASSWORD})


# --- reading ---------------------------------------------------------------------------------------------------------
async def test_an_account_says_what_it_has_to_do_with_the_house(fresh_worker: Worker) -> None:
    admin, customer = await somebody(fresh_worker, "admin"), await somebody(fresh_worker)
    organizer = await somebody(fresh_worker, "organizer")
    sale = await open_sale(fresh_worker.http, organizer=organizer.headers)
    await hold(fresh_worker.http, sale, customer.headers, *sale.fresh(2))
    await log_in(fresh_worker, customer)

    async def detail(person: Person) -> dict[str, Any]:
        answer = await fresh_worker.http.get(f"{URL}/{person.id}", headers=admin.headers)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    told = await detail(customer)
    assert (told["sessions"], told["live_bookings"], told["schedules_ahead"]) == (2, 1, 0)
    assert (await detail(organizer))["schedules_ahead"] == 1
    assert [(await detail(each))["last_administrator"] for each in (admin, customer)] == [True, False]
    problem(await fresh_worker.http.get(f"{URL}/{uuid4()}", headers=admin.headers), 404, "account_not_found")


# --- locking ----------------------------------------------------------------------------------------------------------
async def test_a_locked_account_is_out_at_once_and_stays_out(fresh_worker: Worker) -> None:
    admin, customer = await somebody(fresh_worker, "admin"), await somebody(fresh_worker)
    pair = (await log_in(fresh_worker, customer)).json()
    answer = await admin.change(customer, locked=True)
    assert (answer.status_code, answer.json()["locked"]) == (200, True)
    assert await customer.status() == 401
    refresh = {"refresh_token": pair["refresh_token"]}
    problem(await fresh_worker.http.post("/v1/sessions/refresh", json=refresh), 401, "unauthenticated")
    problem(await log_in(fresh_worker, customer), 403, "account_locked")
    wrong = {"email": customer.email, "password": "a wrong password"}
    problem(await fresh_worker.http.post("/v1/sessions", json=wrong), 401, "invalid_credentials")
    await admin.change(customer, locked=False)
    assert (await log_in(fresh_worker, customer)).status_code == 201


async def test_a_new_role_counts_from_the_next_log_in(fresh_worker: Worker) -> None:
    admin, customer = await somebody(fresh_worker, "admin"), await somebody(fresh_worker)
    assert (await admin.change(customer, role="organizer")).json()["role"] == "organizer"
    assert await customer.status() == 401, "the token still says customer"
    headers = await fresh_worker.log_in(customer.email)
    answer = await fresh_worker.http.post("/v1/performances", json={"title": "카르멘"}, headers=headers)
    assert answer.status_code == 201


async def test_what_changes_nothing_ends_no_session_and_leaves_no_entry(fresh_worker: Worker) -> None:
    admin, customer = await somebody(fresh_worker, "admin"), await somebody(fresh_worker)
    for change in ({}, {"locked": False}, {"role": "customer"}):
        assert (await admin.change(customer, **change)).status_code == 200
    assert await customer.status() == 200
    assert (await fresh_worker.http.get("/v1/admin/audit", headers=admin.headers)).json()["items"] == []


async def test_every_change_is_in_the_audit_log_without_saying_whose_account_it_is(fresh_worker: Worker) -> None:
    admin, customer = await somebody(fresh_worker, "admin"), await somebody(fresh_worker, name="김민지")
    await admin.change(customer, locked=True, role="organizer")
    answer = await fresh_worker.http.get("/v1/admin/audit", headers=admin.headers)
    (entry,) = answer.json()["items"]
    assert (entry["action"], entry["subject"], entry["account_id"]) == (
        "account.changed",
        f"account:{customer.id}",
        admin.id,
    )
    assert (entry["before"], entry["after"]) == (
        {"role": "customer", "locked": False},
        {"role": "organizer", "locked": True},
    )
    assert customer.email not in answer.text
    assert "김민지" not in answer.text


# --- the last administrator -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("change", [{"locked": True}, {"role": "customer"}, {"role": "organizer", "locked": True}])
async def test_the_last_administrator_cannot_be_locked_or_demoted(fresh_worker: Worker, change: dict[str, Any]) -> None:
    admin, locked = await somebody(fresh_worker, "admin"), await somebody(fresh_worker, "admin")
    assert (await admin.change(locked, locked=True)).status_code == 200
    problem(await admin.change(admin, **change), 409, "last_administrator")
    assert await admin.status() == 200


async def test_the_last_administrator_cannot_delete_themself_but_one_of_two_can(fresh_worker: Worker) -> None:
    first, second = await somebody(fresh_worker, "admin"), await somebody(fresh_worker, "admin")
    assert (await fresh_worker.http.delete("/v1/accounts/me", headers=first.headers)).status_code == 204
    answer = await fresh_worker.http.delete("/v1/accounts/me", headers=second.headers)
    problem(answer, 409, "last_administrator")


async def test_of_two_administrators_who_act_on_each_other_at_once_one_is_left(fresh_worker: Worker) -> None:
    for _ in range(5):
        pair = [await somebody(fresh_worker, "admin") for _ in range(2)]
        answers = await asyncio.gather(pair[0].change(pair[1], role="customer"), pair[1].change(pair[0], locked=True))
        assert sorted(answer.status_code for answer in answers)[0] == 200
        left = await fresh_worker.office.pool.fetch(
            "SELECT id::text FROM accounts WHERE role = 'admin' AND locked_at IS NULL AND deleted_at IS NULL"
        )
        assert len(left) == 1
        await fresh_worker.office.pool.execute("UPDATE accounts SET role = 'customer'")


# --- the list ---------------------------------------------------------------------------------------------------------
async def test_accounts_are_found_by_part_of_an_email_or_a_name(fresh_worker: Worker) -> None:
    admin = await somebody(fresh_worker, "admin")
    named, other = await somebody(fresh_worker, name="김민지 100%"), await somebody(fresh_worker)
    gone = await somebody(fresh_worker)
    await fresh_worker.http.delete("/v1/accounts/me", headers=gone.headers)

    async def found(q: str | None) -> list[str]:
        query = {} if q is None else {"q": q}
        answer = await fresh_worker.http.get(URL, params=query, headers=admin.headers)
        return [item["id"] for item in answer.json()["items"]]

    assert await found(None) == [other.id, named.id, admin.id]
    assert await found("민지") == [named.id]
    assert await found(other.email.upper()[:20]) == [other.id]
    assert await found("%") == [named.id], "no wildcard"


async def test_pages_follow_one_another(fresh_worker: Worker) -> None:
    admin = await somebody(fresh_worker, "admin")
    people = [admin.id] + [(await somebody(fresh_worker)).id for _ in range(4)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await fresh_worker.http.get(URL, params={"limit": 2, **cursor}, headers=admin.headers)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == people[::-1]


async def test_only_admins_see_and_change_accounts(worker: Worker) -> None:
    for role in ("customer", "organizer"):
        person = await somebody(worker, role)
        problem(await worker.http.get(URL, headers=person.headers), 403, "forbidden")
        problem(await person.change(person, role="admin"), 403, "forbidden")
    admin = await somebody(worker, "admin")
    for unknown in ("none", str(uuid4())):
        answer = await worker.http.patch(f"{URL}/{unknown}", json={"locked": True}, headers=admin.headers)
        problem(answer, 404, "account_not_found")
