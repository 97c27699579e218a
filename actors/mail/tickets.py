"""The code on a ticket: what is read from the QR picture at the door.

A code says which booking, which schedule and for how many places, and is signed with a key that follows from the
installation's secret: it cannot be made up, and needs no table to be read. What it cannot say is whether the booking
still stands: that is looked up (see `api/routes/tickets.py`). A copy of a code is as good as the code.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

FORM = b"\x01"  # of what follows: booking, schedule, places, signature
SIGNATURE_BYTES = 16  # 128 bits: out of reach of guessing, and 51 bytes make a small picture
BODY_BYTES = 1 + 16 + 16 + 2
CODE_CHARACTERS = (BODY_BYTES + SIGNATURE_BYTES) * 4 // 3


class BadTicket(ValueError):
    """The code was not made here, or was changed."""


class Ticket(Struct, frozen=True, kw_only=True):
    """What a code says."""

    booking_id: str
    schedule_id: str
    places: int


def ticket_key(secret: str) -> bytes:
    """The key of the codes, derived from the installation's secret."""
    return hmac.digest(secret.encode(), b"boxoffice/tickets/1", hashlib.sha256)


def ticket_code(key: bytes, ticket: Ticket) -> str:
    """The code: 68 characters that may stand in a URL."""
    body = FORM + UUID(ticket.booking_id).bytes + UUID(ticket.schedule_id).bytes + ticket.places.to_bytes(2)
    return base64.urlsafe_b64encode(body + _signature(key, body)).decode()


def read_ticket(keys: Sequence[bytes], code: str) -> Ticket:
    """What the code says, if it was made with one of the keys. Raises `BadTicket`."""
    if len(code) != CODE_CHARACTERS or not code.isascii():
        raise BadTicket("not a ticket's code")
    try:
        content = base64.b64decode(code, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise BadTicket("not a ticket's code") from error
    body, signature = content[:BODY_BYTES], content[BODY_BYTES:]
    matches = [hmac.compare_digest(_signature(key, body), signature) for key in keys]
    if not any(matches) or body[:1] != FORM:
        raise BadTicket("the signature does not match")
    return Ticket(
        booking_id=str(UUID(bytes=body[1:17])),
        schedule_id=str(UUID(bytes=body[17:33])),
        places=int.from_bytes(body[33:35]),
    )


def _signature(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, hashlib.sha256)[:SIGNATURE_BYTES]
