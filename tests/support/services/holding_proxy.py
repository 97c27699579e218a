"""A proxy before the payment provider that stops chosen requests: before they arrive, or before their answer does.

What happens to either end meanwhile is passed on as a network would: a sender that is gone sends no more, a provider
that is gone closes the connection. One request per connection, nothing is kept or sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

MAX_BYTES = 1 << 20


class Hold:
    """Every request of one kind, until it is let go."""

    def __init__(self, start: str, word: str, *, answered: bool, sent: bool) -> None:
        self.answered = answered
        self.held = 0  # requests waiting at this moment, their senders alive unless they were `sent`
        self._start = start.encode()
        self._word = word.encode()
        self._sent = sent
        self._go = asyncio.Event()
        self._dropping = False

    def let_go(self, *, drop: bool = False) -> None:
        """Lets what is held go on, or with `drop` closes its connection; what comes later passes."""
        self._dropping = drop
        self._go.set()

    def concerns(self, request: bytes) -> bool:
        return not self._go.is_set() and request.startswith(self._start) and self._word in request

    async def goes_on(self, sender: asyncio.StreamReader) -> bool:
        """Waits. False: the request or its answer gets no further."""
        go = asyncio.create_task(self._go.wait())
        gone = asyncio.create_task(sender.read(1))  # ends when the sender closes the connection, or dies
        self.held += 1
        try:
            await asyncio.wait({go} if self._sent else {go, gone}, return_when=asyncio.FIRST_COMPLETED)
            return go.done() and not self._dropping
        finally:
            self.held -= 1
            for task in (go, gone):
                task.cancel()
            await asyncio.gather(go, gone, return_exceptions=True)


class HoldingProxy:
    """Passes everything on to `upstream`, except what is held."""

    def __init__(self, upstream: str) -> None:
        address = urlsplit(upstream)
        self._upstream = (address.hostname, address.port)
        self._holds: list[Hold] = []
        self.url = ""

    def hold(self, start: str, word: str, *, answered: bool = False, sent: bool = False) -> Hold:
        """Stops requests whose first line starts with `start` and that contain `word`.

        With `answered` the provider does as it is asked, and its answer is held. With `sent` the request has left its
        sender and arrives when it is let go, whether or not the sender is still there.
        """
        hold = Hold(start, word, answered=answered, sent=sent)
        self._holds.append(hold)
        return hold

    async def serve(self, sender: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                request = await _message(sender)
                hold = next((each for each in self._holds if each.concerns(request)), None)
                if hold is not None and not hold.answered and not await hold.goes_on(sender):
                    return
                answer = await self._ask(request)
                if hold is not None and hold.answered and not await hold.goes_on(sender):
                    return
                writer.write(answer)
                await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _ask(self, request: bytes) -> bytes:
        """The provider's answer; nothing if it is not there or dies over it."""
        try:
            reader, writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            return b""
        try:
            with contextlib.suppress(OSError):
                # The answer ends with its connection, so that it need not be understood.
                writer.write(request.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
                return await reader.read(-1)
            return b""
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Head and body of a request."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = (line.partition(b":") for line in head.lower().splitlines())
    length = next((int(value) for name, _, value in lines if name == b"content-length"), 0)
    assert length <= MAX_BYTES
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join(kept) + await reader.readexactly(length)


@contextlib.asynccontextmanager
async def holding_proxy(upstream: str) -> AsyncIterator[HoldingProxy]:
    """A proxy on a free port of its own, for the time of the block."""
    proxy = HoldingProxy(upstream)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=MAX_BYTES)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        for hold in proxy._holds:
            hold.let_go(drop=True)
        server.close()
        await server.wait_closed()
