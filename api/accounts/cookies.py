"""The cookie that keeps a browser's refresh token, and who may send it.

No script reads it, no other site's page makes the browser send it, and it goes to the routes of browser sessions alone.
Those take requests of our own pages only: by what the browser says of a request's origin, which no page can forge.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from actors.process.settings import Settings
from api.http.problems import Problem

PATH = "/v1/sessions/browser"
NAME = "boxoffice_refresh"
JSON = "application/json"


def is_secure(settings: Settings) -> bool:
    """Whether the pages are reached by https: then the cookie goes nowhere else, and its name says so to browsers."""
    return settings.origin.startswith("https://")


def name_of(settings: Settings) -> str:
    return f"__Secure-{NAME}" if is_secure(settings) else NAME


def token_in(request: Request, settings: Settings) -> str | None:
    """The refresh token that the browser has sent."""
    return request.cookies.get(name_of(settings))


def keep(response: Response, settings: Settings, token: str, seconds: int) -> None:
    """Has the browser keep the token."""
    response.set_cookie(
        name_of(settings),
        token,
        max_age=seconds,
        path=PATH,
        secure=is_secure(settings),
        httponly=True,
        samesite="strict",
    )


def drop(response: Response, settings: Settings) -> None:
    """Has the browser forget the token."""
    response.delete_cookie(name_of(settings), path=PATH, secure=is_secure(settings), httponly=True, samesite="strict")


def refuse_strangers(request: Request, settings: Settings) -> None:
    """Raises `Problem("cross_site")` unless a page of ours has sent the request.

    `Sec-Fetch-Site` is written by the browser itself; one too old for it says at least which origin a page is of.
    """
    site = request.headers.get("sec-fetch-site")
    if site is None:
        origin = request.headers.get("origin")
        own = {settings.origin} if settings.public_url else {f"http://{request.headers.get('host', '')}"}
        if origin not in own:
            raise Problem("cross_site")
    elif site != "same-origin":
        raise Problem("cross_site")


def refuse_forms(request: Request) -> None:
    """Raises a 415 `Problem` for what a form of any page could send."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise Problem("unsupported_media_type")
