"""Where mails are handed over: an SMTP server, or a file for trying things out.

Guarantee: handing a mail over either succeeds, or raises what tells for certain that nobody has it (`MailRefused`,
`MailAway`), or raises `MailUnknown`, after which it may or may not be on its way. No message of an error holds an
address.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ipaddress
import logging
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTP, SMTPException, SMTPResponseException
from msgspec import Struct

from actors.process.settings import Settings, SettingsError
from persistence.database.held import holds_none

OUTBOX = "outbox.mbox"
EMBEDDED_SENDER = Address("Boxoffice", "boxoffice", "localhost")
TIMEOUT_SECONDS = 30.0  # of each step of an SMTP conversation
SMTP_PORT, SMTPS_PORT = 587, 465  # RFC 8314
START_TLS: dict[str, bool | None] = {"required": True, "auto": None, "off": False}
ADDRESS = re.compile(r"\S+@\S+")

logger = logging.getLogger(__name__)


class MailRefused(Exception):
    """The server will not take this mail: now (a 4xx reply), or ever (`permanent`, a 5xx reply)."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(scrubbed(reason))
        self.permanent = permanent


class MailAway(Exception):
    """There is nobody to hand a mail to; the mail has not left."""

    def __init__(self, reason: str) -> None:
        super().__init__(scrubbed(reason))


class MailUnknown(Exception):
    """The server fell silent when it already had the mail."""

    def __init__(self, reason: str) -> None:
        super().__init__(scrubbed(reason))


def scrubbed(text: str) -> str:
    """The text on one line, without anything that looks like an e-mail address: servers repeat what they refuse."""
    return ADDRESS.sub("…", " ".join(text.split()))[:500]


class Conversation(Protocol):
    """An open way to hand mails over, one after another."""

    async def send(self, content: bytes, to: str) -> None:
        """Hands one mail over, its lines ended by CR and LF. Raises `MailRefused`, `MailAway` or `MailUnknown`."""


class Transport(Protocol):
    """Where mails go."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def sender(self) -> Address:
        """From whom they are."""

    def opened(self) -> AbstractAsyncContextManager[Conversation]:
        """Opens a conversation. Raises `MailAway`."""


def open_transport(settings: Settings) -> Transport:
    """What the settings ask for. Raises `SettingsError`."""
    if not settings.smtp_url:
        sender = sender_of(settings.mail_from) if settings.mail_from else EMBEDDED_SENDER
        return Outbox(settings.data_path / OUTBOX, sender)
    if not settings.mail_from:
        raise SettingsError("BOXOFFICE_MAIL_FROM is not set: with BOXOFFICE_SMTP_URL it says from whom mails are")
    return SmtpTransport(SmtpServer.parse(settings.smtp_url), sender_of(settings.mail_from))


def sender_of(text: str) -> Address:
    """`Boxoffice <tickets@example.com>`, or the address alone. Raises `SettingsError`."""
    name, address = parseaddr(text)
    local, _, domain = address.rpartition("@")
    if not local or not domain or not address.isascii():
        raise SettingsError(f"BOXOFFICE_MAIL_FROM={text!r} is not a sender: write Name <name@example.com>")
    return Address(name, local, domain)


# --- SMTP -------------------------------------------------------------------------------------------------------------
class SmtpServer(Struct, frozen=True, kw_only=True):
    """A server and how to speak to it."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: bool  # from the first byte on
    start_tls: bool | None  # None: where the server offers it

    @classmethod
    def parse(cls, url: str) -> SmtpServer:
        """`smtp://[user:password@]host[:port][?starttls=required|auto|off]`, or `smtps://…` for TLS from the start.

        A password is not sent in the clear unless that is asked for: then `starttls` is `required` by default, else
        `auto`. Raises `SettingsError`, which does not repeat the URL.
        """
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        choice = query.get("starttls", [""])[-1]
        try:
            port = parts.port
        except ValueError as error:
            raise SettingsError("BOXOFFICE_SMTP_URL: the port is not a number up to 65535") from error
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or set(query) - {"starttls"}:
            raise SettingsError("BOXOFFICE_SMTP_URL must look like smtp://user:password@host:587 or smtps://…")
        if choice and (choice not in START_TLS or parts.scheme == "smtps"):
            raise SettingsError("BOXOFFICE_SMTP_URL: starttls is required, auto or off, and only for smtp://")
        username = unquote(parts.username) if parts.username else None
        default = "required" if username and not _is_loopback(parts.hostname) else "auto"
        tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=port or (SMTPS_PORT if tls else SMTP_PORT),
            username=username,
            password=unquote(parts.password or "") if username else None,
            tls=tls,
            start_tls=False if tls else START_TLS[choice or default],
        )


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class SmtpTransport:
    """Hands mails to a mail server, which takes them on to their recipients."""

    def __init__(self, server: SmtpServer, sender: Address, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._server = server
        self._timeout_seconds = timeout_seconds
        self.sender = sender
        self.name = f"{server.host}:{server.port}"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Conversation]:
        holds_none("reaching the mail server")
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.tls,
            start_tls=server.start_tls,
            timeout=self._timeout_seconds,
            local_hostname=socket.gethostname(),
        )
        try:
            await client.connect()
        except (SMTPException, OSError) as error:
            client.close()
            raise MailAway(f"{self.name}: {_said(error)}") from error
        try:
            yield SmtpConversation(client, self.sender.addr_spec)
        finally:
            with contextlib.suppress(SMTPException, OSError):
                await client.quit()
            client.close()


