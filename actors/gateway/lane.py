"""The way to one process of owners, for all the schedules that are open there.

Many requests of many schedules travel in one call: what arrives while calls are under way is gathered and goes with the
next. A schedule's requests keep their order, and of a full call each schedule gets the same share.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from prometheus_client import Counter

from actors.gateway.requests import Queue, Unavailable, Unencodable, Waiting, expire
from actors.wire.messages import UNENCODABLE, Reply, Standing, decode_answer, encode_call, why_unencodable
from engine.turn import Request

CALL_LIMIT = 512  # requests per call: past it a call no longer gets cheaper
# After a call that carried several requests the next one waits for this share of the time it took: those who were just
# answered come again and go with it. Calls and commits cost the same for one as for many, and where there are many
# schedules, each has few at a time.
PAUSE_SHARE, PAUSE_LIMIT_SECONDS = 0.25, 0.02
# Behind a call that takes longer than this another one may leave, so that a commit that hangs holds up no refusal, and
# schedules whose head rows are locked hold up no other.
PATIENCE_SECONDS, CALLS_IN_FLIGHT = 0.1, 8

CALLS = Counter("boxoffice_gateway_calls_total", "Calls to owners of schedules")
CARRIED = Counter("boxoffice_gateway_requests_total", "Requests those calls have carried, repeats included")

logger = logging.getLogger(__name__)


class OwnerLost(Exception):
    """The owner's process is gone or cannot be reached: find it anew and ask again."""


class Unreachable(OwnerLost):
    """Its machine does not answer, whether it is alive or not."""


class Owner(Protocol):
    """A process of owners, somewhere. Every method may raise `OwnerLost`, or stay silent."""

    async def submit(self, data: bytes) -> bytes: ...

    async def inspect(self, schedule_id: str) -> bytes | None:
        """What the schedule's owner holds in memory; None if the schedule is not open there."""

    async def retire(self, schedule_id: str) -> None:
        """Closes the schedule, without finishing anything."""

    def close(self) -> None:
        """Lets go of what reaches it; calls under way go on."""


OwnerT = TypeVar("OwnerT", bound=Owner)

# What a call carries: for each schedule those of its requests that go with it.
Load = list[tuple[Queue, list[Waiting]]]


