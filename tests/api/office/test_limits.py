"""Fair use: guessing is slowed down without shutting anybody out, and whatever changes something is counted."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from api.http.addresses import place_of
from api.http.problems import Problem
from api.office import limits as fair_use
from api.office.dependencies import READING
from api.office.limits import Limits
from tests.api.conftest import PASSWORD, OpenLocal, Worker, local_settings
from tests.api.server.openapi import openapi_document
from tests.support.sale import problem
from tests.support.services.databases import Databases

HERE, THERE = "192.0.2.1", "198.51.100.1"
AWAY = "redis://127.0.0.1:1"


def fresh_email() -> str:
    return f"{uuid4().hex}@example.com"


@pytest.fixture(params=["shared", "alone"])
async def limits(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Limits]:
    """With Redis, and with nothing but the worker's own count."""
    made = Limits(redis_url if request.param == "shared" else AWAY, enabled=True)
    yield made
    await made.close()


@pytest.fixture
def address() -> str:
    """One that no other test has tried from."""
    number = uuid4().int
    return f"10.{number % 256}.{number // 256 % 256}.{number // 65536 % 256}"


async def tries_until_refused(limits: Limits, emails: list[str], addresses: list[str], most: int = 1000) -> int:
    """How many wrong guesses get through."""
    for number in range(most):
        refused = await refusal_of(limits, emails[number % len(emails)], addresses[number % len(addresses)])
        if refused is not None:
            assert refused.code == "rate_limited"
            assert 1 <= int(refused.headers["Retry-After"]) <= fair_use.DAY
            return number
    return most


async def refusal_of(limits: Limits, email: str, address: str) -> Problem | None:
    try:
        await limits.log_in(email, address)
    except Problem as refused:
        return refused
    return None


def many_addresses(count: int) -> list[str]:
    first = uuid4().int % 2**24
    return [str(ipaddress.ip_address(0x0B00_0000 + (first + each) % 2**24)) for each in range(count)]


# --- guessing ---------------------------------------------------------------------------------------------------------
async def test_guesses_at_one_account_from_one_place_are_slowed_down(limits: Limits, address: str) -> None:
    email = fresh_email()
    assert await tries_until_refused(limits, [email], [address]) == 10
    await limits.log_in(fresh_email(), address)
    await limits.log_in(email, THERE)


async def test_guesses_from_one_place_at_many_accounts_are_slowed_down(limits: Limits, address: str) -> None:
    assert await tries_until_refused(limits, [fresh_email() for _ in range(200)], [address]) == 30


async def test_guesses_at_one_account_from_many_places_are_slowed_down(limits: Limits) -> None:
    assert await tries_until_refused(limits, [fresh_email()], many_addresses(200)) == 20


async def test_who_owns_the_account_still_gets_in_from_where_they_were_before(limits: Limits, address: str) -> None:
    email = fresh_email()
    await (await limits.log_in(email, address)).succeeded()
    await tries_until_refused(limits, [email], many_addresses(200))
    await (await limits.log_in(email.upper(), address)).succeeded()
    with pytest.raises(Problem, match="rate_limited"):
        await limits.log_in(email, THERE)
    await limits.came_by_mail(email, THERE)
    await limits.log_in(email, THERE)


async def test_who_gets_in_is_not_counted(limits: Limits, address: str) -> None:
    email = fresh_email()
    for _ in range(50):
        await (await limits.log_in(email, address)).succeeded()
    assert await tries_until_refused(limits, [fresh_email() for _ in range(100)], [address]) == 30


async def test_longer_waits_follow_shorter_ones() -> None:
    for rows in (fair_use.GUESSES_AT_ACCOUNT_FROM_PLACE, fair_use.GUESSES_AT_ACCOUNT, fair_use.GUESSES_FROM_PLACE):
        assert list(rows) == sorted(rows)
        rates = [limit / seconds for limit, seconds in rows]
        assert rates == sorted(rates, reverse=True), "each bucket lets fewer through in the long run"


async def test_all_addresses_of_one_customer_of_a_provider_are_one_place(limits: Limits) -> None:
    network = f"2001:db8:{uuid4().int % 65536:x}:7"
    addresses = [f"{network}:{host:x}::{host:x}" for host in range(1, 200)]
    assert await tries_until_refused(limits, [fresh_email() for _ in range(200)], addresses) == 30


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_places(address: str, place: str) -> None:
    assert place_of(address) == place


async def test_nothing_is_limited_where_fair_use_is_off(redis_url: str) -> None:
    off, email = Limits(redis_url, enabled=False), fresh_email()
    for _ in range(400):
        await off.log_in(email, HERE)
        await off.guess(email, HERE)
        await off.mail(email, HERE)
        await off.sign_up(HERE)
        off.command("eager", "customer")
        off.strangers_command(HERE)
    await off.close()


async def test_nothing_in_redis_says_who_tried(redis_url: str, address: str) -> None:
    limits, email = Limits(redis_url, enabled=True), fresh_email()
    await (await limits.log_in(email, address)).succeeded()
    await limits.sign_up(address)
    await limits.mail(email, address)
    from redis.asyncio import Redis

    async with Redis.from_url(redis_url) as redis:
        keys = [key.decode() async for key in redis.scan_iter("boxoffice:tries:*")]
    await limits.close()
    assert keys
    assert not [key for key in keys if email in key or address in key]


