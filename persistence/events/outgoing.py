"""What is on its way to the log: the values of many keys, gathered into one batch for each partition."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.producer.message_accumulator import BatchBuilder


class Outgoing:
    """What somebody publishes under one key, and how far it is acknowledged."""

    __slots__ = ("acknowledged", "done", "key", "values")

    def __init__(self, key: bytes, values: Sequence[bytes]) -> None:
        self.key = key
        self.values = values
        self.acknowledged = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def reach(self, acknowledged: int) -> None:
        """So many of the values are acknowledged."""
        self.acknowledged = acknowledged
        if acknowledged == len(self.values):
            self.end()

    def end(self, error: Exception | None = None) -> None:
        """Tells whoever waits, unless they have been told or have gone."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class Load:
    """What goes to one partition in one round: as much as one batch takes, in the order in which it was offered."""

    def __init__(self, batch: BatchBuilder) -> None:
        self.batch = batch
        self.aboard: list[tuple[Outgoing, int]] = []  # and how far each will have come
        self._full = False

    def take(self, outgoing: Outgoing) -> None:
        """Takes as many of its values as there is room for. Once one had to stay behind, nothing follows."""
        if self._full:
            return
        key, values, reached = outgoing.key, outgoing.values, outgoing.acknowledged
        while reached < len(values) and self.batch.append(timestamp=None, key=key, value=values[reached]) is not None:
            reached += 1
        self._full = reached < len(values)
        if reached > outgoing.acknowledged:
            self.aboard.append((outgoing, reached))
