"""Accounts: signing up, and looking after one's own.

An e-mail belongs to one account, whatever its case. Nobody can make themselves an admin.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from api.http.addresses import address_of
from api.http.models import Email, Input, Output, Password, Timestamp, Word, not_null
from api.http.problems import Problem, invalid, language_of, responses
from api.http.security_log import note
from api.office.dependencies import OF_STRANGERS, CurrentAccount, OfficeOf
from api.office.idempotency import TAKES_KEY, once, strangers
from api.office.office import Office
from persistence.accounts import accounts, erasure, links, sessions
from persistence.check_ins import staff
from persistence.notifications import account_mails

router = APIRouter(prefix="/v1/accounts", tags=["accounts"])


class NewAccount(Input):
    """Who signs up."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"email": "minji@example.com", "password": "correct horse battery", "name": "김민지"},
                {"email": "arts@example.com", "password": "correct horse battery", "role": "organizer"},
            ]
        }
    )

    email: Email
    password: Password
    name: Word | None = None
    role: Literal["customer", "organizer"] = "customer"
    language: Annotated[
        Literal["ko", "en"] | None, Field(description="Of the mails to you; by `Accept-Language` if left out.")
    ] = None


class AccountChange(Input):
    """What is to be different. A new e-mail or password needs the current password.

    A new password ends all other sessions, and a new e-mail has to be confirmed again.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "김민지"}]})

    email: Annotated[Email | None, not_null] = None
    password: Annotated[Password | None, not_null] = None
    name: Word | None = None
    language: Annotated[Literal["ko", "en"] | None, not_null] = None
    current_password: Annotated[str, Field(max_length=1000)] | None = None
    role: Annotated[
        Word | None, Field(description="Is what it was made with, until an administrator gives another.")
    ] = None


class AccountView(Output):
    """An account, as its owner sees it."""

    id: str
    email: str
    name: str | None
    role: str
    language: str
    email_confirmed: Annotated[bool, Field(description="Whether the link in the mail to this address was opened.")]
    created_at: Timestamp
    updated_at: Timestamp


def _view(row: accounts.AccountRow) -> AccountView:
    return AccountView(
        id=row.id,
        email=row.email,
        name=row.name,
        role=row.role,
        language=row.language,
        email_confirmed=row.email_confirmed_at is not None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


@router.post(
    "",
    status_code=201,
    response_model=AccountView,
    summary="Sign up",
    responses=responses(
        "email_taken", "idempotency_key_reused", "idempotency_in_progress", "rate_limited", "overloaded"
    ),
    dependencies=[TAKES_KEY, OF_STRANGERS],
)
async def sign_up(new: NewAccount, request: Request, office: OfficeOf) -> Response:
    await office.limits.sign_up(address_of(request))
    password_hash = await office.passwords.hash(new.password)

    async def create(connection: AsyncConnection) -> AccountView:
        try:
            row = await accounts.create(
                connection,
                account_id=office.clock.new_id(),
                email=new.email,
                password_hash=password_hash,
                name=new.name,
                role=new.role,
                language=new.language or language_of(request.headers.get("accept-language", "")),
            )
        except accounts.EmailTaken:
            raise Problem("email_taken") from None
        await _ask_to_confirm(connection, office, row.id)
        note(request, "account_created", row.id, role=row.role)
        return _view(row)

    owner, *formerly = strangers(office, request)
    return await once(office, request, owner, create, "/v1/accounts/me", formerly=formerly, about=lambda made: made.id)


@router.get("/me", summary="My account", responses=responses("unauthenticated"))
async def get_me(account: CurrentAccount, office: OfficeOf) -> AccountView:
    async with office.reading.connect() as connection:
        row = await accounts.by_id(connection, account.id)
    if row is None:
        raise Problem("unauthenticated")
    return _view(row)


@router.patch("/me", summary="Change my account", responses=responses("unauthenticated", "email_taken", "rate_limited"))
async def change_me(change: AccountChange, account: CurrentAccount, request: Request, office: OfficeOf) -> AccountView:
    if change.role not in (None, account.role):
        raise invalid("role", "cannot be changed: ask an administrator", "변경할 수 없습니다. 관리자에게 문의하세요")
    values = await _values(change, account.id, request, office)
    ended: list[str] = []
    async with office.database.begin() as connection:
        try:
            row = await accounts.change(connection, account.id, values)
        except accounts.EmailTaken:
            raise Problem("email_taken") from None
        if row is None:
            raise Problem("unauthenticated")
        if "password_hash" in values:
            ended = await sessions.revoke_all(connection, account.id, office.now(), except_id=account.session_id)
            await links.void(connection, account.id, "password_reset")
        if "email" in values:
            await links.void(connection, account.id)
            if row.email_confirmed_at is None:
                await _ask_to_confirm(connection, office, account.id)
    if "password_hash" in values:
        note(request, "password_changed", ended_sessions=len(ended))
    if "email" in values:
        note(request, "email_changed")
    await office.revocations.announce(ended)
    return _view(row)


async def _ask_to_confirm(connection: AsyncConnection, office: Office, account_id: str) -> None:
    await account_mails.ask(
        connection,
        mail_id=office.clock.new_id(),
        account_id=account_id,
        purpose="email_confirmation",
        at=office.now(),
    )


async def _values(change: AccountChange, account_id: str, request: Request, office: Office) -> dict[str, object]:
    """The columns to change, once the current password has been checked where it is needed."""
    values: dict[str, object] = {}
    if "name" in change.model_fields_set:
        values["name"] = change.name
    if change.language is not None:
        values["language"] = change.language
    if change.email is not None:
        values["email"] = change.email
    if change.password is not None or change.email is not None:
        async with office.reading.connect() as connection:
            row = await accounts.by_id(connection, account_id)
        kept = None if row is None else row.password_hash
        attempt = await office.limits.guess(account_id, address_of(request))
        if not await office.passwords.matches(change.current_password or "", kept):
            note(request, "password_refused")
            raise invalid("current_password", "is not your current password", "현재 비밀번호가 올바르지 않습니다")
        await attempt.succeeded()
    if change.password is not None:
        values["password_hash"] = await office.passwords.hash(change.password)
    return values


@router.delete(
    "/me",
    status_code=204,
    summary="Delete my account",
    responses=responses("unauthenticated", "account_has_bookings", "last_administrator"),
)
async def delete_me(account: CurrentAccount, request: Request, office: OfficeOf) -> None:
    async with office.database.begin() as connection:
        if account.role == accounts.ADMIN:
            await accounts.locked_row(connection, account.id)
            if await accounts.is_last_administrator(connection, account.id):
                raise Problem("last_administrator")
        if await accounts.has_business(connection, account.id, office.now()):
            raise Problem("account_has_bookings")
        await erasure.forget(connection, account.id, office.now())
        await staff.end_of_organizer(connection, account.id, office.now())
        ended = await sessions.revoke_all(connection, account.id, office.now())
    note(request, "account_deleted")
    await office.revocations.announce(ended)
