"""The way from one process to every schedule's owner.

Many requests travel in one call: what arrives while calls are under way is gathered and goes with the next. A request
is answered once, with a durable success or a refusal, or it fails with `Unavailable`, and then its outcome may be
either: sending it again with the same id is always safe. Owners that die or fall silent are found anew behind the
caller's back, until the request's deadline.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import msgspec
from prometheus_client import Counter

from actors.wire.messages import Inspection, Reply, decode_inspection, decode_replies, encode_requests
from engine.commands import AnyCommand
from engine.refusals import Refusal
from engine.state import Answer, Done
from engine.turn import Request
from persistence.journal.journal import UnknownSchedule

QUEUE_LIMIT = 5_000  # requests waiting per schedule and process; at 3,000/s that is the deadline's order of magnitude
CALL_LIMIT = 512  # requests per call: past it a call no longer gets cheaper
# After a call that carried several requests the next one waits for this share of the time it took: those who were just
# answered come again and go with it. Calls and commits cost the same for one as for many, and where there are many
# schedules, each has few at a time.
PAUSE_SHARE, PAUSE_LIMIT_SECONDS = 0.25, 0.02
# Behind a call that takes longer than this another one may leave, so that a commit that hangs holds up no refusal.
PATIENCE_SECONDS, CALLS_IN_FLIGHT = 0.1, 2
FIND_PAUSE_SECONDS = 0.05  # between attempts to find an owner; a dead one's name takes a moment to go
LANES_LIMIT = 10_000  # schedules remembered as existing

CALLS = Counter("boxoffice_gateway_calls_total", "Calls to owners of schedules")
CARRIED = Counter("boxoffice_gateway_requests_total", "Requests those calls have carried, repeats included")

logger = logging.getLogger(__name__)

__all__ = ["Gateway", "Owner", "OwnerLost", "Owners", "Unavailable", "UnknownSchedule"]


class Unavailable(Exception):
    """The schedule cannot answer now. Nothing is known of the request; it may be sent again with the same id."""

    def __init__(self, reason: str, retry_after_seconds: int = 1) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class OwnerLost(Exception):
    """The owner's process is gone or cannot be reached: find it anew and ask again."""


class Owner(Protocol):
    """One schedule's owner, somewhere. Every method may raise `OwnerLost`, or stay silent."""

    async def submit(self, data: bytes) -> bytes: ...

    async def inspect(self) -> bytes: ...

    def close(self) -> None:
        """Lets go of what reaches it; calls under way go on."""


OwnerT = TypeVar("OwnerT", bound=Owner)


class Owners(Protocol[OwnerT]):
    """Where owners come from."""

    async def find(self, schedule_id: str) -> OwnerT:
        """The schedule's owner, brought up if need be. Raises `OwnerLost`."""

    async def current(self, schedule_id: str) -> OwnerT | None:
        """The schedule's owner if there is one; brings none up."""

    async def replace(self, schedule_id: str, owner: OwnerT) -> None:
        """Does away with an owner that has fallen silent, or no longer tells the truth."""


