"""Passwords, hashed and checked with Argon2id (RFC 9106) where they cannot starve anything else.

Guarantees: at most two hashes run at once per worker, at a low priority; nobody waits longer than `MAX_WAIT_SECONDS`
for theirs to begin, but is refused then, and a queue that would take longer is not joined; an unknown e-mail costs
exactly what a wrong password costs.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.http.models import stored
from api.http.problems import Problem

T = TypeVar("T")

THREADS = 2
# A hash takes about 25 ms of one core that is free for it, and many times that beside a sale, which goes first: so what
# counts is the time, and the number only keeps a flood out of memory.
MAX_WAITING = 128
MAX_WAIT_SECONDS = 2.0
RETRY_AFTER_SECONDS = 2
NICENESS = 10
WEIGHT_OF_LAST = 0.1  # in the usual time of a hash

# OWASP's second recommended set: 19 MiB, two passes, one lane.
HASHER = PasswordHasher(memory_cost=19 * 1024, time_cost=2, parallelism=1)


class Passwords:
    """A small pool of threads that hashes. Close it with `close()`."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._pool = ThreadPoolExecutor(THREADS, "argon2", initializer=_yield_to_others)
        self._waiting = 0
        self._usual_seconds = 0.025  # that a hash takes lately
        self._nobody = HASHER.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The hash to keep. Raises `Problem("overloaded")`."""
        return await self._run(lambda: hash_password(password))

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether the password is the one of `kept`; with None (no such account) the same work is done in vain."""
        matches = await self._run(lambda: _verify(password, kept or self._nobody))
        return matches and kept is not None

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING or self._waiting * self._usual_seconds / THREADS > MAX_WAIT_SECONDS:
            raise Problem("overloaded", retry_after=RETRY_AFTER_SECONDS)
        self._waiting += 1
        hashing = self._pool.submit(self._timed, work)
        try:
            done = asyncio.wrap_future(hashing)
            await asyncio.wait({done}, timeout=MAX_WAIT_SECONDS)
            if hashing.cancel():  # it has not begun
                raise Problem("overloaded", retry_after=RETRY_AFTER_SECONDS)
            return await done
        finally:
            hashing.cancel()  # whoever asked may have gone
            self._waiting -= 1

    def _timed(self, work: Callable[[], T]) -> T:
        began = self._now()
        try:
            return work()
        finally:
            self._usual_seconds += (self._now() - began - self._usual_seconds) * WEIGHT_OF_LAST

    def close(self) -> None:
        """Ends the threads; what still waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def hash_password(password: str) -> str:
    """The hash to keep, for programs that hash one password only."""
    return HASHER.hash(stored(password))


def _verify(password: str, kept: str) -> bool:
    """Whether it is the password, however its letters are spelled: hashes of before were made from what was typed."""
    spellings = dict.fromkeys((stored(password), unicodedata.normalize("NFD", password), password))
    matches = [_is(spelling, kept) for spelling in spellings]  # all of them: no answer comes sooner than another
    return any(matches)


def _is(password: str, kept: str) -> bool:
    try:
        return HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


def _yield_to_others() -> None:
    """Lets request handling go first: Linux takes a priority per thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
