"""Accounts. An e-mail is compared case-insensitively and belongs to one live account at a time.

A deleted account keeps its row, because bookings refer to it, but nothing that says who it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database.conditions import is_live
from persistence.database.connection import violated
from persistence.database.tables import accounts, bookings, performances, schedules, sessions

ADMIN = "admin"
NO_PASSWORD = ""  # matches nothing


class EmailTaken(Exception):
    """There is a live account with this e-mail."""


class AccountRow(Struct, frozen=True, kw_only=True):
    """An account as stored."""

    id: str
    email: str
    password_hash: str
    name: str | None
    role: str
    language: str  # ko | en
    email_confirmed_at: datetime | None
    locked_at: datetime | None
    created_at: datetime
    updated_at: datetime


_COLUMNS = tuple(accounts.c[name] for name in AccountRow.__struct_fields__)


async def create(
    connection: AsyncConnection,
    *,
    account_id: str,
    email: str,
    password_hash: str,
    name: str | None,
    role: str,
    language: str = "en",
) -> AccountRow:
    """A new account. Raises `EmailTaken`."""
    created = await connection.execute(
        insert(accounts)
        .values(id=account_id, email=email, password_hash=password_hash, name=name, role=role, language=language)
        .on_conflict_do_nothing()
        .returning(*_COLUMNS)
    )
    row = created.one_or_none()
    if row is None:
        raise EmailTaken
    return _account(row)


async def by_email(connection: AsyncConnection, email: str) -> AccountRow | None:
    """The live account with this e-mail."""
    query = sa.select(*_COLUMNS).where(
        sa.func.lower(accounts.c.email) == sa.func.lower(email), accounts.c.deleted_at.is_(None)
    )
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _account(row)


async def by_id(connection: AsyncConnection, account_id: str) -> AccountRow | None:
    """The live account with this id."""
    query = sa.select(*_COLUMNS).where(accounts.c.id == account_id, accounts.c.deleted_at.is_(None))
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _account(row)


async def change(connection: AsyncConnection, account_id: str, values: Mapping[str, object]) -> AccountRow | None:
    """Changes a live account; None if there is none. Raises `EmailTaken`, after which the transaction is over.

    A new e-mail is not confirmed.
    """
    if "email" in values:
        # In another case it is the same mailbox.
        same = sa.func.lower(accounts.c.email) == sa.func.lower(sa.literal(values["email"]))
        confirmed = {"email_confirmed_at": sa.case((same, accounts.c.email_confirmed_at), else_=sa.null())}
        values = {**confirmed, **values}
    statement = (
        accounts.update()
        .where(accounts.c.id == account_id, accounts.c.deleted_at.is_(None))
        .values(**values, updated_at=sa.func.now())
        .returning(*_COLUMNS)
    )
    try:
        row = (await connection.execute(statement)).one_or_none()
    except sa.exc.IntegrityError as error:
        if violated(error) == "uq_accounts_email_lower":
            raise EmailTaken from error
        raise
    return None if row is None else _account(row)


async def confirm_email(connection: AsyncConnection, account_id: str, at: datetime) -> None:
    """The account's owner has shown that mails reach them."""
    await connection.execute(
        accounts.update()
        .where(accounts.c.id == account_id, accounts.c.deleted_at.is_(None), accounts.c.email_confirmed_at.is_(None))
        .values(email_confirmed_at=at)
    )


async def page(
    connection: AsyncConnection, *, search: str | None, before_id: str | None, limit: int
) -> list[AccountRow]:
    """Live accounts, newest first, from before one of them on; with `search` those whose e-mail or name has it."""
    query = sa.select(*_COLUMNS).where(accounts.c.deleted_at.is_(None)).order_by(accounts.c.id.desc()).limit(limit)
    if search is not None:
        found = accounts.c.email.icontains(search, autoescape=True) | accounts.c.name.icontains(search, autoescape=True)
        query = query.where(found)
    if before_id is not None:
        query = query.where(accounts.c.id < before_id)
    return [_account(row) for row in await connection.execute(query)]


async def locked_row(connection: AsyncConnection, account_id: str) -> AccountRow | None:
    """The live account, kept to this transaction until it ends, and with it every administrator.

    All in one order, so that two of them who act on each other wait for each other, and never for ever.
    """
    query = (
        sa.select(*_COLUMNS)
        .where(accounts.c.deleted_at.is_(None), (accounts.c.id == account_id) | (accounts.c.role == ADMIN))
        .order_by(accounts.c.id)
        .with_for_update()
    )
    rows = [_account(row) for row in await connection.execute(query)]
    return next((row for row in rows if row.id == account_id), None)


async def is_last_administrator(connection: AsyncConnection, account_id: str) -> bool:
    """Whether this is the only account that can administer. Ask after `locked_row`, or it may not stay so."""
    query = sa.select(accounts.c.id).where(
        accounts.c.role == ADMIN, accounts.c.deleted_at.is_(None), accounts.c.locked_at.is_(None)
    )
    return list((await connection.execute(query)).scalars()) == [account_id]


class Business(Struct, frozen=True, kw_only=True):
    """What an account has to do with the house, for whoever thinks of locking it."""

    sessions: int  # that have not ended
    live_bookings: int  # held or paid, of performances to come
    schedules_ahead: int  # of its own


async def business(connection: AsyncConnection, account_id: str, now: datetime) -> Business:
    """How many of each there are."""
    owned = sa.select(sa.func.count()).where(
        bookings.c.customer_id == account_id,
        is_live,
        schedules.c.id == bookings.c.schedule_id,
        schedules.c.starts_at > now,
    )
    planned = sa.select(sa.func.count()).where(
        performances.c.organizer_id == account_id,
        schedules.c.performance_id == performances.c.id,
        schedules.c.starts_at > now,
        schedules.c.deleted_at.is_(None),
    )
    open_ones = sa.select(sa.func.count()).where(
        sessions.c.account_id == account_id, sessions.c.revoked_at.is_(None), sessions.c.expires_at > now
    )
    parts = (open_ones.scalar_subquery(), owned.scalar_subquery(), planned.scalar_subquery())
    logged_in, live, ahead = (await connection.execute(sa.select(*parts))).one()
    return Business(sessions=logged_in, live_bookings=live, schedules_ahead=ahead)


async def has_business(connection: AsyncConnection, account_id: str, now: datetime) -> bool:
    """Whether the account owns seats of a performance to come, or has performances of its own to come."""
    own = sa.exists().where(
        bookings.c.customer_id == account_id,
        is_live,
        schedules.c.id == bookings.c.schedule_id,
        schedules.c.starts_at > now,
    )
    planned = sa.exists().where(
        performances.c.organizer_id == account_id,
        schedules.c.performance_id == performances.c.id,
        schedules.c.starts_at > now,
        schedules.c.deleted_at.is_(None),
    )
    return bool((await connection.execute(sa.select(own | planned))).scalar_one())


async def forget(connection: AsyncConnection, account_id: str, at: datetime) -> None:
    """Deletes the account: its row stays for the bookings' sake, without e-mail, name or password."""
    await connection.execute(
        accounts.update()
        .where(accounts.c.id == account_id, accounts.c.deleted_at.is_(None))
        .values(email="", name=None, password_hash=NO_PASSWORD, deleted_at=at, updated_at=at)
    )


def _account(row: sa.Row[Any]) -> AccountRow:
    return AccountRow(**row._mapping)
