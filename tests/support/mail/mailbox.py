"""Works a worker's outbox off into memory, as the mailer would into a mail server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any

import asyncpg

from actors.mail.composing import Postmark
from actors.mail.mailer import LANES, Mailer
from actors.mail.tickets import ticket_key
from actors.mail.transport import Conversation
from actors.process.clock import SystemClock

ORIGIN = "https://tickets.example.com"


class Mailbox:
    """Keeps every mail: pairs of address and message."""

    name = "memory"
    sender = Address("Boxoffice", "tickets", "boxoffice.example")

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        postmark = Postmark(self.sender, ticket_key("a secret of at least 32 characters"), SystemClock(), ORIGIN)
        self._mailer = Mailer(pool, self, postmark)
        self._mails: list[tuple[str, EmailMessage]] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Conversation]:
        yield self

    async def send(self, content: bytes, to: str) -> None:
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self._mails.append((to, message))

    async def of(self, email: str) -> list[EmailMessage]:
        """All that was ever sent to the address, once everything that is due has been sent."""
        for lane in range(LANES):
            await self._mailer.drain(lane, asyncio.Event())
        return [message for to, message in self._mails if to == email]

    async def token(self, email: str, path: str) -> str:
        """The token in the last link to this page that was mailed to the address."""
        found = [
            token for mail in await self.of(email) for token in re.findall(f"{ORIGIN}{path}([\\w-]+)", text_of(mail))
        ]
        assert found, f"no link to {path} was mailed to {email}"
        return str(found[-1])


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())
