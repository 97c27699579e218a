"""A forgotten password: a link by mail, and a new password by the link.

Whether an e-mail is registered shows neither in the answer nor in its timing: it is looked up when the answer is out.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import ConfigDict
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from actors.mail.links import hash_of
from api.http.addresses import address_of
from api.http.models import Email, Input, Password
from api.http.problems import Problem, responses
from api.http.security_log import note
from api.office.dependencies import OF_STRANGERS, OfficeOf
from api.office.office import Office
from persistence.accounts import accounts, links, sessions
from persistence.notifications import account_mails

router = APIRouter(prefix="/v1/password-resets", tags=["accounts"], dependencies=[OF_STRANGERS])

LinkToken = Annotated[str, Path(description="The last part of the link in the mail.", examples=["k3J9…"])]


class ResetWish(Input):
    """Whose password is forgotten."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "minji@example.com"}]})

    email: Email


class NewPassword(Input):
    """The password from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "correct horse battery"}]})

    password: Password


@router.post(
    "",
    status_code=202,
    response_class=Response,
    summary="Have a link mailed for a new password",
    responses=responses("rate_limited"),
)
async def request_password_reset(wish: ResetWish, request: Request, office: OfficeOf) -> Response:
    """Always 202: whether there is an account with this e-mail is nobody's business."""
    await office.limits.mail(wish.email, address_of(request))
    return Response(status_code=202, background=BackgroundTask(_mail, office, wish.email))


async def _mail(office: Office, email: str) -> None:
    async with office.database.begin() as connection:
        row = await accounts.by_email(connection, email)
        if row is not None:
            await account_mails.ask(
                connection,
                mail_id=office.clock.new_id(),
                account_id=row.id,
                purpose="password_reset",
                at=office.now(),
            )


@router.post(
    "/{token}",
    status_code=204,
    summary="Set a new password by the link",
    responses=responses("link_expired", "overloaded"),
)
async def reset_password(token: LinkToken, new: NewPassword, request: Request, office: OfficeOf) -> None:
    """Works once, within 30 minutes of the mail. Ends all sessions of the account."""
    token_hash = hash_of(token)
    async with office.reading.connect() as connection:
        known = await links.owner(connection, token_hash, "password_reset", office.now())
    if known is None:  # before the work of a hash
        raise Problem("link_expired")
    password_hash = await office.passwords.hash(new.password)
    async with office.database.begin() as connection:
        account_id = await links.use(connection, token_hash, "password_reset", office.now())
        if account_id is None:
            raise Problem("link_expired")
        await links.void(connection, account_id, "password_reset")
        row = await accounts.change(connection, account_id, {"password_hash": password_hash})
        await accounts.confirm_email(connection, account_id, office.now())  # the mail has reached its owner
        ended = await sessions.revoke_all(connection, account_id, office.now())
    note(request, "password_reset", account_id, ended_sessions=len(ended))
    await office.revocations.announce(ended)
    if row is not None:
        await office.limits.came_by_mail(row.email, address_of(request))
