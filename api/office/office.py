"""All that an API worker holds while it runs, opened and closed in one place.

`open_office` either gives an office in which everything that must work was tried, or raises `CannotOpen` naming the
piece that does not. Redis may be away: reads and bookings go on without it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import Response

from actors.gateway.gateway import Gateway
from actors.gateway.ray_owners import open_gateway
from actors.gateway.vitals import tell
from actors.mail.tickets import TicketKey, ticket_key
from actors.process.clock import Clock, SystemClock
from actors.process.keys import MIN_SECRET_CHARACTERS
from actors.process.settings import Settings
from actors.process.unending import kept_up
from actors.reconciliation.reconciler import Reconciler
from actors.seats.seat_views import SeatViews
from actors.seats.seats_left import SeatsLeft
from api.office import under_way
from api.office.booked import BookedSchedules
from api.office.limits import Limits
from api.office.openings import Openings
from api.office.passwords import Passwords
from api.office.plans import PlanCache
from api.office.queue_tickets import QueueTickets
from api.office.together import Together
from api.office.tokens import ACCESS_SECONDS, Tokens
from api.office.writing import CONNECTIONS, Writing
from persistence.accounts.revocations import Revocations
from persistence.bookings.numbers import BookingIds
from persistence.database import held
from persistence.database.asked_once import AskedOnce
from persistence.database.away import is_away
from persistence.database.connection import (
    COMMAND_TIMEOUT_SECONDS,
    POOL_WAIT_SECONDS,
    create_engine,
    current_revision,
    for_reading,
    head_revision,
)
from persistence.database.ending_tasks import end
from persistence.database.pools import open_pool
from persistence.database.redis_clients import redis_client
from persistence.journal import heads
from persistence.journal.journal import PostgresJournal
from persistence.operations.board import VitalsBoard
from persistence.providers.opening import NotConfigured, open_providers
from persistence.providers.provider import Provider
from persistence.seats.cache import SeatView
from persistence.seats.from_journal import load_view
from persistence.seats.line import Line
from persistence.seats.redis_cache import RedisSeatCache
from persistence.seats.redis_line import RedisLine

REDIS_TIMEOUT_SECONDS = 1.0
CATALOGUE_APART_SECONDS = 0.005  # a page takes 2 ms to be read, of which none is a reader's own
LOCK_TIMEOUT_SECONDS = 4.0  # whoever holds a lock for longer is in trouble: better one 503 than a pool that waits

logger = logging.getLogger(__name__)


class CannotOpen(Exception):
    """A piece that must work does not; the message names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What the routes work with."""

    settings: Settings
    clock: Clock
    worker: str  # names this process in metrics
    database: AsyncEngine  # for what is done in a transaction
    reading: AsyncEngine  # for queries that each stand by themselves
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
    line: Line
    queue_tickets: QueueTickets
    providers: Mapping[str, Provider]  # by name; the first one is charged
    pool: asyncpg.Pool[Any]
    checking: asyncpg.Pool[Any]
    reconciler: Reconciler
    catalogue_pages: Together[Response]
    facets: AskedOnce[Response]

    def now(self) -> datetime:
        """The clock's time, to the millisecond."""
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self.clock.now_ms())


@asynccontextmanager
async def open_office(settings: Settings) -> AsyncIterator[Office]:
    """Opens everything, and closes it in reverse order. Raises `CannotOpen`; `SettingsError` for what is not set."""
    _check_secret(settings)
    database_url, redis_url = settings.database, settings.redis
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        database = create_engine(database_url, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS)
        stack.push_async_callback(database.dispose)
        for_writing = create_engine(database_url, pool_size=CONNECTIONS, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS)
        stack.push_async_callback(for_writing.dispose)
        for engine in (database, for_writing):
            held.watch(engine)
        reading = for_reading(database)
        await _check_database(database_url)

        redis = redis_client(redis_url, timeout_seconds=REDIS_TIMEOUT_SECONDS, retries=1)
        stack.push_async_callback(redis.aclose)

        plans = PlanCache(reading)
        # Whoever asks is answered in time, also where a connection sends into the void; an administrator's checks may
        # take theirs.
        pool = await stack.enter_async_context(
            open_pool(database_url, 3, command_timeout=COMMAND_TIMEOUT_SECONDS, wait_seconds=POOL_WAIT_SECONDS)
        )
        checking = await stack.enter_async_context(open_pool(database_url, 3))
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
        line = RedisLine(redis_url)
        stack.push_async_callback(line.close)
        providers = await _open_providers(stack, settings)
        try:
            gateway = await stack.enter_async_context(open_gateway(settings))
        except Exception as error:
            raise CannotOpen(f"Ray at {settings.ray_address} cannot be reached: {error}") from error
        board = VitalsBoard.at(redis_url, database_url)
        stack.push_async_callback(board.close)
        telling = asyncio.create_task(
            kept_up(partial(tell, gateway, board, clock, settings.node), "saying how it does")
        )
        stack.push_async_callback(end, [telling])
        stack.push_async_callback(under_way.all_ended)
        yield Office(
            settings=settings,
            clock=clock,
            worker=worker,
            database=database,
            reading=reading,
            writing=Writing(for_writing),
            redis=redis,
            gateway=gateway,
            plans=plans,
            booking_ids=BookingIds(reading),
            booked=BookedSchedules(reading),
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
            line=line,
            queue_tickets=QueueTickets(settings.secrets),
            providers=providers,
            pool=pool,
            checking=checking,
            reconciler=Reconciler(
                checking,
                PostgresJournal(checking),
                gateway,
                cache,
                clock,
                publishing=settings.publishing is not None,
                mirrors_kept=0,  # an admin asks now and then: nothing to keep in memory for it
            ),
            catalogue_pages=Together(CATALOGUE_APART_SECONDS),
            facets=AskedOnce(1),
        )


def _check_secret(settings: Settings) -> None:
    if len(settings.secret) < MIN_SECRET_CHARACTERS:
        raise CannotOpen(
            f"BOXOFFICE_SECRET must have at least {MIN_SECRET_CHARACTERS} characters; it signs access tokens"
        )


async def _check_database(url: str) -> None:
    try:
        revision = await current_revision(url)
    except Exception as error:
        if not is_away(error):
            raise
        raise CannotOpen(f"DATABASE_URL leads to no database to work with: {error}") from error
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

    seat_views = SeatViews(cache, load, plans.numbered, partial(heads.newest, pool))
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
