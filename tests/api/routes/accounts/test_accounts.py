"""Accounts and sessions: T1 and T2 of the customer's list over HTTP against the running system, and more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
import sqlalchemy as sa
from argon2 import Parameters, PasswordHasher, extract_parameters

from actors.process.keys import derived
from actors.process.settings import Settings
from api.office.tokens import ACCESS_SECONDS, Account, Tokens
from persistence.database.tables import accounts
from tests.api.conftest import PASSWORD, OpenLocal, Worker, local_settings
from tests.support.clocks import ManualClockOfIds
from tests.support.sale import problem, sign_up


def fresh_email() -> str:
    return f"{uuid4().hex}@example.com"


async def log_in(http: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    return await http.post("/v1/sessions", json={"email": email, "password": password})


def bearer(session: Mapping[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


def fields(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in problem(answer, 422, "validation_failed")["errors"]]


# --- T1: signing up ---------------------------------------------------------------------------------------------------
@pytest.mark.stack
async def test_T1_1_sign_up_with_email_and_password_creates_a_member(http: httpx.AsyncClient) -> None:
    email = fresh_email()
    answer = await http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201
    account = answer.json()
    assert (account["email"], account["role"]) == (email, "customer")
    assert PASSWORD not in answer.text
    session = (await log_in(http, email)).json()
    assert (await http.get("/v1/accounts/me", headers=bearer(session))).json() == account


@pytest.mark.stack
@pytest.mark.parametrize("missing", ["email", "password"])
async def test_T1_2_email_or_password_missing_is_named(http: httpx.AsyncClient, missing: str) -> None:
    body = {"email": fresh_email(), "password": PASSWORD}
    del body[missing]
    assert fields(await http.post("/v1/accounts", json=body)) == [missing]


@pytest.mark.stack
async def test_T1_3_registered_email_is_refused_whatever_its_case(http: httpx.AsyncClient) -> None:
    email = fresh_email()
    assert (await http.post("/v1/accounts", json={"email": email, "password": PASSWORD})).status_code == 201
    for again in (email, email.upper(), f"  {email.title()} "):
        answer = await http.post("/v1/accounts", json={"email": again, "password": PASSWORD})
        problem(answer, 409, "email_taken")


@pytest.mark.stack
@pytest.mark.parametrize(
    "email",
    [
        "minji",
        "minji@",
        "@example.com",
        "a b@example.com",
        "a@b@c.kr",
        "",
        "a@-.kr",
        "a" * 65 + "@example.com",
        7,
        None,
    ],
)
async def test_T1_4_malformed_email_is_named(http: httpx.AsyncClient, email: Any) -> None:
    assert fields(await http.post("/v1/accounts", json={"email": email, "password": PASSWORD})) == ["email"]


# --- T2: logging in ---------------------------------------------------------------------------------------------------
@pytest.mark.stack
async def test_T2_1_log_in_with_matching_email_and_password(http: httpx.AsyncClient) -> None:
    email = fresh_email()
    await http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    answer = await log_in(http, email.upper())
    assert answer.status_code == 201
    session = answer.json()
    assert (session["token_type"], session["expires_in"]) == ("bearer", ACCESS_SECONDS)
    assert answer.headers["cache-control"] == "no-store"
    assert (await http.get("/v1/accounts/me", headers=bearer(session))).json()["email"] == email


@pytest.mark.stack
async def test_T2_2_unregistered_email_cannot_log_in(http: httpx.AsyncClient) -> None:
    problem(await log_in(http, fresh_email()), 401, "invalid_credentials")


@pytest.mark.stack
async def test_T2_3_wrong_password_gets_the_same_answer_as_an_unknown_email(http: httpx.AsyncClient) -> None:
    email = fresh_email()
    await http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    wrong, unknown = await log_in(http, email, "wrong password"), await log_in(http, fresh_email())
    problem(wrong, 401, "invalid_credentials")
    # But for the number that every answer has for itself.
    assert {**wrong.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


async def test_T2_3_wrong_password_costs_the_same_hashes_as_an_unknown_email(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a hash costs is its parameters: told here rather than timed."""
    verify = PasswordHasher.verify
    costs: list[Parameters] = []

    def counted(self: PasswordHasher, kept: str, password: str) -> bool:
        costs.append(extract_parameters(kept))
        return verify(self, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    email = fresh_email()
    await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    problem(await log_in(worker.http, email, "wrong password"), 401, "invalid_credentials")
    wrong = costs.copy()
    costs.clear()
    problem(await log_in(worker.http, fresh_email(), "wrong password"), 401, "invalid_credentials")
    assert len(wrong) == 1
    assert costs == wrong, "an unknown e-mail must cost a hash as well"


# --- accounts ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("password", ["short77", "x" * 129, "", 12345678, None])
async def test_passwords_that_are_not_taken(worker: Worker, password: Any) -> None:
    answer = await worker.http.post("/v1/accounts", json={"email": fresh_email(), "password": password})
    assert fields(answer) == ["password"]


@pytest.mark.parametrize("password", ["x" * 8, "x" * 128, "비밀번호는여덟자", " spaces count "])
async def test_passwords_that_are_taken(worker: Worker, password: str) -> None:
    email = fresh_email()
    assert (await worker.http.post("/v1/accounts", json={"email": email, "password": password})).status_code == 201
    assert (await log_in(worker.http, email, password)).status_code == 201
    problem(await log_in(worker.http, email, password + " "), 401, "invalid_credentials")


@pytest.mark.parametrize("role", ["admin", "root", ""])
async def test_nobody_makes_themselves_an_admin(worker: Worker, role: str) -> None:
    body = {"email": fresh_email(), "password": PASSWORD, "role": role}
    assert fields(await worker.http.post("/v1/accounts", json=body)) == ["role"]
    headers = await worker.sign_up()
    await worker.http.patch("/v1/accounts/me", json={"role": "admin"}, headers=headers)
    assert (await worker.http.get("/v1/accounts/me", headers=headers)).json()["role"] == "customer"


async def test_a_password_is_kept_as_an_argon2id_hash(worker: Worker, strong_hashes: None) -> None:
    email = fresh_email()
    await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    async with worker.office.database.connect() as connection:
        kept = (
            await connection.execute(sa.select(accounts.c.password_hash).where(accounts.c.email == email))
        ).scalar_one()
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_nobody_gives_themselves_another_role(worker: Worker) -> None:
    headers = await worker.sign_up()
    for role in ("organizer", "admin", "conductor"):
        answer = await worker.http.patch("/v1/accounts/me", json={"name": "Kim", "role": role}, headers=headers)
        assert [each["field"] for each in problem(answer, 422, "validation_failed")["errors"]] == ["role"]
    account = (await worker.http.get("/v1/accounts/me", headers=headers)).json()
    assert (account["role"], account["name"]) == ("customer", None)
    again = await worker.http.patch("/v1/accounts/me", json={"role": "customer", "name": "Kim"}, headers=headers)
    assert (again.status_code, again.json()["name"]) == (200, "Kim")


async def test_a_name_can_be_changed_and_removed(worker: Worker) -> None:
    headers = await worker.sign_up()
    for name in ("김민지", None):
        answer = await worker.http.patch("/v1/accounts/me", json={"name": name}, headers=headers)
        assert (answer.status_code, answer.json()["name"]) == (200, name)
    answer = await worker.http.patch("/v1/accounts/me", json={}, headers=headers)
    assert answer.status_code == 200


async def test_a_new_password_needs_the_old_one_and_ends_the_other_sessions(worker: Worker) -> None:
    email = fresh_email()
    await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    first, second = await worker.log_in(email), await worker.log_in(email)
    change = {"password": "another long one"}
    assert fields(await worker.http.patch("/v1/accounts/me", json=change, headers=first)) == ["current_password"]
    change["current_password"] = PASSWORD
    assert (await worker.http.patch("/v1/accounts/me", json=change, headers=first)).status_code == 200
    assert (await worker.http.get("/v1/accounts/me", headers=first)).status_code == 200
    problem(await worker.http.get("/v1/accounts/me", headers=second), 401, "unauthenticated")
    problem(await log_in(worker.http, email), 401, "invalid_credentials")
    assert (await log_in(worker.http, email, "another long one")).status_code == 201


async def test_an_email_changes_unless_it_is_taken(worker: Worker) -> None:
    mine, taken, new = fresh_email(), fresh_email(), fresh_email()
    for email in (mine, taken):
        await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    headers = await worker.log_in(mine)
    body = {"email": taken.upper(), "current_password": PASSWORD}
    problem(await worker.http.patch("/v1/accounts/me", json=body, headers=headers), 409, "email_taken")
    body["email"] = new
    assert (await worker.http.patch("/v1/accounts/me", json=body, headers=headers)).json()["email"] == new
    problem(await log_in(worker.http, mine), 401, "invalid_credentials")
    assert (await log_in(worker.http, new)).status_code == 201


async def test_a_deleted_account_is_gone_and_its_email_free_again(worker: Worker) -> None:
    email = fresh_email()
    await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    headers = await worker.log_in(email)
    assert (await worker.http.delete("/v1/accounts/me", headers=headers)).status_code == 204
    problem(await worker.http.get("/v1/accounts/me", headers=headers), 401, "unauthenticated")
    problem(await log_in(worker.http, email), 401, "invalid_credentials")
    assert (await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})).status_code == 201


