"""Passwords, hashed and checked with Argon2id (RFC 9106) where they cannot starve anything else.

Guarantees: at most two hashes run at once per worker, at a low priority; a queue too long is refused instead of grown;
an unknown e-mail costs exactly what a wrong password costs.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.http.problems import Problem

T = TypeVar("T")

THREADS = 2
# A hash takes about 25 ms of one core, so that the last in the queue waits less than two seconds.
MAX_WAITING = 128
NICENESS = 10

# OWASP's second recommended set: 19 MiB, two passes, one lane.
HASHER = PasswordHasher(memory_cost=19 * 1024, time_cost=2, parallelism=1)


class Passwords:
    """A small pool of threads that hashes. Close it with `close()`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "argon2", initializer=_yield_to_others)
        self._waiting = 0
        self._nobody = HASHER.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The hash to keep. Raises `Problem("overloaded")`."""
        return await self._run(lambda: HASHER.hash(password))

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether the password is the one of `kept`; with None (no such account) the same work is done in vain."""
        matches = await self._run(lambda: _verify(password, kept or self._nobody))
        return matches and kept is not None

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Problem("overloaded", retry_after=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Ends the threads; what still waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def hash_password(password: str) -> str:
    """The hash to keep, for programs that hash one password only."""
    return HASHER.hash(password)


def _verify(password: str, kept: str) -> bool:
    try:
        return HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


def _yield_to_others() -> None:
    """Lets request handling go first: Linux takes a priority per thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
