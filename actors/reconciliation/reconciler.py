"""Whether everything that knows about a schedule agrees with its journal, check by check.

The journal is replayed from its first record; owner's memory, snapshot, current tables, readers' seat map, publishing
and what receiving services have written are held against it at the very version they claim, so that a sale need not
pause to be examined. Nothing here changes anything (see `repair`), and no owner is woken. A reconciler that is kept
goes on from where it was: what it replays is what has happened since. What takes longer than others on the loop should
wait is done in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
from cachetools import LRUCache
from msgspec import Struct

from actors.gateway.gateway import Gateway, Unavailable
from actors.process.clock import Clock
from actors.reconciliation import following
from actors.reconciliation.checks import Check, Name, Report, checked
from actors.reconciliation.copy_checks import check_memory, check_outside, check_snapshot, check_view
from actors.reconciliation.following import BrokenJournal, Followed, advance, count
from actors.reconciliation.receiver_checks import check_received, compare_sales, received
from actors.reconciliation.table_checks import against_journal, by_themselves
from actors.wire.messages import Inspection
from persistence.database.asked_once import latest_within
from persistence.database.pools import Connection
from persistence.journal import heads
from persistence.journal.heads import Head
from persistence.journal.journal import Journal
from persistence.reconciliation.table_mirror import Mirror
from persistence.reconciliation.told import Told, joined, say
from persistence.seats.cache import CacheUnavailable, SeatCache, SeatView

MIRRORS_KEPT = 4  # schedules followed from round to round; a sold-out arena's is about 50 MB
MIRROR_TRUSTED_MS = 3_600_000  # then it is made anew: a record changed after it was replayed would not be noticed
DURABLE_SECONDS = 3.0  # within which what an owner holds in memory is in the journal
POLL_SECONDS = 0.05
# In which a mirror comes close to the head of a sale that goes on, and the share of the time that all but the first may
# take: at full speed 15,000 records a second are replayed, more than any sale makes.
LAPS, CATCHING_UP_SHARE = 8, 0.5

NEWEST_SNAPSHOT = "SELECT coalesce(max(seq), 0) FROM snapshots WHERE schedule_id = $1"
SNAPSHOT = "SELECT seq, payload FROM snapshots WHERE schedule_id = $1 ORDER BY seq DESC LIMIT 1"


class _Copies(Struct, frozen=True):
    """What was read of a schedule's copies, before the journal."""

    memory: Inspection | None
    silent: bool  # the owner did not answer
    durable: bool  # what was in memory is in the journal
    view: SeatView | None