async def test_signing_up_at_the_same_time_makes_one_account(worker: Worker) -> None:
    email = fresh_email()
    spellings = (email, email.upper(), email.title(), email)
    answers = await asyncio.gather(
        *(worker.http.post("/v1/accounts", json={"email": each, "password": PASSWORD}) for each in spellings)
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


# --- idempotency ------------------------------------------------------------------------------------------------------
async def test_a_repeated_key_gives_the_first_answer_again(worker: Worker) -> None:
    body = {"email": fresh_email(), "password": PASSWORD}
    headers = {"Idempotency-Key": uuid4().hex}
    first = await worker.http.post("/v1/accounts", json=body, headers=headers)
    again = await worker.http.post("/v1/accounts", json=body, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)


async def test_a_key_used_for_another_body_is_refused(worker: Worker) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    await worker.http.post("/v1/accounts", json={"email": fresh_email(), "password": PASSWORD}, headers=headers)
    answer = await worker.http.post(
        "/v1/accounts", json={"email": fresh_email(), "password": PASSWORD}, headers=headers
    )
    problem(answer, 422, "idempotency_key_reused")


async def test_a_key_sent_many_times_at_once_creates_once(worker: Worker) -> None:
    body = {"email": fresh_email(), "password": PASSWORD}
    headers = {"Idempotency-Key": uuid4().hex}
    answers = await asyncio.gather(*(worker.http.post("/v1/accounts", json=body, headers=headers) for _ in range(6)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.content for answer in made}) == 1
    for answer in answers:
        if answer.status_code != 201:
            problem(answer, 409, "idempotency_in_progress")
            assert int(answer.headers["retry-after"]) > 0


async def test_a_refused_request_does_not_use_its_key_up(worker: Worker) -> None:
    email, headers = fresh_email(), {"Idempotency-Key": uuid4().hex}
    first = await worker.sign_up()
    await worker.http.patch("/v1/accounts/me", json={"email": email, "current_password": PASSWORD}, headers=first)
    body = {"email": email, "password": PASSWORD}
    problem(await worker.http.post("/v1/accounts", json=body, headers=headers), 409, "email_taken")
    assert (await worker.http.delete("/v1/accounts/me", headers=first)).status_code == 204
    assert (await worker.http.post("/v1/accounts", json=body, headers=headers)).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "with space", "tab\there"])
