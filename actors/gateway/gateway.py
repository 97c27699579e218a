"""The way from one process to every schedule's owner.

A request is answered once, with a durable success or a refusal, or it fails with `Unavailable`, and then its outcome
may be either: sending it again with the same id is always safe. A schedule that is not open is opened where it belongs,
and processes that die or fall silent are found anew, behind the caller's back, until the request's deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from typing import Generic, Protocol

from actors.gateway.lane import Lane, Owner, OwnerLost, OwnerT, Unreachable
from actors.gateway.requests import Impossible, Queue, Unavailable, Unencodable, Waiting, expire
from actors.gateway.turns import Turns
from actors.wire.messages import Inspection, Standing, decode_inspection
from engine.commands import AnyCommand
from engine.refusals import Refusal
from engine.state import Answer
from engine.turn import Request
from persistence.database.asked_once import shared
from persistence.database.held import holds_none
from persistence.journal.journal import JournalUnavailable, UnknownSchedule

QUEUE_LIMIT = 5_000  # requests waiting per schedule and process; at 3,000/s that is the deadline's order of magnitude
WAITING_LIMIT = 20_000  # requests waiting for all schedules together
QUEUES_LIMIT = 10_000  # schedules remembered, those asked for last
FIND_PAUSE_SECONDS = 0.05  # between attempts to find an owner; a dead one's name takes a moment to go
PATIENCE_SHARE = 0.5  # of a request's deadline: a schedule that cannot be opened by then is not waited for
FULL_SECONDS = 5  # when to come again to a process whose memory is full: schedules leave it as their buyers do
UNREACHABLE_SECONDS, COME_AGAIN_SECONDS = 3.0, 2  # a machine that is lost is given up by then; one cut off is not
EXPIRY_SECONDS = 0.25  # how late a request past its deadline may be told

logger = logging.getLogger(__name__)

__all__ = [
    "Gateway",
    "Impossible",
    "Owner",
    "OwnerLost",
    "OwnerT",
    "Owners",
    "Places",
    "Unavailable",
    "Unencodable",
    "UnknownSchedule",
]


class Owners(Protocol[OwnerT]):
    """Where processes of owners come from."""

    async def find(self, name: str) -> OwnerT:
        """The process of this name, brought up if need be. Raises `OwnerLost`."""

    async def current(self, name: str) -> OwnerT | None:
        """The process of this name if there is one; brings none up."""

    async def replace(self, name: str, owner: OwnerT) -> None:
        """Does away with a process that has fallen silent."""


class Places(Protocol):
    """Which process each schedule belongs to (`persistence/journal/placement.py`)."""

    async def host_of(self, schedule_id: str) -> str:
        """Its process's name; it is given one if it has none. Raises `UnknownSchedule`, `JournalUnavailable`."""

    async def known(self, schedule_id: str) -> str | None:
        """Its process's name, if it has one. Raises `JournalUnavailable`."""


class Cluster(Protocol):
    """The machines there are (`actors/gateway/machines.py`)."""

    @property
    def draining(self) -> bool: ...

    def holds(self, host: str) -> bool: ...


