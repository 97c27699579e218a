"""Mails about an account, or an offer to it: put into the same outbox as those about bookings, in the transaction that
asks for them."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.accounts import links
from persistence.accounts.links import Purpose
from persistence.database.tables import notifications
from persistence.notifications.outbox import Facts

# Whoever asks more often has the links of the last hour in their mailbox.
PER_HOUR = 5


async def tell(
    connection: AsyncConnection,
    *,
    mail_id: str,
    schedule_id: str,
    customer_id: str,
    kind: str,
    facts: Facts,
    at: datetime,
) -> None:
    """Has a customer told of something that stands in no journal. Not if they were told enough of it within the hour:
    others decide how often there is something to tell."""
    if await _lately(connection, customer_id, kind, at) >= PER_HOUR:
        return
    await connection.execute(
        notifications.insert().values(
            id=mail_id,
            schedule_id=schedule_id,
            version=0,
            customer_id=customer_id,
            kind=kind,
            facts=msgspec.to_builtins(facts),
            status="pending",
        )
    )


async def ask(connection: AsyncConnection, *, mail_id: str, account_id: str, purpose: Purpose, at: datetime) -> bool:
    """Has a link mailed to the account's owner; False if enough of them were asked for within the hour."""
    if await _lately(connection, account_id, purpose, at) >= PER_HOUR:
        return False
    await links.add(connection, link_id=mail_id, account_id=account_id, purpose=purpose, at=at)
    await connection.execute(
        notifications.insert().values(
            id=mail_id, version=0, customer_id=account_id, kind=purpose, facts={}, status="pending"
        )
    )
    return True


async def _lately(connection: AsyncConnection, customer_id: str, kind: str, at: datetime) -> int:
    """How many mails of a kind they were to get within the hour."""
    recent = sa.select(sa.func.count()).where(
        notifications.c.customer_id == customer_id,
        notifications.c.kind == kind,
        notifications.c.created_at > at - timedelta(hours=1),
    )
    return (await connection.execute(recent)).scalar_one()
