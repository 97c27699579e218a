"""A schedule's seats as bytes on the wire: pages, their compressed form, and streams of changes.

A version is written out, compressed and framed once, however many ask for it. A large house is written out again only
after five times what the last time took (25 ms for 15,000 seats), so that a crowd of readers cannot starve the sale.
Streams are bounded in number, and end when the worker leaves.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable
from functools import partial
from typing import Any

import msgspec
from cachetools import LRUCache
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT
from starlette.types import Message, Receive, Scope, Send

from actors.seats.copies import Changes
from actors.seats.seat_views import SeatViews
from api.http.problems import Problem
from api.views.kept import LastingPage, Page, matches
from api.views.layout import Layout
from api.views.seat_forms import PACKED, Offer, Packed, Sheet, packed_states, terms_changed
from engine.seating_plan import SeatingPlan
from persistence.database.asked_once import AskedOnce, latest_within
from persistence.database.away import is_away
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.cache import SeatDelta, SeatView

logger = logging.getLogger(__name__)

TERMS_PATIENCE_SECONDS = 0.5  # the same for a stream: one query for all of a schedule's
TERMS_SECONDS = 0.25  # how long a worker goes on with a schedule's prices before it reads them again
SCHEDULES_KEPT = 1_024
SHEETS_KEPT = 16  # a 15,000-seat sheet is about 5 MB
LAYOUTS_KEPT = 64  # 0.4 MB for 15,000 seats with its compressed forms
PAGES_BYTES = 128 * 1024 * 1024
FRAMES_BYTES = 16 * 1024 * 1024
STREAMS_PER_WORKER = 500  # half of the usual limit of 1,024 open files
STREAMS_PER_PLACE = 100  # of one worker: an office that follows a sale, and no single client that shuts out the rest
STREAM_RETRY_AFTER_SECONDS = 5
RECONNECT_MS = 2_000
HEARTBEAT_SECONDS = 15.0  # proxies give up on a silent connection after 30 to 60
EVENT_PAUSE_SECONDS = 0.1  # between two events of a stream: ten a second are more than an eye can follow
# What a worker sends in all its streams, so that a crowd that watches cannot starve the sale: 65 µs each are 3 % of a
# core. A hundred that watch a busy sale are told of it five times a second, five hundred once.
EVENTS_A_SECOND = 500
# Streams go on at common moments, so that many are told the same and it is written out once; in turns, so that not all
# are sent to at once.
TURNS = 4
SEND_SECONDS = 30.0  # a client that takes nothing for so long is gone
LAST_SEND_SECONDS = 0.5  # the same when the server is about to stop


class LayoutPage(LastingPage):
    """A plan's layout, ready to be sent."""

    def __init__(self, plan: SeatingPlan) -> None:
        started = time.monotonic()
        layout = Layout(plan)
        self.digest = layout.digest
        super().__init__(f'W/"{layout.digest}"', layout.body, started)


