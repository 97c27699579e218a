"""Log-in sessions: their rows in Postgres, which are the truth about them.

A session ends by itself: when its refresh token was not exchanged for a month, and in any case `LIFETIME` after the
log-in. Its refresh token works once. In a browser the token before is taken once more for `GRACE`: two tabs, or an
answer that was lost, show the same one twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database.tables import accounts, sessions

UNUSED = timedelta(days=30)
LIFETIME = timedelta(days=90)  # however often it is used, the password is asked for four times a year
GRACE = timedelta(seconds=30)


class Session(msgspec.Struct, frozen=True):
    """A session and whose it is."""

    id: str
    account_id: str
    role: str
    refresh_hash: bytes  # of the token that is current now
    expires_at: datetime


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A live session, as its owner sees it."""

    id: str
    browser: bool
    client: str | None  # what the program that logged in calls itself
    created_at: datetime
    used_at: datetime
    expires_at: datetime


async def open_session(
    connection: AsyncConnection,
    *,
    session_id: str,
    account_id: str,
    refresh_hash: bytes,
    at: datetime,
    browser: bool = False,
    client: str | None = None,
) -> datetime:
    """Writes a new session, and says when it ends unless it is used."""
    await connection.execute(
        sessions.insert().values(
            id=session_id,
            account_id=account_id,
            refresh_hash=refresh_hash,
            browser=browser,
            client=client,
            created_at=at,
            used_at=at,
            expires_at=at + UNUSED,
        )
    )
    return at + UNUSED


async def rotate(
    connection: AsyncConnection,
    *,
    session_id: str,
    old_hash: bytes,
    new_hashes: Sequence[bytes],
    browser: bool,
    at: datetime,
) -> Session | None:
    """Exchanges the refresh token of a live session for the first new one; None if it is not the current one.

    A browser's token that was exchanged for one of the new ones within `GRACE` is taken once more, and changes nothing.
    """
    current = sessions.c.refresh_hash == old_hash
    again = sa.and_(
        sessions.c.browser,
        sessions.c.previous_hash == old_hash,
        sessions.c.refresh_hash.in_(new_hashes),
        sessions.c.used_at > at - GRACE,
    )
    rotated = await connection.execute(
        sessions.update()
        .where(
            sessions.c.id == session_id,
            sessions.c.browser == browser,
            current | again,
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > at,
            accounts.c.id == sessions.c.account_id,
            accounts.c.deleted_at.is_(None),
            accounts.c.locked_at.is_(None),
        )
        .values(
            refresh_hash=sa.case((current, new_hashes[0]), else_=sessions.c.refresh_hash),
            previous_hash=sa.case((current, old_hash), else_=sa.null()),
            used_at=sa.case((current, at), else_=sessions.c.used_at),
            expires_at=sa.func.least(sa.literal(at + UNUSED), sessions.c.created_at + LIFETIME),
        )
        .returning(
            sessions.c.id, sessions.c.account_id, accounts.c.role, sessions.c.refresh_hash, sessions.c.expires_at
        )
    )
    row = rotated.one_or_none()
    return None if row is None else Session(*row)


_COLUMNS = tuple(sessions.c[name] for name in SessionRow.__struct_fields__)


async def page(
    connection: AsyncConnection, account_id: str, *, at: datetime, before_id: str | None, limit: int
) -> list[SessionRow]:
    """The account's live sessions, newest first, from before one of them on."""
    query = sa.select(*_COLUMNS).where(_live(account_id, at)).order_by(sessions.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(sessions.c.id < before_id)
    return [_row(row._mapping) for row in await connection.execute(query)]


async def revoke(connection: AsyncConnection, session_id: str, at: datetime) -> bool:
    """Ends one session; False if it was not live."""
    revoked = await connection.execute(
        sessions.update()
        .where(sessions.c.id == session_id, sessions.c.revoked_at.is_(None), sessions.c.expires_at > at)
        .values(revoked_at=at)
    )
    return revoked.rowcount > 0


async def revoke_own(connection: AsyncConnection, account_id: str, session_id: str, at: datetime) -> bool:
    """Ends one session of the account; False if it has no such session."""
    revoked = await connection.execute(
        sessions.update().where(sessions.c.id == session_id, _live(account_id, at)).values(revoked_at=at)
    )
    return revoked.rowcount > 0


async def revoke_all(
    connection: AsyncConnection, account_id: str, at: datetime, *, except_id: str | None = None
) -> list[str]:
    """Ends every live session of an account, or all but one, and says which they were."""
    statement = sessions.update().where(sessions.c.account_id == account_id, sessions.c.revoked_at.is_(None))
    if except_id is not None:
        statement = statement.where(sessions.c.id != except_id)
    revoked = await connection.execute(statement.values(revoked_at=at).returning(sessions.c.id))
    return list(revoked.scalars())


def _live(account_id: str, at: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(sessions.c.account_id == account_id, sessions.c.revoked_at.is_(None), sessions.c.expires_at > at)


def _row(values: Mapping[Any, Any]) -> SessionRow:
    return SessionRow(**dict(values))
