"""Content codings: which one an answer goes out in, and bytes made smaller by it.

Compressing takes time that others wait for, so it happens in a thread (both libraries let go of the interpreter) and
once for all who ask, wherever the bytes are kept.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable

import cramjam

from api.http.accepting import wishes

BROTLI = "br"
GZIP = "gzip"
FROM_BYTES = 1_024  # below, one packet carries it anyway
GZIP_FORMAT = 31  # zlib's number for a gzip header and the largest window
# 4 ms for a 15,000-seat page, a tenth of its size; level 6 takes five times as long for a quarter less.
QUICK_GZIP = 1
THOROUGH_GZIP = 9
THOROUGH_BROTLI = 11  # 0.1 s for the layout of 15,000 seats


def codings_for(accept_encoding: str, offered: Iterable[str]) -> list[str]:
    """Those of the codings offered that the client takes (RFC 9110 section 12.5.3): `*` stands for those not named."""
    weights = dict(wishes(accept_encoding))
    return [coding for coding in offered if weights.get(coding, weights.get("*", 0.0)) > 0]


def coding_for(accept_encoding: str, offered: Iterable[str]) -> str | None:
    """The first coding offered that the client takes; None: none of them."""
    return next(iter(codings_for(accept_encoding, offered)), None)


async def quickly(body: bytes) -> bytes:
    """The body in gzip format, for what is another body soon."""
    return await asyncio.to_thread(zlib.compress, body, QUICK_GZIP, wbits=GZIP_FORMAT)


async def thoroughly(body: bytes, coding: str) -> bytes:
    """The body in its smallest form, for what is made once and sent for months."""
    if coding == BROTLI:
        return bytes(await asyncio.to_thread(cramjam.brotli.compress, body, level=THOROUGH_BROTLI))
    return await asyncio.to_thread(zlib.compress, body, THOROUGH_GZIP, wbits=GZIP_FORMAT)
