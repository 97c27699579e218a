"""The payment sandbox over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.sandbox.server import create_sandbox
from persistence.providers.sandbox import SandboxProvider
from tests.persistence.providers.charges import CLOCK
from tests.support.services.serving import serve
from tests.support.waiting import PATIENCE_SECONDS

SECRET = "a secret of this test"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[SandboxProvider]:
    async with serve(create_sandbox(SECRET, tmp_path / "sandbox.sqlite3", "http://127.0.0.1:9/nobody")) as url:
        provider = SandboxProvider(url, SECRET, CLOCK.now_ms, timeout_seconds=PATIENCE_SECONDS)
        yield provider
        await provider.close()
