"""A schedule's seats as bytes on the wire: pages, their compressed form, and streams of changes.

A version is written out, compressed and framed once, however many ask for it. A large house is written out again only
after five times what the last time took (25 ms for 15,000 seats), so that a crowd of readers cannot starve the sale.
Streams are bounded in number, and end as soon as the server is told to stop.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from hashlib import blake2b
from types import FrameType
from typing import Generic, TypeVar

import msgspec
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT
from msgspec import Struct
from starlette.types import Message, Receive, Scope, Send

from actors.seats.seat_views import Changes, SeatViews
from api.http.problems import Problem
from api.http.under_way import shared
from engine.seating_plan import SeatingPlan
from engine.state import BLOCKED, FREE, HELD, SOLD
from persistence.database.connection import is_unavailable
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import AreaCounts, SeatDelta, SeatView

logger = logging.getLogger(__name__)
V = TypeVar("V")

STATE_NAMES = {FREE: "free", HELD: "held", SOLD: "sold", BLOCKED: "blocked"}
TERMS_SECONDS = 0.25  # how long a worker goes on with a schedule's prices before it reads them again
SCHEDULES_KEPT = 1_024
SHEETS_KEPT = 16  # a 15,000-seat sheet is about 5 MB
PAGES_BYTES = 128 * 1024 * 1024
FRAMES_BYTES = 16 * 1024 * 1024
GZIP_LEVEL = 1  # 4 ms for a 15,000-seat page, a tenth of its size; level 6 takes five times as long for a quarter less
GZIP_FORMAT = 31  # zlib's number for a gzip header and the largest window
GZIP_FROM_BYTES = 1_024  # below, one packet carries it anyway
STREAMS_PER_WORKER = 500  # half of the usual limit of 1,024 open files
STREAM_RETRY_AFTER_SECONDS = 5
RECONNECT_MS = 2_000
HEARTBEAT_SECONDS = 15.0  # proxies give up on a silent connection after 30 to 60
EVENT_PAUSE_SECONDS = 0.1  # between two events of a stream: ten a second are more than an eye can follow
SEND_SECONDS = 30.0  # a client that takes nothing for so long is gone
LAST_SEND_SECONDS = 0.5  # the same when the server is about to stop


class Offer(Struct, frozen=True):
    """What a schedule sells and for how much."""

    plan: SeatingPlan
    currency: str
    prices: dict[str, int]
    tag: str  # of all that an answer depends on besides the version

    @classmethod
    def of(cls, plan: SeatingPlan, currency: str, prices: dict[str, int]) -> Offer:
        terms = msgspec.msgpack.encode((plan.digest, currency, sorted(prices.items())))
        return cls(plan, currency, prices, blake2b(terms, digest_size=6).hexdigest())


class Sheet:
    """An offer with everything written out but the states: a version of it is one join."""

    def __init__(self, offer: Offer) -> None:
        plan = offer.plan
        self.head = msgspec.json.encode({"currency": offer.currency})[1:-1]
        self.rows: list[bytes] = []  # a seat as /seats shows it, up to its state
        self.marks: list[bytes] = []  # a seat as the stream shows it, up to its state
        for index in range(plan.size):
            place = plan.describe(index)
            seat = {
                "id": place.id,
                "zone": place.zone,
                "row": place.row,
                "number": place.number,
                "category": place.category,
                "price": offer.prices.get(place.category),
            }
            self.rows.append(msgspec.json.encode(seat)[:-1] + b',"state":"')
            self.marks.append(b'{"id":' + msgspec.json.encode(place.id) + b',"state":"')
        self.areas: list[dict[str, object]] = [
            {
                "id": area.id,
                "name": area.name,
                "zone": plan.zones[area.zone],
                "category": plan.categories[area.category],
                "price": offer.prices.get(plan.categories[area.category]),
                "capacity": area.capacity,
            }
            for area in plan.areas
        ]

    def page(self, view: SeatView) -> bytes:
        """The whole house, as /seats answers it."""
        areas = [area | _counts(counts) for area, counts in zip(self.areas, view.areas, strict=True)]
        start = b'{"schedule_id":"%s","version":%d,%s,' % (view.schedule_id.encode(), view.version, self.head)
        return start + _places(_joined(self.rows, view.states), areas)

    def snapshot(self, view: SeatView) -> bytes:
        """Every state, as the stream begins."""
        areas = [{"id": area["id"]} | _counts(counts) for area, counts in zip(self.areas, view.areas, strict=True)]
        return b'{"version":%d,' % view.version + _places(_joined(self.marks, view.states), areas)

    def delta(self, delta: SeatDelta) -> bytes:
        """What changed, as the stream goes on."""
        marks = [self.marks[index] for index, _ in delta.seats]
        areas = [{"id": self.areas[position]["id"]} | _counts(counts) for position, counts in delta.areas]
        return b'{"version":%d,' % delta.version + _places(_joined(marks, (state for _, state in delta.seats)), areas)


TAILS = tuple(f'{STATE_NAMES[state]}"}},'.encode() for state in range(len(STATE_NAMES)))


def _joined(beginnings: list[bytes], states: Iterable[int]) -> bytes:
    parts = [b""] * (2 * len(beginnings))
    parts[0::2] = beginnings
    parts[1::2] = map(TAILS.__getitem__, states)
    return b"".join(parts)[:-1]


def _places(seats: bytes, areas: list[dict[str, object]]) -> bytes:
    return b'"seats":[%s],"areas":%s}' % (seats, msgspec.json.encode(areas))


def _counts(counts: AreaCounts) -> dict[str, object]:
    return {"left": counts.left, "held": counts.held, "sold": counts.sold, "blocked": counts.blocked}


class Page:
    """One version, ready to be sent."""

    def __init__(self, etag: str, body: bytes, started: float) -> None:
        self.etag = etag
        self.body = body
        self.not_before = 0.0  # when the next version may be written out
        self._compressing: asyncio.Task[bytes] | None = None
        self._took(started)

    async def compressed(self) -> bytes:
        """The body in gzip format, made once."""
        if self._compressing is None:
            self._compressing = asyncio.create_task(self._compress())
        return await shared(self._compressing)

    async def _compress(self) -> bytes:
        started = time.monotonic()
        # In a thread: zlib lets go of the interpreter while it works.
        body = await asyncio.to_thread(zlib.compress, self.body, GZIP_LEVEL, wbits=GZIP_FORMAT)
        self._took(started)
        return body

    def _took(self, started: float) -> None:
        now = time.monotonic()
        self.not_before = max(self.not_before, now + 5 * (now - started))


class Kept(Generic[V]):
    """What was used most recently, up to a size in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._things: OrderedDict[object, tuple[V, int]] = OrderedDict()

    def get(self, key: object) -> V | None:
        if (found := self._things.get(key)) is None:
            return None
        self._things.move_to_end(key)
        return found[0]

    def put(self, key: object, thing: V, size: int = 1) -> V:
        if (old := self._things.pop(key, None)) is not None:
            self._size -= old[1]
        self._things[key] = (thing, size)
        self._size += size
        while self._size > self._limit and len(self._things) > 1:
            self._size -= self._things.popitem(last=False)[1][1]
        return thing


