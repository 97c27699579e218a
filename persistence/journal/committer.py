"""One commit for all schedules of a process.

Guarantee: to each schedule it is a journal of its own. What waits at the same time goes in one statement, yet whoever
is deposed, refused or held up by a lock is so alone; only a database that is away is away for all.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from engine.seating_plan import SeatingPlan
from persistence.journal.journal import Batch, BatchRefused, Claim, Commit, Deposed, Journal, JournalUnavailable, Locked

STEPS_AT_ONCE = 5_000  # in one statement; what is beyond waits for the next, so that none takes for ever
ALONE_AT_ONCE = 1  # commits that go by themselves, so that they leave room for whoever reads
# A head row that somebody holds is tried for again and again, so that nobody waits behind it, and for so long.
LOCKED_PAUSE_SECONDS, LOCKED_SECONDS = 0.1, 30.0

logger = logging.getLogger(__name__)


class _Waiting:
    """A batch and the schedule that waits for it."""

    __slots__ = ("commit", "done")

    def __init__(self, commit: Commit) -> None:
        self.commit = commit
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self, error: Exception | None = None) -> None:
        if self.done.done():
            return  # its schedule has gone
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class Committer:
    """A `Journal` that many schedules share: `commits` takes their batches, one statement after the other, `journal`
    does the rest, and takes the batches that have to go by themselves."""

    def __init__(self, journal: Journal, commits: Journal) -> None:
        self._journal = journal
        self._commits = commits
        self._queue: deque[_Waiting] = deque()
        self._work: asyncio.Task[None] | None = None
        self._alone = asyncio.Semaphore(ALONE_AT_ONCE)
        self._apart: set[asyncio.Task[None]] = set()  # going by themselves
        # Reading is the same for one schedule and for many.
        self.plan = journal.plan
        self.claim = journal.claim
        self.read = journal.read
        self.snapshot = journal.snapshot
        self.save_snapshot = journal.save_snapshot
        self.save_published = journal.save_published

    async def append(self, claim: Claim, plan: SeatingPlan, batch: Batch) -> None:
        waiting = _Waiting(Commit(claim, plan, batch))
        self._queue.append(waiting)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._commit())
        await waiting.done

    async def append_together(self, commits: Sequence[Commit]) -> list[bool]:
        return await self._commits.append_together(commits)

    async def _commit(self) -> None:
        """Takes what waits until nothing does."""
        while self._queue:
            batch = self._take()
            try:
                if len(batch) == 1:
                    if not await self._one(self._commits, batch[0]):
                        self._set_apart(batch[0])
                else:
                    await self._many(batch)
            except BaseException:  # raised again: whatever ends the work, nobody is left waiting for it
                for waiting in (*batch, *self._queue):
                    waiting.end(JournalUnavailable("the commit was broken off"))
                self._queue.clear()
                raise

    def _take(self) -> list[_Waiting]:
        batch = [self._queue.popleft()]
        steps = len(batch[0].commit.batch.steps)
        while self._queue and steps + len(self._queue[0].commit.batch.steps) <= STEPS_AT_ONCE:
            batch.append(self._queue.popleft())
            steps += len(batch[-1].commit.batch.steps)
        return batch

    @staticmethod
    async def _one(journal: Journal, waiting: _Waiting) -> bool:
        """Whether the schedule has been told what became of its batch: not where the head row is locked."""
        commit = waiting.commit
        try:
            await journal.append(commit.claim, commit.plan, commit.batch)
        except Locked:
            return False
        except (Deposed, BatchRefused, JournalUnavailable) as error:
            waiting.end(error)
        except Exception as error:  # a bug, and the schedule's own: it is told, and the others go on
            logger.exception("a commit of schedule %s failed", commit.claim.schedule_id)
            waiting.end(error)
        else:
            waiting.end()
        return True

    async def _many(self, batch: list[_Waiting]) -> None:
        try:
            durable = await self._commits.append_together([waiting.commit for waiting in batch])
        except JournalUnavailable as error:
            for waiting in batch:
                waiting.end(JournalUnavailable(str(error)))
            return
        except Exception:  # a bug, and perhaps one schedule's own: each is tried by itself, and told
            logger.exception("a commit of %d schedules failed", len(batch))
            durable = [False] * len(batch)
        for waiting, is_durable in zip(batch, durable, strict=True):
            if is_durable:
                waiting.end()
            else:  # deposed, refused, locked: nobody else should wait to hear which
                self._set_apart(waiting)

    def _set_apart(self, waiting: _Waiting) -> None:
        task = asyncio.create_task(self._apart_from_others(waiting))
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)

    async def _apart_from_others(self, waiting: _Waiting) -> None:
        until = asyncio.get_running_loop().time() + LOCKED_SECONDS
        while not waiting.done.done():
            async with self._alone:
                if await self._one(self._journal, waiting):
                    return
            if asyncio.get_running_loop().time() >= until:
                waiting.end(JournalUnavailable("its head row is locked"))
            await asyncio.sleep(LOCKED_PAUSE_SECONDS)
