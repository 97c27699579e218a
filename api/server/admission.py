"""Who may come in with what: judged from the headers before a body is read, and from the body before it is used.

Guarantees: a body is read only for a route that takes one, from somebody who may use it; never more of it is held than
the route takes; of large ones few are held at a time; one that ends before its time is dropped, and nothing it asks for
is done; what cannot be stored goes no further.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.large_bodies import BODY_LIMIT
from api.http.problems import Problem, answer
from api.http.storable import check_form, check_json
from api.routes.bookings import batches
from api.routes.door import check_ins
from api.server.directory import Directory, Entry

LARGE_AT_ONCE = 4  # bodies beyond `BODY_LIMIT` at a time, of each route; one of each account
LARGE_RETRY_AFTER_SECONDS = 2
WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")
UNCODED = (b"", b"identity")  # Content-Encoding: what is small and compressed may be endless
JSON, FORM, ANY = "application/json", "application/x-www-form-urlencoded", ""
# Of the rest: JSON. Any: the route says what it takes.
MEDIA_TYPES: Mapping[str, str] = {"/v1/sessions/token": FORM, "/v1/webhooks/{provider}": ANY, batches.PATH: ANY}

# A scanner reads what people hold up; whatever that is, it is judged.
SPARED: Mapping[str, str] = {check_ins.PATH: "code"}


class BodyCutOff(Exception):
    """The connection ended before its body did: there is nobody to answer."""


class Admission:
    """Lets requests in, with their bodies in hand."""

    def __init__(self, app: ASGIApp, directory: Directory) -> None:
        self._app = app
        self._directory = directory
        self._large: set[tuple[str, str]] = set()  # whose large bodies are here, and at which route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        entry = self._directory.find(scope["method"], scope["path"])
        if entry is None:  # nothing is there, which the framework says without reading anything
            await self._app(scope, receive, send)
            return
        account_id, large = "", ("", "")
        try:
            for caller in entry.callers:
                account_id = (await caller(Request(scope))).id
            length = announced(scope)
            if length == 0:
                await self._app(scope, receive, send)
                return
            _check_announced(entry, scope, length)
            if (entry.body_limit if length is None else length) > BODY_LIMIT:
                large = self._take_place(entry, account_id)
            body = await read_body(receive, entry.body_limit)
            await _check_body(entry, scope, body)
            await self._app(scope, again(body, receive), send)
        except BodyCutOff:
            return
        except Problem as problem:
            await answer(problem, Request(scope))(scope, receive, send)
        finally:
            self._large.discard(large)

    def _take_place(self, entry: Entry, account_id: str) -> tuple[str, str]:
        """A place among the large bodies of a route. Raises `Problem("overloaded")`."""
        place = (entry.route.path, account_id)
        if place in self._large or sum(path == entry.route.path for path, _ in self._large) >= LARGE_AT_ONCE:
            raise Problem("overloaded", retry_after=LARGE_RETRY_AFTER_SECONDS)
        self._large.add(place)
        return place


def header(scope: Scope, name: bytes) -> bytes:
    """The header's first value, which is the one that everything else goes by; empty without one."""
    return next((value for each, value in scope["headers"] if each == name), b"")


def announced(scope: Scope) -> int | None:
    """How many bytes the body has; None where it says so only by its end."""
    if header(scope, b"transfer-encoding"):
        return None
    length = header(scope, b"content-length")
    return int(length) if length.isdigit() else 0


def is_json(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type == b"application/json" or (
        media_type.startswith(b"application/") and media_type.endswith(b"+json")
    )


async def read_body(receive: Receive, limit: int) -> bytes:
    """All of the body. Raises `BodyCutOff`, or `Problem("body_too_large")`."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyCutOff
        body += message.get("body", b"")
        if len(body) > limit:
            raise Problem("body_too_large", limit=limit)
        if not message.get("more_body", False):
            return bytes(body)


def again(body: bytes, receive: Receive) -> Receive:
    """Receives the body once more, then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return messages.pop() if messages else await receive()

    return received


def _check_announced(entry: Entry, scope: Scope, length: int | None) -> None:
    wanted, content_type = MEDIA_TYPES.get(entry.route.path, JSON), header(scope, b"content-type")
    if header(scope, b"content-encoding") not in UNCODED:
        raise Problem("unsupported_media_type")
    if wanted == JSON and not is_json(content_type):
        raise Problem("unsupported_media_type")
    if wanted == FORM and content_type.partition(b";")[0].strip().lower() != FORM.encode():
        raise Problem("unsupported_media_type")
    if length is not None and length > entry.body_limit:
        raise Problem("body_too_large", limit=entry.body_limit)


async def _check_body(entry: Entry, scope: Scope, body: bytes) -> None:
    if MEDIA_TYPES.get(entry.route.path, JSON) == FORM:
        check_form(body)
    elif is_json(header(scope, b"content-type")):
        await check_json(body, SPARED.get(entry.route.path, ""))
