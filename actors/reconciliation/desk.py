"""Examining and mending schedules for an admin: what the route and `boxoffice reconcile` have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.gateway.gateway import Gateway
from actors.gateway.ray_owners import open_gateway
from actors.process.clock import SystemClock
from actors.process.settings import Settings
from actors.reconciliation.checks import Check, Report
from actors.reconciliation.event_check import with_events
from actors.reconciliation.provider_books import DATED_BEFORE_MS, closed_books, examine_all_books, is_id, with_books
from actors.reconciliation.reconciler import Reconciler
from actors.reconciliation.repair import Mended, Repair
from persistence.database.connection import create_engine
from persistence.database.pools import open_pool
from persistence.events.log import EventLog, KafkaEventLog
from persistence.journal import heads
from persistence.journal.journal import PostgresJournal
from persistence.providers.opening import open_providers
from persistence.providers.provider import Provider, ProviderUnavailable
from persistence.reconciliation import money
from persistence.seats.redis_cache import RedisSeatCache


class Result(Struct, frozen=True):
    """What was found about a schedule, what was done or would be, and what was found then."""

    report: Report
    actions: list[Mended]
    after: Report | None  # None: nothing was to be mended, or it was a dry run

    @property
    def holds(self) -> bool:
        """Whether everything agrees in the end."""
        return (self.after or self.report).holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What examining and mending takes, opened."""

    pool: asyncpg.Pool[Any]
    database: AsyncEngine
    gateway: Gateway[Any]
    reconciler: Reconciler
    providers: Mapping[str, Provider]
    log: EventLog | None  # None: events are not published

    async def examine(self, schedule_id: str, *, events: bool, with_providers: bool = True) -> Report:
        """Every check of a schedule; with `events` its topic is read, with `with_providers` the providers' books."""
        report = await self.reconciler.examine(schedule_id)
        if with_providers:
            report = await with_books(report, self.pool, self.reconciler, self.providers.values())
        if events and self.log is not None:
            report = await with_events(report, self.pool, self.reconciler, self.log)
        return report

    async def treat(
        self, schedule_id: str, *, dry_run: bool, events: bool = False, with_providers: bool = True
    ) -> Result:
        """Examines a schedule, mends what can be mended or says how, and looks again."""

        async def examine() -> Report:
            return await self.examine(schedule_id, events=events, with_providers=with_providers)

        report = await examine()
        if report.holds:
            return Result(report, [], None)
        repair = Repair(self.pool, self.database, self.gateway, self.reconciler, self.providers, self.log)
        actions = await repair.mend(report, dry_run=dry_run)
        return Result(report, actions, None if dry_run else await examine())

    async def schedules(self) -> list[str]:
        """Every schedule's id."""
        return list(await heads.of_all(self.pool))

    async def overall_books(self) -> tuple[list[Check], set[str]]:
        """Each provider's books since the first booking, and the schedules of which it took money unknown here."""
        now_ms = self.reconciler.now_ms()
        query = "SELECT (extract(epoch from min(created_at)) * 1000)::bigint FROM bookings"
        first_ms = await self.pool.fetchval(query) or now_ms
        checks: list[Check] = []
        schedules: set[str] = set()
        for provider in self.providers.values():
            try:
                check, strays = await examine_all_books(self.pool, provider, first_ms - DATED_BEFORE_MS, now_ms)
            except ProviderUnavailable as error:
                check, strays = closed_books(provider, error), []
            checks.append(check)
            ids = [each.theirs.booking_id for each in strays if each.theirs.booking_id is not None]
            schedules |= {*(await money.schedules_of(self.pool, filter(is_id, ids))).values()}
        return checks, schedules


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[EventLog | None]:
    """Where events are published; None if they are not. It connects when it is first read."""
    options = settings.publishing
    if options is None:
        yield None
        return
    log = KafkaEventLog(options)
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """Opens everything, and closes it in reverse order."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        database = create_engine(settings.database, pool_size=2)
        stack.push_async_callback(database.dispose)
        pool = await stack.enter_async_context(open_pool(settings.database, 3))
        cache = RedisSeatCache(settings.redis)
        stack.push_async_callback(cache.close)
        gateway = await stack.enter_async_context(open_gateway(settings))
        providers = open_providers(settings, clock.now_ms)
        for provider in providers.values():
            stack.push_async_callback(provider.close)
        log = await stack.enter_async_context(open_log(settings))
        journal = PostgresJournal(pool)
        yield Desk(
            pool=pool,
            database=database,
            gateway=gateway,
            reconciler=Reconciler(pool, journal, gateway, cache, clock, publishing=log is not None, mirrors_kept=0),
            providers=providers,
            log=log,
        )
