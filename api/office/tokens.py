"""Access and refresh tokens: made, and recognised.

An access token is a JWT (RFC 7519) signed with HS256 that lives 15 minutes; it is verified once and then recognised by
its text until it expires. A refresh token is opaque and carries its session's id under a signature, so that garbage
never reaches the database and an old token of a session is told apart from an invented one. Revocation is not known
here, see `persistence.accounts.sessions.Revocations`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import jwt
from cachetools import LRUCache

from actors.process.clock import Clock
from actors.process.keys import derived
from persistence.database.asked_once import latest_within

ACCESS_SECONDS = 15 * 60
ALGORITHM = "HS256"
CLAIMS = ["sub", "role", "sid", "exp"]
BUYERS = ("customer", "box_office")  # a box office buys for many, whom no limit per customer is meant for
ORGANIZING = ("organizer", "admin")
REMEMBERED = 50_000  # tokens a worker recognises without verifying: about 30 MB
SESSION_BYTES, RANDOM_BYTES, MAC_BYTES = 16, 32, 16


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks."""

    id: str
    role: str  # customer | box_office | organizer | admin
    session_id: str

    @property
    def buys_for_many(self) -> bool:
        """Whether how many seats it has says nothing of how many a person has."""
        return self.role == "box_office"


class Tokens:
    """Makes and recognises tokens. Not for several threads.

    The first secret makes them; those of the others are recognised as well, so that a new secret logs nobody out.
    """

    def __init__(self, secrets: Sequence[str], clock: Clock) -> None:
        self._access_keys = [derived(secret, "access tokens") for secret in secrets]
        self._refresh_keys = [hmac.digest(secret.encode(), b"refresh token", "sha256") for secret in secrets]
        self._clock = clock
        self._known: LRUCache[str, tuple[Account, int]] = latest_within(REMEMBERED)

    def access_token(self, account: Account, seconds: int = ACCESS_SECONDS) -> str:
        """A signed token that lives for so long."""
        now = self._clock.now_ms() // 1000
        claims = {
            "sub": account.id,
            "role": account.role,
            "sid": account.session_id,
            "iat": now,
            "exp": now + seconds,
            "jti": self._clock.new_id(),
        }
        return jwt.encode(claims, self._access_keys[0], ALGORITHM)

    def account_of(self, token: str) -> Account | None:
        """Whose token this is; None if it is not ours or has expired."""
        known = self._known.get(token)
        if known is None:
            known = self._verify(token)
            if known is None:
                return None
            self._known[token] = known
        account, expires_ms = known
        if self._clock.now_ms() >= expires_ms:
            self._known.pop(token, None)
            return None
        return account

    def _verify(self, token: str) -> tuple[Account, int] | None:
        # Times are checked against the clock that everything else goes by.
        options: jwt.types.Options = {"require": CLAIMS, "verify_exp": False, "verify_iat": False}
        for key in self._access_keys:
            try:
                claims = jwt.decode(token, key, algorithms=[ALGORITHM], options=options)
                return Account(claims["sub"], claims["role"], claims["sid"]), int(claims["exp"]) * 1000
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidTokenError, ValueError, TypeError):
                return None
        return None

    def refresh_token(self, session_id: str) -> str:
        """A fresh one-time token for the session."""
        return self._refresh_token(
            uuid.UUID(session_id).bytes + random.token_bytes(RANDOM_BYTES), self._refresh_keys[0]
        )

    def session_of(self, refresh_token: str) -> str | None:
        """The session that a refresh token was made for; None if we did not make it."""
        try:
            raw = base64.urlsafe_b64decode(refresh_token + "=" * (-len(refresh_token) % 4))
        except (binascii.Error, ValueError):
            return None
        payload, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
        if len(payload) != SESSION_BYTES + RANDOM_BYTES:
            return None
        if not any(hmac.compare_digest(mac, _mac(payload, key)) for key in self._refresh_keys):
            return None
        return str(uuid.UUID(bytes=payload[:SESSION_BYTES]))

    def successors_of(self, refresh_token: str) -> list[str]:
        """What a refresh token that `session_of` knows is exchanged for: the first, or what a former secret has made.

        It follows from the token and the secret, so that the same token gets the same successor twice although nobody
        has kept it.
        """
        session = uuid.UUID(self.session_of(refresh_token)).bytes
        return [
            self._refresh_token(session + hmac.digest(key, b"after " + refresh_token.encode(), "sha256"), key)
            for key in self._refresh_keys
        ]

    def _refresh_token(self, payload: bytes, key: bytes) -> str:
        return base64.urlsafe_b64encode(payload + _mac(payload, key)).decode().rstrip("=")


def _mac(payload: bytes, key: bytes) -> bytes:
    return hmac.digest(key, payload, "sha256")[:MAC_BYTES]


def hash_of(refresh_token: str) -> bytes:
    """What the database keeps of a refresh token. It is random, so a plain hash cannot be searched."""
    return hashlib.sha256(refresh_token.encode()).digest()
