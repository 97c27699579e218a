"""Logging in and out.

An unknown e-mail and a wrong password get the same answer after the same work. A refresh token works once: if an old
one comes back, somebody has copied it, and the whole session ends.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter
from pydantic import AfterValidator, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.http.dependencies import CurrentAccount, HouseOf
from api.http.models import Input, Output, RawText, normal_email
from api.http.office import House
from api.http.paging import json_answer
from api.http.problems import Problem, invalid, responses
from api.http.tokens import ACCESS_SECONDS, REFRESH_SECONDS, Account, hash_of
from persistence.accounts import accounts, sessions

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])


class Credentials(Input):
    """Who logs in. The e-mail need not look like one: what is not registered is not registered."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "minji@example.com", "password": "correct horse battery"}]}
    )

    email: Annotated[RawText, Field(min_length=1, max_length=254), AfterValidator(normal_email)]
    password: Annotated[str, Field(min_length=1, max_length=1000, json_schema_extra={"format": "password"})]


class Refresh(Input):
    """The refresh token of the pair before."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refresh_token": "AZrF…"}]})

    refresh_token: Annotated[str, Field(min_length=1, max_length=500)]


class TokenPair(Output):
    """Send the access token as `Authorization: Bearer …`; once it has expired, refresh."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int  # seconds that the access token lives
    refresh_expires_in: int


def _answer(pair: TokenPair, status: int) -> Response:
    return json_answer(pair.model_dump(), status, {"Cache-Control": "no-store"})


async def _log_in(house: House, email: str, password: str, address: str) -> TokenPair:
    await house.limits.log_in(email, address)
    async with house.database.connect() as connection:
        row = await accounts.by_email(connection, email)
    if not await house.passwords.matches(password, None if row is None else row.password_hash) or row is None:
        raise Problem("invalid_credentials")
    account = Account(row.id, row.role, house.clock.new_id())
    refresh_token = house.tokens.refresh_token(account.session_id)
    async with house.database.begin() as connection:
        await sessions.open_session(
            connection,
            session_id=account.session_id,
            account_id=account.id,
            refresh_hash=hash_of(refresh_token),
            at=house.now(),
            until=house.now() + timedelta(seconds=REFRESH_SECONDS),
        )
    return _pair(house, account, refresh_token)


def _pair(house: House, account: Account, refresh_token: str) -> TokenPair:
    return TokenPair(
        access_token=house.tokens.access_token(account),
        refresh_token=refresh_token,
        token_type="bearer",  # noqa: S106  # the kind of token
        expires_in=ACCESS_SECONDS,
        refresh_expires_in=REFRESH_SECONDS,
    )


@router.post(
    "",
    status_code=201,
    response_model=TokenPair,
    summary="Log in",
    responses=responses("invalid_credentials", "rate_limited", "overloaded"),
)
async def log_in(credentials: Credentials, request: Request, house: HouseOf) -> Response:
    address = request.client.host if request.client else ""
    return _answer(await _log_in(house, credentials.email, credentials.password, address), 201)


FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["password"]},
                        "username": {"type": "string", "description": "The e-mail."},
                        "password": {"type": "string", "format": "password"},
                    },
                }
            }
        },
    }
}


@router.post(
    "/token",
    response_model=TokenPair,
    summary="Log in as OAuth2 clients do",
    description="RFC 6749 section 4.3, for the *Authorize* button of this page. Takes a form.",
    responses=responses("invalid_credentials", "rate_limited", "overloaded"),
    openapi_extra=FORM,
)
async def log_in_by_form(request: Request, house: HouseOf) -> Response:
    try:
        form = parse_qs((await request.body()).decode(), max_num_fields=20, encoding="utf-8", errors="strict")
    except ValueError:
        raise Problem("bad_request", detail="The body must be a form (application/x-www-form-urlencoded).") from None
    for field in ("username", "password"):
        if not form.get(field, [""])[0] or "\0" in form[field][0]:
            raise invalid(field, "Field required", "필수 항목입니다")
    address = request.client.host if request.client else ""
    pair = await _log_in(house, normal_email(form["username"][0]), form["password"][0], address)
    return _answer(pair, 200)


@router.post(
    "/refresh",
    status_code=201,
    response_model=TokenPair,
    summary="Exchange the refresh token for a new pair",
    responses=responses("unauthenticated"),
)
async def refresh(body: Refresh, house: HouseOf) -> Response:
    session_id = house.tokens.session_of(body.refresh_token)
    if session_id is None:
        raise Problem("unauthenticated")
    new_token = house.tokens.refresh_token(session_id)
    async with house.database.begin() as connection:
        session = await sessions.rotate(
            connection,
            session_id=session_id,
            old_hash=hash_of(body.refresh_token),
            new_hash=hash_of(new_token),
            at=house.now(),
            until=house.now() + timedelta(seconds=REFRESH_SECONDS),
        )
        stolen = session is None and await sessions.revoke(connection, session_id, house.now())
    if stolen:
        await house.revocations.announce([session_id])
    if session is None:
        raise Problem("unauthenticated")
    return _answer(_pair(house, Account(session.account_id, session.role, session.id), new_token), 201)


@router.delete("/current", status_code=204, summary="Log out", responses=responses("unauthenticated"))
async def log_out(account: CurrentAccount, house: HouseOf) -> None:
    async with house.database.begin() as connection:
        await sessions.revoke(connection, account.session_id, house.now())
    await house.revocations.announce([account.session_id])
