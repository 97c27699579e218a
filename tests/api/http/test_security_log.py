"""The log tells who came in, who was refused and what changed about accounts, and nothing that nobody may read."""

from __future__ import annotations

import logging
import re
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from actors.mail.links import MAILS, LinkMail
from api.http import security_log
from api.http.security_log import told_path
from api.web.served import PAGES
from tests.api.conftest import PASSWORD, Worker
from tests.support.mail.mailbox import Mailbox
from tests.support.sale import problem

NEW = "another long password"


class Told:
    """Lines of the security log."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def of(self, event: str) -> list[dict[str, Any]]:
        return [vars(line) for line in self._caplog.records if line.name == "boxoffice.security" and line.msg == event]

    def one(self, event: str) -> dict[str, Any]:
        (line,) = self.of(event)
        self._caplog.clear()
        return line

    @property
    def everything(self) -> str:
        return repr([vars(line) for line in self._caplog.records if line.name == "boxoffice.security"])


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setattr(security_log, "_lately", security_log._Lately())
    caplog.set_level(logging.INFO, "boxoffice.security")
    return Told(caplog)


async def test_the_life_of_an_account_is_told_without_its_e_mail_name_password_or_tokens(
    worker: Worker, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    email = f"{uuid4().hex}@example.com"
    body = {"email": email, "password": PASSWORD, "name": "김민지"}
    account = (await worker.http.post("/v1/accounts", json=body)).json()
    lines = [told.one("account_created")]
    assert lines[0]["account_id"] == account["id"]
    assert lines[0]["address"] == "127.0.0.1"
    pair = (await worker.http.post("/v1/sessions", json={"email": email, "password": PASSWORD})).json()
    lines.append(told.one("logged_in"))
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    wrong = {"password": NEW, "current_password": "a wrong password"}
    await worker.http.patch("/v1/accounts/me", json=wrong, headers=headers)
    lines.append(told.one("password_refused"))
    await worker.http.patch("/v1/accounts/me", json={**wrong, "current_password": PASSWORD}, headers=headers)
    lines.append(told.one("password_changed"))
    other = f"{uuid4().hex}@example.com"
    await worker.http.patch("/v1/accounts/me", json={"email": other, "current_password": NEW}, headers=headers)
    lines.append(told.one("email_changed"))
    await worker.http.delete("/v1/accounts/me", headers=headers)
    lines.append(told.one("account_deleted"))
    assert {line["account_id"] for line in lines} == {account["id"]}
    for secret in (email, other, "김민지", PASSWORD, NEW, pair["access_token"], pair["refresh_token"]):
        assert secret not in repr(lines)


async def test_refused_log_ins_are_told_with_the_reason_that_the_client_is_not_given(
    worker: Worker, told: Told
) -> None:
    email = f"{uuid4().hex}@example.com"
    account = (await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})).json()
    await worker.http.post("/v1/sessions", json={"email": email, "password": "a wrong password"})
    line = told.one("log_in_refused")
    assert (line["reason"], line["account_id"]) == ("wrong password", account["id"])
    await worker.http.post("/v1/sessions", json={"email": "nobody@example.com", "password": "a wrong password"})
    line = told.one("log_in_refused")
    assert line["reason"] == "unknown account"
    assert "account_id" not in line
    await worker.office.pool.execute("UPDATE accounts SET locked_at = now() WHERE id = $1", account["id"])
    await worker.http.post("/v1/sessions", json={"email": email, "password": PASSWORD})
    assert told.one("log_in_refused")["reason"] == "account locked"


async def test_a_refresh_token_that_comes_back_is_told(worker: Worker, told: Told) -> None:
    email = f"{uuid4().hex}@example.com"
    await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    pair = (await worker.http.post("/v1/sessions", json={"email": email, "password": PASSWORD})).json()
    for _ in range(2):
        await worker.http.post("/v1/sessions/refresh", json={"refresh_token": pair["refresh_token"]})
    assert told.one("refresh_token_reused")["session_id"]


async def test_a_role_s_change_is_told_with_who_changed_it(worker: Worker, told: Told) -> None:
    admin = await worker.sign_up()
    admin_id = (await worker.http.get("/v1/accounts/me", headers=admin)).json()["id"]
    email = (await worker.http.get("/v1/accounts/me", headers=admin)).json()["email"]
    await worker.office.pool.execute("UPDATE accounts SET role = 'admin' WHERE id = $1", admin_id)
    admin = await worker.log_in(email)
    customer = await worker.sign_up()
    customer_id = (await worker.http.get("/v1/accounts/me", headers=customer)).json()["id"]
    await worker.http.patch(f"/v1/admin/accounts/{customer_id}", json={"role": "organizer"}, headers=admin)
    line = told.one("account_changed")
    assert (line["account_id"], line["by"], line["role"]) == (customer_id, admin_id, "organizer")


async def test_who_tries_what_they_may_not_is_told_once_in_a_while(worker: Worker, told: Told) -> None:
    customer = await worker.sign_up()
    for _ in range(20):
        problem(await worker.http.get("/v1/admin/accounts", headers=customer), 403, "forbidden")
    account_id = (await worker.http.get("/v1/accounts/me", headers=customer)).json()["id"]
    line = told.one("refused")
    assert (line["code"], line["account_id"], line["path"]) == ("forbidden", account_id, "/v1/admin/accounts")
    problem(await worker.http.post("/v1/sessions/browser", json={}), 403, "cross_site")
    assert told.one("refused")["code"] == "cross_site"


async def test_a_link_s_token_is_in_no_line(worker: Worker, told: Told) -> None:
    email = f"{uuid4().hex}@example.com"
    await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    await worker.http.post("/v1/password-resets", json={"email": email})
    token = await Mailbox(worker.office.pool).token(email, "/password-resets/")
    for _ in range(2):
        await worker.http.post(f"/v1/password-resets/{token}", json={"password": NEW})
    assert told.of("password_reset")
    assert told.of("refused")[0]["path"] == "/v1/password-resets/{token}"
    assert token not in told.everything


@pytest.mark.parametrize("mail", MAILS.values(), ids=MAILS)
def test_where_the_link_of_a_mail_leads_to_is_told_without_its_token(mail: LinkMail) -> None:
    path = f"{mail.path}secret"
    (page,) = [pattern for pattern, _ in PAGES if re.fullmatch(pattern, path)]
    assert "secret" not in told_path({"path": path, "route": SimpleNamespace(path=page)})
