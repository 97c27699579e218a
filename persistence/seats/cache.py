"""What readers see of a schedule's seats, and the cache and channel it travels through.

A schedule's owner publishes after its commits; API processes read and listen. Guarantees: a version never replaces a
newer one; `publish` stores before it announces, so whoever hears of a version finds at least that version stored; a
listener that may have missed an announcement is told so by `CacheUnavailable`. Nothing here is the truth: all of it can
be rebuilt from the journal, and losing it costs time only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import msgspec
from msgspec import Struct

logger = logging.getLogger(__name__)


class AreaCounts(Struct, frozen=True, array_like=True):
    """How many places of a standing area are in which state; together they are its capacity."""

    left: int
    held: int
    sold: int
    blocked: int


class SeatDelta(Struct, frozen=True, array_like=True):
    """What changed after `from_version` up to `version`. States and counts are absolute, as they are at `version`."""

    schedule_id: str
    from_version: int
    version: int
    seats: tuple[tuple[int, int], ...]  # (plan index, new state)
    areas: tuple[tuple[int, AreaCounts], ...]  # (position in `SeatView.areas`, new counts)


class SeatView(Struct, frozen=True, array_like=True):
    """Every seat's state at one version of a schedule's journal."""

    schedule_id: str
    version: int  # the journal's sequence number
    states: bytes  # one byte per numbered seat, in plan order: FREE, HELD, SOLD or BLOCKED of `engine.state`
    areas: tuple[AreaCounts, ...]  # in plan order
    withdrawn: bool = False  # out of the catalogue: shown to nobody any more
    plan_number: int = 0  # by which of the house's plans its places are numbered

    def after(self, delta: SeatDelta) -> SeatView:
        """This view with `delta` applied.

        Right for every `delta.from_version <= self.version <= delta.version`, because deltas carry absolute states:
        what changed before `self.version` and not since is repeated, not applied twice.
        """
        assert delta.from_version <= self.version <= delta.version, "a delta that does not follow this view"
        states = bytearray(self.states)
        for index, state in delta.seats:
            states[index] = state
        areas = list(self.areas)
        for position, counts in delta.areas:
            areas[position] = counts
        return SeatView(self.schedule_id, delta.version, bytes(states), tuple(areas), self.withdrawn, self.plan_number)

    def since(self, older: SeatView) -> SeatDelta:
        """What leads from `older` to this view, of the same plan."""
        assert older.plan_number == self.plan_number, "views of different plans"
        assert len(older.states) == len(self.states), "views of different plans"
        seats: list[tuple[int, int]] = []
        # Whole blocks are compared in C; only the few that differ are looked at seat by seat.
        for start in range(0, len(self.states), BLOCK):
            was, now = older.states[start : start + BLOCK], self.states[start : start + BLOCK]
            if was != now:
                seats.extend((start + i, b) for i, (a, b) in enumerate(zip(was, now, strict=True)) if a != b)
        pairs = zip(older.areas, self.areas, strict=True)
        areas = tuple((position, b) for position, (a, b) in enumerate(pairs) if a != b)
        return SeatDelta(self.schedule_id, older.version, self.version, tuple(seats), areas)


BLOCK = 256  # seats compared at once; a 50,000-seat house takes ~200 comparisons


def merge(deltas: Iterable[SeatDelta]) -> SeatDelta:
    """One delta that does what these do one after another. Raises ValueError when there are none."""
    seats: dict[int, int] = {}
    areas: dict[int, AreaCounts] = {}
    first: SeatDelta | None = None
    last: SeatDelta | None = None
    for last in deltas:
        first = first or last
        seats.update(last.seats)
        areas.update(last.areas)
    if first is None or last is None:
        raise ValueError("nothing to merge")
    if first is last:
        return first
    return SeatDelta(
        first.schedule_id, first.from_version, last.version, tuple(sorted(seats.items())), tuple(sorted(areas.items()))
    )


def looking_anew(schedule_id: str, version: int) -> SeatDelta:
    """An announcement that fits nobody's copy, so that whoever has one reads the schedule anew."""
    return SeatDelta(schedule_id, 0, version, (), ())


class CacheUnavailable(Exception):
    """The seat cache cannot be reached, or a subscription may have missed something."""


