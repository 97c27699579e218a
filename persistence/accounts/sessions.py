"""Log-in sessions: their rows in Postgres, which are the truth about them."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database.tables import accounts, sessions


class Session(msgspec.Struct, frozen=True):
    """A session and whose it is."""

    id: str
    account_id: str
    role: str


async def open_session(
    connection: AsyncConnection, *, session_id: str, account_id: str, refresh_hash: bytes, at: datetime, until: datetime
) -> None:
    """Writes a new session."""
    await connection.execute(
        sessions.insert().values(
            id=session_id, account_id=account_id, refresh_hash=refresh_hash, created_at=at, expires_at=until
        )
    )


async def rotate(
    connection: AsyncConnection, *, session_id: str, old_hash: bytes, new_hash: bytes, at: datetime, until: datetime
) -> Session | None:
    """Exchanges the refresh token of a live session; None if the old one is not its current token."""
    rotated = await connection.execute(
        sessions.update()
        .where(
            sessions.c.id == session_id,
            sessions.c.refresh_hash == old_hash,
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > at,
            accounts.c.id == sessions.c.account_id,
            accounts.c.deleted_at.is_(None),
        )
        .values(refresh_hash=new_hash, expires_at=until)
        .returning(sessions.c.id, sessions.c.account_id, accounts.c.role)
    )
    row = rotated.one_or_none()
    return None if row is None else Session(*row)


async def revoke(connection: AsyncConnection, session_id: str, at: datetime) -> bool:
    """Ends one session; False if it was not live."""
    revoked = await connection.execute(
        sessions.update().where(sessions.c.id == session_id, sessions.c.revoked_at.is_(None)).values(revoked_at=at)
    )
    return revoked.rowcount > 0


async def revoke_all(connection: AsyncConnection, account_id: str, at: datetime) -> list[str]:
    """Ends every live session of an account and says which they were."""
    revoked = await connection.execute(
        sessions.update()
        .where(sessions.c.account_id == account_id, sessions.c.revoked_at.is_(None))
        .values(revoked_at=at)
        .returning(sessions.c.id)
    )
    return list(revoked.scalars())
