"""The code on a ticket: what is read from the QR picture at the door.

A code says which booking, which schedule and for how many places, or for which one of them, and is signed with a key
that follows from the installation's secret: it cannot be made up, and needs no table to be read. Whoever has the public
key (`GET /v1/tickets/key`) can tell a genuine code without a network. What it cannot say is whether the booking still
stands: that is looked up (see `api/routes/door/tickets.py`). A copy of a code is as good as the code.

| bytes | what |
| --- | --- |
| 1 | the form: 2 for a whole booking, 3 for one place of it; 1 was signed with a shared key and is still read |
| 16, 16 | booking, schedule |
| 2 | how many places (form 2); which of several alike, from 1 on (form 3) |
| 0–600 | the seat's id in UTF-8 (form 3) |
| 64 | Ed25519 (RFC 8032) over all before; in form 1 the first 16 bytes of an HMAC-SHA256 |

As text it is base64url (RFC 4648) without padding.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from msgspec.structs import replace

from actors.process.keys import TICKETS, derived

FORMER, WHOLE, SEAT = b"\x01", b"\x02", b"\x03"
SIGNATURE_BYTES = {FORMER: 16, WHOLE: 64, SEAT: 64}
HEAD_BYTES = 1 + 16 + 16 + 2
MAX_CODE_CHARACTERS = 1_000  # a seat's id has 200 characters at most


class BadTicket(ValueError):
    """The code was not made here, or was changed."""


class Ticket(Struct, frozen=True, kw_only=True):
    """What a code says: a booking of so many places, or one of them."""

    booking_id: str
    schedule_id: str
    places: int
    seat: str | None = None  # the id of the one place; a standing area's occurs once per place
    place: int = 0  # which of several with the same id, from 1 on

    @property
    def place_key(self) -> str | None:
        """What tells this place from all others of the booking."""
        return None if self.seat is None else f"{self.seat}#{self.place}"


def seat_of(place_key: str) -> str:
    """The id of the seat, or the standing area, that a place is one of."""
    return place_key.rpartition("#")[0]


class TicketKey(Struct, frozen=True):
    """What codes are signed with. `former` is what they were signed with before phones could verify them: only who
    reads such codes needs it.
    """

    private: Ed25519PrivateKey
    former: bytes | None = None

    @property
    def public(self) -> bytes:
        """The 32 bytes that everybody may have."""
        return self.private.public_key().public_bytes_raw()

    @property
    def id(self) -> str:
        """The key's name: its thumbprint (RFC 7638, RFC 8037)."""
        text = f'{{"crv":"Ed25519","kty":"OKP","x":"{_text(self.public)}"}}'
        return _text(hashlib.sha256(text.encode()).digest())

    def jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key (RFC 8037)."""
        known = {"kty": "OKP", "crv": "Ed25519", "x": _text(self.public)}
        return known | {"kid": self.id, "use": "sig", "alg": "EdDSA"}


def ticket_key(secret: str) -> TicketKey:
    """The key of the codes, derived from the installation's secret, as no other key is."""
    return replace(signing_key(derived(secret, TICKETS)), former=derived(secret, "tickets"))


def signing_key(seed: bytes) -> TicketKey:
    """The key for whoever only makes codes."""
    return TicketKey(Ed25519PrivateKey.from_private_bytes(seed))


def ticket_code(key: TicketKey, ticket: Ticket) -> str:
    """The code: 132 characters for a booking, some more for one seat of it. The same ticket has the same code."""
    ids = UUID(ticket.booking_id).bytes + UUID(ticket.schedule_id).bytes
    if ticket.seat is None:
        body = WHOLE + ids + ticket.places.to_bytes(2)
    else:
        body = SEAT + ids + ticket.place.to_bytes(2) + ticket.seat.encode()
    return _text(body + key.private.sign(body))


def seat_tickets(whole: Ticket, seats: Sequence[str]) -> list[Ticket]:
    """A ticket for each place of a booking's ticket; `seats` are the booking's, in its order."""
    found: list[Ticket] = []
    for number, seat in enumerate(seats):
        place = seats[: number + 1].count(seat)
        found.append(
            Ticket(booking_id=whole.booking_id, schedule_id=whole.schedule_id, places=1, seat=seat, place=place)
        )
    return found


def read_ticket(keys: Sequence[TicketKey], code: str) -> Ticket:
    """What the code says, if it was made with one of the keys. Raises `BadTicket`."""
    if len(code) > MAX_CODE_CHARACTERS or not code.isascii():
        raise BadTicket("not a ticket's code")
    try:
        content = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise BadTicket("not a ticket's code") from error
    form, signature_bytes = content[:1], SIGNATURE_BYTES.get(content[:1])
    if signature_bytes is None or len(content) < HEAD_BYTES + signature_bytes or _text(content) != code.rstrip("="):
        raise BadTicket("not a ticket's code")
    body, signature = content[:-signature_bytes], content[-signature_bytes:]
    if (len(body) > HEAD_BYTES) != (form == SEAT) or not any(_signed(key, form, body, signature) for key in keys):
        raise BadTicket("the signature does not match")
    number = int.from_bytes(body[33:35])
    return Ticket(
        booking_id=str(UUID(bytes=body[1:17])),
        schedule_id=str(UUID(bytes=body[17:33])),
        places=1 if form == SEAT else number,
        seat=body[HEAD_BYTES:].decode() if form == SEAT else None,
        place=number if form == SEAT else 0,
    )


def _signed(key: TicketKey, form: bytes, body: bytes, signature: bytes) -> bool:
    if form == FORMER:
        assert key.former is not None, "who only makes codes reads none"
        return hmac.compare_digest(hmac.digest(key.former, body, hashlib.sha256)[: len(signature)], signature)
    try:
        key.private.public_key().verify(signature, body)
    except InvalidSignature:
        return False
    return True


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
