"""Tickets of a waiting room and the passes it lets people in with: signed, so that nobody has to remember them.

A ticket says for which schedule it is and which place, a pass until when: neither is worth anything to another account,
which its signature is for, too. What a former secret has signed still counts.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
import uuid
from collections.abc import Sequence

from msgspec import Struct

from actors.process.keys import derived

MAC_BYTES = 16
PLACE = struct.Struct(">16sd")  # schedule, place
END = struct.Struct(">q")  # milliseconds
LOT_BITS = 53  # as many as a float has


class Place(Struct, frozen=True):
    """What a ticket says."""

    schedule_id: str
    score: float


class QueueTickets:
    """Makes and recognises tickets and passes; draws the lots."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._tickets = [derived(secret, "queue tickets") for secret in secrets]
        self._passes = [derived(secret, "queue passes") for secret in secrets]
        self._lots = derived(secrets[-1], "queue lots")  # a new secret draws nobody anew while the former one counts

    def lot(self, schedule_id: str, account_id: str) -> float:
        """The account's for the schedule, in [0, 1): always the same, and known to nobody without the secret."""
        drawn = hmac.digest(self._lots, f"{schedule_id}\0{account_id}".encode(), "sha256")
        return float((int.from_bytes(drawn[:8], "big") >> (64 - LOT_BITS)) / (1 << LOT_BITS))

    def ticket(self, schedule_id: str, account_id: str, score: float) -> str:
        """The ticket for a place."""
        return _signed(self._tickets[0], PLACE.pack(uuid.UUID(schedule_id).bytes, score), account_id)

    def place_of(self, ticket: str, account_id: str) -> Place | None:
        """Which place the account's ticket is for; None for any other text."""
        said = _said(self._tickets, ticket, PLACE.size, account_id)
        if said is None:
            return None
        schedule, score = PLACE.unpack(said)
        return Place(str(uuid.UUID(bytes=schedule)), score)

    def queue_pass(self, schedule_id: str, account_id: str, ends_ms: int) -> str:
        """A pass until then."""
        return _signed(self._passes[0], END.pack(ends_ms), f"{account_id}\0{schedule_id}")

    def pass_ends_ms(self, text: str, schedule_id: str, account_id: str) -> int | None:
        """When the account's pass for the schedule ends, or has ended; None for any other text."""
        said = _said(self._passes, text, END.size, f"{account_id}\0{schedule_id}")
        if said is None:
            return None
        (ends_ms,) = END.unpack(said)
        return int(ends_ms)


def _signed(key: bytes, said: bytes, to: str) -> str:
    return _text(said + _mac(key, said, to))


def _said(keys: Sequence[bytes], text: str, size: int, to: str) -> bytes | None:
    """What was signed for somebody, if this is what came of it: letter for letter."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    said, mac = raw[:size], raw[size:]
    if _text(raw) != text or len(mac) != MAC_BYTES:
        return None
    return said if any(hmac.compare_digest(mac, _mac(key, said, to)) for key in keys) else None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _mac(key: bytes, said: bytes, to: str) -> bytes:
    return hmac.digest(key, said + to.encode(), "sha256")[:MAC_BYTES]
