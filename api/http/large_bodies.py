"""Routes that take many megabytes of JSON, which are read while everything else goes on.

One call of a decoder holds the interpreter for as long as it takes, in whatever thread it runs. So a large document is
taken apart first, which is quick, and its parts are decoded one by one: nobody waits longer than for one part.
"""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

BODY_LIMIT = 64 * 1024  # bytes, of every other route: several times a wish for as many seats as a booking may have
PART_BYTES = 64 * 1024  # a millisecond's work
LEVELS = 8  # that are taken apart: each costs a walk over the whole, and a seating plan has six

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])
_limits: dict[Callable[..., Any], int] = {}  # as endpoints declare them


def decode(body: bytes) -> Any:
    """The document. Raises `ValueError` or `RecursionError` for what is none. To be called in a thread."""
    try:
        return _decoded(msgspec.Raw(body.removeprefix(codecs.BOM_UTF8)), LEVELS)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def _decoded(raw: msgspec.Raw, levels: int) -> Any:
    text = bytes(raw).strip()
    if levels == 0 or len(text) <= PART_BYTES or text[:1] not in (b"{", b"["):
        return json.loads(text)
    if text[:1] == b"[":
        return [_decoded(each, levels - 1) for each in msgspec.json.decode(text, type=list[msgspec.Raw])]
    members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    return {name: _decoded(each, levels - 1) for name, each in members.items()}


class _LargeRequest(Request):
    async def json(self) -> Any:
        """The body's document. Raises `json.JSONDecodeError`."""
        body = await self.body()
        if len(body) <= PART_BYTES:
            return json.loads(body)
        try:
            return await asyncio.to_thread(decode, body)
        except json.JSONDecodeError:
            raise
        except ValueError as error:  # what found it is another decoder, which says it in its own words
            raise json.JSONDecodeError("malformed", "", 0) from error


class LargeBodies(APIRoute):
    """A route that may take a large body: one whose endpoint says so, with `takes_up_to`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, which reads a large body in a thread."""
        handle = super().get_route_handler()

        async def handle_large(request: Request) -> Response:
            return await handle(_LargeRequest(request.scope, request.receive))

        return handle_large


def takes_up_to(limit: int) -> Callable[[EndpointT], EndpointT]:
    """Declares how many bytes an endpoint's body may have. Only for those that ask for a role (a test sees to it)."""

    def declare(endpoint: EndpointT) -> EndpointT:
        _limits[endpoint] = limit
        return endpoint

    return declare


def body_limit_of(route: APIRoute) -> int:
    """How many bytes a body for this route may have."""
    return _limits.get(route.endpoint, BODY_LIMIT) if isinstance(route, LargeBodies) else BODY_LIMIT