class Gateway(Generic[OwnerT]):
    """Sends requests to schedules. One per process; `close` fails whatever is still waiting."""

    def __init__(
        self,
        owners: Owners[OwnerT],
        places: Places,
        machines: Cluster | None = None,
        *,
        call_timeout_seconds: float = 3.0,
        deadline_seconds: float = 15.0,
    ) -> None:
        self._owners = owners
        self._places = places
        self._machines = machines  # of the cluster that this one is in
        self._call_timeout = call_timeout_seconds
        self._deadline = deadline_seconds
        self._queues: OrderedDict[str, Queue] = OrderedDict()
        self._lanes: dict[str, Lane[OwnerT]] = {}
        self._former: list[Lane[OwnerT]] = []  # lost, with calls that have not come back
        self._calls_of_former = 0  # of those that have none left
        self._turns: dict[str, Turns] = {}
        self._unreachable: dict[str, float] = {}  # processes, and since when, on the loop's clock
        self._finding: dict[str, asyncio.Task[Lane[OwnerT]]] = {}
        self._waiting = 0
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def calls(self) -> int:
        """Made so far to carry requests."""
        return self._calls_of_former + sum(lane.calls for lane in (*self._lanes.values(), *self._former))

    @property
    def unanswered(self) -> int:
        """Requests that have no answer yet, sent or not."""
        return self._waiting

    @property
    def waiting(self) -> dict[str, int]:
        """Requests that are not sent yet, by schedule."""
        return {queue.schedule_id: len(queue) for queue in self._queues.values() if len(queue)}

    # --- what is asked ------------------------------------------------------------------------------------------------
    async def send(
        self, schedule_id: str, command: AnyCommand, *, request_id: str, fingerprint: str = ""
    ) -> Answer | Refusal:
        """One request, answered durable or refused.

        Raises `UnknownSchedule` or `Unavailable`; `Unencodable` or `Impossible` where the request itself is at fault.
        """
        holds_none("a call to a schedule's owner")
        queue = self._queue(schedule_id)
        if len(queue) >= QUEUE_LIMIT or self._waiting >= WAITING_LIMIT or self._closed:
            raise Unavailable("too many requests are waiting", retry_after_seconds=2)
        waiting = Waiting(Request(request_id, command, fingerprint), self._now() + self._deadline)
        queue.waiting.append(waiting)
        if queue.way is not None:
            queue.way.arrange(queue)
        else:
            self._reopen(queue)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(EXPIRY_SECONDS, self._expire)
        self._waiting += 1
        try:
            return await waiting.answer
        finally:
            self._waiting -= 1

    def is_open(self, schedule_id: str) -> bool:
        """Whether the schedule is known here to be open, so that nothing has to be opened for it."""
        queue = self._queues.get(schedule_id)
        return queue is not None and queue.way is not None

    async def inspect(self, schedule_id: str) -> Inspection:
        """What the schedule's owner holds in memory; it is opened for that. Raises `UnknownSchedule`, `Unavailable`."""
        queue = self._queue(schedule_id)
        try:
            async with asyncio.timeout(self._deadline):
                while True:
                    while not await self._tried_to_open(queue):
                        pass
                    inspection = await self.peek(schedule_id)
                    if inspection is not None:
                        return inspection
                    queue.host = None  # it belongs elsewhere by now, or its process is another one
                    await asyncio.sleep(FIND_PAUSE_SECONDS)
        except TimeoutError as error:
            raise Unavailable("the schedule's owner does not answer") from error

    async def peek(self, schedule_id: str) -> Inspection | None:
        """What the schedule's owner holds in memory, if there is one. Raises `Unavailable` if it does not answer."""
        try:
            async with asyncio.timeout(self._call_timeout):
                owner = await self._current(schedule_id)
                if owner is None:
                    return None
                with contextlib.closing(owner):
                    found = await owner.inspect(schedule_id)
        except OwnerLost:
            return None
        except TimeoutError as error:
            raise Unavailable("the schedule's owner does not answer") from error
        return None if found is None else decode_inspection(found)

    async def retire(self, schedule_id: str) -> None:
        """Ends the schedule's owner, if there is one; whoever asks next gets a new one, fresh from the journal."""
        holds_none("a call to a schedule's owner")
        name = await self._places.known(schedule_id)
        owner = None if name is None else await self._owners.current(name)
        if name is None or owner is None:
            return
        try:
            async with asyncio.timeout(self._call_timeout):
                with contextlib.closing(owner):
                    await owner.retire(schedule_id)
        except TimeoutError:
            await self._owners.replace(name, owner)
        except OwnerLost:
            return  # with all that it held in memory

    async def prepare(self, name: str) -> None:
        """Has the process of this name there, for schedules to come. Raises `OwnerLost`."""
        (await self._owners.find(name)).close()

    @property
    def draining(self) -> bool:
        """Whether this machine is to be left alone: others of its cluster take over."""
        return self._machines is not None and self._machines.draining

    def abandon_lost(self) -> None:
        """Asks the processes of lost machines nothing more: their schedules are opened elsewhere."""
        for name, lane in self._lanes.items():
            if self._machines is not None and not self._machines.holds(name) and not lane.lost:
                logger.warning("%s is given up: its machine is lost", name)
                lane.lose()

    async def close(self) -> None:
        """Fails what is waiting, and stops."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        tasks = [queue.opening for queue in self._queues.values() if queue.opening is not None]
        for task in (*tasks, *self._finding.values()):
            task.cancel()
        await asyncio.gather(*tasks, *self._finding.values(), return_exceptions=True)
        await asyncio.gather(*(lane.close() for lane in (*self._lanes.values(), *self._former)))
        for queue in self._queues.values():
            queue.fail(Unavailable("the server is stopping"))

    # --- schedules ----------------------------------------------------------------------------------------------------
    def _queue(self, schedule_id: str) -> Queue:
        queue = self._queues.get(schedule_id)
        if queue is None:
            queue = self._queues[schedule_id] = Queue(schedule_id)
            if len(self._queues) > QUEUES_LIMIT:
                self._drop_idle_queue()
        else:
            self._queues.move_to_end(schedule_id)  # 60 ns, a hundredth of what a request takes here
        return queue

    def _drop_idle_queue(self) -> None:
        """Forgets the one that nobody has asked for longest, of those that wait for nothing."""
        idle = next((queue for queue in self._queues.values() if queue.idle), None)
        if idle is not None:
            del self._queues[idle.schedule_id]
            for lane in self._lanes.values():
                lane.let_go(idle)

    def _reopen(self, queue: Queue) -> None:
        """Has the schedule opened where it belongs, if anybody waits for it."""
        if not queue.waiting:
            return
        known = self._queues.setdefault(queue.schedule_id, queue)
        if known is not queue:  # forgotten while its last requests were under way: they go with those that came since
            known.put_back(queue.waiting)
            queue.waiting.clear()
            queue = known
        if queue.way is not None:
            queue.way.arrange(queue)
        elif queue.opening is None and not self._closed:
            queue.opening = asyncio.create_task(self._open(queue))

    async def _open(self, queue: Queue) -> None:
        """Tries until the schedule is open, or nobody waits for it any more."""
        try:
            while queue.wanted():
                if await self._tried_to_open(queue):
                    return
        except (UnknownSchedule, Unavailable) as error:
            queue.fail(error)
        except Exception as error:  # whatever it is: nobody is left waiting for it
            logger.exception("schedule %s cannot be opened", queue.schedule_id)
            queue.fail(error)
        finally:
            queue.opening = None
            if queue.way is None and queue.idle and self._queues.get(queue.schedule_id) is queue:
                del self._queues[queue.schedule_id]  # such as an id that means nothing

    async def _tried_to_open(self, queue: Queue) -> bool:
        lane: Lane[OwnerT] | None = None
        try:
            if queue.host is None:
                queue.host = await self._places.host_of(queue.schedule_id)
            lane = await self._lane(queue.host)
            turns = self._turns.setdefault(queue.host, Turns(PATIENCE_SHARE * self._deadline))
            async with turns.turn(queue):
                standing = await lane.open(queue.schedule_id)
        except OwnerLost as error:
            logger.info("schedule %s has lost its owner: %s", queue.schedule_id, error)
            if lane is not None:
                lane.lose()
            if isinstance(error, Unreachable) and self._cut_off(queue.host):
                again = COME_AGAIN_SECONDS
                raise Unavailable("its machine cannot be reached from here", retry_after_seconds=again) from error
            queue.host = None  # where its machine is lost, too, it belongs to another one
            standing = Standing.CLOSED
        except JournalUnavailable as error:
            logger.warning("schedule %s is not found: %s", queue.schedule_id, error)
            standing = Standing.CLOSED
        if standing is None and lane is not None and not lane.lost:
            queue.opening = None
            lane.take_in(queue)
            return True
        if standing is Standing.UNKNOWN:
            raise UnknownSchedule(queue.schedule_id)
        if standing is Standing.FULL:
            raise Unavailable("there is no memory for another schedule", retry_after_seconds=FULL_SECONDS)
        if standing is Standing.ELSEWHERE:
            queue.host = None
        await asyncio.sleep(FIND_PAUSE_SECONDS)
        return False

    def _expire(self) -> None:
        """Tells whoever is past its deadline, as long as anybody waits."""
        now = self._now()
        for queue in self._queues.values():
            if queue.waiting:
                expire(queue.waiting, now)
        for lane in (*self._lanes.values(), *self._former):
            lane.expire(now)
        again = self._waiting and not self._closed
        self._watch = asyncio.get_running_loop().call_later(EXPIRY_SECONDS, self._expire) if again else None

    # --- processes ----------------------------------------------------------------------------------------------------
    async def _current(self, schedule_id: str) -> OwnerT | None:
        name = await self._places.known(schedule_id)
        return None if name is None else await self._owners.current(name)

    async def _lane(self, name: str) -> Lane[OwnerT]:
        """The way to the process of this name, found once for all that miss it. Raises `OwnerLost`."""
        lane = self._lanes.get(name)
        if lane is not None and not lane.lost:
            return lane
        finding = self._finding.get(name)
        if finding is None:
            finding = self._finding[name] = asyncio.create_task(self._find(name))
            finding.add_done_callback(lambda done: self._found(name, done))
        return await shared(finding)

    def _put_away(self, lane: Lane[OwnerT]) -> None:
        """Keeps a lane that was lost until its calls have come back."""
        former = [*self._former, lane]
        self._former = [each for each in former if each.under_way]
        self._calls_of_former += sum(each.calls for each in former if not each.under_way)

    async def _find(self, name: str) -> Lane[OwnerT]:
        try:
            owner = await self._owners.find(name)
        except Unreachable:
            self._unreachable.setdefault(name, self._now())
            raise
        self._unreachable.pop(name, None)
        if name in self._lanes:
            self._put_away(self._lanes[name])
        lane = self._lanes[name] = Lane(
            name,
            owner,
            call_timeout_seconds=self._call_timeout,
            reopen=self._reopen,
            replace=self._owners.replace,
        )
        return lane

    def _cut_off(self, name: str | None) -> bool:
        """Whether a process has been out of reach for longer than it takes to give a machine up."""
        return name in self._unreachable and self._now() - self._unreachable[name] > UNREACHABLE_SECONDS

    def _found(self, name: str, done: asyncio.Task[Lane[OwnerT]]) -> None:
        del self._finding[name]
        if not done.cancelled():
            done.exception()  # whoever waited for it has heard of it

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