class Reconciler:
    """Examines schedules. Holds nothing that cannot be read again."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        journal: Journal,
        gateway: Gateway[Any],
        cache: SeatCache,
        clock: Clock,
        *,
        publishing: bool,
        mirrors_kept: int = MIRRORS_KEPT,
        share: float = 1.0,
    ) -> None:
        """`share`: how much of the time to spend on replaying what lies before all that is compared."""
        self._pool = pool
        self.journal = journal
        self._gateway = gateway
        self.cache = cache
        self._clock = clock
        self._publishing = publishing
        self._mirrors_kept = mirrors_kept
        self._share = share
        self._followed: LRUCache[str, Followed] = latest_within(mirrors_kept)

    async def examine(self, schedule_id: str) -> Report:
        """Every check of the schedule. Raises `UnknownSchedule`, and what a database that is away raises."""
        followed = self._followed.pop(schedule_id, None)
        if followed is None or self.now_ms() - followed.since_ms > MIRROR_TRUSTED_MS:
            followed = await self._start(schedule_id)
        if not await self._approach(schedule_id, followed):
            followed = await self._start(schedule_id)  # it stands in the middle of a record
        report = await self._look(schedule_id, followed)
        if Name.MEMORY_EQUALS_JOURNAL in report.failing:
            # A turn whose commit failed is undone, and the version it had is another one's then. Damage stays.
            report = await self._look(schedule_id, followed)
        if self._mirrors_kept and Name.JOURNAL_IS_WHOLE not in report.failing:
            self._followed[schedule_id] = followed
        return report

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def forget(self, schedule_id: str) -> None:
        """Starts from the first record next time."""
        self._followed.pop(schedule_id, None)

    async def mirror(self, schedule_id: str, connection: Connection | None = None) -> Mirror:
        """The schedule replayed up to now, anew from the first record. Raises `BrokenJournal`."""
        mirror = (await self._start(schedule_id)).mirror
        await self.follow(mirror, schedule_id, connection or self._pool)
        return mirror

    async def follow(self, mirror: Mirror, schedule_id: str, connection: Connection) -> None:
        """Brings a mirror up to now. Raises `BrokenJournal`."""
        head = await heads.of_schedule(connection, schedule_id)
        broken = await advance(connection, schedule_id, mirror, head.seq)
        if broken:
            raise BrokenJournal(broken)

    async def _start(self, schedule_id: str) -> Followed:
        plan = await self.journal.plan(schedule_id)
        return Followed(await asyncio.to_thread(Mirror, plan), self.now_ms())

    async def _approach(self, schedule_id: str, followed: Followed) -> bool:
        """Replays up to a little before where the database is compared, and looks at the newest snapshot on the way;
        False if the journal cannot be followed so far.

        In no transaction: while one is open, each commit of the sale leaves a version of the head that the next has to
        pass by. In several laps, because the sale goes on meanwhile; the later ones are quicker, to come closer.
        """
        mirror, share = followed.mirror, self._share
        for _ in range(LAPS):
            head, taken = await heads.of_schedule(self._pool, schedule_id), await received(self._pool, schedule_id)
            near = min(head.seq, taken.sales_version or head.seq) - following.CHUNK
            snapshot = await self._pool.fetchval(NEWEST_SNAPSHOT, schedule_id)
            until = min((mark for mark in (snapshot, near) if mirror.seq < mark <= near), default=0)
            if until == 0:
                break
            if await advance(self._pool, schedule_id, mirror, until, followed.sales, share):
                return False
            stored = await self._pool.fetchrow(SNAPSHOT, schedule_id) if snapshot == until else None
            if stored is not None and stored["seq"] == mirror.seq:
                await check_snapshot(self._pool, schedule_id, followed, *stored)
            share = max(share, CATCHING_UP_SHARE)
        return True

    async def _look(self, schedule_id: str, followed: Followed) -> Report:
        copies = await self._copies(schedule_id)
        head = await heads.of_schedule(self._pool, schedule_id)
        if head.seq < followed.mirror.seq:  # an older database was restored
            fresh = await self._start(schedule_id)
            followed.mirror, followed.sales = fresh.mirror, fresh.sales
            followed.since_ms, followed.snapshot = fresh.since_ms, fresh.snapshot
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            head = await heads.of_schedule(connection, schedule_id)
            checks = await self._examine(connection, schedule_id, followed, head, copies)
        return Report(schedule_id=schedule_id, version=head.seq, checked_ms=self.now_ms(), checks=tuple(checks))

    async def _examine(
        self, connection: Connection, schedule_id: str, followed: Followed, head: Head, copies: _Copies
    ) -> list[Check]:
        """All checks on one consistent picture of the database."""
        mirror, now_ms = followed.mirror, self.now_ms()
        checks = await _compare(connection, schedule_id, followed, head, copies, now_ms)
        if checks[0].holds:
            checks += await against_journal(connection, schedule_id, mirror)
        plan = mirror.state.plan
        return [
            *checks,
            *await by_themselves(connection, schedule_id, plan, head, now_ms, publishing=self._publishing),
        ]

    # --- the copies ---------------------------------------------------------------------------------------------------
    async def _copies(self, schedule_id: str) -> _Copies:
        memory, silent = await self._memory(schedule_id)
        view = await self._view(schedule_id)
        durable = memory is None or await self._durable(schedule_id, memory.version)
        return _Copies(memory, silent, durable, view)

    async def _memory(self, schedule_id: str) -> tuple[Inspection | None, bool]:
        for _ in range(2):  # a machine that is busy may take longer than an owner usually does
            try:
                return await self._gateway.peek(schedule_id), False
            except Unavailable:
                continue
        return None, True

    async def _view(self, schedule_id: str) -> SeatView | None:
        try:
            return await self.cache.get(schedule_id)
        except CacheUnavailable:
            return None  # readers fall back to the journal

    async def _durable(self, schedule_id: str, version: int) -> bool:
        """Waits for the journal to reach what was in memory: its newest commit may be under way."""
        for _ in range(int(DURABLE_SECONDS / POLL_SECONDS)):
            if (await heads.of_schedule(self._pool, schedule_id)).seq >= version:
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False


# --- the journal against its copies -----------------------------------------------------------------------------------
async def _compare(
    connection: Connection, schedule_id: str, followed: Followed, head: Head, copies: _Copies, now_ms: int
) -> list[Check]:
    """Replays up to the head, and on the way compares each copy at its own version. The journal's own check is first;
    where it does not hold, nothing can be compared from there on."""
    mirror, memory, view = followed.mirror, copies.memory, copies.view
    taken = await received(connection, schedule_id)
    snapshot = await connection.fetchrow(SNAPSHOT, schedule_id)
    checks: list[Check] = []
    if copies.silent:
        checks.append(checked(Name.MEMORY_EQUALS_JOURNAL, say("an_answer"), say("owner_silent")))
    elif memory is not None and not copies.durable:
        most, found = say("at_most_version", version=head.seq), say("version", version=memory.version)
        checks.append(check_memory(memory, most, found))
    elif memory is not None and memory.version < mirror.seq:
        least, found = say("at_least_version", version=mirror.seq), say("version", version=memory.version)
        checks.append(check_memory(memory, least, found))
    if view is not None and not mirror.seq <= view.version <= head.seq:
        checks.append(await check_outside(connection, view, head, now_ms))
    if snapshot is not None and snapshot["seq"] < mirror.seq:
        checks.append(await check_snapshot(connection, schedule_id, followed, *snapshot))

    claimed = (memory and memory.version, view and view.version, snapshot and snapshot["seq"], taken.sales_version)
    versions = [each for each in claimed if each]
    broken = await count(connection, schedule_id, head)
    for mark in sorted({each for each in versions if mirror.seq <= each < head.seq} | {head.seq}):
        broken = broken or await advance(connection, schedule_id, mirror, mark, followed.sales)
        if broken:
            break
        if memory is not None and memory.version == mark and copies.durable:
            due, actual = (
                say("state_at_version", version=mark, state=each)
                for each in (mirror.fingerprint.hexdigest(), memory.state_hash)
            )
            checks.append(check_memory(memory, due, actual))
        if view is not None and view.version == mark:
            checks.append(await check_view(connection, mirror, view, head, now_ms))
        if snapshot is not None and snapshot["seq"] == mark:
            checks.append(await check_snapshot(connection, schedule_id, followed, *snapshot))
        if taken.sales_version == mark:
            await compare_sales(connection, schedule_id, followed.sales, taken)
    if broken:
        found = joined(broken, say("not_comparable"), by="; ")
        return [_journal(head, found, [say("version", version=broken.parts[0].facts["version"])])]
    checks += await check_received(connection, schedule_id, taken, (head.seq, head.published_seq), now_ms)
    return [_journal(head, say("versions", version=head.seq)), *checks]


def _journal(head: Head, actual: Told, offenders: Sequence[Told] = ()) -> Check:
    return checked(Name.JOURNAL_IS_WHOLE, say("versions", version=head.seq), actual, offenders)