class _Waiting:
    """One request on its way."""

    __slots__ = ("answer", "deadline", "request", "sent")

    def __init__(self, request: Request, deadline: float) -> None:
        self.request = request
        self.deadline = deadline  # on the loop's clock
        self.sent = False
        self.answer: asyncio.Future[Answer | Refusal] = asyncio.get_running_loop().create_future()

    def taken(self) -> Request:
        """The request, to be sent now. Sent once already, it says so: the repeat is the gateway's own doing."""
        if not self.sent:
            self.sent = True
            return self.request
        return msgspec.structs.replace(self.request, again=True)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Gateway(Generic[OwnerT]):
    """Sends requests to schedules. One per process; `close` fails whatever is still waiting."""

    def __init__(
        self,
        owners: Owners[OwnerT],
        exists: Callable[[str], Awaitable[bool]],
        *,
        call_timeout_seconds: float = 3.0,
        deadline_seconds: float = 15.0,
    ) -> None:
        self._owners = owners
        self._exists = exists
        self._call_timeout = call_timeout_seconds
        self._deadline = deadline_seconds
        self._lanes: OrderedDict[str, _Lane[OwnerT]] = OrderedDict()
        self.calls = 0  # made so far

    async def send(
        self, schedule_id: str, command: AnyCommand, *, request_id: str, fingerprint: str = ""
    ) -> Answer | Refusal:
        """One request, answered durable or refused. Raises `UnknownSchedule` or `Unavailable`."""
        lane = await self._lane(schedule_id)
        return await lane.send(Request(request_id, command, fingerprint))

    async def inspect(self, schedule_id: str) -> Inspection:
        """What the schedule's owner holds in memory. Raises `UnknownSchedule` or `Unavailable`."""
        lane = await self._lane(schedule_id)
        try:
            async with asyncio.timeout(self._deadline):
                owner = await lane.owner()
                try:
                    return decode_inspection(await owner.inspect())
                except OwnerLost:
                    lane.forget(owner)
                    return decode_inspection(await (await lane.owner()).inspect())
        except (TimeoutError, OwnerLost) as error:
            raise Unavailable("the schedule's owner does not answer") from error

    async def peek(self, schedule_id: str) -> Inspection | None:
        """What the schedule's owner holds in memory, if there is one. Raises `Unavailable` if it does not answer."""
        try:
            async with asyncio.timeout(self._call_timeout):
                owner = await self._owners.current(schedule_id)
                return None if owner is None else decode_inspection(await owner.inspect())
        except OwnerLost:
            return None
        except TimeoutError as error:
            raise Unavailable("the schedule's owner does not answer") from error

    async def retire(self, schedule_id: str) -> None:
        """Ends the schedule's owner, if there is one; whoever asks next gets a new one, fresh from the journal."""
        owner = await self._owners.current(schedule_id)
        if owner is not None:
            await self._owners.replace(schedule_id, owner)
        lane = self._lanes.get(schedule_id)
        if lane is not None:
            lane.forget()  # its last moments could otherwise still answer the next call

    async def close(self) -> None:
        """Fails what is waiting, and stops."""
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))

    async def _lane(self, schedule_id: str) -> _Lane[OwnerT]:
        lane = self._lanes.get(schedule_id)
        if lane is None:
            # A process costs memory and half a second: never one for an id that means nothing.
            if not await self._exists(schedule_id):
                raise UnknownSchedule(schedule_id)
            lane = self._lanes.setdefault(schedule_id, _Lane(self, schedule_id))
            if len(self._lanes) > LANES_LIMIT:
                self._drop_idle_lane()
        return lane

    def _drop_idle_lane(self) -> None:
        idle = next((key for key, lane in self._lanes.items() if lane.idle), None)
        if idle is not None:
            self._lanes.pop(idle).forget()


