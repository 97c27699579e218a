"""What goes out on a connection, and in how many pieces."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from api.http.corked import Corked


class Transport:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> Any:
        return name


def corked() -> tuple[Transport, Corked]:
    transport = Transport()
    return transport, Corked(cast(asyncio.Transport, transport))


async def test_what_is_written_in_one_turn_goes_out_in_one_piece() -> None:
    transport, cork = corked()
    cork.write(b"head ")
    cork.write(b"body")
    assert transport.sent == []
    await asyncio.sleep(0)
    assert transport.sent == [b"head body"]
    cork.write(b"more")
    await asyncio.sleep(0)
    assert transport.sent == [b"head body", b"more"]


async def test_nothing_written_is_lost_by_closing() -> None:
    transport, cork = corked()
    cork.write(b"the last words")
    cork.close()
    assert (transport.sent, transport.closed) == ([b"the last words"], True)
    await asyncio.sleep(0)
    assert transport.sent == [b"the last words"]


async def test_on_a_connection_that_ended_meanwhile_nothing_is_written() -> None:
    transport, cork = corked()
    cork.write(b"too late")
    cast(Any, cork).abort()
    await asyncio.sleep(0)
    assert transport.sent == []


async def test_everything_else_is_the_transport_s_own() -> None:
    _, cork = corked()
    assert cast(Any, cork).get_extra_info("peername") == "peername"
