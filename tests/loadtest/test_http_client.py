"""The lean client speaks enough HTTP, and says so when it got no answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from loadtest import http_client
from loadtest.http_client import Client, ConnectionLost

Respond = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(respond: Respond) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Hands each request (head and body) to `respond`; gives its address and what it was asked."""
    asked: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while not reader.at_eof():
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")), 0)
            asked.append(head + await reader.readexactly(length))
            await respond(asked[-1], writer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}/base", asked
    finally:
        listening.close()
        for writer in writers:
            writer.close()
        await listening.wait_closed()


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_it_sends_json_with_its_token_and_reads_the_answer() -> None:
    async def respond(asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("201 Created", '{"id":"좌석"}'.encode(), "ETag: x"))

    async with server(respond) as (url, asked):
        client = Client(url)
        client.token = "secret"
        got = await client.request("POST", "/v1/things", {"name": "좌석"}, {"Idempotency-Key": "k"})
        client.close()
    assert (got.status, got.json(), got.headers["etag"]) == (201, {"id": "좌석"}, "x")
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /base/v1/things HTTP/1.1\r\n")
    assert b"Authorization: Bearer secret" in head
    assert b"Idempotency-Key: k" in head
    assert body == '{"name":"좌석"}'.encode()


async def test_one_connection_serves_many_requests() -> None:
    connections: set[object] = set()

    async def respond(asked: bytes, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        writer.write(answer("304 Not Modified") if b"If-None-Match" in asked else answer("200 OK", b"{}"))

    async with server(respond) as (url, asked):
        client = Client(url)
        statuses = [(await client.request("GET", "/", headers=each)).status for each in (None, {"If-None-Match": "x"})]
        statuses.append((await client.request("DELETE", "/")).status)
        client.close()
    assert statuses == [200, 304, 200]
    assert len(connections) == 1
    assert b"Content-Length" not in asked[0]


async def test_a_connection_closed_by_the_server_is_opened_again() -> None:
    async def respond(asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("200 OK", b"{}", "Connection: close"))
        writer.close()

    async with server(respond) as (url, asked):
        client = Client(url)
        for _ in range(2):
            assert (await client.request("GET", "/")).status == 200
        client.close()
    assert len(asked) == 2


async def test_an_answer_that_breaks_off_is_a_lost_connection() -> None:
    async def respond(asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("200 OK", b"x" * 100)[:-50])
        writer.close()

    async with server(respond) as (url, _):
        client = Client(url)
        with pytest.raises(ConnectionLost, match="GET /"):
            await client.request("GET", "/")


async def test_nobody_listening_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost):
        await Client("http://127.0.0.1:1").request("GET", "/")


async def test_silence_is_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def respond(asked: bytes, writer: asyncio.StreamWriter) -> None:
        return

    monkeypatch.setattr(http_client, "TIMEOUT_SECONDS", 0.05)
    async with server(respond) as (url, _):
        with pytest.raises(ConnectionLost):
            await Client(url).request("GET", "/")


async def test_the_code_of_a_problem_is_at_hand() -> None:
    async def respond(asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("409 Conflict", b'{"code":"sale_closed"}', "Content-Type: application/problem+json"))

    async with server(respond) as (url, _):
        client = Client(url)
        assert (await client.request("GET", "/")).code == "sale_closed"
        client.close()
