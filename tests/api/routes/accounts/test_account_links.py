"""Links that are mailed to an account's owner: a new password, and an e-mail address confirmed."""

from __future__ import annotations

import asyncio
import hashlib
import re
from uuid import uuid4

import httpx
import pytest

from actors.mail.links import MAILS, new_link
from api.web.served import PAGES
from persistence.accounts.links import PURPOSES, Purpose
from persistence.notifications.account_mails import PER_HOUR
from tests.api.conftest import PASSWORD, Worker
from tests.support.mail.mailbox import Mailbox, text_of
from tests.support.sale import problem
from tests.support.waiting import PATIENCE_SECONDS

RESETS, CONFIRMATIONS = "/v1/password-resets", "/v1/email-confirmations"
RESET_PAGE, CONFIRM_PAGE = "/password-resets/", "/email-confirmations/"
NEW = "another long password"


@pytest.fixture
def mailbox(worker: Worker) -> Mailbox:
    return Mailbox(worker.office.pool)


async def new_account(worker: Worker, **facts: str) -> str:
    email = f"{uuid4().hex}@example.com"
    body = {"email": email, "password": PASSWORD, **facts}
    assert (await worker.http.post("/v1/accounts", json=body)).status_code == 201
    return email


async def forgot(worker: Worker, email: str) -> None:
    answer = await worker.http.post(RESETS, json={"email": email})
    assert (answer.status_code, answer.content) == (202, b"")


async def reset(worker: Worker, token: str, password: str = NEW) -> httpx.Response:
    return await worker.http.post(f"{RESETS}/{token}", json={"password": password})


async def is_confirmed(worker: Worker, headers: dict[str, str]) -> bool:
    return bool((await worker.http.get("/v1/accounts/me", headers=headers)).json()["email_confirmed"])


# --- a forgotten password ---------------------------------------------------------------------------------------------
async def test_a_mailed_link_sets_a_new_password_and_ends_every_session(worker: Worker, mailbox: Mailbox) -> None:
    email = await new_account(worker)
    before = await worker.log_in(email)
    await forgot(worker, email.upper())
    token = await mailbox.token(email, RESET_PAGE)
    assert (await reset(worker, token)).status_code == 204
    problem(await worker.http.get("/v1/accounts/me", headers=before), 401, "unauthenticated")
    body = {"email": email, "password": PASSWORD}
    problem(await worker.http.post("/v1/sessions", json=body), 401, "invalid_credentials")
    assert await is_confirmed(worker, await worker.log_in(email, NEW)), "the mail has reached its owner"


async def test_an_unknown_email_gets_the_same_answer_and_no_mail(worker: Worker, mailbox: Mailbox) -> None:
    email = f"{uuid4().hex}@example.com"
    await forgot(worker, email)
    assert await mailbox.of(email) == []


