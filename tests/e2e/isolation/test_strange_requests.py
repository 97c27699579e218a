"""Requests that are not quite requests, and pages that are not ours: refused or harmless, and no sale notices."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import httpx
import pytest

from tests.conftest import Stack
from tests.support.honest_sale import HonestSale
from tests.support.sale import PASSWORD, sign_up

pytestmark = pytest.mark.stack

EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Referer": "https://evil.example/"}
DRESS = ("x-content-type-options", "referrer-policy", "x-request-id", "content-security-policy")


async def raw(stack: Stack, address: str, text: bytes, *, then_close: bool = False) -> bytes:
    """What comes back for these bytes; empty if the connection was closed without an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port, local_addr=(address, 0))
    answer = b""
    with contextlib.suppress(ConnectionError):
        writer.write(text)
        await writer.drain()
        if then_close:
            writer.write_eof()
        answer = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def test_what_is_cut_off_or_of_another_kind_books_nothing_whichever_way_it_takes(
    besieged: Stack, address: str, attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    customer = await sign_up(attacker)
    sale = honest_sale.sale
    body = b'{"seats": ["%s"]}' % sale.seats[-3].encode()
    head = b"POST %s HTTP/1.1\r\nHost: boxoffice\r\nConnection: close\r\nAuthorization: %s\r\n" % (
        sale.bookings_url.encode(),
        customer["Authorization"].encode(),
    )
    json = b"Content-Type: application/json\r\n"
    cut = head + json + b"Content-Length: 400\r\n\r\n" + body
    strange = head + b"Content-Type: application/jsonfoo\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    twice = head + json + b"Content-Length: 5\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    smuggled = head + json + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + body
    statuses = set()
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            answers = await asyncio.gather(
                raw(besieged, address, cut, then_close=True),
                *(raw(besieged, address, each) for each in (strange, twice, smuggled)),
            )
            statuses |= {answer.split(b" ")[1] if answer else b"" for answer in answers}
    assert statuses <= {b"", b"400", b"411", b"415", b"422", b"429"}, statuses
    assert (await attacker.get("/v1/bookings", headers=customer)).json()["items"] == []


async def test_other_people_s_pages_do_nothing_in_a_visitor_s_name(
    besieged: Stack, attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    own = {"Origin": besieged.base_url, "Sec-Fetch-Site": "same-origin"}
    credentials = {"email": "visitor@example.com", "password": PASSWORD}
    await attacker.post("/v1/accounts", json=credentials)
    logged_in = await attacker.post("/v1/sessions/browser", json=credentials, headers=own)
    assert logged_in.status_code == 201, logged_in.text  # its cookie is sent from now on
    paths = itertools.cycle(("/", "/v1/performances", "/nowhere", "/v1/accounts/me", "/healthz", "/docs"))
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            for method, path in (("POST", "/v1/sessions/browser/refresh"), ("DELETE", "/v1/sessions/browser")):
                answer = await attacker.request(method, path, json={}, headers=EVIL)
                assert answer.status_code in (403, 429), answer.text
            seen = await attacker.get(next(paths), headers=EVIL)
            assert "access-control-allow-origin" not in seen.headers
            assert "frame-ancestors 'none'" in seen.headers["content-security-policy"]
            assert all(name in seen.headers for name in DRESS), seen.headers
    refreshed = await attacker.post("/v1/sessions/browser/refresh", json={}, headers=own)
    assert refreshed.status_code == 201, "the session is still the visitor's"


async def test_small_things_done_without_end_are_bounded(
    besieged: Stack, address: str, attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    """Heads without a host or with two, long forms, methods that are not there, HEAD, and log-ins all at once."""
    crowd = [{"email": f"nobody{number}@example.com", "password": "guess" * 10} for number in range(40)]
    form = {"grant_type": "password", "username": "a" * 20_000, "password": "b" * 20_000}
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            hostless = await raw(besieged, address, b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
            twofold = b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"
            for answer in (hostless, await raw(besieged, address, twofold)):
                assert answer.startswith(b"HTTP/1.1 400")
            long = await attacker.post("/v1/sessions/token", data=form)
            assert long.status_code in (401, 413, 422, 429), long.text
            strange = await attacker.request("PURGE", honest_sale.sale.bookings_url)
            assert (strange.status_code, "POST" in strange.headers["allow"]) == (405, True)
            head = await attacker.head(f"/v1/schedules/{honest_sale.sale.schedule_id}/seats")
            assert (head.status_code, head.content) == (200, b"")
            answers = await asyncio.gather(*(attacker.post("/v1/sessions", json=each) for each in crowd))
            assert {answer.status_code for answer in answers} <= {401, 429, 503}
            assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code != 401)
