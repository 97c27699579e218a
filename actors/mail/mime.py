"""A mail as the bytes that go to a server: its headers by Python's email package, its parts laid out here (RFC 2045,
RFC 2046).

The package makes each part a message of its own, parses the headers that it has just written, and looks for boundaries
that occur in no part: four fifths of what a mail cost. But our mails all have the same parts, and all of these are
Base64, in whose alphabet our boundaries cannot be written. So what is around the parts is always the same.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from email import policy
from email.headerregistry import Address
from functools import lru_cache

PLAIN, HTML = "text/plain; charset=utf-8", "text/html; charset=utf-8"
ASCII = policy.SMTP
INTERNATIONAL = policy.SMTPUTF8  # RFC 6532: for whoever's address is not ASCII


def leaf(content_type: str, content: bytes, *more: str) -> bytes:
    """A part with a content of its own; `more` headers than say what it is."""
    return _head(f"Content-Type: {content_type}", "Content-Transfer-Encoding: base64", *more) + (
        base64.encodebytes(content).replace(b"\n", b"\r\n")
    )


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
