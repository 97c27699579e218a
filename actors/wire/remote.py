"""What one machine asks of a process of owners on another, as bytes: which question, and what it is about."""

from __future__ import annotations

from typing import Protocol

from actors.wire.secured import SecuredChannel

SUBMIT, INSPECT, RETIRE = b"s", b"i", b"r"


class Process(Protocol):
    """A process of owners, where it runs."""

    async def submit(self, data: bytes) -> bytes: ...

    async def inspect(self, schedule_id: str) -> bytes | None: ...

    async def retire(self, schedule_id: str) -> None: ...


async def answered(process: Process, data: bytes) -> bytes:
    """The answer to a question from elsewhere. Raises `ValueError` where it is none."""
    question, about = data[:1], data[1:]
    if question == SUBMIT:
        return await process.submit(about)
    if question == INSPECT:
        return await process.inspect(about.decode()) or b""
    if question == RETIRE:
        await process.retire(about.decode())
        return b""
    raise ValueError(f"there is no question {question!r}")


class RemoteProcess:
    """A process of owners on another machine. Raises as `SecuredChannel.call` does."""

    def __init__(self, channel: SecuredChannel) -> None:
        self._channel = channel

    async def submit(self, data: bytes) -> bytes:
        return await self._channel.call(SUBMIT + data)

    async def inspect(self, schedule_id: str) -> bytes | None:
        return await self._channel.call(INSPECT + schedule_id.encode()) or None

    async def retire(self, schedule_id: str) -> None:
        await self._channel.call(RETIRE + schedule_id.encode())

    def close(self) -> None:
        self._channel.close()
