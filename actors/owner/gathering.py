"""The batches of turns that a schedule's group commits take, and what may become of one instead of becoming durable."""

from __future__ import annotations

import asyncio

from engine.turn import Step


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
