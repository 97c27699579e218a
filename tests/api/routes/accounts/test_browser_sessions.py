"""Sessions of our own pages: a cookie that no script reads, for requests of these pages alone."""

from __future__ import annotations

from http.cookies import Morsel, SimpleCookie
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from api.accounts import cookies
from api.office.tokens import hash_of
from persistence.accounts.sessions import GRACE
from tests.api.conftest import PASSWORD, OpenLocal, Worker, local_settings
from tests.support.sale import open_sale, problem, small_plan

URL = "/v1/sessions/browser"
OURS = {"Sec-Fetch-Site": "same-origin"}


async def new_account(worker: Worker) -> str:
    email = f"{uuid4().hex}@example.com"
    assert (await worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})).status_code == 201
    return email


def cookie_of(answer: httpx.Response) -> Morsel[str]:
    (header,) = answer.headers.get_list("set-cookie")
    (cookie,) = SimpleCookie(header).values()
    return cookie


async def log_in(worker: Worker, email: str, cookie: str | None = None) -> tuple[str, str]:
    """An access token, and the cookie to refresh it with."""
    sent = {} if cookie is None else {"Cookie": cookie}
    body = {"email": email, "password": PASSWORD}
    answer = await worker.http.post(URL, json=body, headers={**OURS, **sent})
    worker.http.cookies.clear()
    assert answer.status_code == 201, answer.text
    made = cookie_of(answer)
    return answer.json()["access_token"], f"{made.key}={made.value}"


async def refresh(worker: Worker, cookie: str) -> httpx.Response:
    answer = await worker.http.post(f"{URL}/refresh", json={}, headers={**OURS, "Cookie": cookie})
    worker.http.cookies.clear()
    return answer


async def status_of(worker: Worker, access_token: str) -> int:
    headers = {"Authorization": f"Bearer {access_token}"}
    return (await worker.http.get("/v1/accounts/me", headers=headers)).status_code


# --- the cookie -------------------------------------------------------------------------------------------------------
async def test_a_page_gets_an_access_token_and_the_browser_a_cookie_that_no_script_reads(worker: Worker) -> None:
    email = await new_account(worker)
    answer = await worker.http.post(URL, json={"email": email, "password": PASSWORD}, headers=OURS)
    worker.http.cookies.clear()
    assert answer.status_code == 201
    assert set(answer.json()) == {"access_token", "expires_in"}
    assert answer.headers["cache-control"] == "no-store"
    cookie = cookie_of(answer)
    assert (cookie.key, cookie["path"], cookie["samesite"]) == ("boxoffice_refresh", URL, "strict")
    assert cookie["httponly"]
    assert not cookie["secure"]
    assert int(cookie["max-age"]) > 29 * 24 * 3600
    assert cookie.value not in answer.text
    assert await status_of(worker, answer.json()["access_token"]) == 200


async def test_under_https_the_cookie_is_secure_and_named_so(
    database_url: str, redis_url: str, open_local: OpenLocal
) -> None:
    settings = msgspec.structs.replace(
        local_settings(database_url, redis_url), public_url="https://tickets.example.com"
    )
    async with open_local(settings) as worker:
        email = await new_account(worker)
        answer = await worker.http.post(URL, json={"email": email, "password": PASSWORD}, headers=OURS)
        cookie = cookie_of(answer)
        assert (cookie.key, bool(cookie["secure"])) == ("__Secure-boxoffice_refresh", True)
        worker.http.cookies.clear()
        headers = {"Origin": "https://tickets.example.com", "Cookie": f"{cookie.key}={cookie.value}"}
        assert (await worker.http.post(f"{URL}/refresh", json={}, headers=headers)).status_code == 201
        headers["Origin"] = "http://boxoffice.test"
        problem(await worker.http.post(f"{URL}/refresh", json={}, headers=headers), 403, "cross_site")


async def test_what_the_browser_keeps_is_not_in_the_database(worker: Worker) -> None:
    email = await new_account(worker)
    _, cookie = await log_in(worker, email)
    token = cookie.partition("=")[2]
    kept = await worker.office.pool.fetchval("SELECT refresh_hash FROM sessions ORDER BY id DESC LIMIT 1")
    assert kept == hash_of(token)


