"""Whether mails to an address reach its account's owner: a link by mail, opened once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from actors.mail.links import hash_of
from api.http.addresses import address_of
from api.http.problems import Problem, responses
from api.http.security_log import note
from api.office.dependencies import OF_STRANGERS, CurrentAccount, OfficeOf
from persistence.accounts import accounts, links
from persistence.notifications import account_mails

router = APIRouter(prefix="/v1/email-confirmations", tags=["accounts"])

LinkToken = Annotated[str, Path(description="The last part of the link in the mail.", examples=["k3J9…"])]


@router.post(
    "",
    status_code=202,
    response_class=Response,
    summary="Have the confirmation mailed again",
    responses=responses("unauthenticated", "rate_limited"),
)
async def request_confirmation(account: CurrentAccount, request: Request, office: OfficeOf) -> Response:
    """Nothing is mailed where the address is confirmed already, or after five mails within an hour."""
    await office.limits.mail(account.id, address_of(request))
    async with office.database.begin() as connection:
        row = await accounts.by_id(connection, account.id)
        if row is None:
            raise Problem("unauthenticated")
        if row.email_confirmed_at is None:
            await account_mails.ask(
                connection,
                mail_id=office.clock.new_id(),
                account_id=account.id,
                purpose="email_confirmation",
                at=office.now(),
            )
    return Response(status_code=202)


@router.post(
    "/{token}",
    status_code=204,
    summary="Confirm an e-mail by the link",
    responses=responses("link_expired"),
    dependencies=[OF_STRANGERS],
)
async def confirm_email(token: LinkToken, request: Request, office: OfficeOf) -> None:
    async with office.database.begin() as connection:
        account_id = await links.use(connection, hash_of(token), "email_confirmation", office.now())
        if account_id is None:
            raise Problem("link_expired")
        await links.void(connection, account_id, "email_confirmation")
        await accounts.confirm_email(connection, account_id, office.now())
    note(request, "email_confirmed", account_id)
