"""What routes ask for: the office, and who is asking.

All of it is async and does its work in memory, because a dependency runs on every request: a token is verified once and
recognised afterwards, a revocation arrives by itself (see `persistence.accounts.sessions`).
"""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from api.http.addresses import address_of
from api.http.problems import Problem
from api.http.security_log import ACCOUNT_ID
from api.office import office
from api.office.tokens import BUYERS, ORGANIZING, Account

SCHEME = "bearer"
READING = ("GET", "HEAD", "OPTIONS")
COUNTED = "boxoffice.counted"  # in the scope of a request that was


async def get_office(request: Request) -> office.Office:
    """What this worker holds open."""
    return cast(office.Office, request.app.state.office)


class Caller(SecurityBase):
    """A dependency: who asks, if that is somebody with one of the roles; without roles, anybody logged in."""

    def __init__(self, *roles: str) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="The `access_token` of POST /v1/sessions.")
        self.scheme_name = SCHEME
        self.roles = frozenset(roles)

    async def __call__(self, request: Request) -> Account:
        account = await authenticated(request)
        if self.roles and account.role not in self.roles:
            raise Problem("forbidden")
        return account


async def authenticated(request: Request) -> Account:
    """Whose token the request carries. Raises `Problem("unauthenticated")`.

    Whatever changes something is counted here, once, so that no such route can be without a limit: those that need no
    token have `counted_by_address`. Raises `Problem("rate_limited")`.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Problem("unauthenticated")
    open_office = cast(office.Office, request.app.state.office)
    account = open_office.tokens.account_of(token.strip())
    if account is None or await open_office.revocations.is_revoked(account.session_id):
        raise Problem("unauthenticated")
    request.scope[ACCOUNT_ID] = account.id
    count_command(request, account.id, account.role)
    return account


def count_command(request: Request, who: str, role: str) -> None:
    """Counts a request that changes something, once. Raises `Problem("rate_limited")`."""
    if request.method not in READING and COUNTED not in request.scope:
        cast(office.Office, request.app.state.office).limits.command(who, role)
        request.scope[COUNTED] = True  # only now: whoever asks again is refused again


async def counted_by_address(request: Request) -> None:
    """For routes that strangers change something by. Raises `Problem("rate_limited")`."""
    cast(office.Office, request.app.state.office).limits.strangers_command(address_of(request))


current_account = Caller()
customer = Caller(*BUYERS)
organizer = Caller(*ORGANIZING)
admin = Caller("admin")

OF_STRANGERS = Depends(counted_by_address)

OfficeOf = Annotated[office.Office, Depends(get_office)]
CurrentAccount = Annotated[Account, Depends(current_account)]
Customer = Annotated[Account, Depends(customer)]
Organizer = Annotated[Account, Depends(organizer)]
Admin = Annotated[Account, Depends(admin)]
