"""The short way and the long way in, told apart by nothing but their cost: thousands of requests, byte by byte.

Each goes to one of two sales that are alike, by the short way to the one and by the long way to the other; answers are
compared one by one, and what became of the sales in the end. Most requests are a little wrong somewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import uvicorn
from msgspec import Struct

from api.server.connections import Bounds, Connections
from tests.api.conftest import Worker
from tests.support.sale import Sale, open_sale, small_plan
from tests.support.waiting import PATIENCE_SECONDS, until

REQUESTS = 2_000
LONG_WAY = b"?the=long+way"
CHANCE = 0.12  # of each part of a request to be something unusual

BODIES = (
    b'{"quantity": 1}',
    b'{"quantity": 2, "category": "Standard"}',
    b'{"seats": ["A-1"]}',
    b'{"seats": ["B-2", "B-3"], "colour": "red"}',
    b'{"seats": ["nowhere"]}',
    b'{"quantity": 1, "adjacent": true}',
    b'{"quantity": 0}',
    b'{"seats": ["A-1"], "quantity": 1}',
    b"{}",
)
STRANGE_BODIES = (
    b"",
    b"null",
    b"[1]",
    b'{"quantity": 1',
    b'{"quantity": 1}}',
    b'{"quantity": 1}\0',
    b'\xef\xbb\xbf{"quantity": 1}',
    b'{"seats": ["\xff"]}',
    b'{"seats": ["\\ud800"]}',
    b'{"quantity": 1, "\\udfff": 2}',
    b'{"quantity": 1, "a": "\\u0000"}',
    b'{"quantity": 1, "a": "\xed\xa0\x80"}',
    '{"quantity": 1}'.encode("utf-16-le"),
    b'{"quantity": 1, "quantity": 2}',
    b'{"quantity": 1e0}',
    b'{"quantity": 99999999999999999999}',
    b'{"quantity": NaN}',
    b'{"quantity": 1' + b" " * 70_000 + b"}",
)
KINDS = (
    [b"Content-Type: application/jsonfoo"],
    [b"Content-Type: application/json; charset=utf-8"],
    [b"Content-Type: application/json;charset=latin-1"],
    [b"Content-Type: Application/JSON"],
    [b"Content-Type:application/json  "],
    [b"Content-Type: application/json, text/plain"],
    [b"Content-Type: application/json/x"],
    [b"Content-Type: application/x+json"],
    [b"Content-Type: text/json"],
    [b"Content-Type: text/plain", b"Content-Type: application/json"],
    [b"Content-Type: application/json", b"Content-Type: text/plain"],
    [b"Content-Type: "],
    [],
)
PATHS = (
    lambda path: path + b"/",
    lambda path: path.upper(),
    lambda path: path.replace(b"/v1", b"//v1"),
    lambda path: path.replace(b"bookings", b"%62ookings"),
    lambda path: path.replace(b"bookings", b"payments"),
    lambda path: path.replace(b"-", b"", 1),
)


class Request(Struct, frozen=True):
    """The parts of a request that differ from one to the next; where it goes is left out."""

    method: bytes
    version: bytes
    path: int  # how the path is changed; -1: not at all
    headers: tuple[bytes, ...]
    body: bytes
    sent: int  # bytes of the body
    early: bool  # more of it is announced: the connection ends before the body does

    def data(self, path: bytes, query: bytes) -> bytes:
        target = path if self.path < 0 else PATHS[self.path](path)
        head = [b"%s %s%s HTTP/%s" % (self.method, target, query, self.version), *self.headers]
        return b"\r\n".join(head) + b"\r\n\r\n" + self.body[: self.sent]


class Made:
    """Makes requests."""

    def __init__(self, tokens: list[bytes], seed: int) -> None:
        self._random = random.Random(seed)
        self._tokens = tokens  # the customer's, and those of others

    def _unusual(self) -> bool:
        return self._random.random() < CHANCE

    def request(self, number: int) -> Request:
        choose = self._random.choice
        body = choose(STRANGE_BODIES) if self._unusual() else choose(BODIES)
        if self._unusual() and body:
            at = self._random.randrange(len(body))
            body = body[:at] + bytes([self._random.randrange(256)]) + body[at + 1 :]
        headers = [b"Host: boxoffice", b"Connection: close"]
        headers += choose(KINDS) if self._unusual() else [b"Content-Type: application/json"]
        headers += self._authorization()
        if self._unusual():
            headers.append(choose((b"Idempotency-Key: %d" % number, b"Idempotency-Key: two words", b"X: y")))
        if self._unusual():
            headers.append(choose((b"Content-Encoding: gzip", b"Content-Encoding: identity", b"Content-Encoding:")))
        if self._unusual():
            headers.append(b"Accept-Language: ko")
        framing, body, sent, early = self._framing(body)
        self._random.shuffle(headers)
        return Request(
            choose((b"GET", b"PUT", b"HEAD", b"post")) if self._random.random() < 0.03 else b"POST",
            b"1.0" if self._random.random() < 0.03 else b"1.1",
            self._random.randrange(len(PATHS)) if self._unusual() else -1,
            (*headers, *framing),
            body,
            sent,
            early,
        )

    def _authorization(self) -> list[bytes]:
        mine, *others = self._tokens
        if not self._unusual():
            return [b"Authorization: Bearer " + mine]
        return self._random.choice(
            (
                [],
                [b"Authorization: bearer " + mine],
                [b"Authorization: Bearer  " + mine],
                [b"Authorization: Basic " + mine],
                [b"Authorization: Bearer " + mine[:-1]],
                *([b"Authorization: Bearer " + other] for other in others),
                [b"Authorization: Bearer " + others[0], b"Authorization: Bearer " + mine],
                [b"Authorization: Bearer " + mine, b"Authorization: Bearer none"],
            )
        )

    def _framing(self, body: bytes) -> tuple[list[bytes], bytes, int, bool]:
        """How the body's end is told, the body as it goes out, how much of it does, and whether that is too little."""
        whole = len(body)
        length = b"Content-Length: %d" % whole
        if not self._unusual():
            return [length], body, whole, False
        chunked = b"Transfer-Encoding: chunked"
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:3], body[3:]) if piece)
        chunks = pieces + b"0\r\n\r\n"
        return self._random.choice(
            (
                ([b"Content-Length: 400"], body[:300], min(300, whole), True),
                ([b"Content-Length: %d" % (whole + 1)], body, whole, True),
                ([length], body, whole // 2, whole > 0),
                ([length, length], body, whole, False),
                ([b"Content-Length: %d" % max(0, whole - 3)], body, whole, False),
                ([b"Content-Length: -1"], body, whole, False),
                ([], body, whole, False),
                ([length, b"Expect: 100-continue"], body, whole, False),
                ([chunked], chunks, len(chunks), False),
                ([chunked], chunks, len(pieces), True),
                ([chunked], chunks, len(pieces) // 2, True),
                ([chunked, length], chunks, len(chunks), False),
            )
        )


class Told(Struct, frozen=True):
    """What a request was answered, as far as the two ways can be compared: nothing at all, if status is 0."""

    status: int
    code: str
    seats: tuple[str, ...]
    language: str


class Door(Struct, frozen=True):
    """A worker's door, and a view of what goes on behind it."""

    port: int
    connections: Connections

    async def tell(self, data: bytes, early: bool) -> Told:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            if early:
                await until(lambda: bool(reader._buffer) or reader.at_eof() or self._waits())
                writer.write_eof()
        answer = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while piece := await reader.read(64 * 1024):
                    answer += piece
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await until(lambda: len(self.connections) == 0)
        return told(answer)

    def _waits(self) -> bool:
        """Whether the application waits for the rest of a body."""
        return any(
            connection.cycle is not None and connection.cycle.message_event._waiters
            for connection in self.connections._open
        )


def told(answer: bytes) -> Told:
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    if not answer:
        return Told(0, "", (), "")
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    document = json.loads(body) if body and "json" in headers.get("content-type", "") else {}
    seats = tuple(sorted(seat["id"] for seat in document.get("seats", ()) if isinstance(seat, dict)))
    return Told(int(lines[0].split()[1]), document.get("code", ""), seats, headers.get("content-language", ""))


@pytest.fixture
async def door(worker: Worker) -> AsyncIterator[Door]:
    connections = Connections(Bounds(per_address=0))
    config = uvicorn.Config(
        worker.app,
        http=connections,  # type: ignore[arg-type]  # only ever called
        lifespan="off",
        log_config=None,
        ws="none",
        loop="asyncio",
        port=0,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    yield Door(server.servers[0].sockets[0].getsockname()[1], connections)
    server.should_exit = server.force_exit = True
    await running


async def test_thousands_of_requests_are_answered_alike_either_way_with_the_same_effect(
    worker: Worker, door: Door
) -> None:
    plan = small_plan(rows=26, seats_per_row=100)
    short, long = await open_sale(worker.http, plan=plan), await open_sale(worker.http, plan=plan)
    tokens = [(await worker.sign_up(role))["Authorization"][7:].encode() for role in ("customer", "organizer")]
    made = Made(tokens, seed=14)
    statuses: Counter[int] = Counter()
    for number in range(REQUESTS):
        request = made.request(number)
        answers = [
            await door.tell(request.data(sale.bookings_url.encode(), query), request.early)
            for sale, query in ((short, b""), (long, LONG_WAY))
        ]
        assert answers[0] == answers[1], request
        if request.early:
            assert answers[0].status != 201, request
        statuses[answers[0].status] += 1
    assert statuses[201] > REQUESTS / 10, statuses
    assert {0, 201, 400, 401, 403, 404, 409, 415, 422} <= set(statuses), statuses
    assert await states(worker, short) == await states(worker, long) != {}


async def states(worker: Worker, sale: Sale) -> dict[str, str]:
    """Every seat's state as its owner has it now, by its id."""
    rows = await worker.office.pool.fetch(
        "SELECT unnest(seats) AS seat, status FROM bookings WHERE schedule_id = $1", sale.schedule_id
    )
    return {row["seat"]: row["status"] for row in rows}
