"""What admins see of accounts, and do about them: let nobody in, or give them another role.

Both end the account's sessions, so that what its tokens say of it is never out of date. There is always somebody left
who can administer. Every change goes into the audit log.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field, StrictBool
from pydantic.config import JsonDict
from sqlalchemy.ext.asyncio import AsyncConnection

from api.http.models import AccountId, Input, Output, RawText, Timestamp, not_null
from api.http.paging import Cursor, Limit, encode_cursor, id_in
from api.http.problems import Problem, responses
from api.http.security_log import note
from api.office.dependencies import Admin, OfficeOf
from api.office.tokens import ORGANIZING
from api.selling.audit_trail import record_in
from persistence.accounts import accounts, sessions
from persistence.accounts.accounts import AccountRow
from persistence.check_ins import staff

router = APIRouter(prefix="/v1/admin/accounts", tags=["admin"])

Role = Literal["customer", "box_office", "organizer", "admin"]
REFUSALS = responses("unauthenticated", "forbidden")
EXAMPLE: JsonDict = {
    "id": "0199f390-77aa-7c41-a0a5-6f1b2c3d4e5f",
    "email": "minji@example.com",
    "name": "김민지",
    "role": "customer",
    "locked": False,
    "email_confirmed": True,
    "created_at": "2026-11-22T15:00:00.000+00:00",
}


class AdminAccountView(Output):
    """An account, as admins see it."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: str
    email: str
    name: str | None
    role: Role
    locked: Annotated[bool, Field(description="Whether nobody is let in.")]
    email_confirmed: bool
    created_at: Timestamp


class AdminAccountDetail(AdminAccountView):
    """An account, and what it has to do with the house."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                EXAMPLE | {"sessions": 2, "live_bookings": 3, "schedules_ahead": 0, "last_administrator": False}
            ]
        }
    )

    sessions: Annotated[int, Field(description="Where it is logged in.")]
    live_bookings: Annotated[int, Field(description="Held or paid, of performances to come.")]
    schedules_ahead: Annotated[int, Field(description="Of its own, to come.")]
    last_administrator: Annotated[bool, Field(description="Nobody else can administer: it stays as it is.")]


class AccountPage(Output):
    """Newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [EXAMPLE], "next_cursor": None}]})

    items: list[AdminAccountView]
    next_cursor: str | None


class AdminAccountChange(Input):
    """What is to be different. Either ends the account's sessions."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"locked": True}, {"role": "organizer"}]})

    locked: Annotated[StrictBool | None, not_null] = None
    role: Annotated[
        Role | None,
        not_null,
        Field(description="`box_office`: a customer who buys for many, without the limits per customer."),
    ] = None


@router.get("", summary="Everybody's accounts", responses=REFUSALS | responses("validation_failed"))
async def list_accounts(
    account: Admin,
    office: OfficeOf,
    q: Annotated[RawText | None, Query(max_length=254, description="Part of an e-mail or a name.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> AccountPage:
    """Those that were not deleted."""
    before_id = id_in(cursor)
    async with office.reading.connect() as connection:
        rows = await accounts.page(connection, search=q, before_id=before_id, limit=limit + 1)
    items = [_view(row) for row in rows[:limit]]
    return AccountPage(items=items, next_cursor=encode_cursor(items[-1].id) if len(rows) > limit else None)


@router.get(
    "/{account_id}",
    summary="Somebody's account",
    responses=REFUSALS | responses("account_not_found"),
)
async def get_account(account_id: AccountId, account: Admin, office: OfficeOf) -> AdminAccountDetail:
    """With what it has to do with the house: what to know before it is locked or given another role."""
    async with office.reading.connect() as connection:
        row = await accounts.by_id(connection, account_id)
        if row is None:
            raise Problem("account_not_found")
        business = await accounts.business(connection, account_id, office.now())
        last = await accounts.is_last_administrator(connection, account_id)
    return AdminAccountDetail(**_view(row).model_dump(), **msgspec.structs.asdict(business), last_administrator=last)


@router.patch(
    "/{account_id}",
    summary="Lock an account, or change its role",
    responses=REFUSALS | responses("account_not_found", "last_administrator"),
)
async def change_account(
    account_id: AccountId, change: AdminAccountChange, request: Request, account: Admin, office: OfficeOf
) -> AdminAccountView:
    """Its sessions end. With a lock, or a role that organizes nothing, so do the links to its doors; an administrator
    makes others."""
    async with office.database.begin() as connection:
        row = await accounts.locked_row(connection, account_id)
        if row is None:
            raise Problem("account_not_found")
        values = _values(change, row, office.now())
        if not values:
            return _view(row)
        await _refuse_to_lose_the_last(connection, row, values)
        changed = await accounts.change(connection, account_id, values)
        assert changed is not None, "the row is locked"
        ended = await sessions.revoke_all(connection, account_id, office.now())
        if changed.locked_at is not None or changed.role not in ORGANIZING:
            await staff.end_of_organizer(connection, account_id, office.now())
        await record_in(
            connection,
            office,
            account.id,
            "account.changed",
            f"account:{account_id}",
            before=_facts(row),
            after=_facts(changed),
        )
    note(request, "account_changed", account_id, by=account.id, **_facts(changed))
    await office.revocations.announce(ended)
    return _view(changed)


async def _refuse_to_lose_the_last(connection: AsyncConnection, row: AccountRow, values: dict[str, object]) -> None:
    """Raises `Problem("last_administrator")` where nobody would be left to undo the change."""
    stays = values.get("role", row.role) == accounts.ADMIN and values.get("locked_at", row.locked_at) is None
    if not stays and await accounts.is_last_administrator(connection, row.id):
        raise Problem("last_administrator")


def _values(change: AdminAccountChange, row: AccountRow, now: datetime) -> dict[str, object]:
    """The columns that the change makes different."""
    values: dict[str, object] = {}
    if change.locked is not None and change.locked != (row.locked_at is not None):
        values["locked_at"] = now if change.locked else None
    if change.role is not None and change.role != row.role:
        values["role"] = change.role
    return values


def _facts(row: AccountRow) -> dict[str, object]:
    """What of an account goes into the audit log: nothing that says whose it is."""
    return {"role": row.role, "locked": row.locked_at is not None}


def _view(row: AccountRow) -> AdminAccountView:
    return AdminAccountView(
        id=row.id,
        email=row.email,
        name=row.name,
        role=row.role,  # type: ignore[arg-type]  # as the column has it
        locked=row.locked_at is not None,
        email_confirmed=row.email_confirmed_at is not None,
        created_at=row.created_at,
    )