# --- over HTTP --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
async def strict(databases: Databases, redis_url: str, open_local: OpenLocal) -> AsyncIterator[Worker]:
    """A worker with fair use on."""
    async with databases.lent() as url:
        settings = msgspec.structs.replace(local_settings(url, redis_url), fair_use=True, trusted_proxies="127.0.0.0/8")
        async with open_local(settings) as worker:
            yield worker


async def test_guesses_of_the_current_password_are_counted(strict: Worker, address: str) -> None:
    email, place = fresh_email(), {"X-Forwarded-For": address}
    await strict.http.post("/v1/accounts", json={"email": email, "password": PASSWORD}, headers=place)
    log_in = await strict.http.post("/v1/sessions", json={"email": email, "password": PASSWORD}, headers=place)
    headers = {"Authorization": f"Bearer {log_in.json()['access_token']}", **place}
    statuses = []
    for number in range(100):
        body = {"password": "a new long password", "current_password": f"guess {number}"}
        statuses.append((await strict.http.patch("/v1/accounts/me", json=body, headers=headers)).status_code)
    assert statuses == [422] * 10 + [429] * 90


async def test_who_comes_through_a_trusted_proxy_is_counted_by_their_own_address(strict: Worker, address: str) -> None:
    async def guess(forwarded: str) -> int:
        body = {"email": fresh_email(), "password": "a wrong password"}
        return (await strict.http.post("/v1/sessions", json=body, headers={"X-Forwarded-For": forwarded})).status_code

    guesses = [await guess(f"203.0.113.{number}, {address}, 127.0.0.1") for number in range(40)]
    assert guesses == [401] * 30 + [429] * 10, "what a client writes there itself counts for nothing"
    assert await guess(f"{address}, {THERE}") == 401


MUTATING = [
    (method, path)
    for path, methods in openapi_document()["paths"].items()
    for method in methods
    if method.upper() not in READING
]


@pytest.fixture(scope="module")
async def admin(strict: Worker) -> dict[str, str]:
    """What an admin's requests carry, from a place of their own and from a page of ours."""
    email = fresh_email()
    place = {"X-Forwarded-For": "203.0.113.201", "Sec-Fetch-Site": "same-origin"}
    await strict.http.post("/v1/accounts", json={"email": email, "password": PASSWORD}, headers=place)
    await strict.office.pool.execute("UPDATE accounts SET role = 'admin' WHERE email = $1", email)
    log_in = await strict.http.post("/v1/sessions", json={"email": email, "password": PASSWORD}, headers=place)
    return {"Authorization": f"Bearer {log_in.json()['access_token']}", **place}


@pytest.mark.parametrize(("method", "path"), MUTATING)
async def test_every_command_is_limited(
    strict: Worker, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """Whoever adds an operation that changes something, and forgets to count it, is told here."""
    monkeypatch.setattr(fair_use, "COMMANDS_PER_WINDOW", dict.fromkeys(fair_use.COMMANDS_PER_WINDOW, 0))
    monkeypatch.setattr(fair_use, "STRANGERS_COMMANDS_PER_WINDOW", 0)
    filled = re.sub(r"\{\w+\}", str(uuid4()), path.replace("{provider}", "sandbox"))
    sent: dict[str, Any] = {"data": {"username": "x"}} if path.endswith("/token") else {"json": {}}  # one takes a form
    answer = await strict.http.request(method, filled, headers=admin, **sent)
    problem(answer, 429, "rate_limited")


def test_every_command_says_that_it_is_limited() -> None:
    paths: dict[str, Any] = openapi_document()["paths"]
    for method, path in MUTATING:
        assert "rate_limited" in repr(paths[path][method]["responses"].get("429")), f"{method} {path}"


def test_a_box_office_may_do_thirty_times_what_a_customer_may() -> None:
    limits = Limits(AWAY, enabled=True)
    for role, most in (("customer", 100), ("box_office", 3_000)):
        for _ in range(most):
            limits.command(role, role)
        with pytest.raises(Problem, match="rate_limited"):
            limits.command(role, role)


async def test_commands_are_counted_the_short_way_as_well(strict: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"X-Forwarded-For": "203.0.113.200"}
    email = fresh_email()
    await strict.http.post("/v1/accounts", json={"email": email, "password": PASSWORD}, headers=place)
    log_in = await strict.http.post("/v1/sessions", json={"email": email, "password": PASSWORD}, headers=place)
    headers = {"Authorization": f"Bearer {log_in.json()['access_token']}"}
    monkeypatch.setattr(fair_use, "COMMANDS_PER_WINDOW", dict.fromkeys(fair_use.COMMANDS_PER_WINDOW, 5))
    answers: list[httpx.Response] = []
    for _ in range(12):
        answers.append(
            await strict.http.post(f"/v1/schedules/{uuid4()}/bookings", json={"quantity": 1}, headers=headers)
        )
    statuses = [answer.status_code for answer in answers]
    assert 429 in statuses
    assert statuses.count(404) <= 10, "five in a window, and the window may have begun anew in between"
