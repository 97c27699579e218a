"""Examines schedules over and over, and what belongs to no single one: the audit log and the providers' books.

What it finds stands in the table `reconciliations`, in the metrics and, where something does not hold, in the log. It
mends nothing by itself: an admin decides (`boxoffice reconcile`, POST /v1/admin/schedules/{id}/reconciliation).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import Clock
from actors.process.rounds import every
from actors.reconciliation.audit_heads import read_heads
from actors.reconciliation.checks import Check, Name, Report, checked
from actors.reconciliation.provider_books import examine_all_books
from actors.reconciliation.reconciler import Reconciler
from persistence.audit.verification import verify
from persistence.database.away import is_away
from persistence.database.moments import moment
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.providers.provider import Provider, ProviderUnavailable
from persistence.reconciliation import findings
from persistence.reconciliation.told import named, say

INTERVAL_SECONDS = 10.0
# A large house in the middle of its sale is a second's work. A sale should not notice: most of it is done in a fifth
# of the time it takes, and examinations take a sixth of all time.
WORKING_SHARE = 0.2
SHARE = 0.15
AT_ONCE = 8  # schedules examined per round, so that a round is short and the other jobs keep their turn
# One that has not changed is examined all the same from time to time: rows may be changed behind the journal's back.
AGAIN_MS = 600_000
# With thousands that have been played there is always one of which that is true, and what is on sale would stand in
# line behind them. So these come after it, one a round at least. They are looked for among all there ever were: once a
# minute, and then as many as are examined until the next time.
RESTING_ASKED_MS, RESTING_AT_ONCE = 60_000, 48
OVERALL_SECONDS = 300.0
BOOKS_FIRST_MS = 24 * 3_600_000  # how far back the providers' books are read at first
BOOKS_OVERLAP_MS = 2 * 3_600_000  # and into what was read before: a payment may be dated as its hold

FAILED = Gauge(
    "boxoffice_reconciliation_failed",
    "Schedules for which the check does not hold; 1 where it is about the whole",
    ("check",),
    multiprocess_mode="mostrecent",
)
EXAMINED = Counter("boxoffice_reconciliations_total", "Examinations", ("holds",))
SECONDS = Histogram("boxoffice_reconciliation_seconds", "Time to examine one schedule")

_decode = msgspec.json.Decoder(list[Check]).decode

logger = logging.getLogger(__name__)


class Reconciling:
    """The job. What it has examined stands in the database; what it keeps in memory only makes it quicker."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        database: AsyncEngine,
        reconciler: Reconciler,
        providers: Mapping[str, Provider],
        clock: Clock,
        heads: tuple[Path, Sequence[bytes]],
        *,
        publishing: bool = False,
    ) -> None:
        """`heads`: the file of the audit log's exported heads, and the keys of their signatures."""
        self._pool = pool
        self._database = database
        self._reconciler = reconciler
        self._providers = providers
        self._clock = clock
        self._heads = heads
        self._publishing = publishing
        self._books_read_ms: dict[str, int] = {}
        self._books: dict[str, Check] = {}  # what was found when they were last read
        self._named: set[str] = set()  # checks that have a metric
        self._resting: list[str] = []  # that are due, the oldest last
        self._resting_asked_ms: int | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Examines until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(every(INTERVAL_SECONDS, stop, self.run_once, "reconciliation", share=SHARE))
            group.create_task(every(OVERALL_SECONDS, stop, self.examine_the_whole, "overall reconciliation"))

    async def run_once(self) -> list[Report]:
        """Examines the schedules that are due."""
        before = moment(self._clock.now_ms() - AGAIN_MS)
        reports = []
        due = await findings.due(self._pool, before=before, limit=AT_ONCE, publishing=self._publishing)
        due += await self._due_resting(before, max(1, AT_ONCE - len(due)))
        for schedule_id in due:
            started = time.perf_counter()
            report = await self._examine(schedule_id)
            SECONDS.observe(time.perf_counter() - started)
            if report is not None:
                await self._keep(schedule_id, report.version, report.checks)
                reports.append(report)
        if reports:
            await self._count()
        return reports

    async def _due_resting(self, before: datetime, limit: int) -> list[str]:
        now_ms = self._clock.now_ms()
        asked_ms = self._resting_asked_ms
        if not self._resting and (asked_ms is None or now_ms - asked_ms >= RESTING_ASKED_MS):
            found = await findings.due(
                self._pool, before=before, limit=RESTING_AT_ONCE, publishing=self._publishing, resting=True
            )
            self._resting, self._resting_asked_ms = found[::-1], now_ms
        return [self._resting.pop() for _ in range(min(limit, len(self._resting)))]

    async def _examine(self, schedule_id: str) -> Report | None:
        try:
            return await self._reconciler.examine(schedule_id)
        except JournalUnavailable as error:
            logger.warning("schedule %s is examined later: %r", schedule_id, error)
            return None
        except UnknownSchedule:
            why = say("no_schedule_row")
        except Exception as error:
            if is_away(error):
                raise
            # A schedule that cannot be examined is a finding, and no reason to stop settling payments.
            logger.exception("schedule %s cannot be examined", schedule_id)
            why = named(repr(error)[:500])
        self._reconciler.forget(schedule_id)
        failed = checked(Name.CAN_BE_EXAMINED, say("a_report"), why)
        return Report(schedule_id=schedule_id, version=0, checked_ms=self._clock.now_ms(), checks=(failed,))

    async def examine_the_whole(self) -> list[Check]:
        """A round over what belongs to no single schedule."""
        now_ms = self._clock.now_ms()
        checks = [await check_audit(self._database, self._heads)]
        for provider in self._providers.values():
            since_ms = self._books_read_ms.get(provider.name, now_ms - BOOKS_FIRST_MS) - BOOKS_OVERLAP_MS
            try:
                check, _ = await examine_all_books(self._pool, provider, since_ms, now_ms)
            except ProviderUnavailable as error:
                logger.warning("the books of %s are read later: %s", provider.name, error)
                continue
            self._books[provider.name] = check
            if check.holds:  # what does not agree is looked at again
                self._books_read_ms[provider.name] = now_ms
        checks += self._books.values()
        await self._keep(findings.OVERALL, 0, checks)
        await self._count()
        return checks

    async def _keep(self, subject: str, version: int, checks: Sequence[Check]) -> None:
        holds = all(check.holds for check in checks)
        self._named |= {Name.CAN_BE_EXAMINED, *(check.name for check in checks)}
        EXAMINED.labels(str(holds).lower()).inc()
        before = await findings.find(self._pool, subject)
        await findings.keep(
            self._pool,
            subject=subject,
            version=version,
            checked_at=moment(self._clock.now_ms()),
            holds=holds,
            checks=checks,
        )
        known = set() if before is None else {each.name for each in _decode(before.checks) if not each.holds}
        for check in checks:
            if not check.holds and check.name not in known:  # once, not in every round
                offenders = ", ".join(check.offenders[:5])
                logger.critical(
                    "reconciliation of %s: %s does not hold: expected %s, found %s; %s",
                    *(subject, check.name, check.expected, check.actual, offenders),
                )
        if holds and known:
            logger.warning("reconciliation of %s: everything holds again", subject)

    async def _count(self) -> None:
        """Sets the metrics. Those that hold are set too: the process before this one may have left others behind."""
        failing = await findings.failing_checks(self._pool)
        for name in self._named:
            FAILED.labels(name).set(failing.get(name, 0))


async def check_audit(database: AsyncEngine, heads: tuple[Path, Sequence[bytes]]) -> Check:
    """The audit log is as it was written, and as its exported heads say."""
    path, keys = heads
    found = await verify(database, read_heads(path, keys) if path.exists() else ())
    wrong = [say("audit_finding", kind=finding.kind, where=finding.where) for finding in found.findings]
    seen = say("audit_findings", count=len(wrong) or "no", entries=found.entries, heads=found.heads)
    return checked(Name.AUDIT_LOG_IS_WHOLE, say("no_findings"), seen, wrong, holds=not wrong)
