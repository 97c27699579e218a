"""One secret, and a key of its own for each purpose: who learns one key learns no other, and not the secret."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

MIN_SECRET_CHARACTERS = 32  # RFC 7518 section 3.2: HS256 needs a key of at least 256 bits

# Purposes of which a process may be given the key without the secret.
TICKETS = "tickets/ed25519"  # what signs a ticket's code
AUDIT_HEADS = "audit/heads"  # what signs the audit log's exported heads
MACHINES = "calls between machines"  # by which those of a cluster know each other
SANDBOX = "sandbox"  # what the payment sandbox and those who ask it have in common


@lru_cache(64)  # asked for by every request with an Idempotency-Key
def derived(secret: str, purpose: str) -> bytes:
    """The key for the purpose: 256 bits."""
    return hmac.digest(secret.encode(), f"boxoffice/{purpose}/1".encode(), hashlib.sha256)
