"""Calls over a Unix socket, both ends in this process unless a test says otherwise."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from actors.wire import channel
from actors.wire.channel import Channel
from tests.support.waiting import until


class Echo:
    """Answers what it is sent, in upper case, each call when the test lets it."""

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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
async def echo(path: Path) -> AsyncIterator[Echo]:
    echo = Echo()
    server = await channel.serve(path, echo.answer)
    yield echo
    server.close()


@pytest.fixture
async def line(path: Path, echo: Echo) -> AsyncIterator[Channel]:
    line = Channel(path)
    yield line
    line.close()
    await asyncio.sleep(0)  # the turn in which the loop lets go of what was closed


def connections(path: Path) -> int:
    """How many connections this process has made to it."""
    return sum(each.laddr == str(path) for each in psutil.Process().net_connections("unix")) - 1  # it listens, too


async def test_a_call_is_answered(line: Channel) -> None:
    assert await line.call(b"hello") == b"HELLO"
    assert await line.call(b"") == b""


async def test_megabytes_go_both_ways(line: Channel) -> None:
    assert await line.call(b"x" * 20_000_000) == b"X" * 20_000_000


async def test_one_connection_serves_one_call_after_the_other(line: Channel, path: Path) -> None:
    for number in range(10):
        assert await line.call(b"%d" % number) == b"%d" % number
    assert connections(path) == 1


async def test_calls_do_not_wait_for_each_other_and_get_their_own_answers(line: Channel, echo: Echo) -> None:
    echo.let.clear()
    slow = [asyncio.create_task(line.call(b"slow %d" % number)) for number in range(5)]
    assert await line.call(b"at once") == b"AT ONCE"
    echo.let.set()
    assert await asyncio.gather(*slow) == [b"SLOW %d" % number for number in range(5)]


async def test_an_answer_that_nobody_waits_for_any_more_reaches_nobody(line: Channel, echo: Echo) -> None:
    echo.let.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.call(b"too late"), 0.05)  # nobody answers
    echo.let.set()
    assert await line.call(b"the next") == b"THE NEXT"


async def test_an_error_costs_its_caller_the_connection_and_no_one_else_anything(line: Channel, echo: Echo) -> None:
    with pytest.raises(ConnectionResetError):
        await line.call(b"fail")
    assert await line.call(b"go on") == b"GO ON"
    assert echo.calls == [b"fail", b"go on"]


async def test_where_nobody_listens_the_caller_is_told(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await Channel(path).call(b"hello")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    with pytest.raises(ConnectionRefusedError):
        await Channel(path).call(b"hello")


async def test_an_end_that_goes_away_is_noticed_and_keeps_no_connection(path: Path) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = channel.LENGTH.unpack(await reader.readexactly(channel.LENGTH.size))
        data = await reader.readexactly(length)
        writer.write(channel.LENGTH.pack(length) + data)
        writer.close()

    async with await asyncio.start_unix_server(once, str(path)):
        line = Channel(path)
        before = psutil.Process().num_fds()
        assert await line.call(b"hello") == b"hello"
        await until(lambda: psutil.Process().num_fds() <= before)
        assert await line.call(b"once more") == b"once more"  # on a new one
        line.close()


async def test_closed_it_keeps_nothing_and_finishes_what_is_under_way(line: Channel, echo: Echo, path: Path) -> None:
    assert await line.call(b"hello") == b"HELLO"
    echo.let.clear()
    call = asyncio.create_task(line.call(b"under way"))
    await until(lambda: echo.calls[-1] == b"under way")
    line.close()
    echo.let.set()
    assert await call == b"UNDER WAY"
    await until(lambda: not connections(path))
