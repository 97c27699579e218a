"""All that an API worker holds while it runs, opened and closed in one place.

`open_office` either gives an office in which everything that must work was tried, or raises `CannotOpen` naming the
piece that does not. Redis may be away: reads and bookings go on without it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import Response

from actors.gateway.gateway import Gateway
from actors.gateway.ray_owners import open_gateway
from actors.gateway.vitals import tell
from actors.mail.tickets import TicketKey, ticket_key
from actors.process.clock import Clock, SystemClock
from actors.process.settings import Settings
from actors.reconciliation.reconciler import Reconciler
from actors.seats.seat_views import SeatViews
from actors.seats.seats_left import SeatsLeft
from api.office.booked import BookedSchedules
from api.office.limits import Limits
from api.office.openings import Openings
from api.office.passwords import Passwords
from api.office.together import Kept, Together
from api.office.tokens import ACCESS_SECONDS, Tokens
from api.office.under_way import shared
from api.office.writing import CONNECTIONS, Writing
from engine.seating_plan import SeatingPlan
from engine.stored_plan import plan_of
from persistence.accounts.revocations import Revocations
from persistence.bookings.numbers import BookingIds
from persistence.catalogue import schedules, venues
from persistence.database import held
from persistence.database.connection import create_engine, current_revision, head_revision, is_unavailable
from persistence.database.ending_tasks import end
from persistence.database.pools import open_pool
from persistence.journal.heads import plan_changes
from persistence.journal.journal import PostgresJournal, UnknownSchedule
from persistence.operations.board import VitalsBoard
from persistence.providers.opening import NotConfigured, open_providers
from persistence.providers.provider import Provider
from persistence.seats.cache import SeatView
from persistence.seats.from_journal import load_view
from persistence.seats.redis_cache import RedisSeatCache

PLANS_BYTES = 256 * 1024 * 1024  # of plans that a worker keeps: twenty houses of 50,000 places
PLACE_BYTES, CHARACTER_BYTES = 192, 2  # what a place of a plan takes in memory, and a character of its id (measured)
PLACES_KEPT = 100_000
PLAN_SECONDS = 0.25  # how long a worker goes on with what it knows of a schedule before it looks again
FACETS_SECONDS = 10.0  # they are counted over the whole catalogue: 90 ms for 10,000 performances
MIN_SECRET_CHARACTERS = 32  # RFC 7518 section 3.2: HS256 needs a key of at least 256 bits
REDIS_TIMEOUT_SECONDS = 1.0
LOCK_TIMEOUT_SECONDS = 4.0  # whoever holds a lock for longer is in trouble: better one 503 than a pool that waits

logger = logging.getLogger(__name__)


WhichPlan = tuple[str, int]  # of which venue, and how often it has been replaced before


class CannotOpen(Exception):
    """A piece that must work does not; the message names it and says what to do."""


class UnknownVenue(LookupError):
    """No such venue."""


def held_bytes(plan: SeatingPlan) -> int:
    """What a plan takes in memory, about."""
    return PLACE_BYTES * plan.size + CHARACTER_BYTES * sum(map(len, plan.ids))


class PlanCache:
    """Seating plans and where schedules belong. Both never change, so what is here is right.

    Which of a venue's plans a schedule is sold by may change: that is known for as long as its terms are.
    """

    def __init__(self, database: AsyncEngine, limit_bytes: int = PLANS_BYTES) -> None:
        self._database = database
        self._limit_bytes = limit_bytes
        self._plans: OrderedDict[WhichPlan, asyncio.Task[SeatingPlan]] = OrderedDict()
        self._sizes: dict[WhichPlan, int] = {}  # of those that are loaded, in bytes
        self._places: OrderedDict[str, schedules.Place] = OrderedDict()
        self._numbers: OrderedDict[str, tuple[int, float]] = OrderedDict()  # by schedule, and when it was read

    async def get(self, venue_id: str, number: int) -> SeatingPlan:
        """One of the venue's plans, read once however many ask. Raises `UnknownVenue`."""
        which = (venue_id, number)
        task = self._plans.get(which)
        if task is None:
            task = self._plans[which] = asyncio.create_task(self._load(venue_id, number))
            task.add_done_callback(partial(self._loaded, which))
        self._plans.move_to_end(which)
        return await shared(task)

    async def newest(self, venue_id: str) -> SeatingPlan:
        """The plan that the venue has now. Raises `UnknownVenue`."""
        async with self._database.connect() as connection:
            number = await venues.plan_number(connection, venue_id)
        if number is None:
            raise UnknownVenue(venue_id)
        return await self.get(venue_id, number)

    def _loaded(self, which: WhichPlan, task: asyncio.Task[SeatingPlan]) -> None:
        """Keeps a plan and lets go of those not asked for the longest; of what is no plan nothing is kept."""
        if task.cancelled() or task.exception() is not None:
            del self._plans[which]
            return
        self._sizes[which] = held_bytes(task.result())
        for each in list(self._plans):
            if sum(self._sizes.values()) <= self._limit_bytes:
                break
            if each in self._sizes and each != which:
                del self._plans[each], self._sizes[each]

    async def place_of(self, schedule_id: str) -> schedules.Place:
        """The schedule's performance and venue, deleted or not. Raises `UnknownSchedule`."""
        place = self._places.get(schedule_id)
        if place is None:
            async with self._database.connect() as connection:
                place = await schedules.place_of(connection, schedule_id)
            if place is None:
                raise UnknownSchedule(schedule_id)
            self._places[schedule_id] = place
            if len(self._places) > PLACES_KEPT:
                self._places.popitem(last=False)
        return place

    async def of_schedule(self, schedule_id: str, seats: Collection[str] = ()) -> SeatingPlan:
        """The plan a schedule is sold by, and that knows these seats. Raises `UnknownSchedule`."""
        venue_id = (await self.place_of(schedule_id)).venue_id
        plan = await self.get(venue_id, await self._number_of(schedule_id))
        if not all(seat in plan.index for seat in seats) and not set(plan.ids).issuperset(seats):
            self._numbers.pop(schedule_id, None)  # they are from after it was corrected
            plan = await self.get(venue_id, await self._number_of(schedule_id))
        return plan

    async def numbered(self, schedule_id: str, number: int) -> SeatingPlan:
        """One of the plans of the schedule's venue. Raises `UnknownSchedule`."""
        return await self.get((await self.place_of(schedule_id)).venue_id, number)

    async def opened_with(self, schedule_id: str) -> SeatingPlan:
        """The plan that a schedule's journal begins with, which leads on to the one it is sold by at this moment."""
        self._numbers.pop(schedule_id, None)
        place, number = await self.place_of(schedule_id), await self._number_of(schedule_id)
        plan: SeatingPlan | None = None
        for each in range(number, place.first_plan - 1, -1):
            plan = replace(await self.get(place.venue_id, each), successor=plan)
        assert plan is not None, "a schedule has a plan"
        return plan

    async def at_version(self, schedule_id: str) -> Callable[[int], SeatingPlan]:
        """By which plan a record of a schedule's journal names places, by its version."""
        only = await self.opened_with(schedule_id)
        if only.successor is None:
            return lambda version: only
        async with self._database.connect() as connection:
            changes = await plan_changes(connection, schedule_id)
        first = await self.opened_with(schedule_id)  # once more: it may have been corrected again meanwhile
        plans = [first, *(first.numbered(change.number) for change in changes)]
        return lambda version: plans[bisect_right([change.version for change in changes], version)]

    async def _number_of(self, schedule_id: str) -> int:
        known = self._numbers.get(schedule_id)
        if known is not None and time.monotonic() - known[1] < PLAN_SECONDS:
            return known[0]
        started = time.monotonic()
        async with self._database.connect() as connection:
            number = await schedules.plan_number_of(connection, schedule_id)
        if number is None:
            raise UnknownSchedule(schedule_id)
        self._numbers[schedule_id] = (number, started)
        if len(self._numbers) > PLACES_KEPT:
            self._numbers.popitem(last=False)
        return number

    async def _load(self, venue_id: str, number: int) -> SeatingPlan:
        async with self._database.connect() as connection:
            stored = await venues.stored_plan(connection, venue_id, number)
        if stored is None:
            raise UnknownVenue(venue_id)
        # In a thread: a document of a large house takes half a second.
        return replace(await asyncio.to_thread(plan_of, *stored), number=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What the routes work with."""

    settings: Settings
    clock: Clock
    worker: str  # names this process in metrics
    database: AsyncEngine
    writing: Writing  # the catalogue's changes, on connections of their own
    redis: Redis
    gateway: Gateway[Any]
    plans: PlanCache
    booking_ids: BookingIds
    booked: BookedSchedules
    seat_views: SeatViews
    seats_left: SeatsLeft
    seat_cache: RedisSeatCache
    board: VitalsBoard
    tokens: Tokens
    ticket_keys: tuple[TicketKey, ...]  # the one that signs, and the one of the former secret
    passwords: Passwords
    revocations: Revocations
    limits: Limits
    openings: Openings
    providers: Mapping[str, Provider]  # by name; the first one is charged
    pool: asyncpg.Pool[Any]
    reconciler: Reconciler
    catalogue_pages: Together[Response]
    facets: Kept[Response]

    def now(self) -> datetime:
        """The clock's time, to the millisecond."""
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self.clock.now_ms())


