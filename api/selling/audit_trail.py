"""Puts changes into the audit log: in their own transaction, or after a command, once however often it comes."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from api.office.idempotency import request_of
from api.office.office import Office
from api.office.tokens import Account
from persistence.audit import chain


async def record_in(
    connection: AsyncConnection,
    office: Office,
    account_id: str,
    action: str,
    subject: str,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Writes the entry of a change in the transaction that makes it: both happen, or neither."""
    await chain.write(
        connection,
        entry_id=office.clock.new_id(),
        account_id=account_id,
        action=action,
        subject=subject,
        before=before,
        after=after,
    )


async def record(
    office: Office,
    request: Request,
    account: Account,
    action: str,
    subject: str,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Writes the entry after the schedule's owner has accepted the command: a transaction of its own.

    A process that dies in between leaves no entry; the same request sent again writes it then.
    """
    request_id, _ = await request_of(request, account)
    async with office.database.begin() as connection:
        await chain.write(
            connection,
            entry_id=str(uuid5(UUID(request_id), f"{action} {subject}")),
            account_id=account.id,
            action=action,
            subject=subject,
            before=before,
            after=after,
        )