# --- who may ask ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://boxoffice.test"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://boxoffice.test:81"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("POST", "/refresh"), ("DELETE", "")])
async def test_requests_of_other_sites_pages_are_refused(
    worker: Worker, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await worker.http.request(method, URL + path, json={"email": "a@b.c", "password": "x"}, headers=headers)
    problem(answer, 403, "cross_site")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("headers", [OURS, {"Origin": "http://boxoffice.test"}])
async def test_requests_of_our_own_pages_are_taken(worker: Worker, headers: dict[str, str]) -> None:
    body = {"email": await new_account(worker), "password": PASSWORD}
    assert (await worker.http.post(URL, json=body, headers=headers)).status_code == 201
    worker.http.cookies.clear()


@pytest.mark.parametrize("path", ["", "/refresh"])
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
async def test_only_json_is_taken(worker: Worker, path: str, media_type: str | None) -> None:
    headers = OURS if media_type is None else {**OURS, "Content-Type": media_type}
    content = b"" if media_type is None else b"{}"
    answer = await worker.http.post(URL + path, content=content, headers=headers)
    problem(answer, 415, "unsupported_media_type")


def test_every_route_that_reads_the_cookie_is_under_its_path_and_guarded() -> None:
    from api.routes.accounts import browser_sessions

    assert {route.path for route in browser_sessions.router.routes} == {URL, f"{URL}/refresh"}  # type: ignore[attr-defined]  # all of them have a path
    assert browser_sessions.router.dependencies
    assert cookies.PATH == URL


# --- refreshing -------------------------------------------------------------------------------------------------------
async def test_two_tabs_refresh_with_the_same_cookie_and_get_the_same_successor(worker: Worker) -> None:
    _, first = await log_in(worker, await new_account(worker))
    one, two = await refresh(worker, first), await refresh(worker, first)
    assert (one.status_code, two.status_code) == (201, 201)
    assert cookie_of(one).value == cookie_of(two).value != first.partition("=")[2]
    for answer in (one, two):
        assert await status_of(worker, answer.json()["access_token"]) == 200
    made = cookie_of(one)
    assert (await refresh(worker, f"{made.key}={made.value}")).status_code == 201


async def test_a_cookie_that_comes_back_a_third_time_ends_the_session(worker: Worker) -> None:
    access_token, first = await log_in(worker, await new_account(worker))
    made = cookie_of(await refresh(worker, first))
    await refresh(worker, first)
    problem(await refresh(worker, first), 401, "unauthenticated")
    problem(await refresh(worker, f"{made.key}={made.value}"), 401, "unauthenticated")
    assert await status_of(worker, access_token) == 401


async def test_a_cookie_that_comes_back_after_the_grace_ends_the_session(worker: Worker) -> None:
    access_token, first = await log_in(worker, await new_account(worker))
    assert (await refresh(worker, first)).status_code == 201
    await worker.office.pool.execute("UPDATE sessions SET used_at = used_at - $1::interval", GRACE)
    problem(await refresh(worker, first), 401, "unauthenticated")
    assert await status_of(worker, access_token) == 401


async def test_a_cookie_s_token_in_a_program_s_hands_ends_the_session(worker: Worker) -> None:
    access_token, cookie = await log_in(worker, await new_account(worker))
    token = cookie.partition("=")[2]
    problem(await worker.http.post("/v1/sessions/refresh", json={"refresh_token": token}), 401, "unauthenticated")
    assert await status_of(worker, access_token) == 401


@pytest.mark.parametrize("cookie", ["other=1", "boxoffice_refresh=", "boxoffice_refresh=garbage"])
async def test_without_the_cookie_there_is_nothing_to_refresh(worker: Worker, cookie: str) -> None:
    problem(await refresh(worker, cookie), 401, "unauthenticated")


async def test_a_new_secret_logs_nobody_out(database_url: str, redis_url: str, open_local: OpenLocal) -> None:
    before = local_settings(database_url, redis_url)
    after = msgspec.structs.replace(
        before, secret="another secret of at least 32 characters", previous_secret=before.secret
    )
    async with open_local(before) as old:
        email = await new_account(old)
        access_token, cookie = await log_in(old, email)
        program = (await old.http.post("/v1/sessions", json={"email": email, "password": PASSWORD})).json()
        handed_out = cookie_of(await refresh(old, cookie))
    async with open_local(after) as new:
        assert await status_of(new, access_token) == 200
        again = cookie_of(await refresh(new, cookie))
        assert again.value == handed_out.value, "the same successor, although another secret made it"
        assert (await refresh(new, f"{again.key}={again.value}")).status_code == 201
        answer = await new.http.post("/v1/sessions/refresh", json={"refresh_token": program["refresh_token"]})
        assert answer.status_code == 201


async def test_a_new_secret_answers_repeated_requests_as_the_former_did(
    database_url: str, redis_url: str, open_local: OpenLocal
) -> None:
    before = local_settings(database_url, redis_url)
    after = msgspec.structs.replace(
        before, secret="another secret of at least 32 characters", previous_secret=before.secret
    )
    key = {"Idempotency-Key": "once"}
    account = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    venue = {"name": f"House {uuid4().hex}", "seating_plan": small_plan()}
    wish, batch = {"seats": ["A-1"]}, {"wishes": [{"id": "one", "seats": ["A-2"]}]}

    async def asked(worker: Worker) -> list[Any]:
        """A row that a stranger makes, one that an account makes, a command, and a part of a batch."""
        made = await worker.http.post("/v1/accounts", json=account, headers=key)
        built = await worker.http.post("/v1/venues", json=venue, headers=sale.organizer | key)
        held = await worker.http.post(sale.bookings_url, json=wish, headers=customer | key)
        several = await worker.http.post(f"{sale.bookings_url}:batch", json=batch, headers=customer)
        assert [each.status_code for each in (made, built, held, several)] == [201, 201, 201, 200], held.text
        (answered,) = several.json()["answers"]
        assert answered["status"] == 201, several.text
        return [made.json()["id"], built.json()["id"], held.json()["id"], answered["booking"]["id"]]

    async with open_local(before) as old:
        sale, customer = await open_sale(old.http), await old.sign_up()
        first = await asked(old)
    async with open_local(after) as new:
        assert await asked(new) == first


# --- ending -----------------------------------------------------------------------------------------------------------
async def test_logging_out_ends_the_session_and_takes_the_cookie_back(worker: Worker) -> None:
    access_token, cookie = await log_in(worker, await new_account(worker))
    answer = await worker.http.delete(URL, headers={**OURS, "Cookie": cookie})
    assert answer.status_code == 204
    taken_back = cookie_of(answer)
    assert (taken_back.value, taken_back["path"], taken_back["max-age"]) == ("", URL, "0")
    assert await status_of(worker, access_token) == 401
    problem(await refresh(worker, cookie), 401, "unauthenticated")
    assert (await worker.http.delete(URL, headers=OURS)).status_code == 204, "nobody is logged in already"


async def test_logging_in_again_ends_the_session_before(worker: Worker) -> None:
    email = await new_account(worker)
    former, cookie = await log_in(worker, email)
    fresh, _ = await log_in(worker, email, cookie)
    assert [await status_of(worker, token) for token in (former, fresh)] == [401, 200]
