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
import secrets
import uuid
from collections import OrderedDict
from dataclasses import dataclass

import jwt

from actors.process.clock import Clock

ACCESS_SECONDS = 15 * 60
REFRESH_SECONDS = 30 * 24 * 3600
ALGORITHM = "HS256"
OPTIONS: jwt.types.Options = {"require": ["sub", "role", "sid", "exp"], "verify_exp": False, "verify_iat": False}
REMEMBERED = 50_000  # tokens a worker recognises without verifying: about 30 MB
RANDOM_BYTES, MAC_BYTES = 32, 16


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks."""

    id: str
    role: str  # customer | organizer | admin
    session_id: str


class Tokens:
    """Makes and recognises tokens. Not for several threads."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret
        self._refresh_key = hmac.digest(secret.encode(), b"refresh token", "sha256")
        self._clock = clock
        self._known: OrderedDict[str, tuple[Account, int]] = OrderedDict()

    def access_token(self, account: Account) -> str:
        """A signed token that lives `ACCESS_SECONDS`."""
        now = self._clock.now_ms() // 1000
        claims = {
            "sub": account.id,
            "role": account.role,
            "sid": account.session_id,
            "iat": now,
            "exp": now + ACCESS_SECONDS,
            "jti": self._clock.new_id(),
        }
        return jwt.encode(claims, self._secret, ALGORITHM)

    def account_of(self, token: str) -> Account | None:
        """Whose token this is; None if it is not ours or has expired."""
        known = self._known.get(token)
        if known is None:
            known = self._verify(token)
            if known is None:
                return None
            self._known[token] = known
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        account, expires_ms = known
        if self._clock.now_ms() >= expires_ms:
            self._known.pop(token, None)
            return None
        return account

    def _verify(self, token: str) -> tuple[Account, int] | None:
        try:
            # Times are checked against the clock that everything else goes by.
            options: jwt.types.Options = {
                "require": ["sub", "role", "sid", "exp"],
                "verify_exp": False,
                "verify_iat": False,
            }
            claims = jwt.decode(token, self._secret, algorithms=[ALGORITHM], options=options)
            return Account(claims["sub"], claims["role"], claims["sid"]), int(claims["exp"]) * 1000
        except (jwt.InvalidTokenError, ValueError, TypeError):
            return None

    def refresh_token(self, session_id: str) -> str:
        """A fresh one-time token for the session."""
        payload = uuid.UUID(session_id).bytes + secrets.token_bytes(RANDOM_BYTES)
        return base64.urlsafe_b64encode(payload + self._mac(payload)).decode().rstrip("=")

    def session_of(self, refresh_token: str) -> str | None:
        """The session that a refresh token was made for; None if we did not make it."""
        try:
            raw = base64.urlsafe_b64decode(refresh_token + "=" * (-len(refresh_token) % 4))
        except (binascii.Error, ValueError):
            return None
        payload, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
        if len(payload) != 16 + RANDOM_BYTES or not hmac.compare_digest(mac, self._mac(payload)):
            return None
        return str(uuid.UUID(bytes=payload[:16]))

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._refresh_key, payload, "sha256")[:MAC_BYTES]


def hash_of(refresh_token: str) -> bytes:
    """What the database keeps of a refresh token. It is random, so a plain hash cannot be searched."""
    return hashlib.sha256(refresh_token.encode()).digest()
