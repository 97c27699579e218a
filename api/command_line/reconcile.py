"""Examining and mending schedules for an admin: what the route and `boxoffice reconcile` have in common, and the
latter's way from settings to a table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.gateway.gateway import Gateway
from actors.gateway.ray_owners import open_gateway
from actors.process.clock import SystemClock
from actors.process.settings import Settings
from actors.reconciliation.audit_heads import FILE_NAME, heads_key
from actors.reconciliation.checks import Check, Report, checked
from actors.reconciliation.event_check import with_events
from actors.reconciliation.provider_books import DATED_BEFORE_MS, NAME, examine_all_books, is_id, with_books
from actors.reconciliation.reconciler import Reconciler
from actors.reconciliation.repair import Forget, Mended, Repair
from actors.reconciliation.watch import check_audit
from persistence.database.connection import create_engine, is_unavailable
from persistence.database.pools import open_pool
from persistence.events.log import EventLog, KafkaEventLog
from persistence.journal.journal import JournalUnavailable, PostgresJournal, UnknownSchedule
from persistence.providers.opening import NotConfigured, open_providers
from persistence.providers.provider import Provider, ProviderUnavailable
from persistence.reconciliation import money
from persistence.seats.cache import CacheUnavailable
from persistence.seats.redis_cache import KEY, RedisSeatCache


class ReconcileError(RuntimeError):
    """Nothing can be examined; the message says why and what to do."""


class Result(Struct, frozen=True):
    """What was found about a schedule, what was done or would be, and what was found then."""

    report: Report
    actions: list[Mended]
    after: Report | None  # None: nothing was to be mended, or it was a dry run

    @property
    def holds(self) -> bool:
        """Whether everything agrees in the end."""
        return (self.after or self.report).holds


class Findings(Struct, frozen=True):
    """All that was examined; `overall` is what belongs to no single schedule, where all were examined."""

    results: list[Result]
    overall: list[Check]

    @property
    def holds(self) -> bool:
        return all(each.holds for each in self.results) and all(each.holds for each in self.overall)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What examining and mending takes, opened."""

    pool: asyncpg.Pool[Any]
    database: AsyncEngine
    gateway: Gateway[Any]
    reconciler: Reconciler
    providers: Mapping[str, Provider]
    forget_view: Forget
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
        repair = Repair(
            self.pool, self.database, self.gateway, self.reconciler, self.providers, self.forget_view, self.log
        )
        actions = await repair.mend(report, dry_run=dry_run)
        return Result(report, actions, None if dry_run else await examine())

    async def schedules(self) -> list[str]:
        """Every schedule's id."""
        return [row[0] for row in await self.pool.fetch("SELECT schedule_id::text FROM schedule_heads ORDER BY 1")]

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
                check, strays = checked(NAME, f"the books of {provider.name}", f"cannot be read now: {error}"), []
            checks.append(check)
            ids = [each.theirs.booking_id for each in strays if each.theirs.booking_id is not None]
            schedules |= {*(await money.schedules_of(self.pool, filter(is_id, ids))).values()}
        return checks, schedules


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[EventLog | None]:
    """Where events are published; None if they are not. It connects when it is first read."""
    options = settings.kafka
    if options is None or not settings.publish:
        yield None
        return
    log = KafkaEventLog(options)
    try:
        yield log
    finally:
        await log.close()


def forgetting(redis: Redis) -> Forget:
    """Takes a schedule's view out of the seat cache. Raises `CacheUnavailable`."""

    async def forget(schedule_id: str) -> None:
        try:
            await redis.delete(KEY + schedule_id)
        except (RedisError, OSError) as error:
            raise CacheUnavailable(f"cannot remove: {error}") from error

    return forget


# --- the command ------------------------------------------------------------------------------------------------------
async def run(settings: Settings, schedule_id: str | None, *, dry_run: bool, events: bool) -> Findings:
    """Examines one schedule, or all and what belongs to none. Raises `ReconcileError`."""
    if settings.redis_url is None or settings.ray_address is None:
        raise ReconcileError("REDIS_URL and RAY_ADDRESS must be set, or `boxoffice up` must be running")
    if schedule_id is not None and not is_id(schedule_id):
        raise ReconcileError(f"{schedule_id} is no id of a schedule")
    try:
        async with open_desk(settings) as desk:
            if events and desk.log is None:
                raise ReconcileError("events are not published here: KAFKA_BOOTSTRAP_SERVERS is not set")
            if schedule_id is not None:
                return Findings([await desk.treat(schedule_id, dry_run=dry_run, events=events)], [])
            return await _all(desk, settings, dry_run=dry_run, events=events)
    except UnknownSchedule as error:
        raise ReconcileError(f"there is no schedule {error}") from error
    except (NotConfigured, ConnectionError) as error:
        raise ReconcileError(str(error)) from error
    except Exception as error:
        if is_unavailable(error) or isinstance(error, JournalUnavailable):
            raise ReconcileError(f"the database cannot be reached: {error}") from error
        raise


