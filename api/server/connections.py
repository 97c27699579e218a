"""The connections of one worker: how many there may be, of whom, and how long each may take over what.

One class for what the server under it leaves open. A head is small and comes soon; a body comes in time; a client that
takes nothing is cut off; what one address may have open is bounded, and when all places are taken, the one that has
idled longest gives way. Whatever is refused here is told as a problem, like everything else. Deadlines are looked at
once a second for all connections together, so that a request costs no timer.
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import httptools
import prometheus_client
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.http.addresses import place_of
from api.http.corked import Corked
from api.http.problems import MEDIA_TYPE, Problem, document, language_of
from api.server.exchange import Exchange
from api.server.proxies import Networks, address_in

HEAD_BYTES = 32 * 1024  # request line and headers; a token has a few hundred
URL_BYTES = 8 * 1024
PIECE_BYTES = 8 * 1024  # what is taken at once of what came: bounds are kept to within one piece
HEAD_SECONDS = 10.0  # from its first byte, or the connection's beginning, to its end
BODY_SECONDS = 30.0  # from a request's first byte to its last: 8 MiB at 2 Mbit/s
KEEP_ALIVE_SECONDS = 75.0  # longer than the 60 s after which common load balancers drop an idle connection themselves
STUCK_SECONDS = 30.0  # a client that takes nothing of its answer for so long is gone
CLOSING_SECONDS = 5.0  # to take what was said last
DROPPED_BYTES = 64 * 1024 * 1024  # of a body that was answered before it ended: a client that sends does not read
CHUNK_OVERHEAD = 8  # bytes beside each byte of a body in chunks: what chunks of one byte need
SWEEP_SECONDS = 1.0
FILES_KEPT_BACK = 256  # open files that are no connections of clients: the database's, Redis's, owners', the program's
RETRY_AFTER_SECONDS = 2
NEVER = float("inf")

REFUSED = prometheus_client.Counter(
    "boxoffice_http_refused_total", "Connections and requests refused before the application saw them", ("code",)
)


class Bounds(Struct, frozen=True):
    """How many connections a worker has at most."""

    total: int = 4_000
    per_address: int = 500  # a whole office may be one; 0: as many as there are places
    proxies: Networks = ()  # whose addresses stand for many clients


def open_files(wanted: int) -> int:
    """Raises the limit on open files as far as it goes, and gives how many connections there can be under it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + FILES_KEPT_BACK
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), hard))
    return min(wanted, soft - FILES_KEPT_BACK)


class Connections:
    """All of them. Called for a new one, as the server calls a protocol's class."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._open: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, **arguments: Any) -> Connection:
        return Connection(self, **arguments)

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, connection: Connection) -> bool:
        """Takes a new connection in; False if there is no place for it."""
        address = connection.address = self._counted_as(connection.client[0] if connection.client else "")
        if self._bounds.per_address and address and self._by_address[address] >= self._bounds.per_address:
            return False
        if len(self._open) >= self._bounds.total and not self._make_room():
            return False
        self._open.add(connection)
        self._by_address[address] += 1
        if self._timer is None:
            self._timer = connection.loop.call_later(SWEEP_SECONDS, self._sweep, connection.loop)
        return True

    def leave(self, connection: Connection) -> None:
        """The connection's place is free; one that had none changes nothing."""
        if connection in self._open:
            self._open.discard(connection)
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]

    def _counted_as(self, host: str) -> str:
        """Where the client is; empty for a proxy of the operator's own, behind which many are."""
        address = address_in(host)
        if address is None or any(address in network for network in self._bounds.proxies):
            return ""
        return place_of(host)

    def _make_room(self) -> bool:
        waiting = min(self._open, key=lambda each: each.due, default=None)
        if waiting is None or waiting.due == NEVER:
            return False  # every one of them is being answered
        waiting.transport.abort()
        self.leave(waiting)
        return True

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._open):
            connection.look_at_the_clock(now)
        self._timer = loop.call_later(SWEEP_SECONDS, self._sweep, loop) if self._open else None


