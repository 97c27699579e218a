"""The server's HTTP protocol with fewer system calls."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Corked:
    """A transport that sends what is written in one turn of the loop with one system call.

    The server writes the head of an answer and its body apart, and a system call costs more than the rest of either.
    Everything but writing and ending is the transport's own.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._written:
            self._call_soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        written, self._written = self._written, []
        if written and not self._transport.is_closing():
            self._transport.write(b"".join(written))


class Protocol(HttpToolsProtocol):
    """The server's HTTP protocol, its transport corked."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a server's is one
        super().connection_made(cast(asyncio.Transport, Corked(transport)))
