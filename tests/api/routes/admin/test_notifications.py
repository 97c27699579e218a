"""What admins see of mails to customers, how one is sent again, and the language an account is written to in."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from persistence.notifications import outbox
from persistence.notifications.outbox import Facts, NewNotification
from tests.api.conftest import PASSWORD, Worker
from tests.support.sale import problem

URL = "/v1/admin/notifications"


async def admin_of(worker: Worker) -> dict[str, str]:
    """An account made an admin, logged in."""
    email = f"admin-{uuid4().hex}@example.com"
    await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    await worker.office.pool.execute("UPDATE accounts SET role = 'admin' WHERE email = $1", email)
    return await worker.log_in(email)


async def put(
    worker: Worker, status: str = "pending", error: str | None = None, schedule: str | None = None, version: int = 3
) -> str:
    """A mail in the outbox."""
    fresh = NewNotification(
        schedule_id=schedule or str(uuid4()),
        version=version,
        customer_id=str(uuid4()),
        booking_id=str(uuid4()),
        kind="confirmed",
        facts=Facts(amount=1),
    )
    await outbox.add(worker.office.pool, [fresh])
    await worker.office.pool.execute(
        "UPDATE notifications SET status = $2, error = $3, attempts = 1 WHERE id = $1", fresh.id, status, error
    )
    return fresh.id


async def listed(worker: Worker, headers: dict[str, str], **query: Any) -> dict[str, Any]:
    answer = await worker.http.get(URL, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


# --- the outbox -------------------------------------------------------------------------------------------------------
async def test_admin_sees_mails_newest_first_by_status_without_addresses_or_contents(worker: Worker) -> None:
    admin = await admin_of(worker)
    schedule = str(uuid4())
    ids = []
    for status in ("sent", "failed", "unknown", "failed"):
        ids.append(await put(worker, status, schedule=schedule, version=len(ids)))
    everything = await listed(worker, admin)
    assert [item["id"] for item in everything["items"][:4]] == ids[::-1]
    failed = await listed(worker, admin, status="failed", schedule_id=schedule)
    assert [item["id"] for item in failed["items"]] == [ids[3], ids[1]]
    assert set(everything["items"][0]) == {
        *("id", "kind", "status", "schedule_id", "version", "booking_id", "customer_id"),
        *("attempts", "error", "created_at", "next_attempt_at", "sent_at"),
    }


async def test_pages_follow_one_another_without_gap_or_repetition(worker: Worker) -> None:
    admin = await admin_of(worker)
    schedule = str(uuid4())
    ids = {await put(worker, "sent", schedule=schedule, version=version) for version in range(5)}
    at_once = "UPDATE notifications SET created_at = '2026-01-01Z' WHERE schedule_id = $1"
    await worker.office.pool.execute(at_once, schedule)
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await listed(worker, admin, schedule_id=schedule, limit=2, **cursor)
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(found) == sorted(ids)


@pytest.mark.parametrize("cursor", ["nonsense", "WyJhIiwiYiJd", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwieCJd"])
async def test_cursor_that_is_not_ours_is_refused(worker: Worker, cursor: str) -> None:
    answer = await worker.http.get(URL, params={"cursor": cursor}, headers=await admin_of(worker))
    problem(answer, 422, "validation_failed")


@pytest.mark.parametrize("status", ["failed", "unknown"])
async def test_failed_or_unknown_mail_is_sent_again_and_that_is_audited(worker: Worker, status: str) -> None:
    admin = await admin_of(worker)
    mail_id = await put(worker, status, "550 no such user")
    answer = await worker.http.post(f"{URL}/{mail_id}/retry", headers=admin)
    assert answer.status_code == 202, answer.text
    view = answer.json()
    assert (view["id"], view["status"], view["attempts"], view["error"]) == (mail_id, "pending", 0, None)
    assert view["next_attempt_at"] is not None
    again = await worker.http.post(f"{URL}/{mail_id}/retry", headers=admin)
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    entries = await worker.office.pool.fetch(
        "SELECT action, before->>'status' AS before FROM audit_log WHERE subject = $1", f"notification:{mail_id}"
    )
    assert [(each["action"], each["before"]) for each in entries] == [("notification.retried", status)]


@pytest.mark.parametrize("status", ["sent", "sending", "skipped"])
async def test_mail_that_was_sent_or_is_being_sent_is_not_sent_again(worker: Worker, status: str) -> None:
    mail_id = await put(worker, status)
    answer = await worker.http.post(f"{URL}/{mail_id}/retry", headers=await admin_of(worker))
    assert problem(answer, 409, "notification_not_retryable")["notification_status"] == status
    kept = await worker.office.pool.fetchval("SELECT status FROM notifications WHERE id = $1", UUID(mail_id))
    assert kept == status


async def test_mail_that_is_not_there_is_not_found(worker: Worker) -> None:
    admin = await admin_of(worker)
    for name in (str(uuid4()), "nonsense"):
        problem(await worker.http.post(f"{URL}/{name}/retry", headers=admin), 404, "notification_not_found")


@pytest.mark.parametrize("role", ["customer", "organizer"])
async def test_mails_are_the_admins_business(worker: Worker, role: str) -> None:
    headers = await worker.sign_up(role)
    problem(await worker.http.get(URL, headers=headers), 403, "forbidden")
    problem(await worker.http.post(f"{URL}/{uuid4()}/retry", headers=headers), 403, "forbidden")
    problem(await worker.http.get(URL), 401, "unauthenticated")


# --- the account's language -------------------------------------------------------------------------------------------
async def signed_up(worker: Worker, accept_language: str | None = None, **body: str) -> httpx.Response:
    headers = {} if accept_language is None else {"Accept-Language": accept_language}
    body = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD} | body
    return await worker.http.post("/v1/accounts", json=body, headers=headers)


@pytest.mark.parametrize(
    ("accept_language", "language"), [(None, "en"), ("ko-KR,ko;q=0.9,en;q=0.8", "ko"), ("de", "en"), ("en", "en")]
)
async def test_account_is_written_to_in_the_language_it_signed_up_in(
    worker: Worker, accept_language: str | None, language: str
) -> None:
    answer = await signed_up(worker, accept_language)
    assert (answer.status_code, answer.json()["language"]) == (201, language)


async def test_language_can_be_said_at_sign_up_and_changed_later(worker: Worker) -> None:
    account = (await signed_up(worker, "en", language="ko")).json()
    assert account["language"] == "ko"
    headers = await worker.log_in(account["email"])
    changed = await worker.http.patch("/v1/accounts/me", json={"language": "en"}, headers=headers)
    assert (changed.status_code, changed.json()["language"]) == (200, "en")
    named = await worker.http.patch("/v1/accounts/me", json={"name": "Kim"}, headers=headers)
    assert named.json()["language"] == "en", "what is left out stays"


@pytest.mark.parametrize("language", ["fr", "", None])
async def test_language_that_nobody_here_writes_is_refused(worker: Worker, language: str | None) -> None:
    headers = await worker.sign_up()
    answer = await worker.http.patch("/v1/accounts/me", json={"language": language}, headers=headers)
    document = problem(answer, 422, "validation_failed")
    assert [error["field"] for error in document["errors"]] == ["language"]