class Connection(HttpToolsProtocol):
    """One of them: the server's HTTP protocol with bounds to what a client may make it hold and wait for."""

    def __init__(self, all_of_them: Connections, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.address = ""
        self.due = self.loop.time() + HEAD_SECONDS  # when what it waits for must have come
        self._all = all_of_them
        self._stuck_since = NEVER
        self._receiving = False  # a request has begun and not ended
        self._in_head = False
        self._begins = False  # a request, in the piece at hand
        self._refused = False
        self._closing = False
        self._head_bytes = self._piece_bytes = self._beside_bytes = self._body_bytes = self._hosts = 0
        self._refusal: Problem | None = None

    # --- the connection -----------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a server's is one
        super().connection_made(cast(asyncio.Transport, Corked(transport)))
        if not self._all.enter(self):
            self._refuse(Problem("overloaded", retry_after=RETRY_AFTER_SECONDS))

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._stuck_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stuck_since = NEVER
        super().resume_writing()

    def look_at_the_clock(self, now: float) -> None:
        """Ends what has taken too long."""
        if now - self._stuck_since > STUCK_SECONDS or (self._closing and now >= self.due):
            self.transport.abort()
        elif now >= self.due:
            if self._receiving:
                self._refuse(Problem("request_timeout"))
            else:
                self._close()

    # --- the requests on it -------------------------------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            self._take(data[start : start + PIECE_BYTES] if len(data) > PIECE_BYTES else data)

    def _take(self, data: bytes) -> None:
        """Reads on. A piece in which a message begins is not counted: most of it may be the message's before it."""
        if self._refused:
            return
        self._piece_bytes, self._begins = len(data), False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # nothing here can be upgraded: it was answered as what it is without
        except httptools.HttpParserError:
            self._refuse(self._refusal or Problem("bad_request"))
            return
        if self._begins:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(Problem("headers_too_large" if self.headers else "uri_too_long"))
        elif self._receiving:
            self._beside_bytes += len(data)  # of which `on_body` takes what was body
            if self._beside_bytes > HEAD_BYTES + CHUNK_OVERHEAD * self._body_bytes:
                self._refuse(Problem("headers_too_large"))  # behind the body, or between its chunks

    def on_message_begin(self) -> None:
        """A request begins: its head is counted, and due within `HEAD_SECONDS`."""
        super().on_message_begin()
        self._receiving = self._in_head = self._begins = True
        self._head_bytes = self._hosts = 0
        self.due = self.loop.time() + HEAD_SECONDS

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers are let fall."""
        if not self._in_head:
            return  # a trailer: nobody here reads it, and it is not to pass for a header
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Judges the request by its head before a byte of its body is waited for."""
        self._in_head = False
        self._refusal = self._objection()
        if self._refusal is not None:
            raise _NotTaken
        self._body_bytes = self._beside_bytes = 0
        self.due += BODY_SECONDS - HEAD_SECONDS
        self._begin()

    def _begin(self) -> None:
        """Hands the request to the application, behind those that came before it on this connection."""
        url = httptools.parse_url(self.url)
        version = self.parser.get_http_version()
        path = url.path.decode("ascii")
        self.scope["http_version"] = version
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["raw_path"] = url.path
        self.scope["path"] = unquote(path) if "%" in path else path
        self.scope["query_string"] = url.query or b""
        before = self.cycle
        self.cycle = Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """A piece of body; what comes for a request answered already is let fall, within bounds."""
        self._body_bytes += len(body)
        self._beside_bytes -= len(body)
        if not self.cycle.response_complete:
            super().on_body(body)
        elif self._body_bytes > DROPPED_BYTES:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """The request is here whole: nothing of it is waited for any more."""
        self._receiving = False
        self.due = NEVER if not self.cycle.response_complete else self.loop.time() + KEEP_ALIVE_SECONDS
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Goes on with the next request of the connection, or waits for one for `KEEP_ALIVE_SECONDS`."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._closing, self.due = True, self.loop.time() + STUCK_SECONDS
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif not self._receiving:
            self.due = self.loop.time() + KEEP_ALIVE_SECONDS

    def _objection(self) -> Problem | None:
        """What is wrong with a request by its head."""
        if len(self.url) > URL_BYTES:
            return Problem("uri_too_long")
        # The first piece is not counted, and the last may hold more than the rest of the head.
        if self._head_bytes + self._piece_bytes > HEAD_BYTES - PIECE_BYTES:
            held = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if held > HEAD_BYTES:
                return Problem("headers_too_large")
        if self._hosts > 1 or (self._hosts == 0 and self.parser.get_http_version() == "1.1"):
            return Problem("bad_request")  # RFC 9112 section 3.2
        return None

    # --- refusing -----------------------------------------------------------------------------------------------------
    def _refuse(self, problem: Problem) -> None:
        """Says why and ends the connection; without a word where another answer is still due on it."""
        REFUSED.labels(problem.code).inc()
        self._refused = True
        answering = self.cycle is not None and not self.cycle.response_complete
        if not self.pipeline and not (answering and (self.cycle.response_started or not self._receiving)):
            if answering:  # the application waits for the body of this request: it is told that none will come
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self.transport.write(self._spoken(problem))
        self._close()

    def _spoken(self, problem: Problem) -> bytes:
        headers = dict(self.headers or ())
        language = language_of(headers.get(b"accept-language", b"").decode("latin-1"))
        path = (getattr(self, "url", b"") or b"").partition(b"?")[0][:URL_BYTES].decode("ascii", "replace")
        body = document(problem, language=language, instance=path)
        lines = [
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            f"content-language: {language}",
            *(f"{name.lower()}: {value}" for name, value in problem.headers.items()),
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "connection: close",
        ]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def _close(self) -> None:
        self._closing = True
        self.due = self.loop.time() + CLOSING_SECONDS
        self.transport.close()


class _NotTaken(Exception):
    """The parser goes no further."""
