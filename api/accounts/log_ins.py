"""Opening a session and prolonging it, for programs and for browsers.

An unknown e-mail and a wrong password get the same answer after the same work. A refresh token works once: if an old
one comes back, somebody has copied it, and the whole session ends.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from starlette.requests import Request

from api.http.addresses import address_of
from api.http.problems import Problem
from api.http.security_log import note
from api.office.office import Office
from api.office.tokens import ACCESS_SECONDS, Account, hash_of
from persistence.accounts import accounts, sessions

CLIENT_CHARACTERS = 200


class Opened(Struct, frozen=True, kw_only=True):
    """A session's tokens, and for how many seconds each can be used."""

    session_id: str
    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


async def log_in(office: Office, request: Request, email: str, password: str, *, browser: bool) -> Opened:
    """A new session. Raises `Problem` for whoever is not let in."""
    attempt = await office.limits.log_in(email, address_of(request))
    async with office.reading.connect() as connection:
        row = await accounts.by_email(connection, email)
    if not await office.passwords.matches(password, None if row is None else row.password_hash) or row is None:
        reason = "unknown account" if row is None else "wrong password"
        note(request, "log_in_refused", None if row is None else row.id, reason=reason)
        raise Problem("invalid_credentials")
    await attempt.succeeded()
    if row.locked_at is not None:
        note(request, "log_in_refused", row.id, reason="account locked")
        raise Problem("account_locked")
    account = Account(row.id, row.role, office.clock.new_id())
    refresh_token = office.tokens.refresh_token(account.session_id)
    async with office.database.begin() as connection:
        until = await sessions.open_session(
            connection,
            session_id=account.session_id,
            account_id=account.id,
            refresh_hash=hash_of(refresh_token),
            at=office.now(),
            browser=browser,
            client=_client_of(request),
        )
    note(request, "logged_in", account.id, session_id=account.session_id, browser=browser)
    return _opened(office, account, refresh_token, until)


async def refresh(office: Office, request: Request, refresh_token: str, *, browser: bool) -> Opened:
    """The session's next tokens. Raises `Problem("unauthenticated")`."""
    session_id = office.tokens.session_of(refresh_token)
    if session_id is None:
        raise Problem("unauthenticated")
    successors = {hash_of(token): token for token in office.tokens.successors_of(refresh_token)}
    async with office.database.begin() as connection:
        session = await sessions.rotate(
            connection,
            session_id=session_id,
            old_hash=hash_of(refresh_token),
            new_hashes=list(successors),
            browser=browser,
            at=office.now(),
        )
        stolen = session is None and await sessions.revoke(connection, session_id, office.now())
    if stolen:
        note(request, "refresh_token_reused", session_id=session_id)
        await office.revocations.announce([session_id])
    if session is None:
        raise Problem("unauthenticated")
    account = Account(session.account_id, session.role, session.id)
    return _opened(office, account, successors[session.refresh_hash], session.expires_at)


async def end(office: Office, request: Request, session_id: str) -> None:
    """Ends a session: no worker lets its tokens through any more when this returns."""
    async with office.database.begin() as connection:
        ended = await sessions.revoke(connection, session_id, office.now())
    if ended:
        note(request, "logged_out", session_id=session_id)
    await office.revocations.announce([session_id])


def _opened(office: Office, account: Account, refresh_token: str, until: datetime) -> Opened:
    left = int((until - office.now()).total_seconds())
    seconds = min(ACCESS_SECONDS, left)  # no token outlives its session
    return Opened(
        session_id=account.session_id,
        access_token=office.tokens.access_token(account, seconds),
        expires_in=seconds,
        refresh_token=refresh_token,
        refresh_expires_in=left,
    )


def _client_of(request: Request) -> str | None:
    """What the program calls itself, so that its owner can tell their sessions apart."""
    name = "".join(character for character in request.headers.get("user-agent", "") if character.isprintable())
    return name[:CLIENT_CHARACTERS] or None
