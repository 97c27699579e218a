"""Stripe's own mock server (github.com/stripe/stripe-mock), which checks requests against Stripe's API description.

`STRIPE_MOCK` names a ready executable. Otherwise it is built once with `go`, outside of the tree, at a pinned version.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from persistence.embedded.process import Program, free_port, running

MODULE = "github.com/stripe/stripe-mock@v0.203.0"  # of Stripe's API 2026-10-28, which the SDK speaks
BUILD_SECONDS = 300


class CannotBeHad(Exception):
    """No stripe-mock here; the message says why."""


def executable() -> Path:
    """The server's path, built if need be. Raises `CannotBeHad`."""
    named = os.environ.get("STRIPE_MOCK")
    if named:
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boxoffice" / MODULE.partition("@")[2]
    path = cache / "stripe-mock"
    if path.exists():
        return path
    go = shutil.which("go")
    if go is None:
        raise CannotBeHad("stripe-mock is built with Go, and there is no `go` on PATH; or set STRIPE_MOCK")
    try:
        subprocess.run(
            [go, "install", MODULE],
            env=os.environ | {"GOBIN": str(cache), "GOFLAGS": ""},
            cwd=Path.home(),
            check=True,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise CannotBeHad(f"stripe-mock cannot be built: {error.stderr.strip()[-300:]}") from error
    except subprocess.TimeoutExpired as error:
        raise CannotBeHad(f"stripe-mock was not built within {BUILD_SECONDS} s") from error
    return path


@asynccontextmanager
async def stripe_mock(log: Path) -> AsyncIterator[str]:
    """A running server; yields its base URL. Raises `CannotBeHad`."""
    path = await asyncio.to_thread(executable)
    port = free_port()

    async def ready() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()

    address = f"http://127.0.0.1:{port}"
    argv = (str(path), "-http-addr", f"127.0.0.1:{port}")
    async with running(Program(name="stripe-mock", argv=argv, address=address, ready=ready, log=log)):
        yield address
