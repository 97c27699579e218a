"""A mail as the bytes that go to a server: its headers by Python's email package, its parts laid out here (RFC 2045,
RFC 2046).

The package makes each part a message of its own, parses the headers that it has just written, and looks for boundaries
that occur in no part: four fifths of what a mail cost. But our mails all have the same parts, and all of these are
Base64, in whose alphabet our boundaries cannot be written. So what is around the parts is always the same.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from email import policy
from email.headerregistry import Address
from functools import lru_cache

PLAIN, HTML = "text/plain; charset=utf-8", "text/html; charset=utf-8"
ASCII = policy.SMTP
LINE = 76  # of Base64
FOLDED = 78  # and its end: as long as a line of a header may be that is not folded
WORD = 60  # characters of what an encoded word of 75 has in it
# Nothing in them has to be quoted, and no name looks like an encoded word.
SIMPLE_ADDRESS = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
SIMPLE_NAME = re.compile(r"[A-Za-z]+( [A-Za-z]+)*")
INTERNATIONAL = policy.SMTPUTF8  # RFC 6532: for whoever's address is not ASCII


def leaf(content_type: str, content: bytes, *more: str) -> bytes:
    """A part with a content of its own; `more` headers than say what it is."""
    return _head(f"Content-Type: {content_type}", "Content-Transfer-Encoding: base64", *more) + (_base64(content))


def _base64(content: bytes) -> bytes:
    whole = binascii.b2a_base64(content, newline=False)
    return b"".join([whole[at : at + LINE] + b"\r\n" for at in range(0, len(whole), LINE)])


def text(content_type: str, content: str) -> bytes:
    """A part that is read, its lines ended as mails have them."""
    return leaf(content_type, content.replace("\n", "\r\n").encode())


def multipart(kind: str, parts: Sequence[bytes]) -> bytes:
    """Parts that belong together: `mixed`, `alternative` or `related`, each of which encloses none of its own kind."""
    boundary = f"=_{kind}"
    between = f"--{boundary}\r\n".encode()
    each = b"".join(between + part + b"\r\n" for part in parts)
    return _head(f'Content-Type: multipart/{kind}; boundary="{boundary}"') + each + f"--{boundary}--\r\n".encode()


def header(name: str, value: str | Address, *, international: bool = False) -> bytes:
    """One header of a mail, folded, and encoded where it is not ASCII (RFC 5322, RFC 2047).

    Raises `ValueError` for a value of more than one line.
    """
    kept = INTERNATIONAL if international else ASCII
    return kept.fold_binary(*kept.header_store_parse(name, value))


def recipient(name: str, address: str) -> bytes:
    """The header that says to whom a mail is: what `header` would write, in a tenth of the time for most of us."""
    if SIMPLE_ADDRESS.fullmatch(address) is not None:
        if not name:
            written = f"To: {address}\r\n"
        elif SIMPLE_NAME.fullmatch(name) is not None:
            written = f"To: {name} <{address}>\r\n"
        else:
            word = binascii.b2a_base64(name.encode(), newline=False).decode()
            written = f"To: =?utf-8?b?{word}?= <{address}>\r\n" if len(word) <= WORD else ""
        if written and len(written) <= FOLDED:
            return written.encode("ascii")
    local, _, domain = address.rpartition("@")
    return header("To", Address(name, local, domain), international=not address.isascii())


def plain(name: str, value: str) -> bytes:
    """A header of ours that is short and ASCII."""
    return f"{name}: {value}\r\n".encode("ascii")


@lru_cache(1_024)  # a sale's mails have few of them
def subject(value: str) -> bytes:
    """The header that says what a mail is about."""
    return header("Subject", value)


@lru_cache(64)
def _head(*lines: str) -> bytes:
    return "\r\n".join((*lines, "", "")).encode("ascii")
