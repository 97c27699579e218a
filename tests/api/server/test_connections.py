"""What a client may make a worker hold and wait for, tried byte by byte on real connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import uvicorn
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from api.server import connections
from api.server.connections import Bounds, Connections
from tests.support.waiting import PATIENCE_SECONDS, until

MIB = 1024 * 1024
HEAD = b"POST /book HTTP/1.1\r\nHost: boxoffice\r\n"
GET = b"GET /seats HTTP/1.1\r\nHost: boxoffice\r\n\r\n"


class Seen:
    """What the application was asked, with the bodies that came whole."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answer = b"granted"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        self.headers.append(scope["headers"])
        body, more = b"", scope["method"] == "POST" and scope["path"] != "/unread"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        await self.may_answer.wait()
        length = str(len(self.answer)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": self.answer})


class Server(Struct):
    """A worker's connections, and an application behind them."""

    port: int
    seen: Seen
    all: Connections
    clients: list[Client] = msgspec.field(default_factory=list)

    async def connect(self, address: str = "127.0.0.1") -> Client:
        streams = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0), limit=4 * MIB)
        self.clients.append(Client(*streams))
        return self.clients[-1]


class Answer(Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == self.status
        assert document["detail"]
        return str(document["code"])


class Client(Struct):
    """One connection, spoken to by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(head[0].split()[1]), headers, body)

    async def ends(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(MIB):
                    pass

    def close(self) -> None:
        self.writer.close()


@contextlib.asynccontextmanager
async def serving(bounds: Bounds = Bounds()) -> AsyncIterator[Server]:  # noqa: B008  # frozen
    seen, everyone = Seen(), Connections(bounds)
    config = uvicorn.Config(seen, http=everyone, lifespan="off", log_config=None, ws="none", loop="asyncio", port=0)  # type: ignore[arg-type]  # a class of ours
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    opened = Server(server.servers[0].sockets[0].getsockname()[1], seen, everyone)
    try:
        yield opened
    finally:
        for client in opened.clients:
            client.writer.close()
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()
        seen.may_answer.set()
        server.should_exit = server.force_exit = True
        await running


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "KEEP_ALIVE_SECONDS", "STUCK_SECONDS", "CLOSING_SECONDS"):
        monkeypatch.setattr(connections, name, 0.2)
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.02)


# --- heads ------------------------------------------------------------------------------------------------------------
async def test_requests_are_answered_one_after_the_other_on_a_connection(server: Server) -> None:
    client = await server.connect()
    for _ in range(3):
        await client.send(GET)
        assert (await client.answer()).body == b"granted"
    await client.send(HEAD + b"Content-Length: 4\r\n\r\nse", b"at" + GET + GET)
    assert [(await client.answer()).status for _ in range(3)] == [200, 200, 200]
    assert b"seat" in server.seen.bodies


@pytest.mark.parametrize(
    ("request_head", "status", "code"),
    [
        (HEAD + b"X: " + b"x" * 40_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (HEAD + b"X: y\r\n" * 8_000 + b"\r\n", 431, "headers_too_large"),
        (HEAD + b"X: " + b"x" * MIB, 431, "headers_too_large"),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"),
        (b"GET /" + b"x" * MIB, 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400, "bad_request"),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "bad_request"),
        (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"),
        (HEAD + b"Content-Length: one\r\n\r\n", 400, "bad_request"),
        (b"nonsense\r\n\r\n", 400, "bad_request"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 50])
async def test_a_head_that_is_not_taken_is_refused_with_a_problem(
    server: Server, request_head: bytes, status: int, code: str, pieces: int
) -> None:
    client = await server.connect()
    step = len(request_head) // pieces + 1
    await client.send(*(request_head[at : at + step] for at in range(0, len(request_head), step)))
    answer = await client.answer()
    assert (answer.status, answer.code, answer.headers["connection"]) == (status, code, "close")
    await client.ends()
    assert server.seen.asked == []


async def test_a_head_within_the_limit_is_taken(server: Server) -> None:
    client = await server.connect()
    await client.send(b"GET /seats HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 30_000 + b"\r\n\r\n")
    assert (await client.answer()).status == 200
    await client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert (await client.answer()).status == 200, "HTTP/1.0 knows no Host"


async def test_what_is_said_behind_a_body_is_bounded_and_no_header(server: Server) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nseat\r\n0\r\n"
    client = await server.connect()
    await client.send(chunked + b"Authorization: Bearer other\r\n\r\n")
    assert (await client.answer()).status == 200
    assert b"authorization" not in dict(server.seen.headers[0])
    client = await server.connect()
    await client.send(chunked, *[b"X: " + b"x" * 10_000 + b"\r\n"] * 100)
    assert (await client.answer()).code == "headers_too_large"
    client = await server.connect()
    await client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 20_000, b"0\r\n\r\n")
    assert (await client.answer()).status == 200, "small chunks are taken"


@pytest.mark.parametrize(
    "before",
    [
        HEAD.replace(b"/book", b"/unread") + b"Content-Length: 150000\r\n\r\n" + b"x" * 150_000,
        HEAD + b"Content-Length: 150000\r\n\r\n" + b"x" * 150_000,
        GET * 2_000,
    ],
    ids=["a body that was answered early", "a body", "many requests"],
)
@pytest.mark.parametrize("cut", [5, len(HEAD), -4], ids=["in the line", "in the head", "before the body"])
async def test_what_came_before_a_request_is_not_counted_as_its_own(server: Server, before: bytes, cut: int) -> None:
    client = await server.connect()
    request = HEAD + b"Content-Length: 4\r\n\r\nlast"
    await client.send(before[:-40_000], before[-40_000:] + request[:cut])
    for _ in range(max(1, before.count(GET))):
        assert (await client.answer()).status == 200
    await client.send(request[cut:])
    assert (await client.answer()).status == 200
    assert server.seen.bodies[-1] == b"last"


async def test_a_refusal_does_not_overtake_an_answer_that_is_due(server: Server) -> None:
    server.seen.may_answer.clear()
    client = await server.connect()
    await client.send(GET)
    await until(lambda: server.seen.asked == ["/seats"])
    await client.send(b"nonsense\r\n\r\n")
    await client.ends()


# --- deadlines --------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("said", [HEAD, HEAD + b"X: ", b"P", HEAD + b"Content-Length: 400\r\n\r\n" + b"x" * 15])
async def test_a_request_that_does_not_come_to_its_end_is_given_up(server: Server, said: bytes) -> None:
    client = await server.connect()
    await client.send(said)
    assert (await client.answer()).code == "request_timeout"
    await client.ends()
    assert server.seen.bodies == []
    await until(lambda: len(server.all) == 0)


@pytest.mark.usefixtures("impatient")
async def test_dripping_does_not_prolong_the_time_for_a_head(server: Server) -> None:
    client = await server.connect()
    dripping = asyncio.create_task(drip(client))
    assert (await client.answer()).code == "request_timeout"
    await client.ends()
    dripping.cancel()


async def drip(client: Client) -> None:
    await client.send(HEAD)
    while True:
        await client.send(b"X: y\r\n")
        await asyncio.sleep(0.01)  # that is how one drips


@pytest.mark.usefixtures("impatient")
async def test_idle_connections_are_closed(server: Server) -> None:
    silent, done = await server.connect(), await server.connect()
    await done.send(GET)
    assert (await done.answer()).status == 200
    await asyncio.gather(silent.ends(), done.ends())
    await until(lambda: len(server.all) == 0)


@pytest.mark.usefixtures("impatient")
async def test_who_waits_for_an_answer_is_not_idle(server: Server) -> None:
    server.seen.may_answer.clear()
    client, other = await server.connect(), await server.connect()
    await client.send(GET)
    await other.ends()  # idle as long
    server.seen.may_answer.set()
    assert (await client.answer()).status == 200


@pytest.mark.usefixtures("impatient")
async def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(server: Server) -> None:
    server.seen.answer = b"x" * (64 * MIB)
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(GET)
    await until(lambda: server.seen.asked == ["/seats"])
    await until(lambda: len(server.all) == 0)
    connection.close()


async def test_a_body_that_ends_before_its_time_is_no_body(server: Server) -> None:
    client = await server.connect()
    await client.send(HEAD + b"Content-Length: 400\r\n\r\n" + b"x" * 15)
    await until(lambda: server.seen.asked == ["/book"])
    client.close()
    await until(lambda: len(server.all) == 0)
    assert server.seen.bodies == []


async def test_the_rest_of_a_body_that_was_answered_early_is_dropped_within_reason(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "DROPPED_BYTES", 2 * MIB)
    client = await server.connect()
    head = b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    await client.send(head % MIB, b"x" * MIB, GET)
    assert [(await client.answer()).status for _ in range(2)] == [200, 200]
    await client.send(head % (8 * MIB), *[b"x" * MIB] * 8)
    await client.ends()


# --- how many ---------------------------------------------------------------------------------------------------------
async def test_an_address_has_a_share_of_the_connections() -> None:
    async with serving(Bounds(total=100, per_address=3)) as server:
        mine = [await server.connect("127.0.0.2") for _ in range(3)]
        await until(lambda: len(server.all) == 3)
        refused = await server.connect("127.0.0.2")
        answer = await refused.answer()
        assert (answer.status, answer.code) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        await refused.ends()
        other = await server.connect("127.0.0.3")
        await other.send(GET)
        assert (await other.answer()).status == 200
        mine[0].close()
        await until(lambda: len(server.all) == 3)
        again = await server.connect("127.0.0.2")
        await again.send(GET)
        assert (await again.answer()).status == 200


async def test_where_all_places_are_taken_the_one_that_waits_longest_gives_way() -> None:
    async with serving(Bounds(total=3, per_address=0)) as server:
        idle = [await server.connect() for _ in range(3)]
        await until(lambda: len(server.all) == 3)
        newest = await server.connect()
        await newest.send(GET)
        assert (await newest.answer()).status == 200
        await idle[0].ends()
        await idle[1].send(GET)
        assert (await idle[1].answer()).status == 200


async def test_who_is_being_answered_keeps_the_place() -> None:
    async with serving(Bounds(total=2, per_address=0)) as server:
        server.seen.may_answer.clear()
        busy = [await server.connect() for _ in range(2)]
        for client in busy:
            await client.send(GET)
        await until(lambda: len(server.seen.asked) == 2)
        late = await server.connect()
        assert (await late.answer()).code == "overloaded"
        server.seen.may_answer.set()
        assert [(await client.answer()).status for client in busy] == [200, 200]
