"""What the feed tells, for several services at once: read from the journal once, and given to each.

A feed, or a topic read again, says *that* something happened; what happened is read from the journal. So whoever can
write to the topic can make services look, and nothing else: a version that the journal does not have, or one that
differs from what the journal says, is put aside and reported, and the real event is taken all the same.

No service waits for another. Who takes too long, or whose part of the database is in trouble, is left behind, and so is
who has come less far: it reads by itself what the others have already, from the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any

import asyncpg
from msgspec import Struct

from actors.receivers.taker import CHUNK, Taker
from persistence.database.away import is_away
from persistence.events import positions
from persistence.events.cloud_events import EventError, decode, glance, says_the_same
from persistence.events.event_data import EventEnvelope
from persistence.events.from_journal import JournalFeed
from persistence.events.log import Message
from persistence.journal.journal import Journal

PATIENCE_SECONDS = 5.0  # so long the others wait for one
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LAST_VERSION = 2**62  # far beyond any, and what a database can compare

logger = logging.getLogger(__name__)


class _Told(Struct, frozen=True):
    """What the feed has said: the head and place of it, and all of it as it came."""

    event: EventEnvelope
    value: bytes


Heard = Mapping[int, Sequence[_Told]]  # by version


class Hearing:
    """Hears for some services. What it knows of them is in the database, but for who is left behind."""

    def __init__(self, takers: Sequence[Taker], pool: asyncpg.Pool[Any], journal: Journal) -> None:
        self.takers = takers
        self._names = ", ".join(taker.service.name for taker in takers)
        self._pool = pool
        self._journal = JournalFeed(journal)
        self._left_behind: dict[Taker, asyncio.Task[int]] = {}

    async def receive(self, messages: Sequence[Message], source: str = "feed") -> int:
        """Has everybody take what the feed has told of. Returns how many events were new, counted for each.

        Raises what nobody came through; who did not come through while others did is left behind.
        """
        by_schedule: dict[str, list[_Told]] = {}
        for message in messages:
            try:
                event = glance(message.value)
            except EventError as error:
                # Not from us, or damaged: nothing can be done with it, and its version will be missed and repaired.
                logger.error("%s cannot read what is at %s: %s", self._names, _place(message), error)
                continue
            if ID.fullmatch(event.data.schedule_id) is None or not 0 < event.data.version <= LAST_VERSION:
                logger.error("%s cannot read what is at %s: no such place", self._names, _place(message))
                continue
            by_schedule.setdefault(event.data.schedule_id, []).append(_Told(event, message.value))
        return sum([await self._hear(schedule_id, told, source) for schedule_id, told in by_schedule.items()])

    async def close(self) -> None:
        """Calls off what those left behind are doing; nothing of it is half done."""
        for work in self._left_behind.values():
            work.cancel()
        await asyncio.gather(*self._left_behind.values(), return_exceptions=True)

    async def _hear(self, schedule_id: str, told: Sequence[_Told], source: str) -> int:
        """Has those who listen take what the journal says of the events told, and of what is missing before them."""
        takers = await self._listening()
        names = [taker.service.name for taker in takers]
        reached, head = await positions.reach(self._pool, names, schedule_id)
        heard: dict[int, list[_Told]] = {}
        for each in told:
            version = each.event.data.version
            if head is None or version > head:
                why = "the journal does not go so far" if head else "there is no such schedule"
                await _suspect(takers, each, why)
            else:
                heard.setdefault(version, []).append(each)
        at: dict[int, list[Taker]] = {}
        for taker, name in zip(takers, names, strict=True):
            at.setdefault(reached[name], []).append(taker)
        until, furthest = max(heard, default=0), max(at)
        failures: dict[Taker, Exception] = {}
        taken = 0
        if furthest < until:
            events = self._believed(schedule_id, furthest, until, heard, at[furthest])
            taken = await self._together(at[furthest], schedule_id, events, source, failures)
        behind = {
            taker: _alone(taker, schedule_id, self._believed(schedule_id, position, until, heard, [taker]), source)
            for position, those in at.items()
            if position < min(furthest, until)
            for taker in those
        }
        taken += await self._patiently(behind, failures)
        if failures and all(taker in failures or taker in self._left_behind for taker in takers):
            raise next(iter(failures.values()))
        return taken

    async def _listening(self) -> list[Taker]:
        """Those who are not left behind; if nobody is there, waits for the first."""
        if len(self._left_behind) == len(self.takers):
            await asyncio.wait(self._left_behind.values(), return_when=asyncio.FIRST_COMPLETED)
        for taker, work in [*self._left_behind.items()]:
            if work.done():
                del self._left_behind[taker]
                _expected(work.exception())
        return [taker for taker in self.takers if taker not in self._left_behind]

    async def _believed(
        self, schedule_id: str, position: int, until: int, heard: Heard, takers: Sequence[Taker]
    ) -> AsyncIterator[Sequence[EventEnvelope]]:
        """What the journal says from a position on, for these, as much at a time as one transaction takes."""
        wanted = frozenset().union(*(taker.service.wanted for taker in takers))
        async for events in self._journal.events(schedule_id, position, until, wanted):
            for event in events:
                for told in heard.get(event.data.version, ()):
                    if not says_the_same(told.value, told.event, event):
                        await _suspect(takers, told, "the journal says otherwise")
            for start in range(0, len(events), CHUNK):
                yield events[start : start + CHUNK]

    async def _together(
        self,
        takers: Sequence[Taker],
        schedule_id: str,
        chunks: AsyncIterator[Sequence[EventEnvelope]],
        source: str,
        failures: dict[Taker, Exception],
    ) -> int:
        """Gives each chunk to all, as long as they come along."""
        taken = 0
        async for events in chunks:
            along = [taker for taker in takers if taker not in failures and taker not in self._left_behind]
            if not along:
                break
            taken += await self._patiently(
                {taker: taker.take(schedule_id, events, source) for taker in along}, failures
            )
        return taken

    async def _patiently(self, work: Mapping[Taker, Coroutine[Any, Any, int]], failures: dict[Taker, Exception]) -> int:
        """Waits for all, but not for long; notes who failed because the database is away. Returns how many were taken.

        Who is alone is waited for: nobody else would be kept waiting.
        """
        if not work:
            return 0
        tasks = {taker: asyncio.create_task(each) for taker, each in work.items()}
        self._left_behind |= tasks  # until they are through: should we be called off, `close` finds them
        await asyncio.wait(tasks.values(), timeout=PATIENCE_SECONDS if len(self.takers) > 1 else None)
        taken = 0
        for taker, task in tasks.items():
            if not task.done():
                logger.warning("%s takes long, and is left behind for now", taker.service.name)
                continue
            del self._left_behind[taker]
            if (failure := _expected(task.exception())) is not None:
                failures[taker] = failure
            else:
                taken += task.result()
        return taken


async def _alone(taker: Taker, schedule_id: str, chunks: AsyncIterator[Sequence[EventEnvelope]], source: str) -> int:
    """Gives each chunk to one, however long that takes."""
    return sum([await taker.take(schedule_id, events, source) async for events in chunks])


async def _suspect(takers: Sequence[Taker], told: _Told, why: str) -> None:
    """Puts an event aside, for each, that is not believed."""
    event = told.event
    with contextlib.suppress(EventError):  # the head of it is kept then
        event = decode(told.value)
    for taker in takers:
        await taker.suspect(event, why)


def _expected(error: BaseException | None) -> Exception | None:
    """What a service failed by, if that may pass. Raises what is a bug: the process ends loudly, and is started again
    where it stood."""
    if error is None:
        return None
    if not isinstance(error, Exception) or not is_away(error):
        raise error
    return error


def _place(message: Message) -> str:
    return f"{message.partition}/{message.offset}"
