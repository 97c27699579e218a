"""Connections that hold what others need: heads and bodies that never end, never come, or are too large."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from api.server.connections import HEAD_SECONDS, Bounds, open_files
from tests.conftest import Stack
from tests.support.honest_sale import HonestSale, address_of
from tests.support.sale import sign_up

pytestmark = pytest.mark.stack

SLOW_CONNECTIONS = 3_000
GONE_WITHIN_SECONDS = 30.0
MIB = 1024 * 1024
HEAD = b"POST /v1/venues HTTP/1.1\r\nHost: boxoffice\r\n"


@contextlib.asynccontextmanager
async def connected(stack: Stack, address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is closed whatever comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port, local_addr=(address, 0))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_3_000_slow_connections_are_gone_within_half_a_minute(besieged: Stack, honest_sale: HonestSale) -> None:
    """From four addresses, each dripping a head; those beyond an address's share are refused at once."""
    assert open_files(SLOW_CONNECTIONS) == SLOW_CONNECTIONS, "this test needs open files of its own"
    lasted: list[float] = []
    longest: list[float] = []  # of each round
    refused = 0

    async def drip(number: int) -> None:
        nonlocal refused
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            async with connected(besieged, address_of(6_000 + number % 4)) as (reader, writer):
                answer = asyncio.create_task(reader.read(64))
                writer.write(HEAD)
                while not answer.done():
                    await asyncio.wait([answer], timeout=2.0)  # that is how they drip
                    writer.write(b"X: y\r\n")
                refused += answer.exception() is None and answer.result().startswith(b"HTTP/1.1 503")
        lasted.append(time.monotonic() - started)

    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            lasted.clear()
            refused = 0
            await asyncio.gather(*(drip(number) for number in range(SLOW_CONNECTIONS)))
            assert len(lasted) == SLOW_CONNECTIONS
            assert max(lasted) > HEAD_SECONDS
            longest.append(max(lasted))
            assert refused + Bounds().per_address * 4 * 2 >= SLOW_CONNECTIONS
    assert min(longest) < GONE_WITHIN_SECONDS * beside.crowding


async def test_heads_without_end_cost_nobody_anything(besieged: Stack, address: str, honest_sale: HonestSale) -> None:
    async def pour(piece: bytes) -> bytes:
        async with connected(besieged, address) as (reader, writer):
            answer = asyncio.create_task(reader.read())
            with contextlib.suppress(ConnectionError):
                writer.write(HEAD if piece.startswith(b"X") else b"GET /")
                for _ in range(150):
                    writer.write(piece)
                    await writer.drain()
            with contextlib.suppress(ConnectionError):
                writer.close()
                return await answer
        return b""

    answers = set()
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            pieces = (b"X: " + b"x" * MIB + b"\r\n", b"y" * MIB)
            answers |= {answer[:12] for answer in await asyncio.gather(*map(pour, pieces * 2))}
    assert answers <= {b"HTTP/1.1 431", b"HTTP/1.1 414", b""}  # nothing: reset while it was still pouring


async def test_large_bodies_of_strangers_are_not_even_read(
    besieged: Stack, attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    body = b'{"name": "' + b"x" * (8 * MIB) + b'"}'
    headers = {"Content-Type": "application/json"}
    customer = await sign_up(attacker)

    async def sent(sender: dict[str, str]) -> int:
        try:
            return (await attacker.post("/v1/venues", content=body, headers=headers | sender)).status_code
        except (httpx.ReadError, httpx.WriteError):
            return 0  # reset while it was still sending

    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            assert {*await asyncio.gather(*map(sent, ({}, {}, customer, customer)))} <= {0, 401, 403, 429}


async def test_large_bodies_that_never_come_keep_nobody_s_place(
    besieged: Stack, address: str, attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    """An organizer announces plans and sends none: others' come through, and so do their own small requests."""
    mine, other = await sign_up(attacker, "organizer"), await sign_up(attacker, "organizer")
    head = HEAD + b"Authorization: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    announcement = head % (mine["Authorization"].encode(), 8 * MIB)
    json = {"Content-Type": "application/json"}
    body = b'{"name": "' + b"x" * 100_000 + b'"}'
    async with contextlib.AsyncExitStack() as stack, honest_sale.goes_on() as beside:
        for _ in range(20):
            await stack.enter_async_context(announced(besieged, address, announcement))
        while beside.needs_more():
            answer = await attacker.post("/v1/venues", content=body, headers=other | json)
            assert answer.status_code in (422, 429)
            small = await attacker.post("/v1/performances", json={}, headers=mine)
            assert small.status_code in (422, 429)


@contextlib.asynccontextmanager
async def announced(stack: Stack, address: str, head: bytes) -> AsyncIterator[None]:
    async with connected(stack, address) as (_, writer):
        writer.write(head)
        await writer.drain()
        yield