@asynccontextmanager
async def open_office(settings: Settings) -> AsyncIterator[Office]:
    """Opens everything, and closes it in reverse order. Raises `CannotOpen`."""
    database_url, redis_url = _required(settings)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        database = create_engine(database_url, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS)
        stack.push_async_callback(database.dispose)
        for_writing = create_engine(database_url, pool_size=CONNECTIONS, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS)
        stack.push_async_callback(for_writing.dispose)
        for engine in (database, for_writing):
            held.watch(engine)
        await _check_database(database_url)

        redis: Redis = Redis.from_url(
            redis_url,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        stack.push_async_callback(redis.aclose)

        plans = PlanCache(database)
        pool = await stack.enter_async_context(open_pool(database_url, 3))
        cache = RedisSeatCache(redis_url)
        stack.push_async_callback(cache.close)
        seat_views = await _open_seat_views(stack, pool, cache, plans)

        worker = str(os.getpid())
        revocations = Revocations(database, redis_url, now_ms=clock.now_ms, token_seconds=ACCESS_SECONDS, worker=worker)
        await revocations.start()
        stack.push_async_callback(revocations.stop)

        passwords = Passwords()
        stack.callback(passwords.close)
        limits = Limits(redis_url, enabled=settings.fair_use)
        stack.push_async_callback(limits.close)
        providers = await _open_providers(stack, settings)
        try:
            gateway = await stack.enter_async_context(open_gateway(settings))
        except Exception as error:
            raise CannotOpen(f"Ray at {settings.ray_address} cannot be reached: {error}") from error
        board = VitalsBoard.at(redis_url, database_url)
        stack.push_async_callback(board.close)
        telling = asyncio.create_task(tell(gateway, board, clock, settings.node))
        stack.push_async_callback(end, [telling])
        yield Office(
            settings=settings,
            clock=clock,
            worker=worker,
            database=database,
            writing=Writing(for_writing),
            redis=redis,
            gateway=gateway,
            plans=plans,
            booking_ids=BookingIds(database),
            booked=BookedSchedules(database),
            seat_views=seat_views,
            seats_left=SeatsLeft(seat_views.availability),
            seat_cache=cache,
            board=board,
            tokens=Tokens(settings.secrets, clock),
            ticket_keys=tuple(ticket_key(secret) for secret in settings.secrets),
            passwords=passwords,
            revocations=revocations,
            limits=limits,
            openings=Openings(enabled=settings.fair_use),
            providers=providers,
            pool=pool,
            reconciler=Reconciler(
                pool,
                PostgresJournal(pool),
                gateway,
                cache,
                clock,
                publishing=settings.publishing is not None,
                mirrors_kept=0,  # an admin asks now and then: nothing to keep in memory for it
            ),
            catalogue_pages=Together(),
            facets=Kept(FACETS_SECONDS),
        )


def _required(settings: Settings) -> tuple[str, str]:
    if settings.database_url is None:
        raise CannotOpen("DATABASE_URL is not set: `boxoffice up` starts an embedded PostgreSQL and sets it")
    if settings.redis_url is None:
        raise CannotOpen("REDIS_URL is not set: `boxoffice up` starts an embedded Redis and sets it")
    if len(settings.secret) < MIN_SECRET_CHARACTERS:
        raise CannotOpen(
            f"BOXOFFICE_SECRET must have at least {MIN_SECRET_CHARACTERS} characters; it signs access tokens"
        )
    return settings.database_url, settings.redis_url


async def _check_database(url: str) -> None:
    try:
        revision = await current_revision(url)
    except Exception as error:
        if not is_unavailable(error):
            raise
        raise CannotOpen(f"PostgreSQL (DATABASE_URL) cannot be reached: {error}") from error
    if revision != head_revision():
        raise CannotOpen(
            f"the database is at revision {revision}, {head_revision()} is needed: run `boxoffice migrate`"
        )


async def _open_seat_views(
    stack: AsyncExitStack, pool: asyncpg.Pool[Any], cache: RedisSeatCache, plans: PlanCache
) -> SeatViews:
    journal = PostgresJournal(pool)

    async def load(schedule_id: str) -> SeatView | None:
        return await load_view(journal, schedule_id)

    seat_views = SeatViews(cache, load, plans.numbered)
    await seat_views.start()
    stack.push_async_callback(seat_views.stop)
    return seat_views


async def _open_providers(stack: AsyncExitStack, settings: Settings) -> Mapping[str, Provider]:
    try:
        providers = open_providers(settings, SystemClock().now_ms)
    except NotConfigured as error:
        raise CannotOpen(str(error)) from error
    for provider in providers.values():
        stack.push_async_callback(provider.close)
    return providers
