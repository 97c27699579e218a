"""The schedules of one process: each a `Schedule` with its own turns, state, epoch and fence, opened when it is asked
for and closed when it has left.

Guarantee: what one schedule goes through is nobody else's. One that is deposed, cannot be opened, is slow to commit or
ends by a mistake leaves the others as they are; requests of the same call are answered without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import msgspec

from actors.owner.gathering import Round
from actors.owner.schedule import ANSWER_SECONDS, Schedule
from actors.wire.messages import Answered, Fault, Standing, decode_call, encode_answer, encode_inspection
from engine.turn import Request
from persistence.database.away import Outage
from persistence.database.ending_tasks import end
from persistence.journal.journal import Deposed, Elsewhere, JournalUnavailable, UnknownSchedule

HANDED_OVER_AT_ONCE, HAND_OVER_PAUSE_SECONDS = 4, 0.01  # schedules that leave for another process
TELL_SECONDS = 1.0  # how long one of them waits for its readers to be told; the next owner tells them, too
OPENED_AT_ONCE = 2  # schedules being opened: reading a history is work, and those on sale have work, too
WEIGHED_SECONDS = 1.0  # from one weighing of all that is open to the next: it grows as it sells
OPENING_SECONDS = 2.0  # after which one that is being opened is not counted any more
# How long a call waits for schedules that are not answered yet, once all the others are: a commit takes a tenth of it.
STRAGGLER_SECONDS = 0.25
TIDY_SECONDS = 60.0  # between two looks for places that nothing is left of
MIB = 2**20
BYTES_PER_PLACE = 700  # of a seating plan, which all schedules of a house share

logger = logging.getLogger(__name__)


class NoRoom(Exception):
    """The process has as many schedules in memory as it may, and needs all of them."""


class Gone(Exception):
    """The schedule was closed before it was open."""


class Places(Protocol):
    """The head rows that say which schedules live here."""

    async def placed(self) -> dict[str, int]:
        """Those with a place here, and their epochs. Raises `JournalUnavailable`."""

    async def vacate(self, epochs: dict[str, int]) -> None:
        """Gives places up, each if nobody has claimed the schedule since. Raises `JournalUnavailable`."""


class _Open:
    """A schedule that is open here, or being opened."""

    __slots__ = ("leaving", "life", "opened", "schedule")

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.leaving = False  # it is asked nothing more
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.opened.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting
        self.life: asyncio.Task[None]

    @property
    def takes_requests(self) -> bool:
        return not self.leaving and self.schedule.ready


class _Part:
    """What a call asks of one schedule, and how far that is.

    As a rule it is decided at once, and a commit is all there is to wait for. What is unusual, or fails, has a task: a
    task for each schedule of a call would cost half as much as all the rest.
    """

    __slots__ = ("begun", "requests", "schedule", "schedule_id", "sound", "task")

    def __init__(self, schedule_id: str, requests: Sequence[Request | Fault]) -> None:
        self.schedule_id = schedule_id
        self.requests = requests
        self.sound = [each for each in requests if not isinstance(each, Fault)]
        self.schedule: Schedule | None = None  # that has begun with it
        self.begun: Round | None = None
        self.task: asyncio.Task[Answered] | None = None

    @property
    def has_failed(self) -> bool:
        """Whether its commit has come to nothing, or left something undecided."""
        return self.begun is not None and self.begun.is_over and not self.begun.is_durable

    @property
    def answer(self) -> Answered:
        """As far as there is one."""
        if self.task is not None and self.task.done():
            return self.task.result()
        if self.begun is not None and self.begun.is_durable:
            return self.begun.replies
        return [None] * len(self.requests)


async def _most(waiting: Sequence[asyncio.Future[Any] | None]) -> None:
    """Waits for all of these, and not for long where only some are late."""
    left = {each for each in waiting if each is not None and not each.done()}
    if left:
        _, left = await asyncio.wait(left, timeout=STRAGGLER_SECONDS)
    if left and len(left) == len(waiting):
        seconds = ANSWER_SECONDS - STRAGGLER_SECONDS
        await asyncio.wait(left, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


class Host:
    """Opens schedules with `start`, and answers calls to them. `memory_mb` is what they may take together."""

    def __init__(
        self, start: Callable[[str], Schedule], places: Places | None = None, *, memory_mb: int = 1024
    ) -> None:
        self._start = start
        self._places = places
        self._vacating = Outage("giving up places of schedules", logger)
        self._memory = memory_mb * MIB
        self._open: dict[str, _Open] = {}
        self._taken = 0  # of it, when they were last weighed and by those opened since
        self._weigh_at = 0.0  # on the loop's clock
        self._opening = asyncio.Semaphore(OPENED_AT_ONCE)
        self._draining = False
        self.first_opened = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def schedules(self) -> list[Schedule]:
        """Those that are open, or being opened."""
        return [each.schedule for each in self._open.values()]

    # --- calls --------------------------------------------------------------------------------------------------------
    async def submit(self, data: bytes) -> bytes:
        """A call: the requests of several schedules, each schedule answered for itself."""
        parts = [_Part(*each) for each in decode_call(data)]
        if len(parts) == 1:
            return encode_answer([await self._serve(parts[0])])
        try:
            await _most([self._begin(part) for part in parts])
            if again := [self._in_a_task(part) for part in parts if part.has_failed]:
                await asyncio.wait(again, timeout=STRAGGLER_SECONDS)
        finally:
            for part in parts:
                if part.task is not None:
                    part.task.cancel()  # does nothing to one that is done
        return encode_answer([part.answer for part in parts])

    def _begin(self, part: _Part) -> asyncio.Future[Any] | None:
        """Decides what is asked, if that can be done at once. Returns what is to be waited for, if anything is."""
        found = self._open.get(part.schedule_id)
        if found is not None and found.takes_requests and part.sound and len(part.sound) == len(part.requests):
            part.schedule = found.schedule
            try:
                part.begun = found.schedule.begin(part.sound)
            except Exception:  # whatever it is, it is this schedule's own; what it has decided it knows by their ids
                logger.exception("a call to schedule %s is begun anew", part.schedule_id)
                part.sound = [msgspec.structs.replace(each, again=True) for each in part.sound]
        if part.begun is None:
            return self._in_a_task(part)
        return None if part.begun.batch is None else part.begun.batch.durable

    def _in_a_task(self, part: _Part) -> asyncio.Task[Answered]:
        part.task = asyncio.create_task(self._serve(part))
        return part.task

    async def _serve(self, part: _Part) -> Answered:
        try:
            return await (self._answered(part) if part.requests else self._opened(part.schedule_id))
        except Exception:  # whatever it is, it is this schedule's own
            logger.exception("a call to schedule %s failed", part.schedule_id)
            return Standing.CLOSED

    async def _answered(self, part: _Part) -> Answered:
        if part.schedule is None:
            found = self._open.get(part.schedule_id)
            if found is None or not found.takes_requests:
                return Standing.CLOSED
            part.schedule = found.schedule
        replies = await part.schedule.submit(part.sound, part.begun)
        if len(part.sound) == len(part.requests):
            return replies
        answers = iter(replies)
        return [each if isinstance(each, Fault) else next(answers) for each in part.requests]

    async def inspect(self, schedule_id: str) -> bytes | None:
        """What is in a schedule's memory; None if it is not open here."""
        found = self._open.get(schedule_id)
        if found is None or not found.opened.done() or found.opened.exception():
            return None
        return encode_inspection(await found.schedule.inspect())

    async def retire(self, schedule_id: str) -> None:
        """Closes a schedule without finishing anything: who asks for it next has it read from the journal."""
        found = self._open.get(schedule_id)
        if found is not None:
            found.life.cancel()
            await asyncio.wait([found.life])

    async def close(self) -> None:
        """Closes all."""
        await end([each.life for each in self._open.values()])

    # --- opening ------------------------------------------------------------------------------------------------------
    async def _opened(self, schedule_id: str) -> Answered:
        """Waits until the schedule is open, and not for long."""
        found = self._open.get(schedule_id)
        if self._draining or (found is not None and found.leaving):
            return Standing.ELSEWHERE
        if found is None:
            found = self._open[schedule_id] = _Open(self._start(schedule_id))
            found.life = asyncio.create_task(self._live(schedule_id, found))
            found.life.add_done_callback(lambda _: self._forget(schedule_id, found))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.shield(found.opened)
                await found.schedule.until_ready()
        except (TimeoutError, Gone):
            return Standing.CLOSED
        except Elsewhere:
            return Standing.ELSEWHERE
        except UnknownSchedule:
            return Standing.UNKNOWN
        except NoRoom:
            return Standing.FULL
        return []

    async def _live(self, schedule_id: str, entry: _Open) -> None:
        """One schedule, from being opened until it has left."""
        schedule = entry.schedule
        try:
            await self._bring_up(schedule)
            entry.opened.set_result(None)
            self.first_opened.set()
            await schedule.left.wait()
        except (UnknownSchedule, Elsewhere, NoRoom) as error:
            entry.opened.set_exception(error)
        except Exception as error:  # whatever it is, it is this schedule's own
            logger.exception("schedule %s cannot be opened", schedule_id)
            entry.opened.set_exception(error)
        finally:
            self._forget(schedule_id, entry)
            await schedule.stop()
        if schedule.epoch:
            await self._vacate({schedule_id: schedule.epoch})

    def _forget(self, schedule_id: str, entry: _Open) -> None:
        """It is not open here any more. Done when it leaves, and when its task ends: one that is cancelled before its
        first step does nothing at all."""
        if not entry.opened.done():
            entry.opened.set_exception(Gone(schedule_id))
        if self._open.get(schedule_id) is entry:
            del self._open[schedule_id]

    async def _bring_up(self, schedule: Schedule) -> None:
        async with self._opening:
            await self._make_room(schedule)
            activation = asyncio.create_task(schedule.activate())
            try:
                await asyncio.wait([activation], timeout=OPENING_SECONDS)
            except asyncio.CancelledError:
                activation.cancel()
                raise
        await activation  # what takes longer than that waits for somebody else, and should keep nobody waiting

    async def _make_room(self, newcomer: Schedule) -> None:
        """Has the least used leave until the newcomer fits in. Raises `NoRoom`."""
        self._taken += newcomer.weight
        if self._taken <= self._memory and asyncio.get_running_loop().time() < self._weigh_at:
            return
        self._taken = self._weight()
        self._weigh_at = asyncio.get_running_loop().time() + WEIGHED_SECONDS
        if self._taken <= self._memory:
            return
        for schedule in sorted(self.schedules, key=lambda each: each.used_ms):
            weight = schedule.weight
            if schedule is not newcomer and await schedule.leave():
                self._taken -= weight
            if self._taken <= self._memory:
                return
        raise NoRoom(newcomer.id)

    def _weight(self) -> int:
        """What all take, about, in bytes."""
        schedules = self.schedules
        plans = {schedule.plan for schedule in schedules if schedule.plan is not None}
        return sum(schedule.weight for schedule in schedules) + sum(len(plan.ids) for plan in plans) * BYTES_PER_PLACE

    # --- leaving ------------------------------------------------------------------------------------------------------
    async def drain(self) -> None:
        """Has every schedule leave, and takes none in until `resume`. May be done again and again."""
        self._draining = True
        await self.hand_over(list(self._open))
        await self._give_up_the_rest()

    def resume(self) -> None:
        """Takes schedules in again."""
        self._draining = False

    async def hand_over(self, schedule_ids: Collection[str]) -> None:
        """Has these leave for other processes, as far as they are open here."""
        at_once = asyncio.Semaphore(HANDED_OVER_AT_ONCE)

        async def hand_over(entry: _Open) -> None:
            async with at_once:
                await self._hand_over(entry)

        await asyncio.gather(*(hand_over(self._open[key]) for key in schedule_ids if key in self._open))

    async def _hand_over(self, entry: _Open) -> None:
        """Lets a schedule answer what it was asked, and go. What it is asked meanwhile waits at the gateway."""
        entry.leaving = True
        until = asyncio.get_running_loop().time() + TELL_SECONDS
        try:
            while not entry.schedule.told and asyncio.get_running_loop().time() < until:
                await asyncio.sleep(HAND_OVER_PAUSE_SECONDS)
            while not entry.life.done() and not await entry.schedule.leave():
                await asyncio.sleep(HAND_OVER_PAUSE_SECONDS)
        except Deposed:
            entry.life.cancel()  # it is another's already
        await asyncio.wait([entry.life])

    # --- places -------------------------------------------------------------------------------------------------------
    async def tidy(self) -> None:
        """For ever: gives up the places of schedules that are not open here, such as those of a process that died."""
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            await self._give_up_the_rest()

    async def _give_up_the_rest(self) -> None:
        if self._places is None:
            return
        try:
            placed = await self._places.placed()
        except JournalUnavailable as error:
            self._vacating.met(error)
            return
        # Whatever was opened before the query is in here, and what is opened after it has another epoch.
        await self._vacate({key: epoch for key, epoch in placed.items() if key not in self._open})

    async def _vacate(self, epochs: dict[str, int]) -> None:
        if self._places is None or not epochs:
            return
        try:
            await self._places.vacate(epochs)
        except JournalUnavailable as error:
            self._vacating.met(error)  # `tidy` makes up for it
        else:
            self._vacating.over()
