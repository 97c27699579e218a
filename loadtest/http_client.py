"""A lean HTTP/1.1 client: one keep-alive connection, JSON in and out.

The crowd shares its machine with what it measures, and a full client costs several times what the server's answer does.
Nothing is retried here: whoever asks knows whether asking again is safe. Only what this API sends is understood: a body
has a `Content-Length`.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

TIMEOUT_SECONDS = 30.0  # the server answers 503 well before
COMING_BACK = 20  # where passwords are hashed beside a sale it takes a while
LIMIT_BYTES = 32 * 1024 * 1024


class ConnectionLost(Exception):
    """No answer came. The request may or may not have had its effect."""


class Answer(Struct, frozen=True):
    """A response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The `code` of a problem document; empty if this is none."""
        if "problem+json" not in self.headers.get("content-type", ""):
            return ""
        return str(self.json().get("code", ""))


class Client:
    """One connection to one server, opened on first use and again after it was lost. One request at a time."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._host = parts.hostname or "127.0.0.1"
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._path = parts.path.rstrip("/")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.token: str | None = None

    async def request(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Sends a request and waits for its answer. Raises `ConnectionLost`."""
        content = b"" if body is None else msgspec.json.encode(body)
        lines = [f"{method} {self._path}{path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        if self.token is not None:
            lines.append(f"Authorization: Bearer {self.token}")
        if body is not None:
            lines.append("Content-Type: application/json")
        if content or method not in ("GET", "DELETE"):
            lines.append(f"Content-Length: {len(content)}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                reader, writer = self._streams or await self._connect()
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
                return await self._answer(reader, method)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            self.close()
            raise ConnectionLost(f"{method} {path}: {type(error).__name__} {error}") from error
        except asyncio.CancelledError:
            self.close()  # the answer that is still to come belongs to nobody
            raise

    async def patient(self, method: str, path: str, body: object = None) -> Answer:
        """The same, and again after each pause that the server asks for (503), so many times."""
        for _ in range(COMING_BACK):
            answer = await self.request(method, path, body)
            if answer.status != 503:
                break
            await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=LIMIT_BYTES)
        return self._streams

    async def _answer(self, reader: asyncio.StreamReader, method: str) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ", 2)[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:]) if name}
        length = 0 if method == "HEAD" or status in (204, 304) else int(headers.get("content-length", "0"))
        body = await reader.readexactly(length) if length else b""
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
