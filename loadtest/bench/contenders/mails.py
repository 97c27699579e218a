"""The mails of what is sold: that all of them are sent."""

from __future__ import annotations

from typing import Protocol

import asyncpg

from loadtest.bench.contenders.contender import Contender

# An address gets only so many mails an hour, more if it is confirmed: here each purchase is to have its own.
CONFIRMED = "UPDATE accounts SET email_confirmed_at = now() WHERE email_confirmed_at IS NULL"
LONG_AGO = "UPDATE notifications SET sent_at = sent_at - interval '2 hours' WHERE sent_at IS NOT NULL"


class Asked(Contender, Protocol):
    """A contender whose database may be looked into."""

    async def query(self, query: str, *arguments: object) -> list[asyncpg.Record]: ...


async def let_all_be_sent(target: Asked) -> None:
    """Nobody has had a mail lately, and everybody's address is confirmed."""
    await target.query(CONFIRMED)
    await target.query(LONG_AGO)
