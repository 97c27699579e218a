"""This machine's network as a thing that tests share: some change it, and browsers drop their requests when it changes.

Whoever changes it waits for those who need it as it is, and they for nobody but whoever is changing it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

DOOR, ROOM = (
    Path(tempfile.gettempdir()) / f"boxoffice-tests-network-{os.getuid()}.{name}" for name in ("door", "room")
)


@contextlib.asynccontextmanager
async def unchanged() -> AsyncIterator[None]:
    """Nobody changes the network in the block."""
    async with _locked(DOOR, fcntl.LOCK_EX):  # nobody passes who waits to change it
        room = await _lock(ROOM, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(room)


@contextlib.asynccontextmanager
async def changing() -> AsyncIterator[None]:
    """Nobody else needs the network as it is in the block."""
    async with _locked(DOOR, fcntl.LOCK_EX), _locked(ROOM, fcntl.LOCK_EX):
        yield


@contextlib.asynccontextmanager
async def _locked(path: Path, how: int) -> AsyncIterator[None]:
    lock = await _lock(path, how)
    try:
        yield
    finally:
        os.close(lock)


async def _lock(path: Path, how: int) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    await asyncio.to_thread(fcntl.flock, lock, how)
    return lock
