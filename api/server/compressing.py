"""Large answers go out compressed, for who takes that; an answer that was compressed where it was made stays as it is.

Lists and plans shrink to a tenth. What is made for one reader is compressed quickly, in a thread if it is long. Tokens
are no danger here (BREACH): they travel in headers that no other site can make a browser send, and in answers too short
to be touched.
"""

from __future__ import annotations

import zlib
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.codings import FROM_BYTES, GZIP, GZIP_FORMAT, QUICK_GZIP, coding_for, quickly

TEXTS = ("application/json", "application/problem+json", "application/x-ndjson", "text/csv", "text/html", "text/plain")
IN_A_THREAD_FROM_BYTES = 32 * 1024  # below, going there takes longer than compressing


class Compressing:
    """Wraps an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            accepted = Headers(scope=scope).get("accept-encoding")
            if accepted is not None and coding_for(accepted, (GZIP,)) is not None:
                send = _Smaller(send)
        await self._app(scope, receive, send)


class _Smaller:
    """One answer on its way out. Its head waits for the first piece of its body, which says whether it is worth it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: Message | None = None
        self._gzip: Any = None  # zlib's compressor has no name to call it by

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = message
        elif message["type"] != "http.response.body":
            await self._pass_head()
            await self._send(message)
        elif self._head is not None:
            await self._begin(self._head, message)
        elif self._gzip is not None:
            await self._send(self._piece(message))
        else:
            await self._send(message)

    async def _begin(self, head: Message, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if not _is_worth_it(head, body, more=more):
            await self._pass_head()
            await self._send(message)
            return
        headers = MutableHeaders(raw=head["headers"])
        headers["Content-Encoding"] = GZIP
        headers.add_vary_header("Accept-Encoding")
        if more:
            del headers["Content-Length"]
            self._gzip = zlib.compressobj(QUICK_GZIP, wbits=GZIP_FORMAT)
            await self._pass_head()
            await self._send(self._piece(message))
            return
        small = len(body) < IN_A_THREAD_FROM_BYTES
        packed = zlib.compress(body, QUICK_GZIP, wbits=GZIP_FORMAT) if small else await quickly(body)
        headers["Content-Length"] = str(len(packed))
        await self._pass_head()
        await self._send({"type": "http.response.body", "body": packed})

    async def _pass_head(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            await self._send(head)

    def _piece(self, message: Message) -> MutableMapping[str, Any]:
        more = message.get("more_body", False)
        packed = self._gzip.compress(message.get("body", b""))
        # What is written bit by bit shall be read bit by bit.
        packed += self._gzip.flush(zlib.Z_SYNC_FLUSH if more else zlib.Z_FINISH)
        return {"type": "http.response.body", "body": packed, "more_body": more}


def _is_worth_it(head: Message, body: bytes, *, more: bool) -> bool:
    headers = Headers(raw=head["headers"])
    kind = headers.get("content-type", "").partition(";")[0]
    return (more or len(body) >= FROM_BYTES) and kind in TEXTS and "content-encoding" not in headers