class SeatPages:
    """All that a worker has written out, and the streams it serves. `read_offer` raises `UnknownSchedule`."""

    def __init__(self, views: SeatViews, read_offer: Callable[[str], Awaitable[Offer]]) -> None:
        self.views = views
        self.streams: set[Stream] = set()
        self.stopping = False
        self._read_offer = read_offer
        self._offers: Kept[tuple[asyncio.Task[Offer], float]] = Kept(SCHEDULES_KEPT)
        self._sheets: Kept[asyncio.Task[Sheet]] = Kept(SHEETS_KEPT)
        self._pages: Kept[Page] = Kept(PAGES_BYTES)
        self._counts: Kept[Page] = Kept(SCHEDULES_KEPT)
        self._frames: Kept[bytes] = Kept(FRAMES_BYTES)
        self._handlers: dict[int, Callable[[int, FrameType | None], object]] = {}  # those that were there before ours

    async def seats(self, schedule_id: str, known: str) -> Page | str:
        """The whole house, or its ETag for a client that has it already."""
        offer, view = await self._offer(schedule_id), await self.views.view(schedule_id)
        etag = _etag(view.version, offer)
        if known and _matches(known, etag):
            return etag
        page = self._pages.get(schedule_id)
        if page is None or (page.etag != etag and time.monotonic() >= page.not_before):
            sheet = await self._sheet(offer)
            started = time.monotonic()
            page = Page(etag, sheet.page(view), started)
            self._pages.put(schedule_id, page, size=len(page.body))
        return page.etag if known and _matches(known, page.etag) else page

    async def availability(self, schedule_id: str, known: str) -> Page | str:
        """The counts, or their ETag."""
        offer, availability = await self._offer(schedule_id), await self.views.availability(schedule_id)
        etag = _etag(availability.version, offer)
        if known and _matches(known, etag):
            return etag
        page = self._counts.get(schedule_id)
        if page is not None and page.etag == etag:
            return page
        categories = [
            {"category": name, "price": offer.prices.get(name), **msgspec.structs.asdict(count)}
            for name, count in availability.by_category.items()
        ]
        counts = {"schedule_id": schedule_id, "version": availability.version, "currency": offer.currency}
        body = msgspec.json.encode({**counts, "categories": categories})
        return self._counts.put(schedule_id, Page(etag, body, time.monotonic()))

    async def stream(self, schedule_id: str, after: int | None) -> Stream:
        """The schedule's changes. What can be refused is refused here, before anything is sent."""
        if self.stopping or len(self.streams) >= STREAMS_PER_WORKER:
            raise Problem("overloaded", retry_after=STREAM_RETRY_AFTER_SECONDS)
        sheet = await self._sheet(await self._offer(schedule_id))
        await self.views.view(schedule_id)
        self._hear_signals()
        return Stream(self, schedule_id, sheet, after)

    def stop(self) -> None:
        """Ends every stream, and opens no further one."""
        self.stopping = True
        for stream in self.streams:
            stream.end()

    def close(self) -> None:
        """Stops, and leaves signals to whoever handled them before."""
        self.stop()
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, handler)

    def _hear_signals(self) -> None:
        """Listens to the signals that stop a server, besides the server.

        A server that stops waits for open responses before it tells the application, so streams must hear of it
        earlier. Done with the first stream: the server sets its own handlers as late as at the end of its start.
        """
        if self._handlers or threading.current_thread() is not threading.main_thread():
            return
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(handler := signal.getsignal(number)):
                self._handlers[number] = handler
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self.stop)
        self._handlers[number](number, frame)

    def frame(self, sheet: Sheet, change: SeatView | SeatDelta) -> bytes:
        """The change as an event, written out once for all streams that are equally far."""
        key = (change.schedule_id, change.version, None if isinstance(change, SeatView) else change.from_version)
        if (frame := self._frames.get(key)) is None:
            if isinstance(change, SeatView):
                event, data = b"snapshot", sheet.snapshot(change)
            else:
                event, data = b"seats", sheet.delta(change)
            frame = b"event: %s\nid: %d\ndata: %s\n\n" % (event, change.version, data)
            self._frames.put(key, frame, size=len(frame))
        return frame

    async def _offer(self, schedule_id: str) -> Offer:
        now = time.monotonic()
        kept = self._offers.get(schedule_id)
        if kept is None or now >= kept[1]:
            task = asyncio.create_task(self._renewed(schedule_id, None if kept is None else kept[0]))
            task.add_done_callback(_seen)
            kept = self._offers.put(schedule_id, (task, now + TERMS_SECONDS))
        return await shared(kept[0])

    async def _renewed(self, schedule_id: str, before: asyncio.Task[Offer] | None) -> Offer:
        try:
            return await self._read_offer(schedule_id)
        except Exception as error:
            if not is_unavailable(error) or before is None or not before.done() or before.exception() is not None:
                raise
            # The seats may still be known while the database is away, and prices hardly ever change.
            return before.result()

    async def _sheet(self, offer: Offer) -> Sheet:
        task = self._sheets.get(offer.tag)
        if task is None:
            # In a thread: 50,000 seats take a tenth of a second.
            task = self._sheets.put(offer.tag, asyncio.create_task(asyncio.to_thread(Sheet, offer)))
        return await shared(task)


