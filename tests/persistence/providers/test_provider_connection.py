"""Whatever a provider's end of the line does, a call comes back in time, with an answer or with `Unknown`."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from persistence.embedded.process import free_port
from persistence.providers.connection import Connection
from persistence.providers.provider import Unknown
from tests.support.services.serving import IMPATIENT_SECONDS
from tests.support.waiting import PATIENCE_SECONDS

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
PACKED = gzip.compress(b"x" * 2_000)


@contextlib.asynccontextmanager
async def answering(
    *pieces: bytes, stays: bool = False, timeout_seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[Connection]:
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
        connection = Connection("provider", f"http://127.0.0.1:{port}", timeout_seconds)
        yield connection
        await connection.close()
        leaving.set()


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD, b"content-length: 1000\r\n\r\n", b"x" * 1_000),
        (HEAD, b"\r\n", b"x" * 1_000),
        (HEAD, b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(PACKED), PACKED),
    ],
    ids=["that is said", "that is not", "unpacked"],
)
async def test_an_answer_without_end_is_not_read_to_it(
    pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("persistence.providers.connection.MAX_ANSWER_BYTES", 999)
    async with answering(*pieces) as connection:
        assert isinstance(await connection.call("GET", "/payments"), Unknown)
    assert "an answer without end" in caplog.text


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
        async with answering(said, stays=True, timeout_seconds=IMPATIENT_SECONDS) as connection:
            assert isinstance(await connection.call("GET", "/payments/1"), Unknown)


async def test_nobody_there_is_no_answer() -> None:
    connection = Connection("provider", f"http://127.0.0.1:{free_port()}", PATIENCE_SECONDS)
    assert isinstance(await connection.call("GET", "/payments/1"), Unknown)
    await connection.close()


async def test_a_connection_is_used_again() -> None:
    async with answering(HEAD + b"content-length: 2\r\n\r\n{}", stays=True) as connection:
        answers = [await connection.call("POST", "/payments", content=b"") for _ in range(5)]
    assert not any(isinstance(answer, Unknown) for answer in answers)


async def test_after_a_connection_was_hung_up_there_is_another() -> None:
    async with answering(HEAD + b"content-length: 2\r\n\r\n{}") as connection:
        lost = [isinstance(await connection.call("POST", "/payments", content=b""), Unknown) for _ in range(20)]
    # It may be used once more before the good-bye has arrived; then its call is lost, and nobody else's.
    assert not lost[0]
    assert not any(pair == (True, True) for pair in pairwise(lost))
