"""Requests on their way to one schedule, and how they fail."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from actors.wire.messages import Fault, Reply
from engine.refusals import Refusal
from engine.state import Answer, Done
from engine.turn import Request


class Unavailable(Exception):
    """The schedule cannot answer now. Nothing is known of the request; it may be sent again with the same id."""

    def __init__(self, reason: str, retry_after_seconds: int = 1) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class Unencodable(ValueError):
    """The request holds something that can be neither sent nor kept, such as half a character. Nothing came of it."""


class Impossible(Exception):
    """The request cannot be carried out, however often it is sent, and the mistake is ours. Nothing came of it."""


class Waiting:
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

    def settle(self, reply: Reply) -> bool:
        """Hands a reply over; False if there is none yet."""
        if reply is None:
            return False
        if not self.answer.done():
            if isinstance(reply, Fault):
                self.answer.set_exception(Impossible(reply.reason) if reply.ours else Unencodable(reply.reason))
            else:
                self.answer.set_result(Done(reply) if isinstance(reply, int) else reply)
        return True

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Way(Protocol):
    """Where the requests of open schedules go."""

    def arrange(self, queue: Queue) -> None:
        """Sees to it that what waits for the schedule is sent."""


class Queue:
    """The requests that wait for one schedule, in the order in which they came."""

    __slots__ = ("host", "opening", "schedule_id", "waiting", "way")

    def __init__(self, schedule_id: str) -> None:
        self.schedule_id = schedule_id
        self.waiting: deque[Waiting] = deque()
        self.host: str | None = None  # the process it was last found to belong to
        self.way: Way | None = None  # while it is known to be open
        self.opening: asyncio.Task[None] | None = None  # while it is being opened

    def __len__(self) -> int:
        return len(self.waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing waits here. Something may be under way."""
        return not self.waiting and self.opening is None

    def wanted(self) -> bool:
        """Whether anybody still waits."""
        while self.waiting and self.waiting[0].answer.done():
            self.waiting.popleft()
        return bool(self.waiting)

    def take(self, most: int) -> list[Waiting]:
        """The next ones; those nobody waits for any more are left out."""
        taken: list[Waiting] = []
        while self.waiting and len(taken) < most:
            each = self.waiting.popleft()
            if not each.answer.done():
                taken.append(each)
        return taken

    def put_back(self, taken: Sequence[Waiting]) -> None:
        """They were not answered, and are first in line again."""
        self.waiting.extendleft(each for each in reversed(taken) if not each.answer.done())

    def fail(self, error: Exception) -> None:
        """Whoever waits now is told."""
        while self.waiting:
            self.waiting.popleft().fail(error)


def expire(waiting: Iterable[Waiting], now: float) -> None:
    """Fails whatever is past its deadline."""
    for each in waiting:
        if each.deadline <= now:
            each.fail(Unavailable("the schedule did not answer in time"))
