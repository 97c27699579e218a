"""What every request passes on its way in and out, as plain ASGI: it costs microseconds and never touches a stream.

Guarantees: every request has an id, which stands in its answer, in its log lines and in its problem document; every
answer is counted, and says to browsers and caches what they may do with it; who is called off because the server stops
is answered; `HEAD` is answered like `GET`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import secrets
import time
from collections.abc import Collection
from functools import lru_cache

from prometheus_client import Counter
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.process.tallies import Seconds, Tallies, Tally
from actors.process.telemetry import REQUEST_ID
from api.http.problems import Problem, answer
from api.http.security_log import told_path
from api.server.admission import header
from api.server.proxies import BY_PROXY

SERVER_ERROR = 500
STOPPING_RETRY_AFTER_SECONDS = 1  # another worker serves meanwhile; the one that stops is replaced within seconds
HSTS_SECONDS = 365 * 24 * 3600
REQUEST_ID_HEADER = b"x-request-id"
GIVEN_ID = re.compile(rb"[A-Za-z0-9._:-]{8,100}")  # what a proxy may call a request

# For whatever names no policy of its own: data, which loads nothing, is framed by nobody and is what it says it is.
POLICIES = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)
NO_STORE = (b"cache-control", b"no-store")

REQUESTS = Counter("boxoffice_http_requests_total", "Answered requests", ("method", "route", "status"))
SECONDS = Seconds(
    "boxoffice_http_request_seconds",
    "Time to the first byte of the answer",
    ("method", "route"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)

logger = logging.getLogger(__name__)

_process = secrets.token_hex(6)
_numbers = itertools.count(1)

Headers = list[tuple[bytes, bytes]]


class Watch:
    """The outermost layer of our own.

    `personal` has the routes, as method and path, whose answers are for whoever asked: nothing in between may keep
    them. A request called off by a server that stops may or may not have had its effect; sent again with its
    `Idempotency-Key` it has it once.
    """

    def __init__(self, app: ASGIApp, *, personal: Collection[tuple[str, str]] = (), https: bool = False) -> None:
        self._app = app
        self._personal = frozenset(personal)
        secure = b"max-age=%d; includeSubDomains" % HSTS_SECONDS
        self._policies = (*POLICIES, (b"strict-transport-security", secure)) if https else POLICIES
        self._tallies = Tallies()
        self._tally = lru_cache(maxsize=1024)(_tally_of)  # as many as there are routes, methods and statuses
        self._added = lru_cache(maxsize=256)(self._what_is_added)  # answers have few kinds of heads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            self._tallies.tell()  # a lifespan has ended
            return
        started = time.perf_counter()
        request_id = _id_of(scope)
        REQUEST_ID.set(request_id)
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                route = getattr(scope.get("route"), "path", "none")
                self._count(scope, route, message["status"], time.perf_counter() - started)
                personal = (scope["method"], route) in self._personal
                message = {**message, "headers": self._dressed(message.get("headers", ()), request_id, personal)}
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            if begun:
                raise
            away = Problem("overloaded", retry_after=STOPPING_RETRY_AFTER_SECONDS)
            await answer(away, Request(scope))(scope, receive, watched)

    def _count(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        self._tallies.take(self._tally(scope["method"], route, status), seconds)
        if status >= SERVER_ERROR:
            logger.warning("%s %s → %d after %.0f ms", scope["method"], told_path(scope), status, seconds * 1000)

    def _dressed(self, given: Collection[tuple[bytes, bytes]], request_id: str, personal: bool) -> Headers:
        names = tuple([name for name, _ in given])
        if personal and b"cache-control" in names:
            given = [each for each in given if each[0] != b"cache-control"]
        return [*given, *self._added(names, personal), (REQUEST_ID_HEADER, request_id.encode())]

    def _what_is_added(self, names: tuple[bytes, ...], personal: bool) -> Headers:
        caching = [NO_STORE] if personal or b"cache-control" not in names else []
        return caching + [policy for policy in self._policies if policy[0] not in names]


def _id_of(scope: Scope) -> str:
    """What the request is called: by one of the operator's own proxies, if that has called it anything, or by us."""
    if scope.get(BY_PROXY) and GIVEN_ID.fullmatch(given := header(scope, REQUEST_ID_HEADER)) is not None:
        return given.decode()
    return "%s%08x" % (_process, next(_numbers))  # noqa: UP031  # half of what an f-string takes


def _without_body(send: Send) -> Send:
    """Sends the head of an answer; whoever goes on writing is told by the next `receive` that nobody listens."""
    ended = False

    async def headed(message: Message) -> None:
        nonlocal ended
        if message["type"] == "http.response.start":
            await send(message)
        elif not ended:
            ended = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return headed


def _tally_of(method: str, route: str, status: int) -> Tally:
    # The route's template: a label per booking id would never stop growing.
    return Tally(REQUESTS.labels(method, route, status), SECONDS.labels(method, route))
