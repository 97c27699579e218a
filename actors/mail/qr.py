"""A ticket's code as a QR picture (ISO/IEC 18004), for mails and for pages.

Correction level M: a fold or a drop of rain may cover 15 % of it.
"""

from __future__ import annotations

import math
import re
import struct
import zlib

import zxingcpp

SCALE = (
    8  # pixels per module in a PNG, and so a byte of it: 456 in all, sharp on every screen at the size it is shown in
)
LEVEL = 4  # as small as the default of 6, in half the time
# Of the eight patterns that may be laid over the modules so that none look like something else. Choosing the best for
# a code takes nine tenths of drawing it and finds hardly better, as our codes are nearly all random (40 of them: by the
# standard's rules penalties of 1,698 with this one, of 1,670 with the best).
MASK = 2
DARK_RUN = re.compile(rb"\x00+")


def rows(code: str) -> list[bytes]:
    """The picture from top to bottom, a byte per module, 0 where it is dark; with the quiet zone around it."""
    barcode = zxingcpp.create_barcode(code, zxingcpp.BarcodeFormat.QRCode, ec_level="M", data_mask=MASK)
    picture = barcode.to_image(scale=1, add_quiet_zones=True)
    pixels = memoryview(picture).tobytes()  # type: ignore[arg-type]  # a buffer, which its stubs do not say
    width = math.isqrt(len(pixels))
    return [pixels[start : start + width] for start in range(0, len(pixels), width)]


def png(code: str) -> bytes:
    """As a PNG of one bit per pixel (ISO/IEC 15948)."""
    lines = rows(code)
    header = struct.pack(">IIBBBBB", len(lines[0]) * SCALE, len(lines) * SCALE, 1, 0, 0, 0, 0)
    pixels = b"".join((b"\0" + line) * SCALE for line in lines)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, LEVEL)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def svg(code: str) -> bytes:
    """As an SVG, to be shown at any size."""
    lines = rows(code)
    path = "".join(
        f"M{run.start()} {y}h{len(run[0])}v1h-{len(run[0])}z"
        for y, line in enumerate(lines)
        for run in DARK_RUN.finditer(line)
    )
    width, height = len(lines[0]), len(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{width}v{height}H0z"/><path d="{path}"/></svg>'
    ).encode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
