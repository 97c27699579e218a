"""What a worker has written out and may be asked for again: bytes with ETag and compressed forms, within bounds."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from typing import Generic, TypeVar

from api.http.codings import BROTLI, GZIP, quickly, thoroughly
from api.office.under_way import shared

V = TypeVar("V")
QUICK = (GZIP,)
THOROUGH = (BROTLI, GZIP)


class Page:
    """An answer, ready to be sent. `codings` are those it can be compressed by, the best one first."""

    codings: tuple[str, ...] = QUICK

    def __init__(self, etag: str, body: bytes, started: float) -> None:
        self.etag = etag
        self.body = body
        self.not_before = 0.0  # when the next version may be written out
        self._compressing: dict[str, asyncio.Task[bytes]] = {}
        self._took(started)

    async def compressed(self, coding: str = GZIP) -> bytes:
        """The body in that coding, made once."""
        if coding not in self._compressing:
            self._compressing[coding] = asyncio.create_task(self._compress(coding))
        return await shared(self._compressing[coding])

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


class Kept(Generic[V]):
    """What was used most recently, up to a size in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._things: OrderedDict[object, tuple[V, int]] = OrderedDict()

    def get(self, key: object) -> V | None:
        if (found := self._things.get(key)) is None:
            return None
        self._things.move_to_end(key)
        return found[0]

    def put(self, key: object, thing: V, size: int = 1) -> V:
        if (old := self._things.pop(key, None)) is not None:
            self._size -= old[1]
        self._things[key] = (thing, size)
        self._size += size
        while self._size > self._limit and len(self._things) > 1:
            self._size -= self._things.popitem(last=False)[1][1]
        return thing


def matches(known: str, etag: str) -> bool:
    """If-None-Match by weak comparison (RFC 9110 section 13.1.2)."""
    return known.strip() == "*" or etag.removeprefix("W/") in re.findall(r'"[^"]*"', known)
