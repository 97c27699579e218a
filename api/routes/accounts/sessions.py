"""Logging in and out with a program, and the sessions that somebody has; browsers: `browser_sessions.py`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter
from pydantic import AfterValidator, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.accounts import log_ins
from api.accounts.log_ins import Opened
from api.http.models import Input, Output, RawText, SessionId, Timestamp, normal_email
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer
from api.http.problems import Problem, invalid, responses
from api.http.security_log import note
from api.office.dependencies import OF_STRANGERS, CurrentAccount, OfficeOf
from persistence.accounts import sessions

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])


EMAIL_LENGTH, PASSWORD_LENGTH = 254, 1000  # no longer ones are kept, so nothing longer is looked at
FORM_FIELDS = {"username": EMAIL_LENGTH, "password": PASSWORD_LENGTH}


class Credentials(Input):
    """Who logs in. The e-mail need not look like one: what is not registered is not registered."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "minji@example.com", "password": "correct horse battery"}]}
    )

    email: Annotated[RawText, Field(min_length=1, max_length=EMAIL_LENGTH), AfterValidator(normal_email)]
    password: Annotated[str, Field(min_length=1, max_length=PASSWORD_LENGTH, json_schema_extra={"format": "password"})]


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


class SessionView(Output):
    """Where somebody is logged in."""

    id: str
    current: Annotated[bool, Field(description="Whether this request belongs to it.")]
    browser: Annotated[bool, Field(description="Whether it is a browser's, or else a program's.")]
    client: Annotated[str | None, Field(description="What the program that logged in calls itself (`User-Agent`).")]
    created_at: Timestamp
    used_at: Annotated[Timestamp, Field(description="When it was last prolonged.")]
    expires_at: Annotated[Timestamp, Field(description="When it ends unless it is prolonged.")]


class SessionPage(Output):
    """Newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
                            "current": True,
                            "browser": True,
                            "client": "Mozilla/5.0 (Linux; Android 16) …",
                            "created_at": "2026-11-22T15:00:00.000+00:00",
                            "used_at": "2026-11-25T09:12:44.000+00:00",
                            "expires_at": "2026-12-25T09:12:44.000+00:00",
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    items: list[SessionView]
    next_cursor: str | None


def _answer(opened: Opened, status: int) -> Response:
    pair = TokenPair(
        access_token=opened.access_token,
        refresh_token=opened.refresh_token,
        token_type="bearer",  # noqa: S106  # the kind of token
        expires_in=opened.expires_in,
        refresh_expires_in=opened.refresh_expires_in,
    )
    return json_answer(pair.model_dump(), status, {"Cache-Control": "no-store"})


@router.post(
    "",
    status_code=201,
    response_model=TokenPair,
    summary="Log in",
    responses=responses("invalid_credentials", "account_locked", "rate_limited", "overloaded"),
    dependencies=[OF_STRANGERS],
)
async def log_in(credentials: Credentials, request: Request, office: OfficeOf) -> Response:
    opened = await log_ins.log_in(office, request, credentials.email, credentials.password, browser=False)
    return _answer(opened, 201)


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
                        "username": {"type": "string", "maxLength": EMAIL_LENGTH, "description": "The e-mail."},
                        "password": {"type": "string", "maxLength": PASSWORD_LENGTH, "format": "password"},
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
    responses=responses("invalid_credentials", "account_locked", "rate_limited", "overloaded"),
    openapi_extra=FORM,
    dependencies=[OF_STRANGERS],
)
async def log_in_by_form(request: Request, office: OfficeOf) -> Response:
    try:
        form = parse_qs((await request.body()).decode(), max_num_fields=20, encoding="utf-8", errors="strict")
    except ValueError:
        raise Problem("bad_request", detail="The body must be a form (application/x-www-form-urlencoded).") from None
    for field, longest in FORM_FIELDS.items():
        given = form.get(field, [""])[0]
        if not given or "\0" in given:
            raise invalid(field, "Field required", "필수 항목입니다")
        if len(given) > longest:
            raise invalid(field, f"String should have at most {longest} characters", f"{longest}자 이하여야 합니다")
    email = normal_email(form["username"][0])
    opened = await log_ins.log_in(office, request, email, form["password"][0], browser=False)
    return _answer(opened, 200)


@router.post(
    "/refresh",
    status_code=201,
    response_model=TokenPair,
    summary="Exchange the refresh token for a new pair",
    responses=responses("unauthenticated"),
    dependencies=[OF_STRANGERS],
)
async def refresh(body: Refresh, request: Request, office: OfficeOf) -> Response:
    return _answer(await log_ins.refresh(office, request, body.refresh_token, browser=False), 201)


@router.get("", summary="Where I am logged in", responses=responses("unauthenticated"))
async def list_sessions(
    account: CurrentAccount, office: OfficeOf, limit: Limit = 50, cursor: Cursor = None
) -> SessionPage:
    before_id = id_in(cursor)
    async with office.reading.connect() as connection:
        rows = await sessions.page(connection, account.id, at=office.now(), before_id=before_id, limit=limit + 1)
    items = [_view(row, account.session_id) for row in rows[:limit]]
    return SessionPage(items=items, next_cursor=encode_cursor(items[-1].id) if len(rows) > limit else None)


@router.delete("/current", status_code=204, summary="Log out", responses=responses("unauthenticated"))
async def log_out(account: CurrentAccount, request: Request, office: OfficeOf) -> None:
    await log_ins.end(office, request, account.session_id)


@router.delete(
    "/{session_id}",
    status_code=204,
    summary="End one of my sessions",
    responses=responses("unauthenticated", "session_not_found"),
)
async def end_session(session_id: SessionId, account: CurrentAccount, request: Request, office: OfficeOf) -> None:
    async with office.database.begin() as connection:
        if not await sessions.revoke_own(connection, account.id, session_id, office.now()):
            raise Problem("session_not_found")
    note(request, "session_ended", session_id=session_id)
    await office.revocations.announce([session_id])


def _view(row: sessions.SessionRow, current_id: str) -> SessionView:
    return SessionView(
        id=row.id,
        current=row.id == current_id,
        browser=row.browser,
        client=row.client,
        created_at=row.created_at,
        used_at=row.used_at,
        expires_at=row.expires_at,
    )
