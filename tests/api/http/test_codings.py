"""Content codings, against RFC 9110 and against what can be read back."""

from __future__ import annotations

import gzip

import cramjam
import pytest

from api.http.codings import BROTLI, GZIP, coding_for, quickly, thoroughly


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", BROTLI),
        ("gzip", GZIP),
        ("br, GZIP;q=0.5", BROTLI),
        ("br;q=0, gzip", GZIP),
        ("*", BROTLI),
        ("br;q=0, *", GZIP),
        ("br;q=0.000;x=1, gzip;q=1.000", GZIP),
        ("br;q=x, gzip;q=0.001", GZIP),
        ("identity", None),
        ("*;q=0", None),
        ("", None),
    ],
)
def test_the_best_coding_that_is_taken_is_chosen(accepted: str, coding: str | None) -> None:
    assert coding_for(accepted, (BROTLI, GZIP)) == coding


async def test_what_is_compressed_can_be_read_back() -> None:
    body = b"seats " * 1000
    assert gzip.decompress(await quickly(body)) == body
    assert gzip.decompress(await thoroughly(body, GZIP)) == body
    assert bytes(cramjam.brotli.decompress(await thoroughly(body, BROTLI))) == body