News = tuple[SeatView, SeatDelta]  # of one schedule


class SeatCache(Protocol):
    """Where seat views are kept and announced. Every method raises `CacheUnavailable` when it cannot do its work."""

    async def put(self, view: SeatView) -> None:
        """Stores `view` unless the same or a newer version is there."""

    async def announce(self, delta: SeatDelta) -> None:
        """Tells every listener."""

    async def outdate(self, schedule_id: str, version: int) -> None:
        """What is stored from before that version is shown to nobody any more, nor whatever of it comes late.

        Every listener is told to look anew.
        """

    async def publish(self, view: SeatView, delta: SeatDelta) -> None:
        """`put`, then `announce`, in one round trip.

        After a failure publish again until it succeeds, with the `from_version` of the delta that failed.
        """

    async def get(self, schedule_id: str) -> SeatView | None:
        """The stored view; None when there is none."""

    async def forget(self, schedule_id: str) -> None:
        """Drops what is stored of a schedule: its next view is stored whatever its version."""

    def deltas(self) -> AbstractAsyncContextManager[AsyncIterator[SeatDelta]]:
        """Listens to every announcement. Entered means subscribed: from then on nothing is missed in silence."""

    async def close(self) -> None:
        """Lets go of connections."""


encode_view = msgspec.msgpack.Encoder().encode
decode_view = msgspec.msgpack.Decoder(SeatView).decode
encode_deltas = msgspec.msgpack.Encoder().encode
decode_deltas = msgspec.msgpack.Decoder(list[SeatDelta]).decode


class MemorySeatCache:
    """The same contract within one process, for tests and simulation. `available = False` is Redis being away."""

    def __init__(self) -> None:
        self._available = True
        self._views: dict[str, bytes] = {}
        self._outdated: dict[str, int] = {}
        self._listeners: set[asyncio.Queue[bytes | None]] = set()
        self.reads = 0  # how often `get` was asked

    @property
    def available(self) -> bool:
        return self._available

    @available.setter
    def available(self, value: bool) -> None:
        self._available = value
        if not value:
            self.drop_subscriptions()

    def drop_subscriptions(self) -> None:
        """Every listener loses its connection."""
        for queue in self._listeners:
            queue.put_nowait(None)

    def lose_everything(self) -> None:
        """It comes back empty, as Redis does."""
        self._views.clear()
        self._outdated.clear()

    def _check(self) -> None:
        if not self._available:
            raise CacheUnavailable("the cache is switched off")

    async def put(self, view: SeatView) -> None:
        self._check()
        stored = self._views.get(view.schedule_id)
        if view.version < self._outdated.get(view.schedule_id, 0):
            return
        if stored is None or decode_view(stored).version < view.version:
            self._views[view.schedule_id] = encode_view(view)

    async def announce(self, delta: SeatDelta) -> None:
        self._check()
        for queue in self._listeners:
            queue.put_nowait(encode_deltas([delta]))

    async def publish(self, view: SeatView, delta: SeatDelta) -> None:
        await self.put(view)
        await self.announce(delta)

    async def outdate(self, schedule_id: str, version: int) -> None:
        self._check()
        stored = self._views.get(schedule_id)
        if stored is not None and decode_view(stored).version < version:
            del self._views[schedule_id]
        self._outdated[schedule_id] = version
        await self.announce(looking_anew(schedule_id, version))

    async def get(self, schedule_id: str) -> SeatView | None:
        self.reads += 1
        self._check()
        stored = self._views.get(schedule_id)
        return None if stored is None else decode_view(stored)

    async def forget(self, schedule_id: str) -> None:
        self._check()
        self._views.pop(schedule_id, None)
        self._outdated.pop(schedule_id, None)

    @asynccontextmanager
    async def deltas(self) -> AsyncIterator[AsyncIterator[SeatDelta]]:
        self._check()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield _queued(queue)
        finally:
            self._listeners.discard(queue)

    async def close(self) -> None:
        self.drop_subscriptions()


async def _queued(queue: asyncio.Queue[bytes | None]) -> AsyncIterator[SeatDelta]:
    while (payload := await queue.get()) is not None:
        for delta in decode_deltas(payload):
            yield delta
    raise CacheUnavailable("the subscription was lost")
