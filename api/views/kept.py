"""What a worker has written out and may be asked for again: bytes with ETag and compressed forms, within bounds."""

from __future__ import annotations

import re
import time
from functools import partial

from api.http.codings import BROTLI, GZIP, quickly, thoroughly
from persistence.database.asked_once import AskedOnce

QUICK = (GZIP,)
THOROUGH = (BROTLI, GZIP)


class Page:
    """An answer, ready to be sent. `codings` are those it can be compressed by, the best one first."""

    codings: tuple[str, ...] = QUICK

    def __init__(self, etag: str, body: bytes, started: float) -> None:
        self.etag = etag
        self.body = body
        self.not_before = 0.0  # when the next version may be written out
        self._compressed: AskedOnce[bytes] = AskedOnce(len(self.codings))
        self._took(started)

    async def compressed(self, coding: str = GZIP) -> bytes:
        """The body in that coding, made once."""
        return await self._compressed.ask(coding, partial(self._compress, coding))

    async def _compress(self, coding: str) -> bytes:
        started = time.monotonic()
        body = await self._coded(coding)
        self._took(started)
        return body

    async def _coded(self, coding: str) -> bytes:
        return await quickly(self.body)

    def _took(self, started: float) -> None:
        now = time.monotonic()
        self.not_before = max(self.not_before, now + 5 * (now - started))


class LastingPage(Page):
    """An answer that never changes: compressed as far as it goes."""

    codings = THOROUGH

    async def _coded(self, coding: str) -> bytes:
        return await thoroughly(self.body, coding)


def matches(known: str, etag: str) -> bool:
    """If-None-Match by weak comparison (RFC 9110 section 13.1.2)."""
    return known.strip() == "*" or etag.removeprefix("W/") in re.findall(r'"[^"]*"', known)