async def _all(desk: Desk, settings: Settings, *, dry_run: bool, events: bool) -> Findings:
    """Every schedule by itself; the providers' books once for all, and again for those that they name."""
    checks, strange = await desk.overall_books()
    results = [
        await desk.treat(each, dry_run=dry_run, events=events, with_providers=each in strange)
        for each in await desk.schedules()
    ]
    if any(each.after is not None for each in results):
        checks, _ = await desk.overall_books()
    heads: tuple[Path, bytes] = (settings.data_path / FILE_NAME, heads_key(settings.secret))
    return Findings(results, [await check_audit(desk.database, heads), *checks])


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """Opens everything, and closes it in reverse order."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        database = create_engine(settings.database_url, pool_size=2)
        stack.push_async_callback(database.dispose)
        pool = await stack.enter_async_context(open_pool(settings.database_url, 3))
        cache = RedisSeatCache(settings.redis_url)
        stack.push_async_callback(cache.close)
        redis: Redis = Redis.from_url(settings.redis_url)
        stack.push_async_callback(redis.aclose)
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
            forget_view=forgetting(redis),
            log=log,
        )


# --- the table --------------------------------------------------------------------------------------------------------
def print_findings(screen: Console, findings: Findings, *, dry_run: bool) -> None:
    """Prints what was found: of a single schedule every check, of many those that do not hold."""
    alone = len(findings.results) == 1
    for result in findings.results:
        report = result.report
        if alone or not report.holds:
            _print(screen, f"Schedule {report.schedule_id} at version {report.version}", report.checks, whole=alone)
            _print_actions(screen, result.actions, "What would be done" if dry_run else "What was done")
        if result.after is not None and not result.after.holds:
            _print(screen, "Still so after the repair", result.after.checks)
    if any(not check.holds for check in findings.overall):
        _print(screen, "What belongs to no single schedule", findings.overall)
    _conclude(screen, findings, dry_run=dry_run)


def _print(screen: Console, title: str, checks: Sequence[Check], *, whole: bool = False) -> None:
    table = Table(title=title, title_justify="left")
    for heading in ("check", "holds", "expected", "found"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        if whole or not check.holds:
            holds = "[green]yes[/green]" if check.holds else "[red]no[/red]"
            table.add_row(check.name, holds, escape(check.expected), escape(check.actual))
    screen.print(table)
    for check in checks:  # below the table, where ids are not broken
        if check.offenders and not check.holds:
            screen.print(f"[red]{check.name}[/red]", highlight=False)
            for offender in check.offenders:
                screen.print(f"  {escape(offender)}", highlight=False, soft_wrap=True)


def _print_actions(screen: Console, actions: Sequence[Mended], title: str) -> None:
    if actions:
        screen.print(f"[bold]{title}[/bold]", highlight=False)
    for each in actions:
        screen.print(f"  {each.check}: {escape(each.action)}", highlight=False, soft_wrap=True)


def _conclude(screen: Console, findings: Findings, *, dry_run: bool) -> None:
    count, left = len(findings.results), sum(not each.holds for each in findings.results)
    mended = sum(each.holds and not each.report.holds for each in findings.results)
    told = f"{count} schedule{'' if count == 1 else 's'} examined"
    told += f", {left} {'does' if left == 1 else 'do'} not agree" if left else ": everything agrees"
    if mended:
        told += f", {mended} after a repair"
    wrong = sorted({check.name for check in findings.overall if not check.holds})
    if findings.overall:
        told += f"; overall: {', '.join(wrong)} does not hold" if wrong else "; so do audit log and providers' books"
    screen.print(f"[{'green' if findings.holds else 'red'}]{told}.[/]", highlight=False)
    if dry_run and left:
        screen.print("This was a dry run: --repair does what it says would be done.", highlight=False)
