"""Whatever a provider's end of the line does, a call comes back in time, with an answer or with `Unknown`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from persistence.embedded.process import free_port
from persistence.providers.connection import Connection
from persistence.providers.provider import Unknown

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
TIMEOUT_SECONDS = 0.5


@contextlib.asynccontextmanager
async def answering(*pieces: bytes, stays: bool = False) -> AsyncIterator[Connection]:
    """A connection to somebody who reads a request, says this, and hangs up unless it `stays`."""
    leaving = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.writelines(pieces)
                await writer.drain()
                if not stays:
                    break
        if stays:
            await leaving.wait()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        connection = Connection("provider", f"http://127.0.0.1:{port}", TIMEOUT_SECONDS)
        yield connection
        await connection.close()
        leaving.set()


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"good evening\r\n\r\n",),
        (b"HTTP/1.1 none OK\r\n\r\n",),
        (HEAD, b"content-length: none\r\n\r\n{}"),
        (HEAD, b"content-length: 100\r\n\r\n{"),
        (HEAD, b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
        (HEAD, b"x" * 100_000, b"\r\n\r\n"),
        (HEAD, b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}"),
    ],
    ids=["nothing", "no HTTP", "no status", "no length", "half", "no chunk", "a long header", "no gzip"],
)
async def test_nonsense_is_no_answer(pieces: tuple[bytes, ...]) -> None:
    async with answering(*pieces) as connection:
        assert isinstance(await connection.call("POST", "/payments", content=b"{}"), Unknown)


async def test_silence_is_no_answer_and_has_an_end() -> None:
    for said in (b"", HEAD + b"content-length: 10\r\n\r\n{"):
        async with answering(said, stays=True) as connection:
            assert isinstance(await connection.call("GET", "/payments/1"), Unknown)


async def test_nobody_there_is_no_answer() -> None:
    connection = Connection("provider", f"http://127.0.0.1:{free_port()}", TIMEOUT_SECONDS)
    assert isinstance(await connection.call("GET", "/payments/1"), Unknown)
    await connection.close()


async def test_a_connection_is_used_again_and_one_that_was_hung_up_is_not() -> None:
    said = HEAD + b"content-length: 2\r\n\r\n{}"
    async with answering(said) as connection:
        for _ in range(5):
            answer = await connection.call("POST", "/payments", content=b"")
            assert not isinstance(answer, Unknown)
            assert answer.json() == {}
            await asyncio.sleep(0)
            await until_hung_up()
    async with answering(said, stays=True) as connection:
        answers = [await connection.call("GET", "/payments/1") for _ in range(5)]
        assert not any(isinstance(answer, Unknown) for answer in answers)


async def until_hung_up() -> None:
    """Lets the other end's good-bye arrive."""
    for _ in range(20):
        await asyncio.sleep(0.001)
