"""Work without end goes on, whatever breaks it off."""

from __future__ import annotations

import asyncio

import pytest

from actors.process.unending import kept_up
from tests.support.waiting import PATIENCE_SECONDS


async def test_what_nobody_waits_for_is_begun_anew_whatever_breaks_it_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("actors.process.unending.ANEW_SECONDS", 0.0)
    begun, goes_on = 0, asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun <= 2:
            raise LookupError("a mistake")
        goes_on.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(kept_up(work, "work"))
    await asyncio.wait_for(goes_on.wait(), PATIENCE_SECONDS)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
