"""Gateways to owners that tests make up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from actors.gateway.gateway import Gateway
from tests.support.local_owners import OneHost
from tests.support.services.fake_owners import FakeOwner, FakeOwners, exists
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
async def open_gateway() -> AsyncIterator[Callable[..., Gateway[FakeOwner]]]:
    opened: list[Gateway[FakeOwner]] = []

    def open_one(
        owners: FakeOwners, deadline_seconds: float = PATIENCE_SECONDS, call_timeout_seconds: float = PATIENCE_SECONDS
    ) -> Gateway[FakeOwner]:
        times = {"call_timeout_seconds": call_timeout_seconds, "deadline_seconds": deadline_seconds}
        gateway = Gateway(owners, OneHost(exists), **times)
        opened.append(gateway)
        return gateway

    yield open_one
    for gateway in opened:
        await gateway.close()
