"""Links that are mailed to an account's owner: whoever opens one has the mailbox, and may do one thing, once.

The token is made when the mail is written and stands nowhere else: the row has its hash. A link is of use for a while
from then on, and only while what it was asked for still stands: a new password or e-mail address voids it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database.pools import Connection
from persistence.database.tables import account_links, accounts

Purpose = Literal["password_reset", "email_confirmation"]
PURPOSES: tuple[Purpose, ...] = ("password_reset", "email_confirmation")
LIFETIMES: dict[Purpose, timedelta] = {
    "password_reset": timedelta(minutes=30),
    "email_confirmation": timedelta(days=3),
}


async def add(connection: AsyncConnection, *, link_id: str, account_id: str, purpose: Purpose, at: datetime) -> None:
    """A link to be mailed."""
    await connection.execute(
        account_links.insert().values(id=link_id, account_id=account_id, purpose=purpose, created_at=at)
    )


async def arm(connection: Connection, link_id: str, token_hash: bytes, lifetime: timedelta) -> bool:
    """Gives a link the token that its mail carries, instead of any earlier one; False if it is not wanted any more."""
    done = await connection.execute(
        "UPDATE account_links SET token_hash = $2, expires_at = now() + $3 WHERE id = $1", link_id, token_hash, lifetime
    )
    return str(done).endswith(" 1")


async def owner(connection: AsyncConnection, token_hash: bytes, purpose: Purpose, at: datetime) -> str | None:
    """Whose link it is, if it can still be used."""
    query = sa.select(account_links.c.account_id).where(_usable(token_hash, purpose, at))
    found: str | None = (await connection.execute(query)).scalar_one_or_none()
    return found


async def use(connection: AsyncConnection, token_hash: bytes, purpose: Purpose, at: datetime) -> str | None:
    """Uses a link up; whose it was, or None if it cannot be used (any more)."""
    used = await connection.execute(
        account_links.delete().where(_usable(token_hash, purpose, at)).returning(account_links.c.account_id)
    )
    account_id: str | None = used.scalar_one_or_none()
    return account_id


async def void(connection: AsyncConnection, account_id: str, *purposes: Purpose) -> None:
    """Makes the account's links for these purposes useless."""
    await connection.execute(
        account_links.delete().where(
            account_links.c.account_id == account_id, account_links.c.purpose.in_(purposes or PURPOSES)
        )
    )


def _usable(token_hash: bytes, purpose: Purpose, at: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        account_links.c.token_hash == token_hash,
        account_links.c.purpose == purpose,
        account_links.c.expires_at > at,
        sa.exists().where(accounts.c.id == account_links.c.account_id, accounts.c.deleted_at.is_(None)),
    )
