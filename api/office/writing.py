"""Slow writes of the catalogue: with connections of their own, and so many at a time for one account.

An organizer who sends 366 changes at once waits for their own, and nobody else does; whoever sends more than can wait
is told to come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api.http.problems import Problem

CONNECTIONS = 4  # per worker; a write takes 5 to 50 ms of one
AT_ONCE_PER_ACCOUNT = 2  # so that no account has all of them
WAITING_PER_ACCOUNT = 32  # behind those: about a second
RETRY_AFTER_SECONDS = 2


class Writing:
    """One worker's slow writes."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._places: dict[str, asyncio.Semaphore] = {}
        self._writing: dict[str, int] = {}  # by account, those that wait included

    @asynccontextmanager
    async def begin(self, account_id: str) -> AsyncIterator[AsyncConnection]:
        """A transaction, when it is the account's turn. Raises `Problem("rate_limited")` if too many wait already."""
        async with self.turn(account_id), self._database.begin() as connection:
            yield connection

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction for whoever has the turn already."""
        return self._database.begin()

    @asynccontextmanager
    async def turn(self, account_id: str) -> AsyncIterator[None]:
        """The account's turn, for a write that takes more than one transaction; as `begin`."""
        writing = self._writing.get(account_id, 0)
        if writing >= AT_ONCE_PER_ACCOUNT + WAITING_PER_ACCOUNT:
            raise Problem("rate_limited", retry_after=RETRY_AFTER_SECONDS)
        places = self._places.setdefault(account_id, asyncio.Semaphore(AT_ONCE_PER_ACCOUNT))
        self._writing[account_id] = writing + 1
        try:
            async with places:
                yield
        finally:
            self._writing[account_id] -= 1
            if not self._writing[account_id]:  # nobody of the account is here: nothing to remember
                del self._writing[account_id], self._places[account_id]
