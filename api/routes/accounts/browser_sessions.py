"""Sessions of our own pages: the access token goes to the page, the refresh token into a cookie that no script reads.

Only pages of this site can ask (403 `cross_site`), and only in JSON. A refresh token that was exchanged is taken once
more within 30 seconds, for the same successor: two tabs, or an answer that was lost, show one twice.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.accounts import cookies, log_ins
from api.accounts.log_ins import Opened
from api.http.models import Output
from api.http.paging import json_answer
from api.http.problems import Problem, responses
from api.office.dependencies import OF_STRANGERS, OfficeOf
from api.office.office import Office
from api.routes.accounts.sessions import Credentials


async def _of_our_pages(request: Request, office: OfficeOf) -> None:
    cookies.refuse_strangers(request, office.settings)


async def _in_json(request: Request) -> None:
    cookies.refuse_forms(request)


router = APIRouter(
    prefix=cookies.PATH,
    tags=["sessions"],
    dependencies=[Depends(_of_our_pages), OF_STRANGERS],
    responses=responses("cross_site"),
)
IN_JSON = Depends(_in_json)
SETS_COOKIE: dict[int | str, dict[str, Any]] = {
    201: {
        "headers": {
            "Set-Cookie": {
                "description": "The refresh token: HttpOnly, SameSite=Strict, for these routes alone.",
                "schema": {"type": "string"},
            }
        }
    }
}


class BrowserSession(Output):
    """Send the access token as `Authorization: Bearer …`, and keep it in memory alone."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"access_token": "eyJhbGciOi…", "expires_in": 900}]})

    access_token: str
    expires_in: Annotated[int, Field(description="Seconds that the access token lives.")]


def _answer(office: Office, opened: Opened) -> Response:
    body = BrowserSession(access_token=opened.access_token, expires_in=opened.expires_in)
    response = json_answer(body.model_dump(), 201, {"Cache-Control": "no-store"})
    cookies.keep(response, office.settings, opened.refresh_token, opened.refresh_expires_in)
    return response


@router.post(
    "",
    status_code=201,
    response_model=BrowserSession,
    summary="Log in with a page",
    responses=SETS_COOKIE
    | responses("invalid_credentials", "cross_site", "account_locked", "rate_limited", "overloaded"),
    dependencies=[IN_JSON],
)
async def log_in_with_page(credentials: Credentials, request: Request, office: OfficeOf) -> Response:
    """Whatever session the browser had before ends."""
    opened = await log_ins.log_in(office, request, credentials.email, credentials.password, browser=True)
    await _end(request, office)
    return _answer(office, opened)


@router.post(
    "/refresh",
    status_code=201,
    response_model=BrowserSession,
    summary="A new access token for a page",
    responses=SETS_COOKIE | responses("unauthenticated", "unsupported_media_type"),
    dependencies=[IN_JSON],
)
async def refresh_page(request: Request, office: OfficeOf) -> Response:
    """By the cookie; the body is `{}`."""
    token = cookies.token_in(request, office.settings)
    if token is None:
        raise Problem("unauthenticated")
    return _answer(office, await log_ins.refresh(office, request, token, browser=True))


@router.delete("", status_code=204, summary="Log out with a page")
async def log_out_with_page(request: Request, office: OfficeOf) -> Response:
    """Ends the session of the cookie, if there is one, and takes the cookie back."""
    await _end(request, office)
    response = Response(status_code=204)
    cookies.drop(response, office.settings)
    return response


async def _end(request: Request, office: Office) -> None:
    token = cookies.token_in(request, office.settings)
    session_id = None if token is None else office.tokens.session_of(token)
    if session_id is not None:
        await log_ins.end(office, request, session_id)