class SeatPages:
    """All that a worker has written out, and the streams it serves. `read_offer` raises `UnknownSchedule`.

    `fair`: no place has more than its share of the streams.
    """

    def __init__(
        self,
        views: SeatViews,
        read_offer: Callable[[str, int | None], Coroutine[Any, Any, Offer]],
        *,
        fair: bool = True,
    ) -> None:
        self.views = views
        self.streams: set[Stream] = set()
        self.stopping = False
        self._read_offer = read_offer
        self._fair = fair
        self._offers: AskedOnce[Offer] = AskedOnce(SCHEDULES_KEPT)
        self._sheets: AskedOnce[Sheet] = AskedOnce(SHEETS_KEPT)
        self._pages: LRUCache[str, Page] = latest_within(PAGES_BYTES, lambda page: len(page.body))
        self._counts: LRUCache[str, Page] = latest_within(SCHEDULES_KEPT)
        self._states: LRUCache[str, Page] = latest_within(SCHEDULES_KEPT)
        self._layouts: AskedOnce[LayoutPage] = AskedOnce(LAYOUTS_KEPT)
        self._frames: LRUCache[Hashable, bytes] = latest_within(FRAMES_BYTES, len)
        self.turns = itertools.cycle(range(TURNS))

    async def seats(self, schedule_id: str, known: str) -> Page | str:
        """The whole house, or its ETag for a client that has it already."""
        offer, view = await self._now(schedule_id)
        etag = _etag(view.version, offer)
        if known and matches(known, etag):
            return etag
        page = self._pages.get(schedule_id)
        if page is None or (page.etag != etag and (time.monotonic() >= page.not_before or not _same(page, offer))):
            sheet = await self.sheet(offer)
            started = time.monotonic()
            page = self._pages[schedule_id] = Page(etag, sheet.page(view), started)
        return page.etag if known and matches(known, page.etag) else page

    async def availability(self, schedule_id: str, known: str) -> Page | str:
        """The counts, or their ETag."""
        offer, _ = await self._now(schedule_id)
        availability = await self.views.availability(schedule_id)
        etag = _etag(availability.version, offer)
        if known and matches(known, etag):
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
        page = self._counts[schedule_id] = Page(etag, body, time.monotonic())
        return page

    async def layout(self, schedule_id: str, digest: str | None = None) -> LayoutPage:
        """Where the seats are and what they are called; with a digest, as it was when that was the layout's."""
        plan = (await self._offer(schedule_id)).plan
        newest = page = await self.layout_of(plan)
        for number in range(plan.number if digest is not None else 0)[::-1]:
            if page.digest == digest:
                break
            page = await self.layout_of((await self._read_offer(schedule_id, number)).plan)
        return page if page.digest == digest else newest

    async def states(self, schedule_id: str, known: str) -> Page | str:
        """How every place of the layout stands and on what terms it is sold, or the ETag."""
        offer, view = await self._now(schedule_id)
        etag = _etag(view.version, offer)
        if known and matches(known, etag):
            return etag
        page = self._states.get(schedule_id)
        if page is None or page.etag != etag:
            layout = await self.layout_of(offer.plan)
            body = packed_states(offer, layout.digest, view)
            page = self._states[schedule_id] = Page(etag, body, time.monotonic())
        return page

    async def stream(
        self, schedule_id: str, after: int | None, *, packed: bool = False, terms: str = "", place: str = ""
    ) -> Stream:
        """The schedule's changes, for somebody at this place who has these terms of sale.

        What can be refused is refused here, before anything is sent.
        """
        if self.stopping or len(self.streams) >= STREAMS_PER_WORKER:
            raise Problem("overloaded", retry_after=STREAM_RETRY_AFTER_SECONDS)
        offer, view = await self._now(schedule_id)
        form = PACKED if packed else await self.sheet(offer)
        if self._fair and sum(each.place == place for each in self.streams) >= STREAMS_PER_PLACE:
            raise Problem("rate_limited", retry_after=STREAM_RETRY_AFTER_SECONDS)
        return Stream(self, schedule_id, form, after, terms or offer.tag, place, view.plan_number)

    def stop(self) -> None:
        """Ends every stream, and opens no further one."""
        self.stopping = True
        for stream in self.streams:
            stream.end()

    def frame(self, form: Sheet | Packed, change: SeatView | SeatDelta) -> bytes:
        """The change as an event, written out once for all streams that are equally far."""
        since = None if isinstance(change, SeatView) else change.from_version
        key = (change.schedule_id, change.version, since, form is PACKED)
        if (frame := self._frames.get(key)) is None:
            if isinstance(change, SeatView):
                event, data = b"snapshot", form.snapshot(change)
            else:
                event, data = b"seats", form.delta(change)
            frame = b"event: %s\nid: %d\ndata: %s\n\n" % (event, change.version, data)
            self._frames[key] = frame
        return frame

    async def offer(self, schedule_id: str) -> Offer:
        """What the schedule sells, for a stream: read again every few seconds."""
        return await self._offer(schedule_id, TERMS_PATIENCE_SECONDS)

    async def offer_for(self, view: SeatView) -> Offer:
        """What the schedule sells, by the plan that numbers the view's places."""
        offer = await self._offer(view.schedule_id)
        return offer if offer.plan.number == view.plan_number else await self._by_plan(view)

    async def _now(self, schedule_id: str) -> tuple[Offer, SeatView]:
        """Offer and seats, which are told at different times, by one plan of the house."""
        view, offer = await self.views.view(schedule_id), await self._offer(schedule_id)
        if offer.plan.number < view.plan_number:
            offer = await self._offer(schedule_id, 0.0)
        if offer.plan.number > view.plan_number:
            view = await self.views.newer_than(view)
        return offer if offer.plan.number == view.plan_number else await self._by_plan(view), view

    async def _by_plan(self, view: SeatView) -> Offer:
        return await self._read_offer(view.schedule_id, view.plan_number)

    async def _offer(self, schedule_id: str, within_seconds: float | None = None) -> Offer:
        within_seconds = TERMS_SECONDS if within_seconds is None else within_seconds
        renew = partial(self._renewed, schedule_id)
        return await self._offers.ask(schedule_id, renew, within_seconds=within_seconds)

    async def _renewed(self, schedule_id: str) -> Offer:
        try:
            return await self._read_offer(schedule_id, None)
        except Exception as error:
            before = self._offers.last(schedule_id)
            if not is_away(error) or before is None:
                raise
            # The seats may still be known while the database is away, and prices hardly ever change.
            return before

    async def terms_frame(self, offer: Offer) -> bytes:
        """The offer as an event."""
        layout = await self.layout_of(offer.plan)
        return b"event: terms\ndata: %s\n\n" % terms_changed(offer, layout.digest)

    async def sheet(self, offer: Offer) -> Sheet:
        """The offer, ready for the states."""
        # In a thread: 50,000 seats take a tenth of a second.
        return await self._sheets.ask(offer.tag, partial(asyncio.to_thread, Sheet, offer))

    async def layout_of(self, plan: SeatingPlan) -> LayoutPage:
        """The plan's layout, made once."""
        key = (plan.digest, plan.name, plan.colors)  # the digest is of what selling depends on, and of no colour
        return await self._layouts.ask(key, partial(asyncio.to_thread, LayoutPage, plan))


