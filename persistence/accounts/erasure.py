"""Forgetting who somebody was, wherever it stands: called when they delete their account, and by time.

What their bookings, payments and changes need stays, under an id that says nothing. What was mailed to them, and what
they wrote themselves as a reason, is not looked for. `tests/api/routes/accounts/test_erasure.py` searches the whole
database.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.accounts import accounts, first_answers, links
from persistence.database.tables import (
    account_links,
    bookings,
    check_ins,
    notifications,
    notifications_start,
    sessions,
    transfers,
    venue_grants,
)
from persistence.database.tables import accounts as accounts_table

# A day: whoever asks what happened last night still finds it, and a worker that comes back knows who was logged out.
ENDED_SESSIONS, DEAD_LINKS, MAILED_ADDRESSES = (timedelta(days=1),) * 3
UNSENT_LINKS = timedelta(days=7)
FIRST_ANSWERS = timedelta(hours=first_answers.KEPT_HOURS)
MAILS = timedelta(days=90)  # as long as somebody may ask whether they were told


async def forget(connection: AsyncConnection, account_id: str, at: datetime) -> None:
    """Deletes the account, and every copy of what says who it was."""
    # Found by the e-mail, so before that is forgotten.
    email = sa.select(sa.func.lower(accounts_table.c.email)).where(accounts_table.c.id == account_id)
    to_them = (venue_grants.c.organizer_id == account_id) | venue_grants.c.email.in_(email)
    await connection.execute(venue_grants.delete().where(to_them))
    offers = transfers.update().where(transfers.c.status == "offered")
    ended = {"status": "withdrawn", "ended_at": at}
    await connection.execute(offers.where(transfers.c.from_customer_id == account_id).values(**ended))
    await connection.execute(offers.where(transfers.c.to_email.in_(email)).values(**ended))
    # Who has accepted may have had another address then.
    theirs = (transfers.c.from_customer_id == account_id) | (transfers.c.to_customer_id == account_id)
    await connection.execute(transfers.update().where(transfers.c.to_email.in_(email) | theirs).values(to_email=None))
    await accounts.forget(connection, account_id, at)
    await links.void(connection, account_id)
    await first_answers.forget_account(connection, account_id)
    await connection.execute(sessions.update().where(sessions.c.account_id == account_id).values(client=None))
    booked = sa.select(bookings.c.id).where(bookings.c.customer_id == account_id)
    await connection.execute(
        check_ins.update()
        .where(check_ins.c.booking_id.in_(booked))
        .values(answer=sa.func.jsonb_set(check_ins.c.answer, sa.text("'{name}'"), sa.text("'null'"), False))
    )


async def purge(connection: AsyncConnection, at: datetime) -> dict[str, int]:
    """Drops what nobody will ask for any more, of everybody. Returns how many rows of what."""
    ended = (sessions.c.revoked_at < at - ENDED_SESSIONS) | (sessions.c.expires_at < at - ENDED_SESSIONS)
    dead = (account_links.c.expires_at < at - DEAD_LINKS) | (
        account_links.c.expires_at.is_(None) & (account_links.c.created_at < at - UNSENT_LINKS)
    )
    settled = notifications.c.status.in_(("sent", "failed", "skipped", "unknown"))
    horizon = at - MAILS
    # First of all: what happened before is not told again when the events are read anew.
    await connection.execute(notifications_start.update().where(notifications_start.c.at < horizon).values(at=horizon))
    dropped = {
        "first answers": await first_answers.forget_before(connection, at - FIRST_ANSWERS),
        "sessions": (await connection.execute(sessions.delete().where(ended))).rowcount,
        "links": (await connection.execute(account_links.delete().where(dead))).rowcount,
        "mails": (
            await connection.execute(notifications.delete().where(settled, notifications.c.created_at < horizon))
        ).rowcount,
    }
    mailed = notifications.c.address_digest.is_not(None) & (notifications.c.sent_at < at - MAILED_ADDRESSES)
    await connection.execute(notifications.update().where(mailed).values(address_digest=None))
    # Whom seats were offered to may never have had to do with us.
    offered = transfers.c.to_email.is_not(None) & (transfers.c.expires_at < horizon)
    await connection.execute(transfers.update().where(offered).values(to_email=None))
    return dropped