async def test_keys_that_are_not_taken(worker: Worker, key: str) -> None:
    body = {"email": fresh_email(), "password": PASSWORD}
    answer = await worker.http.post("/v1/accounts", json=body, headers={"Idempotency-Key": key})
    assert fields(answer) == ["Idempotency-Key"]


# --- tokens and sessions ----------------------------------------------------------------------------------------------
async def test_a_refresh_token_gives_a_new_pair(worker: Worker) -> None:
    email = fresh_email()
    await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    first = (await log_in(worker.http, email)).json()
    answer = await worker.http.post("/v1/sessions/refresh", json={"refresh_token": first["refresh_token"]})
    second = answer.json()
    assert answer.status_code == 201
    assert second["refresh_token"] != first["refresh_token"]
    for pair in (first, second):
        assert (await worker.http.get("/v1/accounts/me", headers=bearer(pair))).status_code == 200


async def test_an_old_refresh_token_ends_the_session(worker: Worker) -> None:
    email = fresh_email()
    await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    first = (await log_in(worker.http, email)).json()
    refresh = "/v1/sessions/refresh"
    second = (await worker.http.post(refresh, json={"refresh_token": first["refresh_token"]})).json()
    for pair in (first, second):
        problem(await worker.http.post(refresh, json={"refresh_token": pair["refresh_token"]}), 401, "unauthenticated")
        problem(await worker.http.get("/v1/accounts/me", headers=bearer(pair)), 401, "unauthenticated")


