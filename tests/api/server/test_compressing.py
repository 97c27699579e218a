"""Answers that go out compressed: which ones, and that they are read as they were written."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.server.compressing import IN_A_THREAD_FROM_BYTES, Compressing

LARGE = b'{"seat": "1F-A-1-1"}' * 200
HUGE = LARGE * (IN_A_THREAD_FROM_BYTES // len(LARGE) + 1)


async def answer(request: Request) -> Response:
    kind = request.query_params.get("kind", "application/json")
    body = {"small": b"{}", "large": LARGE, "huge": HUGE}[request.query_params.get("size", "large")]
    headers = {"ETag": 'W/"1"'} | ({"Content-Encoding": "br"} if "coded" in request.query_params else {})
    if "pieces" in request.query_params:

        async def pieces() -> Any:
            for start in range(0, len(body), 1_000):
                yield body[start : start + 1_000]

        return StreamingResponse(pieces(), media_type=kind, headers=headers)
    return Response(body, media_type=kind, headers=headers)


async def asked(query: str = "", accepted: str | None = "gzip, br", method: str = "GET") -> tuple[httpx.Headers, bytes]:
    """The answer's headers, and its body as it came."""
    app = Compressing(Starlette(routes=[Route("/", answer, methods=["GET", "POST"])]))
    headers = {} if accepted is None else {"accept-encoding": accepted}
    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "asgi": {"version": "3.0"},
    }
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()  # the client says nothing more

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return httpx.Headers(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("kind", ["application/json", "application/problem+json", "text/csv; charset=utf-8"])
@pytest.mark.parametrize(("size", "body"), [("large", LARGE), ("huge", HUGE)])
@pytest.mark.parametrize("how", ["whole", "pieces"])
async def test_a_large_answer_is_compressed_and_read_as_it_was_written(
    kind: str, size: str, body: bytes, how: str
) -> None:
    headers, sent = await asked(f"size={size}&kind={kind.replace('+', '%2B').replace(' ', '%20')}&{how}")
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(sent) == body
    assert headers.get("content-length") == (str(len(sent)) if how == "whole" else None)
    assert len(sent) < len(body) / 4


@pytest.mark.parametrize(
    ("query", "accepted", "method"),
    [
        ("size=small", "gzip", "GET"),
        ("kind=image/png", "gzip", "GET"),
        ("kind=text/event-stream&pieces", "gzip", "GET"),
        ("", "identity", "GET"),
        ("", "gzip;q=0", "GET"),
        ("", None, "GET"),
        ("", "gzip", "POST"),
    ],
)
async def test_any_other_answer_stays_as_it_is(query: str, accepted: str | None, method: str) -> None:
    headers, sent = await asked(query, accepted, method)
    assert "content-encoding" not in headers
    assert sent == (b"{}" if "small" in query else LARGE)


async def test_what_was_compressed_where_it_was_made_is_not_compressed_again() -> None:
    headers, sent = await asked("coded")
    assert (headers["content-encoding"], sent) == ("br", LARGE)


async def test_what_is_no_http_is_passed_on() -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope["type"])

    async def nothing(*_: Any) -> Any: ...

    await Compressing(app)({"type": "lifespan"}, nothing, nothing)
    assert heard == ["lifespan"]
