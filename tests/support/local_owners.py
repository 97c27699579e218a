"""Owners without Ray: a process of owners that is this one, and dies, falls silent or is away when a test wants it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

import pytest

from actors.gateway.gateway import OwnerLost, UnknownSchedule
from actors.owner import publisher
from actors.owner.host import Host
from actors.owner.schedule import Schedule

HOST = "owners-0"


@contextlib.contextmanager
def publishing_at_once() -> Iterator[None]:
    """Meanwhile owners wait for no company: neither with what is to be published, nor to note how far they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publisher, "LINGER_SECONDS", 0.001)
        patch.setattr(publisher, "SAVE_SECONDS", 0.01)
        yield


class OneHost:
    """Places of schedules where there is one process of owners."""

    def __init__(self, exists: Callable[[str], Awaitable[bool]]) -> None:
        self._exists = exists

    async def host_of(self, schedule_id: str) -> str:
        if not await self._exists(schedule_id):
            raise UnknownSchedule(schedule_id)
        return HOST

    async def known(self, schedule_id: str) -> str | None:
        return HOST if await self._exists(schedule_id) else None


class LocalOwner:
    """One life of the process of owners."""

    def __init__(self, owners: LocalOwners, host: Host) -> None:
        self.host = host
        self.silent = False
        self.gone = False
        self._owners = owners

    async def submit(self, data: bytes) -> bytes:
        await self._alive()
        return await self.host.submit(data)

    async def inspect(self, schedule_id: str) -> bytes | None:
        await self._alive()
        return await self.host.inspect(schedule_id)

    async def retire(self, schedule_id: str) -> None:
        await self._alive()
        await self.host.retire(schedule_id)

    def close(self) -> None:
        """Nothing reaches it but this object."""

    async def _alive(self) -> None:
        if self.silent:
            await asyncio.Event().wait()
        if self.gone or self._owners.away:
            raise OwnerLost("gone")


class LocalOwners:
    """Brings the process up on first use; `start` makes an owner of a schedule."""

    def __init__(self, start: Callable[[str], Schedule]) -> None:
        self._start = start
        self.owner: LocalOwner | None = None
        self.schedule: Schedule | None = None  # the newest owner there has been
        self.away = False

    async def find(self, name: str) -> LocalOwner:
        if self.away:
            raise OwnerLost("away")
        if self.owner is None:
            self.owner = LocalOwner(self, Host(self._remembered))
        return self.owner

    async def current(self, name: str) -> LocalOwner | None:
        return self.owner

    async def replace(self, name: str, owner: LocalOwner) -> None:
        if self.owner is owner:
            await self.crash()

    async def crash(self) -> None:
        """What is not durable is gone; the next one to ask gets another process."""
        if self.owner is not None:
            owner, self.owner = self.owner, None
            owner.gone, owner.silent = True, False
            await owner.host.close()

    def _remembered(self, schedule_id: str) -> Schedule:
        self.schedule = self._start(schedule_id)
        return self.schedule
