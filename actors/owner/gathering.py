"""The batches of turns that a schedule's group commits take, and what may become of one instead of becoming durable."""

from __future__ import annotations

import asyncio

from actors.wire.messages import Fault, Reply
from engine.turn import Request, Step


class Rewound(Exception):
    """The batch was lost or its fate is unknown; memory has been read anew from the journal."""


class RewoundForGood(Rewound):
    """The same, and the batch would be lost again: the database will not have it."""


class Broken(Exception):
    """The owner has ended by an error nobody foresaw; what waited for it is not to be tried again."""


class Stopped(Exception):
    """The owner has ended; what became of the batch the next one knows."""


class Gathering:
    """The batch that the next group commit will take."""

    __slots__ = ("durable", "steps")

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.durable.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting

    def end(self, error: Exception | None = None) -> None:
        """Tells whoever waits for it; nobody who was told already."""
        if self.durable.done():
            return
        if error is None:
            self.durable.set_result(None)
        else:
            self.durable.set_exception(error)


class Round:
    """One go at the requests of a call, each with its place in it: decided, and not answered before that is durable."""

    __slots__ = ("batch", "later", "replies", "tentative")

    def __init__(self, replies: list[Reply]) -> None:
        self.replies = replies
        self.tentative: list[tuple[int, Request]] = []  # tried again if their batch is lost
        self.later: list[tuple[int, Request]] = []  # those the batch has no room for
        self.batch: Gathering | None = None  # that it waits for

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self.batch is None or self.batch.durable.done()

    @property
    def is_durable(self) -> bool:
        """Whether all of it is decided, and whatever its answers rest on durable."""
        batch = self.batch
        return not self.later and (batch is None or (batch.durable.done() and batch.durable.exception() is None))

    async def settled(self) -> list[tuple[int, Request]]:
        """Waits for the commit. Returns what has to be tried again."""
        if self.batch is None:
            return self.later
        try:
            await asyncio.shield(self.batch.durable)
        except Rewound:
            return self.tentative + self.later
        except Broken as error:
            for position, _ in self.tentative:
                self.replies[position] = Fault(str(error), ours=True)
        return self.later
