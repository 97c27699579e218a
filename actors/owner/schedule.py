"""A schedule's owner: decides in memory, answers what is durable.

What survives a crash: everything answered as a success, because it was in the journal first. What does not: requests
that had no answer yet. They carry ids, so their sender asks again and gets the first answer if there was one.

The class knows no Ray. Around its turns (`submit`) run the group commit (`_commit_batches`), the clock
(`_expire_holds`), the view for readers (`seat_board.SeatBoard`), publishing (`publisher.Publisher`) and snapshots.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Sequence
from typing import Any

from actors.owner.publisher import Publisher
from actors.owner.seat_board import Readers, SeatBoard
from actors.process.clock import Clock
from actors.wire.messages import Inspection, Reply, reply_of
from engine.commands import Expire
from engine.refusals import Code, Refusal
from engine.snapshot import Fingerprint, capture, encode
from engine.state import Answer, ScheduleState
from engine.turn import Request, Step, execute
from persistence.database.ending_tasks import end
from persistence.events.log import EventLog
from persistence.journal import history
from persistence.journal.journal import Batch, Claim, Deposed, Journal, JournalUnavailable

# A live owner answers every call within this time, be it with "not durable yet": silence then means that it is gone.
ANSWER_SECONDS = 1.5
# Steps waiting for the next group commit; beyond it new requests are told to come again.
BATCH_LIMIT = 20_000
# Records from one snapshot to the next, and entries in the state per such record: a large state is saved less often, or
# saving it would cost more than selling. A recovery replays 29,000 records at most, in a third of a second.
SNAPSHOT_EVERY, ENTRIES_PER_RECORD = 5_000, 4
FINGERPRINTED_AT_ONCE = 500  # bookings, in a millisecond
RETRY_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0)
# Refusals that state a fact of the caller's own: they wait for the commit that the fact rests on.
OWN_FACTS = frozenset(
    {
        Code.ALREADY_REFUNDED,
        Code.BOOKING_ALREADY_CANCELLED,
        Code.BOOKING_ALREADY_PAID,
        Code.BOOKING_EXPIRED,
        Code.BOOKING_PAID,
        Code.PAYMENT_ALREADY_SETTLED,
        Code.PAYMENT_NOT_FOUND,
        Code.REFUND_NOT_FOUND,
        Code.SCHEDULE_CANCELLED,
    }
)

logger = logging.getLogger(__name__)


def snapshot_due(state: ScheduleState, records: int) -> bool:
    """Whether another snapshot pays, so many records after the last one."""
    entries = len(state.bookings) + len(state.requests) + len(state.ended)
    return records >= max(SNAPSHOT_EVERY, entries // ENTRIES_PER_RECORD)


class Rewound(Exception):
    """The batch was lost or its fate is unknown; memory has been read anew from the journal."""


class _Gathering:
    """The batch that the next group commit will take."""

    __slots__ = ("durable", "steps")

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.durable.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting


class Schedule:
    """One schedule in memory. `activate` first; then `submit` as often as you like; `left` is set when it has to go."""

    def __init__(
        self,
        schedule_id: str,
        *,
        journal: Journal,
        cache: Readers,
        log: EventLog | None,
        clock: Clock,
        idle_seconds: float = 300.0,
    ) -> None:
        self.id = schedule_id
        self.left = asyncio.Event()
        self._journal = journal
        self._log = log
        self._clock = clock
        self._idle_ms = int(idle_seconds * 1000)
        self._used_ms = clock.now_ms()
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._dirty = asyncio.Event()
        self._state: ScheduleState
        self._fingerprint: Fingerprint
        self._claim: Claim
        self._publisher: Publisher | None = None
        self._gathering: _Gathering
        self._committing: _Gathering | None = None
        self._durable_seq = 0
        self._snapshot_seq = 0
        self._board = SeatBoard(schedule_id, cache)

    # --- life ---------------------------------------------------------------------------------------------------------
    async def activate(self) -> None:
        """Takes ownership and reads the state. Raises `UnknownSchedule`; waits while the database is away."""
        await self._recover()
        for work in (self._commit_batches(), self._expire_holds(), self._board.run()):
            self._start(work)

    async def stop(self) -> None:
        """Ends the tasks without finishing anything: what is not durable was not answered."""
        self._ready.clear()
        await end([*self._tasks, *([self._publishing] if self._publishing else [])])

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task that ends takes the owner with it: half an owner is worse than none, and a new one recovers."""
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, Deposed):
                logger.error("schedule %s stops: %s", self.id, error, exc_info=error)
            self._leave()

    def _leave(self) -> None:
        self._ready.clear()
        self.left.set()

    async def _recover(self) -> None:
        """Reads everything anew from the journal, as its newest owner."""
        self._ready.clear()
        if self._publishing is not None:
            self._publishing.cancel()
        failures = 0
        while True:
            try:
                claim = await self._journal.claim(self.id)
                plan = await self._journal.plan(self.id)
                state = await history.state_at(self._journal, self.id, plan, claim.seq)
                break
            except JournalUnavailable as error:
                logger.warning("schedule %s waits for the database: %s", self.id, error)
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
        self._claim, self._state = claim, state
        self._fingerprint = Fingerprint(state)
        self._durable_seq, self._snapshot_seq = claim.seq, claim.snapshot_seq
        self._gathering, self._committing = _Gathering(), None
        self._board.reset(state)
        if self._log is not None:
            self._publisher = Publisher(claim, plan, self._journal, self._log)
            self._publishing = asyncio.create_task(self._publisher.run())
            self._publishing.add_done_callback(self._ended)
        logger.info("schedule %s is owned at version %d, epoch %d", self.id, claim.seq, claim.epoch)
        self._ready.set()

    # --- turns --------------------------------------------------------------------------------------------------------
    async def submit(self, requests: Sequence[Request]) -> list[Reply]:
        """Decides the requests in order and answers when every success among them is durable.

        A reply of None says that this did not happen within `ANSWER_SECONDS`: ask again with the same id.
        """
        replies: list[Reply] = [None] * len(requests)
        open_requests = list(enumerate(requests))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while open_requests:
                    await self._ready.wait()
                    open_requests = await self._attempt(open_requests, replies)
        except TimeoutError:
            for position, _ in open_requests:
                replies[position] = None
        return replies

    async def _attempt(self, requests: list[tuple[int, Request]], replies: list[Reply]) -> list[tuple[int, Request]]:
        """One round of turns and the wait for their commit. Returns what has to be tried again after a rewind."""
        now_ms = self._used_ms = self._clock.now_ms()
        tentative: list[tuple[int, Request]] = []
        later: list[tuple[int, Request]] = []  # those the batch has no room for
        for position, request in requests:
            if later or len(self._gathering.steps) >= BATCH_LIMIT:
                later.append((position, request))
                continue
            result, waits = self._turn(request, now_ms)
            replies[position] = reply_of(result)
            if waits:
                tentative.append((position, request))
        # Whatever these answers rest on is in the gathering batch or in one before it, and batches commit in order.
        batch = self._gathering if self._gathering.steps else self._committing
        if batch is None or not (tentative or later):
            return later
        try:
            await asyncio.shield(batch.durable)
        except Rewound:
            return tentative + later
        return later

    def _turn(self, request: Request, now_ms: int) -> tuple[Answer | Refusal, bool]:
        """Executes one request. The flag says whether its answer has to wait for a commit."""
        turn = execute(self._state, request, now_ms)
        if turn.steps:
            self._gathering.steps.extend(turn.steps)
            self._dirty.set()
        pending = self._state.seq > self._durable_seq
        if isinstance(turn.result, Refusal):
            return turn.result, pending and turn.result.code in OWN_FACTS
        if turn.repeated:
            version = turn.result.version
            if version > self._durable_seq and not request.again:
                return Refusal(Code.IDEMPOTENCY_IN_PROGRESS), False
            return turn.result, version > self._durable_seq
        return turn.result, pending

    # --- group commit -------------------------------------------------------------------------------------------------
    async def _commit_batches(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if not self._gathering.steps:
                continue
            batch = self._committing = self._gathering
            self._gathering = _Gathering()
            state, publisher = self._state, self._publisher
            published_seq = 0 if publisher is None else publisher.published_seq
            places = self._board.take(state)
            try:
                await self._journal.append(
                    self._claim,
                    state.plan,
                    Batch(
                        batch.steps,
                        state.next_deadline_ms(),
                        state.oldest_payment_ms(),
                        published_seq,
                    ),
                )
            except JournalUnavailable as error:
                logger.warning("schedule %s reads its journal anew: %s", self.id, error)
                lost = (batch, self._gathering)
                await self._recover()
                for each in lost:
                    each.durable.set_exception(Rewound())
                continue
            except Deposed:
                logger.warning("schedule %s has another owner now", self.id)
                self._leave()
                raise
            self._durable_seq = batch.steps[-1].record.seq
            self._committing = None
            batch.durable.set_result(None)
            self._board.show(self._durable_seq, places)
            if publisher is not None:
                publisher.saved(published_seq)
                publisher.offer(batch.steps)
            self._fingerprint.refresh(FINGERPRINTED_AT_ONCE)  # so that it has little to do when it is asked for
            if snapshot_due(state, self._durable_seq - self._snapshot_seq):
                self._snapshot_seq = self._durable_seq
                self._start_snapshot()

    def _start_snapshot(self) -> None:
        task = asyncio.create_task(self._save_snapshot())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._tasks = [each for each in self._tasks if not each.done()] + [task]

    async def _save_snapshot(self) -> None:
        """Saves the state off the critical path. It may hold turns that are not durable yet, so it waits for them."""
        claim, snapshot = self._claim, capture(self._state)
        if snapshot.seq == claim.snapshot_seq:
            return
        payload = await asyncio.to_thread(encode, snapshot)
        if self._gathering.steps:
            await asyncio.shield(self._gathering.durable)
        elif self._committing is not None:
            await asyncio.shield(self._committing.durable)
        try:
            await self._journal.save_snapshot(claim, snapshot.seq, payload)
        except JournalUnavailable as error:
            logger.warning("schedule %s could not save a snapshot: %s", self.id, error)

    async def inspect(self) -> Inspection:
        """What is in memory, for auditors; waits for nothing but an owner's recovery."""
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._ready.wait()
        while self._state.touched:  # after a recovery these are all bookings
            self._fingerprint.refresh(FINGERPRINTED_AT_ONCE)
            await asyncio.sleep(0)
        state = self._state
        return Inspection(
            schedule_id=self.id,
            epoch=self._claim.epoch,
            version=state.seq,
            durable_version=self._durable_seq,
            published_version=self._publisher.published_seq if self._publisher is not None else 0,
            state_hash=self._fingerprint.hexdigest(),
            bookings=len(state.bookings),
            pid=os.getpid(),
        )

    # --- time ---------------------------------------------------------------------------------------------------------
    async def _expire_holds(self) -> None:
        while True:
            await self._ready.wait()
            deadline_ms = self.tick()
            wait_ms = 1000 if deadline_ms is None else min(1000, max(5, deadline_ms - self._clock.now_ms()))
            await asyncio.sleep(wait_ms / 1000)
            if self._may_leave():
                logger.info("schedule %s leaves memory, unused", self.id)
                await self._save_snapshot()
                if self._may_leave():
                    self._leave()

    def tick(self) -> int | None:
        """Expires the holds whose time is up; returns when the next one is due, in ms since the epoch."""
        now_ms = self._clock.now_ms()
        deadline_ms = self._state.next_deadline_ms()
        if deadline_ms is not None and deadline_ms <= now_ms:
            self._turn(Request("", Expire()), now_ms)
            deadline_ms = self._state.next_deadline_ms()
        return deadline_ms

    def _may_leave(self) -> bool:
        now_ms = self._clock.now_ms()
        deadline_ms = self._state.next_deadline_ms()
        return (
            self._ready.is_set()
            and now_ms - self._used_ms >= self._idle_ms
            and self._state.seq == self._durable_seq
            and (self._publisher is None or self._publisher.idle)
            and self._board.idle
            and (deadline_ms is None or deadline_ms - now_ms > self._idle_ms)
        )
