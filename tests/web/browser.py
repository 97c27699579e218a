"""A browser for the tests that comes by itself: Chromium from npm, driven by Playwright, with nothing installed.

`find` gives the program and the environment it needs, or raises `NoBrowser` saying why. `BOXOFFICE_TEST_BROWSER` names
one that is there already. The one from npm is built for x86-64 Linux; it brings the libraries that it needs and next to
no fonts: Hangul comes from a wheel.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import cramjam
import pylopdf_fonts_ko
from msgspec import Struct

from api.web.building import NoLibraries, install_libraries

ROOT = Path(__file__).parent
LIBRARIES = ROOT / "node_modules"
PACKED = LIBRARIES / "@sparticuz" / "chromium" / "bin"
UNPACKED = ROOT / ".browser"
VARIABLE = "BOXOFFICE_TEST_BROWSER"
ELSEWHERE = "elsewhere.test"  # this machine by a name that browsers do not trust: what others in its network see
ARGUMENTS = (
    *("--no-sandbox", "--no-zygote", "--disable-gpu", "--font-render-hinting=none", "--hide-scrollbars"),
    f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
)


class NoBrowser(Exception):
    """There is no browser here; the message says how to come by one."""


class Browser(Struct, frozen=True):
    """A Chromium to start."""

    path: Path
    environment: dict[str, str]


def find() -> Browser:
    """The browser to test in, fetched and unpacked the first time. Raises `NoBrowser`."""
    with _alone():
        return _find()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Test processes that start together fetch it once; the others wait."""
    UNPACKED.mkdir(exist_ok=True)
    with (UNPACKED / "lock").open("w") as lock:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _find() -> Browser:
    fetch_libraries()
    if named := os.environ.get(VARIABLE):
        if not Path(named).exists():
            raise NoBrowser(f"{VARIABLE} names {named}, which isn't there")
        return Browser(Path(named), {})
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NoBrowser(f"the browser from npm is for x86-64 Linux; elsewhere: {VARIABLE}=/path/to/chromium")
    version = (LIBRARIES / ".installed").read_text().split()[0][:16]
    place = UNPACKED / version
    if not place.exists():
        _unpack(place)
    environment = {"LD_LIBRARY_PATH": str(place / "lib"), "FONTCONFIG_FILE": str(place / "fonts.conf")}
    return Browser(place / "chromium", environment)


def fetch_libraries() -> None:
    """The browser and axe, from npm by the lock file. Raises `NoBrowser`."""
    try:
        install_libraries(ROOT, checks=False)
    except NoLibraries as error:
        raise NoBrowser(f"npm gives no browser:\n{error}") from None


def _unpack(place: Path) -> None:
    fresh = place.with_name(f"{place.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)  # of somebody who was stopped
    fresh.mkdir()
    for name in ("al2023.tar.br", "fonts.tar.br", "swiftshader.tar.br"):
        content = bytes(cramjam.brotli.decompress((PACKED / name).read_bytes()))
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(fresh, filter="data")
    program = fresh / "chromium"
    program.write_bytes(bytes(cramjam.brotli.decompress((PACKED / "chromium.br").read_bytes())))
    program.chmod(0o755)
    korean = Path(pylopdf_fonts_ko.__file__).parent
    (fresh / "fonts.conf").write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f"<dir>{place / 'fonts'}</dir><dir>{korean}</dir><cachedir>{place / 'cache'}</cachedir></fontconfig>"
    )
    fresh.rename(place)
