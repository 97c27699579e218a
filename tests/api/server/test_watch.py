"""What every answer carries, whichever way it was made: an id, and what browsers and caches may do with it."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import httpx
import msgspec
import pytest
from starlette.types import Message, Receive, Scope, Send

from actors.process.telemetry import REQUEST_ID
from api.server.watch import NO_STORE, POLICIES, Watch
from tests.api.conftest import OpenLocal, Worker, local_settings
from tests.support.sale import Sale, open_sale
from tests.support.waiting import PATIENCE_SECONDS

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
async def sale(worker: Worker) -> Sale:
    return await open_sale(worker.http)


@pytest.fixture(scope="module")
async def customer(worker: Worker) -> dict[str, str]:
    return await worker.sign_up()


# --- ids --------------------------------------------------------------------------------------------------------------
async def test_every_answer_has_an_id_of_its_own_which_its_problem_document_repeats(
    worker: Worker, sale: Sale, customer: dict[str, str]
) -> None:
    answers = [
        await worker.http.get("/healthz"),
        await worker.http.get("/"),
        await worker.http.get("/v1/performances"),
        await worker.http.get("/v1/nothing"),
        await worker.http.post(sale.bookings_url, json={"quantity": 1}, headers=customer),
        await worker.http.post(sale.bookings_url, json={"quantity": 0}, headers=customer),
        await worker.http.post(sale.bookings_url, json={"quantity": 1}),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    problems = [answer for answer in answers if answer.headers["content-type"] == "application/problem+json"]
    assert len(problems) == 3
    assert all(answer.json()["request_id"] == answer.headers["x-request-id"] for answer in problems)


async def test_what_a_client_calls_its_request_is_not_believed(worker: Worker) -> None:
    answer = await worker.http.get("/healthz", headers={"X-Request-Id": "of-my-own-making"})
    assert answer.headers["x-request-id"] != "of-my-own-making"


async def test_what_the_operator_s_own_proxy_calls_a_request_is(
    database_url: str, redis_url: str, open_local: OpenLocal
) -> None:
    settings = msgspec.structs.replace(local_settings(database_url, redis_url), trusted_proxies="127.0.0.0/8")
    async with open_local(settings) as worker:
        for given, taken in (("abc-123.DEF:4_5", True), ("short", False), ("with space", False), ("x" * 101, False)):
            answer = await worker.http.get("/healthz", headers={"X-Request-Id": given})
            assert (answer.headers["x-request-id"] == given) == taken


async def test_a_request_s_log_lines_can_be_found_by_its_id() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.create_task(log())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def log() -> None:
        logging.getLogger("tests").info("something")
        seen.append(REQUEST_ID.get())

    transport = httpx.ASGITransport(app=Watch(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://boxoffice.test") as http:
        answers = await asyncio.gather(*(asyncio.create_task(http.get("/")) for _ in range(3)))
    assert sorted(seen) == sorted(answer.headers["x-request-id"] for answer in answers)


# --- browsers and caches ----------------------------------------------------------------------------------------------
async def test_every_answer_says_what_browsers_may_do_with_it(
    worker: Worker, sale: Sale, customer: dict[str, str]
) -> None:
    for answer in (
        await worker.http.get("/"),
        await worker.http.get("/docs"),
        await worker.http.get("/docs/assets/swagger-ui.css"),
        await worker.http.get("/healthz"),
        await worker.http.get("/v1/nothing"),
        await worker.http.get("/v1/performances"),
        await worker.http.post(sale.bookings_url, json={"quantity": 1}, headers=customer),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff", answer.url
        assert answer.headers["referrer-policy"], answer.url
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], answer.url
        assert "strict-transport-security" not in answer.headers, "nobody has said that this is reached by https"


async def test_what_somebody_must_be_logged_in_for_is_kept_by_nobody(worker: Worker, customer: dict[str, str]) -> None:
    """Every operation that asks for a token, as the OpenAPI document has them."""
    schema = (await worker.http.get("/openapi.json")).json()
    walked = 0
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if not operation.get("security"):
                continue
            where = re.sub(r"{\w+}", NOWHERE, path)
            for headers in ({}, customer):
                if method == "delete" and path == "/v1/sessions/current" and headers:
                    continue  # it would be the customer's last
                answer = await worker.http.request(method.upper(), where, headers=headers)
                assert answer.headers["cache-control"] == "no-store", (method, path, answer.status_code)
                walked += 1
    assert walked > 100


async def test_what_names_no_caching_is_not_kept_and_what_does_is() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"cache-control", b"public, max-age=60")] if scope["path"] == "/public" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    transport = httpx.ASGITransport(app=Watch(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://boxoffice.test") as http:
        assert (await http.get("/public")).headers["cache-control"] == "public, max-age=60"
        assert (await http.get("/other")).headers["cache-control"] == "no-store"


async def test_headers_that_many_answers_share_are_left_as_they_are() -> None:
    shared: list[tuple[bytes, bytes]] = [(b"etag", b'"1"')]
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": shared})

    async def send(message: Message) -> None:
        sent.append(message)

    await Watch(app)({"type": "http", "method": "GET", "path": "/", "headers": []}, receive=never, send=send)
    assert shared == [(b"etag", b'"1"')]
    assert {NO_STORE, *POLICIES} <= set(sent[0]["headers"])


async def never() -> Message:
    raise AssertionError("nothing is received")


def configured(database_url: str, redis_url: str, **settings: Any) -> Any:
    return msgspec.structs.replace(local_settings(database_url, redis_url), **settings)


async def test_reached_by_https_every_answer_asks_for_https(
    database_url: str, redis_url: str, open_local: OpenLocal
) -> None:
    settings = configured(database_url, redis_url, public_url="https://tickets.example.com")
    async with open_local(settings) as worker:
        answer = await worker.http.get("/v1/nothing")
        assert answer.headers["strict-transport-security"].startswith("max-age=31536000")


async def test_pages_elsewhere_may_use_the_api_only_if_they_are_named(
    worker: Worker, database_url: str, redis_url: str, open_local: OpenLocal
) -> None:
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in (await worker.http.options("/v1/venues", headers=asked)).headers
    assert "access-control-allow-origin" not in (await worker.http.get("/healthz", headers=asked)).headers
    settings = configured(database_url, redis_url, cors_origins="https://shop.example, https://other.example/")
    async with open_local(settings) as named:
        for origin, allowed in (("https://shop.example", True), ("https://evil.example", False)):
            for answer in (
                await named.http.options("/v1/venues", headers=asked | {"Origin": origin}),
                await named.http.get("/v1/nothing", headers={"Origin": origin}),
            ):
                assert (answer.headers.get("access-control-allow-origin") == origin) == allowed
                assert "access-control-allow-credentials" not in answer.headers
        shown = answer.headers["access-control-expose-headers"].split(", ")
        assert {"ETag", "Location", "Retry-After", "Server-Time"} <= set(shown)  # what a page elsewhere sells by


async def test_what_is_switched_off_is_not_there(database_url: str, redis_url: str, open_local: OpenLocal) -> None:
    async with open_local(configured(database_url, redis_url, docs=False, metrics=False)) as worker:
        for path in ("/docs", "/openapi.json", "/metrics"):
            assert (await worker.http.get(path)).status_code == 404, path


async def test_the_page_by_hand_runs_no_script_but_its_own(worker: Worker) -> None:
    page = await worker.http.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert policy.count("'sha256-") == page.text.count("<script>") >= 1
    assert (await worker.http.get("/docs")).headers["content-security-policy"] == policy


# --- methods ----------------------------------------------------------------------------------------------------------
async def test_head_is_answered_like_get_without_the_body(worker: Worker, sale: Sale) -> None:
    """Every address that answers to GET, as the OpenAPI document has them; a stream ends at once."""
    schema = (await worker.http.get("/openapi.json")).json()
    paths = [path for path, methods in schema["paths"].items() if "get" in methods and "stream" not in path]
    for path in [*(re.sub(r"{\w+}", NOWHERE, path) for path in paths), "/", f"/v1/schedules/{sale.schedule_id}/seats"]:
        get, head = await worker.http.get(path), await worker.http.head(path)
        own = (
            {"x-request-id", "content-length"} if get.status_code != 200 or path in ("/metrics",) else {"x-request-id"}
        )
        assert (head.status_code, head.content) == (get.status_code, b""), path
        kept = [{name: value for name, value in each.headers.items() if name not in own} for each in (get, head)]
        assert kept[0] == kept[1], path
    async with asyncio.timeout(PATIENCE_SECONDS):
        stream = await worker.http.head(f"/v1/schedules/{sale.schedule_id}/stream")
    assert stream.headers["content-type"].startswith("text/event-stream")


async def test_a_method_that_is_not_there_is_told_all_that_are(worker: Worker) -> None:
    schema = (await worker.http.get("/openapi.json")).json()
    walked = 0
    for path, methods in schema["paths"].items():
        there = {method.upper() for method in methods} | ({"HEAD"} if "get" in methods else set())
        for method in ("TRACE", "PUT"):
            answer = await worker.http.request(method, re.sub(r"{\w+}", NOWHERE, path))
            if answer.status_code != 405:
                continue  # there is one, or another address of the same form takes it
            walked += 1
            assert set(answer.headers["allow"].split(", ")) >= there, path
    assert walked > len(schema["paths"])