@pytest.mark.parametrize("token", ["garbage", "A" * 86, "é", "=" * 10])
async def test_an_invented_refresh_token_is_refused(worker: Worker, token: str) -> None:
    answer = await worker.http.post("/v1/sessions/refresh", json={"refresh_token": token})
    problem(answer, 401, "unauthenticated")


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer garbage", "Basic dXNlcjpwYXNz", "Bearer a.b.c", "bearer " + "x" * 5000],
)
async def test_a_missing_or_garbage_token_is_refused(worker: Worker, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await worker.http.get("/v1/accounts/me", headers=headers)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_tokens_of_another_hand_are_refused(worker: Worker) -> None:
    claims = {"sub": str(uuid4()), "role": "admin", "sid": str(uuid4()), "exp": 4_000_000_000}
    secret = derived(worker.office.settings.secret, "access tokens")
    forged = {
        "another secret": jwt.encode(claims, "another secret of at least 32 characters", "HS256"),
        "the secret itself": jwt.encode(claims, worker.office.settings.secret, "HS256"),
        "no signature": jwt.encode(claims, None, "none"),
        "expired": jwt.encode({**claims, "exp": 1_000_000_000}, secret, "HS256"),
        "no session": jwt.encode({"sub": "a", "role": "admin", "exp": 4_000_000_000}, secret, "HS256"),
        "no end": jwt.encode({**claims, "exp": "never"}, secret, "HS256", sort_headers=True),
    }
    for token in forged.values():
        answer = await worker.http.get("/v1/accounts/me", headers={"Authorization": f"Bearer {token}"})
        problem(answer, 401, "unauthenticated")


def test_an_access_token_ends_by_the_clock() -> None:
    clock = ManualClockOfIds()
    tokens = Tokens(["a secret of at least 32 characters"], clock)
    account = Account("an account", "customer", "a session")
    token = tokens.access_token(account)
    assert tokens.account_of(token) == account
    clock.ms += ACCESS_SECONDS * 1000 - 1
    assert tokens.account_of(token) == account
    clock.ms += 1
    assert tokens.account_of(token) is None


async def test_the_wrong_role_is_forbidden(worker: Worker) -> None:
    customer = await worker.sign_up()
    problem(await worker.http.post("/v1/performances", json={"title": "Mine"}, headers=customer), 403, "forbidden")


@pytest.mark.stack
async def test_a_logged_out_token_is_refused_from_the_next_request_on_by_every_worker(http: httpx.AsyncClient) -> None:
    for _ in range(5):
        headers = await sign_up(http)
        assert (await http.get("/v1/accounts/me", headers=headers)).status_code == 200
        assert (await http.delete("/v1/sessions/current", headers=headers)).status_code == 204
        async with httpx.AsyncClient(base_url=http.base_url, trust_env=False, verify=False) as others:
            # New connections, so that the other workers are asked as well.
            answers = await asyncio.gather(
                *(others.get("/v1/accounts/me", headers={**headers, "Connection": "close"}) for _ in range(12))
            )
        for answer in answers:
            problem(answer, 401, "unauthenticated")


async def test_a_log_out_reaches_another_worker(database_url: str, redis_url: str, open_local: OpenLocal) -> None:
    settings = local_settings(database_url, redis_url)
    async with open_local(settings) as one, open_local(settings) as other:
        headers = await one.sign_up()
        assert (await other.http.get("/v1/accounts/me", headers=headers)).status_code == 200
        assert (await one.http.delete("/v1/sessions/current", headers=headers)).status_code == 204
        problem(await other.http.get("/v1/accounts/me", headers=headers), 401, "unauthenticated")
        async with open_local(settings) as late:
            problem(await late.http.get("/v1/accounts/me", headers=headers), 401, "unauthenticated")


async def test_authorize_by_form_as_the_docs_page_does(worker: Worker) -> None:
    email = fresh_email()
    await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    form = {"grant_type": "password", "username": email, "password": PASSWORD}
    answer = await worker.http.post("/v1/sessions/token", data=form)
    assert (answer.status_code, answer.json()["token_type"]) == (200, "bearer")
    assert (await worker.http.get("/v1/accounts/me", headers=bearer(answer.json()))).json()["email"] == email
    problem(await worker.http.post("/v1/sessions/token", data={**form, "password": "no"}), 401, "invalid_credentials")
    assert fields(await worker.http.post("/v1/sessions/token", data={"username": email})) == ["password"]


# --- fair use --------------------------------------------------------------------------------------------------------
async def test_a_flood_of_log_ins_is_refused_rather_than_queued(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.office.passwords.MAX_WAITING", 2)
    answers = await asyncio.gather(*(log_in(worker.http, fresh_email()) for _ in range(12)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    for answer in refused:
        problem(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) > 0


def test_a_worker_needs_a_secret_long_enough() -> None:
    from api.office.office import CannotOpen, _check_secret

    with pytest.raises(CannotOpen, match="BOXOFFICE_SECRET"):
        _check_secret(Settings(secret="short"))
