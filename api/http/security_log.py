"""What an investigator asks for later: who came in, who was refused and why, who changed a password or a role.

One line an event on the logger `boxoffice.security`: beside the request's id, which stands in every line, the address
it came from and the account's id, as fields of their own. Never an e-mail, a name, a password or a token. Refusals that
somebody can cause without end are told once in `QUIET_SECONDS` for each kind, address and account, so that nobody
floods the log.
"""

from __future__ import annotations

import logging
import time
from typing import Literal

from starlette.requests import Request
from starlette.types import Scope

from api.http.addresses import address_of

Event = Literal[
    "account_created",
    "account_deleted",
    "account_changed",  # its role, or whether it is locked: by an admin
    "email_changed",
    "email_confirmed",
    "logged_in",
    "log_in_refused",
    "logged_out",
    "password_changed",
    "password_refused",
    "password_reset",
    "refresh_token_reused",
    "refused",
    "session_ended",
]
# Problems that say somebody tries what they may not.
TOLD = frozenset(("forbidden", "cross_site", "rate_limited", "bad_signature", "link_expired"))
QUIET_SECONDS = 10.0

ACCOUNT_ID = "boxoffice.account_id"  # in the scope of a request whose sender is known

logger = logging.getLogger("boxoffice.security")


class _Lately:
    """What was told within the last `QUIET_SECONDS`."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str]] = set()
        self._until = 0.0

    def is_new(self, kind: str, address: str, account_id: str) -> bool:
        now = time.monotonic()
        if now >= self._until:
            self._told.clear()
            self._until = now + QUIET_SECONDS
        if (kind, address, account_id) in self._told:
            return False
        self._told.add((kind, address, account_id))
        return True


_lately = _Lately()


def note(request: Request, event: Event, account_id: str | None = None, **facts: object) -> None:
    """Tells what has happened, in a request, to an account."""
    known: dict[str, object] = {
        "account_id": account_id or request.scope.get(ACCOUNT_ID),
        "address": address_of(request),
        **facts,
    }
    logger.info(event, extra={name: value for name, value in known.items() if value is not None})


def note_refusal(request: Request, code: str) -> None:
    """Tells that a request was turned down, if that says something about whoever sent it."""
    if code in TOLD and _lately.is_new(code, address_of(request), str(request.scope.get(ACCOUNT_ID, ""))):
        note(request, "refused", code=code, method=request.method, path=told_path(request.scope))


def told_path(scope: Scope) -> str:
    """The path as it may stand in a log: without the token of a link that somebody was mailed."""
    template: str = getattr(scope.get("route"), "path", "")
    path: str = scope["path"]
    return template if "token" in template else path  # of a route, or of a page