class _Lane(Generic[OwnerT]):
    """The queue to one schedule."""

    def __init__(self, gateway: Gateway[OwnerT], schedule_id: str) -> None:
        self._gateway = gateway
        self._id = schedule_id
        self._queue: deque[_Waiting] = deque()
        self._calls: set[asyncio.Task[None]] = set()  # under way
        self._timer: asyncio.TimerHandle | None = None
        # On the loop's clock: when the newest call has left, and when the next one may.
        self._left = self._not_before = 0.0
        self._owner: OwnerT | None = None
        self._finding: asyncio.Lock = asyncio.Lock()

    @property
    def idle(self) -> bool:
        return not self._queue and not self._calls

    async def send(self, request: Request) -> Answer | Refusal:
        if len(self._queue) >= QUEUE_LIMIT:
            raise Unavailable("too many requests are waiting for this schedule", retry_after_seconds=2)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop.time() + self._gateway._deadline)
        self._queue.append(waiting)
        self._arrange()
        return await waiting.answer

    def _arrange(self) -> None:
        """Sees to it that what is queued goes with the next call."""
        if self._queue and self._timer is None and len(self._calls) < CALLS_IN_FLIGHT:
            # At the earliest at the end of this turn of the loop: it gathers what arrived in the same instant.
            at = self._left + PATIENCE_SECONDS if self._calls else self._not_before
            self._timer = asyncio.get_running_loop().call_at(at, self._leave)

    def _leave(self) -> None:
        self._timer = None
        batch = [self._queue.popleft() for _ in range(min(CALL_LIMIT, len(self._queue)))]
        left = self._left = asyncio.get_running_loop().time()
        call = asyncio.create_task(self._deliver(batch))
        self._calls.add(call)
        call.add_done_callback(lambda call: self._returned(call, len(batch), left))

    def _returned(self, call: asyncio.Task[None], carried: int, left: float) -> None:
        self._calls.discard(call)
        if self._timer is not None:  # it may have waited for this
            self._timer.cancel()
            self._timer = None
        if call.cancelled():
            return
        if (error := call.exception()) is not None:
            logger.error("a call to schedule %s failed", self._id, exc_info=error)
        now = asyncio.get_running_loop().time()
        if carried > 1:
            self._not_before = now + min(PAUSE_SHARE * (now - left), PAUSE_LIMIT_SECONDS)
        self._arrange()

    async def _deliver(self, batch: list[_Waiting]) -> None:
        """Asks until every request of the batch is answered or past its deadline."""
        try:
            while batch := self._in_time(batch):
                try:
                    replies = await self._ask(batch)
                except OwnerLost as error:
                    logger.info("schedule %s has lost its owner: %s", self._id, error)
                    await asyncio.sleep(FIND_PAUSE_SECONDS)
                    continue
                batch = [waiting for waiting, reply in zip(batch, replies, strict=True) if not _settle(waiting, reply)]
        except BaseException as error:  # raised again: whatever ends the call, nobody is left waiting for it
            for waiting in batch:
                waiting.fail(Unavailable(f"the call ended: {type(error).__name__}"))
            raise

    async def _ask(self, batch: list[_Waiting]) -> list[Reply]:
        try:
            async with asyncio.timeout_at(max(waiting.deadline for waiting in batch)):
                owner = await self.owner()
        except TimeoutError as error:
            raise OwnerLost("not found in time") from error
        data = encode_requests([waiting.taken() for waiting in batch])
        self._gateway.calls += 1
        CALLS.inc()
        CARRIED.inc(len(batch))
        try:
            async with asyncio.timeout(self._gateway._call_timeout):
                return decode_replies(await owner.submit(data))
        except TimeoutError as error:
            # A live owner always answers well within this time, so this one is paused, cut off or stuck.
            logger.warning("schedule %s: its owner is silent and is replaced", self._id)
            self.forget(owner)
            await self._gateway._owners.replace(self._id, owner)
            raise OwnerLost("silent") from error
        except OwnerLost:
            self.forget(owner)
            raise

    def _in_time(self, batch: list[_Waiting]) -> list[_Waiting]:
        now = asyncio.get_running_loop().time()
        for waiting in batch:
            if waiting.deadline <= now:
                waiting.fail(Unavailable("the schedule did not answer in time"))
        return [waiting for waiting in batch if not waiting.answer.done()]

    async def owner(self) -> OwnerT:
        """The schedule's owner, found once for all calls that miss it."""
        async with self._finding:
            if self._owner is None:
                self._owner = await self._gateway._owners.find(self._id)
            return self._owner

    def forget(self, owner: OwnerT | None = None) -> None:
        """Looks for another owner next time, unless somebody has found one already; without argument, in any case."""
        owner = owner or self._owner
        if owner is not None:
            owner.close()
        if self._owner is owner:
            self._owner = None

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        self.forget()
        while self._queue:
            self._queue.popleft().fail(Unavailable("the server is stopping"))


def _settle(waiting: _Waiting, reply: Reply) -> bool:
    """Hands a reply over; False if there is none yet."""
    if reply is None:
        return False
    if not waiting.answer.done():
        waiting.answer.set_result(Done(reply) if isinstance(reply, int) else reply)
    return True
