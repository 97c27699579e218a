"""A schedule's owner: decides in memory, answers what is durable.

What survives a crash: everything answered as a success, because it was in the journal first. What does not: requests
that had no answer yet. They carry ids, so their sender asks again and gets the first answer if there was one.

The class knows no Ray. Around its turns (`submit`) run the group commit (`_commit_batches`), the clock
(`_expire_holds`), the view for readers (`seat_board.SeatBoard`), publishing (`publisher.Publisher`) and snapshots
(`snapshots.Snapshots`); `gathering.py` has the batch between turns and commit, `answers.py` what may be answered when.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from actors.owner.answers import answered
from actors.owner.gathering import Broken, Gathering, Rewound, RewoundForGood, Round, Stopped
from actors.owner.publisher import Publisher
from actors.owner.pulse import Work
from actors.owner.seat_board import Readers, SeatBoard
from actors.owner.snapshots import Snapshots
from actors.process.clock import Clock
from actors.wire.messages import Fault, Inspection, Reply
from engine.commands import Expire
from engine.seating_plan import SeatingPlan
from engine.snapshot import Fingerprint
from engine.state import HELD, SOLD, ScheduleState
from engine.turn import Request, execute
from persistence.database.away import Outage
from persistence.database.ending_tasks import end
from persistence.events.log import EventLog
from persistence.journal import history
from persistence.journal.journal import Batch, BatchRefused, Claim, Deposed, Journal, JournalUnavailable
from persistence.operations.vitals import OwnerVitals

# A live owner answers every call within this time, be it with "not durable yet": silence then means that it is gone.
ANSWER_SECONDS = 1.5
# Steps waiting for the next group commit; beyond it new requests are told to come again.
BATCH_LIMIT = 20_000
FINGERPRINTED_AT_ONCE = 500  # bookings, in a millisecond
RETRY_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0)
# What a schedule takes in memory beside its plan, about: measured by opening a thousand of them.
BASE_BYTES, BYTES_PER_ENTRY, BYTES_PER_SEAT = 40_000, 700, 25

logger = logging.getLogger(__name__)


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
        self.epoch = 0  # under which it owns the schedule; 0 before it does
        self.used_ms = clock.now_ms()  # when somebody last asked for it
        self._asking = 0  # calls waiting for their answer
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._dirty = asyncio.Event()  # something is to be committed, or to be read anew
        self._doubtful = False  # a turn broke off in the middle, so memory is not to be trusted
        self._suspects = 0  # turns that share the blame for a batch refused by the database; each is tried alone
        self._alone = asyncio.Lock()
        self._state: ScheduleState
        self._fingerprint: Fingerprint
        self._claim: Claim
        self._publisher: Publisher | None = None
        self._gathering = Gathering()
        self._committing: Gathering | None = None
        self._durable_seq = 0
        self._snapshots = Snapshots(journal, self._under_way)
        self._board = SeatBoard(schedule_id, cache)
        self.work = Work()

    @property
    def ready(self) -> bool:
        """Whether it takes requests now, rather than reading its journal."""
        return self._ready.is_set()

    @property
    def plan(self) -> SeatingPlan | None:
        """What it sells by; None before it has read it."""
        return self._state.plan if self.ready else None

    @property
    def version(self) -> int:
        """How many records of it are durable, as far as it knows; 0 before it has read them."""
        return self._durable_seq

    @property
    def free(self) -> bool:
        """Whether it could leave memory without anybody waiting for it."""
        return self.ready and not self._asking and self._state.seq == self._durable_seq

    @property
    def told(self) -> bool:
        """Whether readers have been told all that there is to tell, as far as it is known."""
        return not self.ready or self._board.idle

    @property
    def weight(self) -> int:
        """About how many bytes it takes in memory, its plan not counted."""
        if not self.ready:
            return BASE_BYTES
        state = self._state
        entries = len(state.bookings) + len(state.ended) + len(state.requests)
        return BASE_BYTES + entries * BYTES_PER_ENTRY + state.plan.size * BYTES_PER_SEAT

    async def until_ready(self) -> None:
        """Waits until it takes requests."""
        await self._ready.wait()

    # --- life ---------------------------------------------------------------------------------------------------------
    async def activate(self) -> None:
        """Takes ownership and reads the state. Raises `UnknownSchedule`; waits while the database is away."""
        await self._recover()
        for work in (self._commit_batches(), self._expire_holds(), self._board.run()):
            self._start(work)

    async def stop(self) -> None:
        """Ends the tasks without finishing anything: what is not durable was not answered."""
        self._leave()
        await end([*self._tasks, *([self._publishing] if self._publishing else [])])

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task that ends takes the owner with it: half an owner is worse than none, and a new one recovers."""
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Deposed):
            logger.error("schedule %s stops: %s", self.id, error, exc_info=error)
            # Another owner would only come to the same end.
            self._break_off(Broken(f"{type(error).__name__}: {error}"))
        self._leave()

    def _break_off(self, error: Broken | Stopped) -> None:
        """Tells whoever waits for a batch that it will not be heard of here any more."""
        for batch in (self._committing, self._gathering):
            if batch is not None:
                batch.end(error)

    async def leave(self) -> bool:
        """Makes room for others, unless somebody has come for it meanwhile."""
        if self.free:
            await self._snapshots.save(self._state)
        if self.free:
            logger.info("schedule %s leaves memory to others", self.id)
            self._leave()
        return self.left.is_set()

    def _leave(self) -> None:
        """Nothing more comes of it, and nobody is left waiting, whichever way it ends."""
        self._ready.clear()
        self._break_off(Stopped())
        self.left.set()

    async def _recover(self) -> None:
        """Reads everything anew from the journal, as its newest owner."""
        self._ready.clear()
        if self._publishing is not None:
            self._publishing.remove_done_callback(self._ended)
            self._publishing.cancel()
        outage = Outage(f"opening schedule {self.id}", logger)
        while True:
            try:
                claim = await self._journal.claim(self.id)
                plan = await self._journal.plan(self.id)
                state = await history.state_at(self._journal, self.id, plan, claim.seq)
                break
            except JournalUnavailable as error:
                pause = RETRY_SECONDS[min(outage.failed, len(RETRY_SECONDS) - 1)]
                outage.met(error)
                await asyncio.sleep(pause)
        outage.over()
        self._claim, self._state = claim, state
        self.epoch = claim.epoch
        self._fingerprint = Fingerprint(state)
        self._durable_seq = claim.seq
        self._snapshots.reset(claim)
        self._gathering, self._committing = Gathering(), None
        self._doubtful = False
        self._board.reset(state)
        if self._log is not None:
            self._publisher = Publisher(claim, state.plan, self._journal, self._log, opened_with=plan)
            self._publishing = asyncio.create_task(self._publisher.run())
            self._publishing.add_done_callback(self._ended)
        logger.info("schedule %s is owned at version %d, epoch %d", self.id, claim.seq, claim.epoch)
        self._ready.set()

    # --- turns --------------------------------------------------------------------------------------------------------
    async def submit(self, requests: Sequence[Request], begun: Round | None = None) -> list[Reply]:
        """Decides the requests in order and answers when every success among them is durable.

        A reply of None says that this did not happen within `ANSWER_SECONDS`: ask again with the same id. `begun` is
        what `begin` has made of them.
        """
        replies: list[Reply] = [None] * len(requests) if begun is None else begun.replies
        open_requests = list(enumerate(requests))
        self._asking += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if begun is not None:
                    open_requests = await begun.settled()
                while open_requests:
                    await self._ready.wait()
                    if self._suspects:
                        open_requests = await self._attempt_alone(open_requests, replies)
                    else:
                        open_requests = await self._decided(open_requests, replies).settled()
        except (TimeoutError, Stopped):
            for position, _ in open_requests:
                replies[position] = None
        finally:
            self._asking -= 1
        return replies

    def begin(self, requests: Sequence[Request]) -> Round | None:
        """Decides them at once, where that can be; `submit` waits, tries again what is lost, and answers."""
        if not self.ready or self._suspects:
            return None
        return self._decided(list(enumerate(requests)), [None] * len(requests))

    def _decided(self, requests: list[tuple[int, Request]], replies: list[Reply]) -> Round:
        """One round of turns."""
        now_ms = self.used_ms = self._clock.now_ms()
        decided = Round(replies)
        for position, request in requests:
            if decided.later or self._doubtful or len(self._gathering.steps) >= BATCH_LIMIT:
                decided.later.append((position, request))
                continue
            replies[position], waits = self._turn(request, now_ms)
            if waits:
                decided.tentative.append((position, request))
        if decided.tentative or decided.later:
            # Whatever the answers rest on is in the gathering batch or in one before it, and batches commit in order.
            decided.batch = self._under_way()
        return decided

    async def _attempt_alone(
        self, requests: list[tuple[int, Request]], replies: list[Reply]
    ) -> list[tuple[int, Request]]:
        """A turn with a commit of its own, so that what the database will not have is known by name."""
        async with self._alone:
            await self._ready.wait()
            if (batch := self._under_way()) is not None:
                with contextlib.suppress(Rewound, Broken):
                    await asyncio.shield(batch.durable)
                return requests
            self._suspects = max(0, self._suspects - 1)
            position, request = requests[0]
            self.used_ms = self._clock.now_ms()
            replies[position], _ = self._turn(request, self.used_ms)
            try:
                if (batch := self._under_way()) is not None:
                    await asyncio.shield(batch.durable)
            except RewoundForGood as error:
                logger.error("schedule %s: request %r cannot be kept: %s", self.id, request.id, error)
                replies[position] = Fault(str(error), ours=False)
            except Broken as error:
                replies[position] = Fault(str(error), ours=True)
            except Rewound:
                return requests
            return requests[1:]

    def _under_way(self) -> Gathering | None:
        """The newest batch that is not durable yet."""
        return self._gathering if self._gathering.steps else self._committing

    def _turn(self, request: Request, now_ms: int) -> tuple[Reply, bool]:
        """Executes one request. The flag says whether its answer has to wait for a commit."""
        try:
            turn = execute(self._state, request, now_ms)
        except Exception as error:  # a bug: it costs this request its answer, and the state, which is read anew
            logger.exception("schedule %s: a turn broke off", self.id)
            self._doubtful = True
            self._ready.clear()
            self._dirty.set()
            return Fault(f"the turn broke off: {type(error).__name__}", ours=True), False
        if turn.steps:
            self._gathering.steps.extend(turn.steps)
            self._dirty.set()
        return answered(request, turn, self._state, self._durable_seq)

    # --- group commit -------------------------------------------------------------------------------------------------
    async def _commit_batches(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if self._doubtful:
                await self._rewind(Rewound())
            if not self._gathering.steps:
                continue
            batch = self._committing = self._gathering
            self._gathering = Gathering()
            state, publisher = self._state, self._publisher
            published_seq = 0 if publisher is None else publisher.published_seq
            places = self._board.take(state)
            begun = time.perf_counter()
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
                await self._rewind(Rewound())
                continue
            except BatchRefused as error:
                logger.warning("schedule %s: the database refuses a batch: %s", self.id, error)
                if not self._suspects:
                    self._suspects = len(batch.steps) + len(self._gathering.steps)
                await self._rewind(RewoundForGood(str(error)))
                continue
            except Deposed:
                logger.warning("schedule %s has another owner now", self.id)
                self._leave()
                raise
            self._durable_seq = batch.steps[-1].record.seq
            self._committing = None
            batch.end()
            self.work.committed(time.perf_counter() - begun, batch.steps)
            self._board.show(self._durable_seq, places)
            if publisher is not None:
                publisher.saved(published_seq)
                publisher.offer(batch.steps)
            self._fingerprint.refresh(FINGERPRINTED_AT_ONCE)  # so that it has little to do when it is asked for
            if not self._doubtful and self._snapshots.due(state, self._durable_seq):
                self._start_snapshot()

    async def _rewind(self, reason: Rewound) -> None:
        """Reads everything anew, and has whoever waits for a batch try again."""
        lost = (self._committing, self._gathering)
        await self._recover()
        for each in lost:
            if each is not None:
                each.end(reason)

    def _start_snapshot(self) -> None:
        task = asyncio.create_task(self._snapshots.save(self._state))
        self._tasks = [each for each in self._tasks if not each.done()] + [task]

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

    @property
    def unpublished(self) -> int:
        """Events that are durable and not on Kafka yet."""
        return 0 if self._publisher is None else self._durable_seq - self._publisher.published_seq

    @property
    def unsaved(self) -> int:
        """Events since the newest snapshot, which a recovery would replay."""
        return self._durable_seq - self._snapshots.saved_seq

    @property
    def snapshot_failing(self) -> bool:
        """Whether the last snapshot could not be saved."""
        return self._snapshots.failing

    def vitals(self) -> OwnerVitals:
        """How it does, told from memory at once; for one that is ready."""
        state, committing = self._state, self._committing
        waiting = len(self._gathering.steps) + (0 if committing is None else len(committing.steps))
        return OwnerVitals(
            schedule_id=self.id,
            version=self._durable_seq,
            unpublished=self.unpublished,
            unsaved=self.unsaved,
            waiting=waiting,
            held=state.seats.count(HELD) + sum(area[HELD] for area in state.areas),
            sold=state.seats.count(SOLD) + sum(area[SOLD] for area in state.areas),
            commit_ms=self.work.commit_ms,
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
                await self._snapshots.save(self._state)
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
            self.ready
            and now_ms - self.used_ms >= self._idle_ms
            and self._state.seq == self._durable_seq
            and (self._publisher is None or self._publisher.idle)
            and self._board.idle
            and (deadline_ms is None or deadline_ms - now_ms > self._idle_ms)
        )
