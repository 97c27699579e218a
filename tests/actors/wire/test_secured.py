"""Calls between machines: both ends in this process, and whoever else comes along."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from actors.wire import secured
from actors.wire.secured import FRAME_LIMIT, HEADER, HELLO, MAGIC, REPLY, Listener, Refused, SecuredChannel, Trust
from tests.support.services.certificates import certificate
from tests.support.waiting import until

HOST = "127.0.0.1"
KEY, OTHER = secrets.token_bytes(32), secrets.token_bytes(32)
TRUST = Trust([KEY])


class Echo:
    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self.let = asyncio.Event()
        self.let.set()

    async def answer(self, data: bytes) -> bytes:
        self.calls.append(data)
        if data == b"fail":
            raise ValueError("as asked")
        if data != b"at once":
            await self.let.wait()
        return data.upper()


@asynccontextmanager
async def listening(echo: Echo, trust: Trust = TRUST, identity: str = "one") -> AsyncIterator[int]:
    listener = Listener(identity, trust, echo.answer)
    port = await listener.listen(HOST)
    try:
        yield port
    finally:
        await listener.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def port(echo: Echo) -> AsyncIterator[int]:
    async with listening(echo) as port:
        yield port


def channel(port: int, trust: Trust = TRUST, identity: str = "one") -> SecuredChannel:
    return SecuredChannel(HOST, port, identity, trust)


async def test_calls_are_answered_each_with_its_own_answer(port: int, echo: Echo) -> None:
    line = channel(port)
    assert await line.call(b"") == b""
    assert await line.call(b"x" * 5_000_000) == b"X" * 5_000_000
    echo.let.clear()
    slow = [asyncio.create_task(line.call(b"slow %d" % number)) for number in range(5)]
    assert await line.call(b"at once") == b"AT ONCE"
    echo.let.set()
    assert await asyncio.gather(*slow) == [b"SLOW %d" % number for number in range(5)]
    line.close()


async def test_an_error_costs_its_caller_the_connection_and_no_one_else_anything(port: int, echo: Echo) -> None:
    line = channel(port)
    with pytest.raises(ConnectionResetError):
        await line.call(b"fail")
    assert await line.call(b"go on") == b"GO ON"
    line.close()


async def test_an_answer_that_nobody_waits_for_any_more_reaches_nobody(port: int, echo: Echo) -> None:
    line = channel(port)
    echo.let.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.call(b"too late"), 0.05)  # nobody answers
    echo.let.set()
    assert await line.call(b"the next") == b"THE NEXT"
    line.close()


async def test_where_nobody_listens_the_caller_is_told(echo: Echo) -> None:
    async with listening(echo) as port:
        pass
    with pytest.raises(ConnectionRefusedError):
        await channel(port).call(b"hello")


@pytest.mark.parametrize(
    ("trust", "identity"),
    [(Trust([OTHER]), "one"), (TRUST, "two"), (Trust([OTHER, secrets.token_bytes(32)]), "one")],
    ids=["wrong key", "somebody else", "two wrong keys"],
)
async def test_a_caller_without_the_key_or_for_somebody_else_is_refused(
    port: int, echo: Echo, trust: Trust, identity: str
) -> None:
    with pytest.raises(Refused):
        await channel(port, trust, identity).call(b"hello")
    assert echo.calls == []


async def test_a_caller_tells_its_secrets_to_no_listener_without_the_key() -> None:
    heard: list[bytes] = []

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(HELLO.size))
        writer.write(REPLY.pack(secrets.token_bytes(32), secrets.token_bytes(32)))
        heard.append(await reader.read(1000))
        writer.close()

    async with await asyncio.start_server(impostor, HOST, 0) as server:
        with pytest.raises(Refused):
            await channel(server.sockets[0].getsockname()[1]).call(b"a command")
        await until(lambda: len(heard) == 2)
    assert heard[1] == b""


async def test_ends_that_change_keys_one_after_another_go_on_talking(echo: Echo) -> None:
    changed = Trust([OTHER, KEY])
    async with listening(echo) as former, listening(echo, changed) as newer:
        for port, trust in ((former, changed), (newer, TRUST), (newer, changed)):
            line = channel(port, trust)
            assert await line.call(b"hello") == b"HELLO"
            line.close()


class Middle:
    """Stands on the line between a caller and the listener; `turn` may change what goes by."""

    def __init__(self, port: int, turn: Callable[[bytes], bytes]) -> None:
        self._port = port
        self._turn = turn
        self.recorded = bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(HOST, self._port)

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, turn: bool) -> None:
            while data := await source.read(1 << 20):
                if turn:
                    self.recorded += data
                    data = self._turn(data)
                sink.write(data)
            sink.close()

        await asyncio.gather(pass_on(reader, back_writer, True), pass_on(back_reader, writer, False))


@asynccontextmanager
async def between(port: int, turn: Callable[[bytes], bytes]) -> AsyncIterator[tuple[Middle, int]]:
    middle = Middle(port, turn)
    async with await asyncio.start_server(middle.serve, HOST, 0) as server:
        yield middle, server.sockets[0].getsockname()[1]


async def test_what_was_recorded_means_nothing_said_again(port: int, echo: Echo) -> None:
    async with between(port, lambda data: data) as (middle, on_the_way):
        line = channel(on_the_way)
        assert await line.call(b"hold A-1") == b"HOLD A-1"
        line.close()
    assert echo.calls == [b"hold A-1"]
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(bytes(middle.recorded))
    writer.write_eof()
    await reader.read()
    writer.close()
    assert echo.calls == [b"hold A-1"]


async def test_what_is_changed_on_the_way_or_said_twice_is_not_heard(port: int, echo: Echo) -> None:
    def changed(data: bytes) -> bytes:
        return data.replace(b"hold A-1", b"hold A-2")

    def twice(data: bytes) -> bytes:
        return data + data if data.endswith(b"hold A-1") else data

    async with between(port, changed) as (_, on_the_way):
        with pytest.raises(ConnectionError):
            await channel(on_the_way).call(b"hold A-1")
    assert echo.calls == []
    async with between(port, twice) as (_, on_the_way):
        line = channel(on_the_way)
        assert await line.call(b"hold A-1") == b"HOLD A-1"
        line.close()
    assert echo.calls == [b"hold A-1"]


async def said(port: int, *words: bytes) -> bytes:
    """What a stranger hears who says this and no more."""
    reader, writer = await asyncio.open_connection(HOST, port)
    for word in words:
        writer.write(word)
    writer.write_eof()
    heard = await reader.read()
    writer.close()
    return heard


async def test_strangers_hear_nothing(port: int, echo: Echo) -> None:
    assert await said(port, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n" + b"x" * 100) == b""
    assert await said(port, secrets.token_bytes(10_000)) == b""
    assert await said(port) == b""
    hello = HELLO.pack(MAGIC, secured._mark(KEY), secrets.token_bytes(32))
    heard = await said(port, hello, secrets.token_bytes(32), HEADER.pack(5, bytes(16)) + b"hello")
    assert len(heard) == REPLY.size
    assert echo.calls == []


async def test_whoever_does_not_finish_its_greeting_is_sent_away(
    port: int, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secured, "HANDSHAKE_SECONDS", 0.5)  # in which the reply must have come
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(HELLO.pack(MAGIC, secured._mark(KEY), secrets.token_bytes(32)))
    assert len(await reader.read()) == REPLY.size  # and then the end
    writer.close()


async def test_strangers_are_bounded_and_whoever_is_known_is_none(
    port: int, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = channel(port)
    assert await known.call(b"hello") == b"HELLO"
    monkeypatch.setattr(secured, "STRANGERS", 3)
    strangers = [await asyncio.open_connection(HOST, port) for _ in range(3)]
    reader, writer = await asyncio.open_connection(HOST, port)
    assert await reader.read() == b""
    assert await known.call(b"still here") == b"STILL HERE"
    for _, each in (*strangers, (reader, writer)):
        each.close()
    known.close()


async def test_a_frame_that_is_too_long_is_not_read(port: int, echo: Echo) -> None:
    line = await channel(port)._free()
    line._writer.write(HEADER.pack(FRAME_LIMIT + 1, bytes(16)))
    with pytest.raises(asyncio.IncompleteReadError):
        await line.receive()
    line.close()
    with pytest.raises(ValueError, match="longer"):
        await channel(port).call(bytes(FRAME_LIMIT + 1))
    assert echo.calls == []


async def test_with_certificates_both_ends_show_theirs(echo: Echo, tmp_path: Path) -> None:
    authority, strange = certificate(tmp_path, "authority", None), certificate(tmp_path, "strange", None)
    one, two = (certificate(tmp_path, name, authority) for name in ("one", "two"))
    foreign = certificate(tmp_path, "foreign", strange)

    def trust(own: Path) -> Trust:
        return msgspec.structs.replace(TRUST, certificate=str(own), private_key=f"{own}.key", authority=str(authority))

    async with listening(echo, trust(one)) as port:
        line = channel(port, trust(two))
        assert await line.call(b"hello") == b"HELLO"
        line.close()
        for other in (trust(foreign), TRUST):
            with pytest.raises((OSError, ConnectionError)):
                await channel(port, other).call(b"never")
    assert echo.calls == [b"hello"]
