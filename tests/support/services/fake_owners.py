"""Processes of owners that are quick, slow, silent or dead, as a gateway meets them; no Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.gateway.gateway import Gateway, OwnerLost
from actors.wire.messages import Fault, Reply, Standing, decode_call, encode_answer
from engine import commands
from engine.turn import Request

SCHEDULE = "s1"
SILENT_SECONDS = 0.1  # after which a process is given up, where that is the point


class FakeOwner:
    """A process of owners. Answers every request with the number of the call it came in, unless told otherwise."""

    def __init__(self) -> None:
        self.calls: list[list[Request]] = []  # of those that carried requests
        self.loads: list[dict[str, int]] = []  # the same: how many requests of which schedule
        self.opened: list[str] = []
        self.open: set[str] = set()
        self.refuses: dict[str, Standing] = {}  # to open these
        self.gate = asyncio.Event()
        self.gate.set()
        self.opening = asyncio.Event()
        self.opening.set()
        self.behaviour: Callable[[Request], Reply] = lambda request: len(self.calls)
        self.lost = False
        self.closed = False

    async def submit(self, data: bytes) -> bytes:
        if self.lost:
            raise OwnerLost("gone")
        call = decode_call(data)
        if [len(requests) for _, requests in call] == [0]:
            return encode_answer([await self._open(call[0][0])])
        self.calls.append([request for _, requests in call for request in requests if isinstance(request, Request)])
        self.loads.append({schedule_id: len(requests) for schedule_id, requests in call})
        await self.gate.wait()
        if self.lost:
            raise OwnerLost("gone in the middle")
        return encode_answer([self._answer(*each) for each in call])

    def _answer(self, schedule_id: str, requests: list[Request | Fault]) -> list[Reply] | Standing:
        if schedule_id not in self.open:
            return Standing.CLOSED
        return [each if isinstance(each, Fault) else self.behaviour(each) for each in requests]

    async def _open(self, schedule_id: str) -> list[Reply] | Standing:
        self.opened.append(schedule_id)
        await self.opening.wait()
        if schedule_id in self.refuses:
            return self.refuses[schedule_id]
        self.open.add(schedule_id)
        return []

    async def inspect(self, schedule_id: str) -> bytes | None:
        raise OwnerLost("not in this test")

    async def retire(self, schedule_id: str) -> None:
        self.open.discard(schedule_id)

    def close(self) -> None:
        self.closed = True


class FakeOwners:
    """Hands out the first of `line`; a replaced one makes room for the next."""

    def __init__(self, *line: FakeOwner) -> None:
        self.line = list(line)
        self.found = 0
        self.replaced: list[FakeOwner] = []

    async def find(self, name: str) -> FakeOwner:
        self.found += 1
        if self.line[0].lost and len(self.line) > 1:
            self.line.pop(0)
        return self.line[0]

    async def current(self, name: str) -> FakeOwner | None:
        return self.line[0] if self.line else None

    async def replace(self, name: str, owner: FakeOwner) -> None:
        self.replaced.append(owner)
        self.line.remove(owner)


async def exists(schedule_id: str) -> bool:
    return schedule_id.startswith("s")


Open = Callable[..., Gateway[FakeOwner]]


def wish(gateway: Gateway[FakeOwner], number: int, schedule_id: str = SCHEDULE) -> asyncio.Task[object]:
    return asyncio.create_task(gateway.send(schedule_id, commands.Expire(), request_id=f"r{number}"))
