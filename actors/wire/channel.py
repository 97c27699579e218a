"""Calls between two processes of one machine: bytes there and bytes back, on a Unix socket.

Each connection carries one call at a time, as a length (4 bytes, big-endian) and so many bytes in either direction; a
second call opens a second connection, and idle ones are kept. A connection on which anything went wrong is closed, so
that no answer can reach a call that did not ask for it. The rights on the socket's directory decide who may call.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

LENGTH = struct.Struct(">I")

logger = logging.getLogger(__name__)


async def serve(path: Path, answer: Callable[[bytes], Awaitable[bytes]]) -> asyncio.Server:
    """Answers calls on a socket at `path`. An error in `answer` is logged and costs the caller its connection."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                reply = await answer(await reader.readexactly(length))
                writer.writelines((LENGTH.pack(len(reply)), reply))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller has gone
        except Exception:  # whatever `answer` raises: this caller is told by the end of its connection
            logger.exception("a call on %s failed", path.name)
        finally:
            writer.close()

    return await asyncio.start_unix_server(converse, str(path))


class Channel:
    """The caller's end. Connects at the first call; `close` ends what is idle now, the rest when it has answered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[_Line] = []
        self._closed = False

    async def call(self, data: bytes) -> bytes:
        """The other end's answer. Raises `FileNotFoundError` or `ConnectionError` where nobody answers any more."""
        line = self._idle.pop() if self._idle else None
        if line is None or line.ended:
            loop = asyncio.get_running_loop()
            _, line = await loop.create_unix_connection(lambda: _Line(self._idle), str(self._path))
        try:
            answer = await line.call(data)
        except BaseException:  # raised again: also of a call given up, the answer must not reach the next one
            line.close()
            raise
        if self._closed:
            line.close()
        elif not line.ended:
            self._idle.append(line)
        return answer

    def close(self) -> None:
        self._closed = True
        for line in list(self._idle):
            line.close()


class _Line(asyncio.Protocol):
    """One connection of a caller. It leaves `idle` by itself when it ends."""

    def __init__(self, idle: list[_Line]) -> None:
        self._idle = idle
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.WriteTransport

    @property
    def ended(self) -> bool:
        return self._transport.is_closing()

    async def call(self, data: bytes) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines((LENGTH.pack(len(data)), data))
        return await self._answer

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) < LENGTH.size:
            return
        (length,) = LENGTH.unpack_from(self._received)
        if len(self._received) < LENGTH.size + length:
            return
        answer = bytes(self._received[LENGTH.size :])
        self._received.clear()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the other end has gone"))