class Stream(StreamingResponse):
    """Server-Sent Events that end when told to, and give up on a client that takes nothing.

    The frames come ready-made: FastAPI's own event stream would encode every event anew for every client.
    """

    media_type = "text/event-stream"

    def __init__(self, pages: SeatPages, schedule_id: str, sheet: Sheet, after: int | None) -> None:
        self._frames = self._written(schedule_id, sheet, after)
        super().__init__(self._frames, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._pages = pages
        self._changes: Changes | None = None
        self._sending: asyncio.Timeout | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS) as self._sending:
                await send(message)
            self._sending = None

        self._pages.streams.add(self)
        try:
            await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            logger.info("gave up on a stream whose client takes nothing")
        finally:
            self._pages.streams.discard(self)
            self._sending = None
            await self._frames.aclose()

    def end(self) -> None:
        """Comes to a proper end soon; a client that is not reading is cut off."""
        if self._changes is not None:
            self._changes.end()
        if self._sending is not None and not self._sending.expired():
            self._sending.reschedule(asyncio.get_running_loop().time() + LAST_SEND_SECONDS)

    async def _written(self, schedule_id: str, sheet: Sheet, after: int | None) -> AsyncGenerator[bytes]:
        yield b"retry: %d\n\n" % RECONNECT_MS
        try:
            async with self._pages.views.subscribe(schedule_id, after=after) as self._changes:
                while not self._pages.stopping:
                    try:
                        async with asyncio.timeout(HEARTBEAT_SECONDS):
                            change = await anext(self._changes)
                    except TimeoutError:
                        yield KEEPALIVE_COMMENT
                        continue
                    except StopAsyncIteration:
                        return
                    yield self._pages.frame(sheet, change)
                    await asyncio.sleep(EVENT_PAUSE_SECONDS)
        except (UnknownSchedule, JournalUnavailable):
            return  # the client comes back and is told by a status


def _seen(task: asyncio.Task[Offer]) -> None:
    """Whoever asked may have gone by the time it failed."""
    if not task.cancelled():
        task.exception()


def _etag(version: int, offer: Offer) -> str:
    return f'W/"{version}-{offer.tag}"'  # weak: the same for the plain and the compressed form


def _matches(known: str, etag: str) -> bool:
    """If-None-Match by weak comparison (RFC 9110 section 13.1.2)."""
    return known.strip() == "*" or etag.removeprefix("W/") in re.findall(r'"[^"]*"', known)


def accepts_gzip(accept_encoding: str) -> bool:
    """RFC 9110 section 12.5.3: a coding of weight 0 is refused, `*` stands for those not named."""
    accepted: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.partition(";")
        accepted[coding.strip()] = re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight) is None
    return accepted.get("gzip", accepted.get("*", False))