class Stream(StreamingResponse):
    """Server-Sent Events that end when told to, and give up on a client that takes nothing.

    The frames come ready-made: FastAPI's own event stream would encode every event anew for every client.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        pages: SeatPages,
        schedule_id: str,
        form: Sheet | Packed,
        after: int | None,
        terms: str,
        place: str,
        plan_number: int,
    ) -> None:
        self.place = place
        self._turn = next(pages.turns)
        self._plan_number = plan_number  # by which the client knows the places
        self._terms = terms  # those that the client has
        self._frames = self._written(schedule_id, form, after)
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

    async def _written(self, schedule_id: str, form: Sheet | Packed, after: int | None) -> AsyncGenerator[bytes]:
        loop = asyncio.get_running_loop()
        yield b"retry: %d\n\n" % RECONNECT_MS
        try:
            async with self._pages.views.subscribe(schedule_id, after=after) as self._changes:
                while not self._pages.stopping:
                    if (news := await self._new_terms(schedule_id)) is not None:
                        yield news
                    if (change := self._changes.at_once()) is None:
                        try:
                            async with asyncio.timeout(HEARTBEAT_SECONDS):
                                change = await anext(self._changes)
                        except TimeoutError:
                            yield KEEPALIVE_COMMENT
                            continue
                        except StopAsyncIteration:
                            return
                    if isinstance(change, SeatView) and change.plan_number != self._plan_number:
                        offer = await self._pages.offer_for(change)
                        form = form if form is PACKED else await self._pages.sheet(offer)
                        self._plan_number, self._terms = change.plan_number, offer.tag
                        yield await self._pages.terms_frame(offer)
                    yield self._pages.frame(form, change)
                    # Where no seat has changed the terms may have: what is read after this is no older than the change.
                    nothing = isinstance(change, SeatDelta) and not change.seats and not change.areas
                    await asyncio.sleep(TERMS_PATIENCE_SECONDS if nothing else self.until_its_turn(loop.time()))
        except (UnknownSchedule, JournalUnavailable):
            return  # the client comes back and is told by a status

    def until_its_turn(self, now: float) -> float:
        """Seconds from `now` (of the loop) until the streams of this one's turn go on together: a pause, or half of one
        more or less."""
        pause = max(EVENT_PAUSE_SECONDS, len(self._pages.streams) / EVENTS_A_SECOND)
        if not pause:
            return 0.0
        wait = pause - (now + pause * self._turn / TURNS) % pause
        return wait if wait > pause / 2 else wait + pause

    async def _new_terms(self, schedule_id: str) -> bytes | None:
        """What the client is to be told of the terms; it keeps the version that it goes on from."""
        try:
            offer = await self._pages.offer(schedule_id)
        except Exception as error:
            if not is_away(error):
                raise
            return None  # they are told when the database is back
        if offer.tag == self._terms:
            return None
        if offer.plan.number != self._plan_number:
            return None  # they are told with the places, which come by other numbers
        self._terms = offer.tag
        return await self._pages.terms_frame(offer)


def _same(page: Page, offer: Offer) -> bool:
    """Whether the page says of everything but the states what is so now."""
    return page.etag.endswith(f'-{offer.tag}"')


def _etag(version: int, offer: Offer) -> str:
    return f'W/"{version}-{offer.tag}"'  # weak: the same for the plain and the compressed form