class SmtpConversation:
    """One connection to a mail server."""

    def __init__(self, client: SMTP, sender: str) -> None:
        self._client = client
        self._sender = sender

    async def send(self, content: bytes, to: str) -> None:
        holds_none("handing a mail over")
        options: list[str] = []
        international = not to.isascii()
        if international and not self._client.supports_extension("smtputf8"):
            raise MailRefused("the server takes no international addresses (SMTPUTF8)", permanent=True)
        if international:
            options.append("SMTPUTF8")
        encoding = "utf-8" if international else "ascii"
        try:
            await self._client.mail(self._sender, options=options, encoding=encoding)
            await self._client.rcpt(to, encoding=encoding)
        except SMTPResponseException as error:
            await self._reset()
            raise _refused(error) from error
        except ValueError as error:  # the library refuses what could smuggle commands
            await self._reset()
            raise MailRefused("the address cannot be sent to", permanent=True) from error
        except (SMTPException, OSError) as error:
            raise MailAway(_said(error)) from error
        try:
            await self._client.data(content)
        except SMTPResponseException as error:
            await self._reset()
            raise _refused(error) from error
        except (SMTPException, OSError) as error:
            raise MailUnknown(_said(error)) from error

    async def _reset(self) -> None:
        """Makes the connection ready for the next mail; one that is lost shows at the next."""
        with contextlib.suppress(SMTPException, OSError):
            await self._client.rset()


def _refused(error: SMTPResponseException) -> MailRefused:
    return MailRefused(f"{error.code} {error.message}", permanent=500 <= error.code < 600)


def _said(error: Exception) -> str:
    if isinstance(error, SMTPResponseException):
        return f"{error.code} {error.message}"
    if isinstance(error, aiosmtplib.SMTPTimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


# --- a file -----------------------------------------------------------------------------------------------------------
class Outbox:
    """Appends mails to a file in mbox format, which Python's `mailbox` and mail programs read. Only its owner may.

    It is locked as `mailbox.mbox.lock` does it while something is appended, against other processes; ours appends one
    mail after the other, as that lock is all of a process's. A mail that cannot be written whole is cut off again.
    """

    def __init__(self, path: Path, sender: Address) -> None:
        self._path = path
        self.sender = sender
        self.name = str(path)
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Conversation]:
        yield self

    async def send(self, content: bytes, to: str) -> None:
        holds_none("handing a mail over")
        # What could begin a mail for a reader of the file, "From " at a line's begin, is in none of ours.
        lines = content.replace(b"\r\n", b"\n")
        try:
            async with self._turn:
                try:
                    self._append(lines, fcntl.LOCK_NB)  # a few µs, where handing it to a thread and back takes many
                except BlockingIOError:
                    await asyncio.to_thread(self._append, lines)
        except OSError as error:
            raise MailAway(f"{self._path}: {error.strerror}") from error

    def _append(self, content: bytes, unless_locked: int = 0) -> None:
        head = f"From MAILER-DAEMON {time.asctime(time.gmtime())}\n".encode()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | unless_locked)  # until it is closed
            end = file.seek(0, os.SEEK_END)
            try:
                file.write(_gap(file.fileno(), end) + head + content.rstrip(b"\n") + b"\n\n")
                file.flush()
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file.fileno(), end)
                raise


def _gap(descriptor: int, end: int) -> bytes:
    """What is missing to the empty line between two mails: the last writer may have died in the middle."""
    last = os.pread(descriptor, 2, max(end - 2, 0))
    return b"" if not last or last == b"\n\n" else b"\n" if last.endswith(b"\n") else b"\n\n"