class Lane(Generic[OwnerT]):
    """Calls to one process, from when it was found until it is lost.

    `reopen` is told of a schedule that is not open there after all; `replace` does away with a process that is silent.
    """

    def __init__(
        self,
        name: str,
        owner: OwnerT,
        *,
        call_timeout_seconds: float,
        reopen: Callable[[Queue], None],
        replace: Callable[[str, OwnerT], Awaitable[None]],
    ) -> None:
        self.name = name
        self.owner = owner
        self.lost = False
        self.calls = 0  # made so far
        self._call_timeout = call_timeout_seconds
        self._reopen = reopen
        self._replace = replace
        self._open: set[Queue] = set()
        self._ready: OrderedDict[Queue, None] = OrderedDict()  # those with requests, whose turn is next first
        self._under_way: dict[asyncio.Task[None], Load] = {}
        self._timer: asyncio.TimerHandle | None = None
        # On the loop's clock: when the newest call has left, and when the next one may.
        self._left = self._not_before = 0.0

    # --- schedules ----------------------------------------------------------------------------------------------------
    async def open(self, schedule_id: str) -> Standing | None:
        """Asks that the schedule be opened; None when it is. Raises `OwnerLost`."""
        (answer,) = decode_answer(await self._call(encode_call([(schedule_id, [])])))
        return answer if isinstance(answer, Standing) else None

    def take_in(self, queue: Queue) -> None:
        """From now on the schedule's requests go this way."""
        self._open.add(queue)
        queue.way = self
        self.arrange(queue)

    def let_go(self, queue: Queue) -> None:
        """Its requests go this way no longer; those under way do."""
        self._open.discard(queue)
        self._ready.pop(queue, None)
        if queue.way is self:
            queue.way = None

    def arrange(self, queue: Queue) -> None:
        """Sees to it that what waits for the schedule goes with the next call."""
        if queue.waiting:
            self._ready.setdefault(queue)
            self._arrange()

    # --- calls --------------------------------------------------------------------------------------------------------
    @property
    def under_way(self) -> int:
        """Calls that have not come back."""
        return len(self._under_way)

    def _arrange(self) -> None:
        if self._ready and self._timer is None and len(self._under_way) < CALLS_IN_FLIGHT and not self.lost:
            # At the earliest at the end of this turn of the loop: it gathers what arrived in the same instant.
            at = self._left + PATIENCE_SECONDS if self._under_way else self._not_before
            self._timer = asyncio.get_running_loop().call_at(at, self._leave)

    def _leave(self) -> None:
        self._timer = None
        load = self._fill()
        if not load:
            return
        left = self._left = asyncio.get_running_loop().time()
        call = asyncio.create_task(self._deliver(load))
        self._under_way[call] = load
        call.add_done_callback(lambda call: self._returned(call, sum(len(sent) for _, sent in load), left))
        self._arrange()  # what the call had no room for

    def _fill(self) -> Load:
        """Takes each schedule's share, and where some need less than theirs, more of the others."""
        room = CALL_LIMIT
        taken: dict[Queue, list[Waiting]] = {}
        while room > 0 and self._ready:
            share = max(1, room // len(self._ready))
            for queue in list(self._ready)[:room]:
                found = queue.take(min(share, room))
                room -= len(found)
                taken.setdefault(queue, []).extend(found)
                if queue.waiting:
                    self._ready.move_to_end(queue)
                else:
                    del self._ready[queue]
        return [(queue, sent) for queue, sent in taken.items() if sent]

    def _returned(self, call: asyncio.Task[None], carried: int, left: float) -> None:
        self._under_way.pop(call, None)
        if self._timer is not None:  # it may have waited for this
            self._timer.cancel()
            self._timer = None
        if not call.cancelled() and (error := call.exception()) is not None:
            logger.error("a call to %s failed", self.name, exc_info=error)
        now = asyncio.get_running_loop().time()
        if carried > 1:
            self._not_before = now + min(PAUSE_SHARE * (now - left), PAUSE_LIMIT_SECONDS)
        self._arrange()

    async def _deliver(self, load: Load) -> None:
        """One call; what it brings no answer for waits again."""
        try:
            data = self._encoded(load)
            self.calls += 1
            CALLS.inc()
            CARRIED.inc(sum(len(sent) for _, sent in load))
            answers = decode_answer(await self._call(data)) if load else []
            for (queue, sent), answer in zip(load, answers, strict=True):
                self._settle(queue, sent, answer)
        except OwnerLost as error:
            logger.info("%s is lost: %s", self.name, error)
            self.lose()
            for queue, sent in load:
                self._settle(queue, sent, [None] * len(sent))
        except BaseException as error:  # raised again: whatever ends the call, nobody is left waiting for it
            for _, sent in load:
                for waiting in sent:
                    waiting.fail(Unavailable(f"the call ended: {type(error).__name__}"))
            raise

    def _settle(self, queue: Queue, sent: list[Waiting], answer: list[Reply] | Standing) -> None:
        if isinstance(answer, Standing):
            queue.put_back(sent)
            if answer is Standing.ELSEWHERE:
                queue.host = None
            self.let_go(queue)
            self._reopen(queue)
            return
        left = [waiting for waiting, reply in zip(sent, answer, strict=True) if not waiting.settle(reply)]
        if left:
            queue.put_back(left)
            if queue.way is not None:  # this one, or where it has been opened since
                queue.way.arrange(queue)
            else:
                self._reopen(queue)

    def _encoded(self, load: Load) -> bytes:
        """The call as bytes. A request that cannot be encoded fails by itself and is left out, of `load`, too."""
        call: list[tuple[str, list[Request]]] = [
            (queue.schedule_id, [waiting.taken() for waiting in sent]) for queue, sent in load
        ]
        try:
            return encode_call(call)
        except UNENCODABLE:  # one of them, found below
            for (_, sent), (_, requests) in zip(load, call, strict=True):
                for place in reversed(range(len(sent))):
                    if (reason := why_unencodable(requests[place])) is not None:
                        sent.pop(place).fail(Unencodable(reason))
                        del requests[place]
            load[:] = [each for each in load if each[1]]
            return encode_call([each for each in call if each[1]])

    async def _call(self, data: bytes) -> bytes:
        """The process's answer. Raises `OwnerLost`, and has it replaced if it is silent."""
        try:
            async with asyncio.timeout(self._call_timeout):
                return await self.owner.submit(data)
        except TimeoutError as error:
            # A live process always answers well within this time, so this one is paused, cut off or stuck.
            if not self.lost:
                logger.warning("%s is silent and is replaced", self.name)
                self.lose()
                await self._replace(self.name, self.owner)
            raise OwnerLost("silent") from error

    def expire(self, now: float) -> None:
        """Fails what is under way and past its deadline."""
        for load in self._under_way.values():
            for _, sent in load:
                expire(sent, now)

    # --- the end ------------------------------------------------------------------------------------------------------
    def lose(self) -> None:
        """The process is gone: whatever waits for it is to find another."""
        if self.lost:
            return
        self.lost = True
        self._stop()
        for queue in list(self._open):
            queue.host = None
            self.let_go(queue)
            self._reopen(queue)

    async def close(self) -> None:
        """Breaks off what is under way."""
        self.lost = True
        calls = list(self._under_way)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.owner.close()
