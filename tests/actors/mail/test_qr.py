"""What is drawn is read back by a reader of pictures, whatever draws it."""

from __future__ import annotations

import io
import re

import pytest
import zxingcpp
from PIL import Image

from actors.mail import qr

CODES = ("A", "Bq-_" * 33, "x" * 600)
SHOWN_PIXELS = 4  # per module, when a page shows the SVG


def read(picture: Image.Image) -> str:
    width, height = picture.size
    (found,) = zxingcpp.read_barcodes(memoryview(picture.convert("L").tobytes()).cast("B", (height, width)))
    return found.text


@pytest.mark.parametrize("code", CODES)
def test_the_picture_in_a_mail_is_read(code: str) -> None:
    picture = Image.open(io.BytesIO(qr.png(code)))
    assert picture.format == "PNG"
    assert picture.size == (len(qr.rows(code)) * qr.SCALE,) * 2
    assert read(picture) == code


@pytest.mark.parametrize("code", CODES)
def test_the_picture_on_a_page_is_read(code: str) -> None:
    svg = qr.svg(code).decode()
    (size,) = {int(number) for number in re.findall(r'viewBox="0 0 (\d+) \d+"', svg)}
    picture = Image.new("L", (size * SHOWN_PIXELS, size * SHOWN_PIXELS), 255)
    for found in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", svg):
        x, y, length = (int(number) * SHOWN_PIXELS for number in found)
        picture.paste(0, (x, y, x + length, y + SHOWN_PIXELS))
    assert read(picture) == code


def test_a_drop_of_rain_may_cover_some_of_it() -> None:
    code = CODES[1]
    picture = Image.open(io.BytesIO(qr.png(code))).convert("L")
    side = picture.size[0]
    picture.paste(255, (side // 2, side // 2, side // 2 + side // 8, side // 2 + side // 8))  # a drop of rain
    assert read(picture) == code