async def test_the_answer_is_out_before_the_email_is_looked_up(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """So its timing cannot depend on whether there is such an account."""
    from api.routes.accounts import password_resets

    looked_up, go_on = asyncio.Event(), asyncio.Event()

    async def slow(house: object, email: str) -> None:
        looked_up.set()
        await go_on.wait()

    monkeypatch.setattr(password_resets, "_mail", slow)
    sent: list[str] = []
    body = b'{"email": "a@example.com"}'

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(str(message["type"]))
        if message["type"] == "http.response.body":
            assert not looked_up.is_set()

    scope = {
        "type": "http",
        "method": "POST",
        "path": RESETS,
        "raw_path": RESETS.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        "client": ("192.0.2.7", 1),
        "server": ("boxoffice.test", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    asking = asyncio.create_task(worker.app(scope, receive, send))  # type: ignore[arg-type]  # plain dicts
    await asyncio.wait_for(looked_up.wait(), PATIENCE_SECONDS)
    assert sent == ["http.response.start", "http.response.body"]
    go_on.set()
    await asking


async def test_a_link_works_once_even_when_it_is_opened_many_times_at_once(worker: Worker, mailbox: Mailbox) -> None:
    email = await new_account(worker)
    await forgot(worker, email)
    token = await mailbox.token(email, RESET_PAGE)
    answers = await asyncio.gather(*(reset(worker, token, f"{NEW} {number}") for number in range(5)))
    assert sorted(answer.status_code for answer in answers) == [204, 410, 410, 410, 410]
    problem(await reset(worker, token), 410, "link_expired")


async def test_a_link_is_too_old_after_half_an_hour(worker: Worker, mailbox: Mailbox) -> None:
    email = await new_account(worker)
    await forgot(worker, email)
    token = await mailbox.token(email, RESET_PAGE)
    left = await worker.office.pool.fetchval(
        "SELECT extract(epoch FROM expires_at - now()) FROM account_links WHERE purpose = 'password_reset'"
        " ORDER BY created_at DESC LIMIT 1"
    )
    assert 29 * 60 < left <= 30 * 60
    await worker.office.pool.execute("UPDATE account_links SET expires_at = expires_at - interval '30 minutes'")
    problem(await reset(worker, token), 410, "link_expired")


@pytest.mark.parametrize("token", ["x", "A" * 43, "é", "A" * 5000])
async def test_an_invented_link_is_of_no_use(worker: Worker, token: str) -> None:
    problem(await reset(worker, token), 410, "link_expired")
    problem(await worker.http.post(f"{CONFIRMATIONS}/{token}"), 410, "link_expired")


async def test_a_new_password_voids_the_links_that_were_mailed(worker: Worker, mailbox: Mailbox) -> None:
    email = await new_account(worker)
    await forgot(worker, email)
    await forgot(worker, email)
    token = await mailbox.token(email, RESET_PAGE)
    headers = await worker.log_in(email)
    change = {"password": NEW, "current_password": PASSWORD}
    assert (await worker.http.patch("/v1/accounts/me", json=change, headers=headers)).status_code == 200
    problem(await reset(worker, token), 410, "link_expired")


async def test_a_link_for_one_thing_is_of_no_use_for_the_other(worker: Worker, mailbox: Mailbox) -> None:
    email = await new_account(worker)
    await forgot(worker, email)
    problem(await reset(worker, await mailbox.token(email, CONFIRM_PAGE)), 410, "link_expired")
    answer = await worker.http.post(f"{CONFIRMATIONS}/{await mailbox.token(email, RESET_PAGE)}")
    problem(answer, 410, "link_expired")


async def test_a_deleted_account_has_no_links(worker: Worker, mailbox: Mailbox) -> None:
    email = await new_account(worker)
    await forgot(worker, email)
    token = await mailbox.token(email, RESET_PAGE)
    await worker.http.delete("/v1/accounts/me", headers=await worker.log_in(email))
    problem(await reset(worker, token), 410, "link_expired")


async def test_the_database_keeps_a_token_s_hash_only(worker: Worker, mailbox: Mailbox) -> None:
    email = await new_account(worker)
    await forgot(worker, email)
    token = await mailbox.token(email, RESET_PAGE)
    rows = await worker.office.pool.fetch("SELECT * FROM account_links")
    rows += await worker.office.pool.fetch("SELECT * FROM notifications")
    assert token not in repr(rows)
    assert hashlib.sha256(token.encode()).digest() in [row.get("token_hash") for row in rows]


async def test_nobody_is_mailed_more_than_a_few_links_an_hour(worker: Worker, mailbox: Mailbox) -> None:
    email = await new_account(worker)
    for _ in range(PER_HOUR + 3):
        await forgot(worker, email)
    links = [mail for mail in await mailbox.of(email) if RESET_PAGE in text_of(mail)]
    assert len(links) == PER_HOUR


@pytest.mark.parametrize(
    ("language", "subject"), [("en", "Choose a new password"), ("ko", "[Boxoffice] 비밀번호 재설정")]
)
async def test_the_mail_says_how_long_the_link_works_and_nothing_that_somebody_typed(
    worker: Worker, mailbox: Mailbox, language: str, subject: str
) -> None:
    email = await new_account(worker, name="Call +82 2 123 4567 now", language=language)
    await forgot(worker, email)
    (mail,) = [mail for mail in await mailbox.of(email) if RESET_PAGE in text_of(mail)]
    assert (str(mail["Subject"]), str(mail["Content-Language"])) == (subject, language)
    html = mail.get_body(("html",))
    assert html is not None
    for text in (text_of(mail), str(html.get_content())):
        assert "30" in text
        assert "4567" not in text
        assert "{" not in text


@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_link_leads_to_a_page(purpose: Purpose) -> None:
    path = f"{MAILS[purpose].path}{new_link().token}"
    assert [source for pattern, source in PAGES if re.fullmatch(pattern, path)] != []


# --- an e-mail address ------------------------------------------------------------------------------------------------
async def test_who_signs_up_is_mailed_a_link_that_confirms_the_address(worker: Worker, mailbox: Mailbox) -> None:
    email = await new_account(worker)
    headers = await worker.log_in(email)
    assert not await is_confirmed(worker, headers)
    token = await mailbox.token(email, CONFIRM_PAGE)
    assert (await worker.http.post(f"{CONFIRMATIONS}/{token}", json={})).status_code == 204
    assert await is_confirmed(worker, headers)
    problem(await worker.http.post(f"{CONFIRMATIONS}/{token}", json={}), 410, "link_expired")


async def test_the_confirmation_is_mailed_again_until_it_is_confirmed(worker: Worker, mailbox: Mailbox) -> None:
    email = await new_account(worker)
    headers = await worker.log_in(email)
    assert (await worker.http.post(CONFIRMATIONS, json={}, headers=headers)).status_code == 202
    assert len(await mailbox.of(email)) == 2
    await worker.http.post(f"{CONFIRMATIONS}/{await mailbox.token(email, CONFIRM_PAGE)}")
    assert (await worker.http.post(CONFIRMATIONS, headers=headers)).status_code == 202
    assert len(await mailbox.of(email)) == 2


async def test_a_new_address_has_to_be_confirmed_again_and_old_links_are_void(worker: Worker, mailbox: Mailbox) -> None:
    email, new = await new_account(worker), f"{uuid4().hex}@example.com"
    headers = await worker.log_in(email)
    old = await mailbox.token(email, CONFIRM_PAGE)
    change = {"email": new, "current_password": PASSWORD}
    assert (await worker.http.patch("/v1/accounts/me", json=change, headers=headers)).status_code == 200
    problem(await worker.http.post(f"{CONFIRMATIONS}/{old}"), 410, "link_expired")
    assert not await is_confirmed(worker, headers)
    assert (await worker.http.post(f"{CONFIRMATIONS}/{await mailbox.token(new, CONFIRM_PAGE)}")).status_code == 204
    assert await is_confirmed(worker, headers)
    change["email"] = new.upper()
    await worker.http.patch("/v1/accounts/me", json=change, headers=headers)
    assert await is_confirmed(worker, headers), "the same mailbox in another case"


async def test_changing_the_address_again_and_again_mails_no_crowd_of_strangers(
    worker: Worker, mailbox: Mailbox
) -> None:
    headers = await worker.log_in(await new_account(worker))
    strangers = [f"{uuid4().hex}@example.com" for _ in range(PER_HOUR + 3)]
    for stranger in strangers:
        change = {"email": stranger, "current_password": PASSWORD}
        assert (await worker.http.patch("/v1/accounts/me", json=change, headers=headers)).status_code == 200
    assert sum([len(await mailbox.of(stranger)) for stranger in strangers]) < PER_HOUR
