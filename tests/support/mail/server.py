"""A mail server on loopback that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

from actors.mail.transport import SmtpServer, SmtpTransport

SENDER = Address("Boxoffice", "tickets", "boxoffice.example")
OK = "250 OK"


class MailServer:
    """Keeps what it takes. Its scripts hold its next replies; an empty one takes everything."""

    def __init__(self) -> None:
        self.recipients: list[str] = []
        self.mails: list[EmailMessage] = []
        self.on_recipient: list[str] = []
        self.on_content: list[str] = []  # "hang up" ends the connection without a reply
        self.before_reply: Callable[[], Awaitable[None]] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def transport(self) -> SmtpTransport:
        return SmtpTransport(SmtpServer.parse(self.url), SENDER, timeout_seconds=5)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.on_recipient.pop(0) if self.on_recipient else OK
        if reply == OK:
            envelope.rcpt_tos.append(address)
        return reply.format(address=address)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.before_reply is not None:
            await self.before_reply()
        reply = self.on_content.pop(0) if self.on_content else OK
        if reply == "hang up":
            assert server.transport is not None
            server.transport.abort()
            return OK
        if reply == OK:
            assert isinstance(envelope.original_content, bytes)
            message = message_from_bytes(envelope.original_content, policy=policy.default)
            assert isinstance(message, EmailMessage)
            self.mails.append(message)
            self.recipients += [str(each) for each in envelope.rcpt_tos]
        return reply


@asynccontextmanager
async def mail_server(port: int = 0) -> AsyncIterator[MailServer]:
    """A running mail server."""
    loop = asyncio.get_running_loop()
    keeper = MailServer()
    server = await loop.create_server(
        lambda: SMTP(keeper, enable_SMTPUTF8=True, hostname="mail.test", loop=loop), "127.0.0.1", port
    )
    keeper.port = server.sockets[0].getsockname()[1]
    try:
        yield keeper
    finally:
        server.close()
        await server.wait_closed()
