"""Makes a receiving service's data again, schedule by schedule, while the service goes on.

A schedule's data is thrown away and its position set back in one transaction; then its events are taken again in order,
from the journal or, to see that it serves, from the topic. The live service, should it hear of a newer event meanwhile,
waits for the position and finds nothing left to do. What is done is remembered, so that a replay that was broken off
goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

import asyncpg

from actors.receivers.hearing import Hearing
from actors.receivers.taker import Service, Taker
from persistence.events import positions
from persistence.events.cloud_events import EventError, decode
from persistence.events.log import Message
from persistence.journal import heads
from persistence.journal.journal import Journal

ReadTopic = Callable[[], AsyncIterator[list[Message]]]  # all of it, from its beginning to where it ends now


class TopicIncomplete(Exception):
    """The topic cannot be replayed: of some schedule it does not have every event. Nothing was changed."""


class Replay:
    """One service's replay."""

    def __init__(self, pool: asyncpg.Pool[Any], journal: Journal, service: Service) -> None:
        self._pool = pool
        self._service = service
        self._taker = Taker(service, pool, journal)
        self._hearing = Hearing([self._taker], pool, journal)
        self._mark = f"{service.name}/replay"
        self._topic_mark = f"{service.name}/replay-topic"

    async def left(self, schedule_id: str | None = None) -> list[tuple[str, int]]:
        """The schedules still to be done with their newest versions; all of them where no replay was broken off."""
        done = await positions.of_all(self._pool, self._mark)
        known = await heads.of_all(self._pool, schedule_id)
        return [(each, head.seq) for each, head in known.items() if each not in done]

    async def run(self, schedule_id: str | None, done: Callable[[int], None]) -> int:
        """Does what is left; `done` is told of every schedule's events. Returns how many events were taken."""
        taken = 0
        for each, until in await self.left(schedule_id):
            await self._begin_anew(each)
            taken += await self._taker.catch_up(each, until)
            async with self._pool.acquire() as connection, connection.transaction():
                await positions.lock(connection, self._mark, each)
                await positions.move(connection, self._mark, each, until)
            done(until)
        await self.finish()
        return taken

    async def again(self, schedule_id: str) -> int:
        """Makes one schedule's data again from the journal, whatever other replays are under way."""
        until = (await heads.of_schedule(self._pool, schedule_id)).seq
        await self._begin_anew(schedule_id)
        return await self._taker.catch_up(schedule_id, until)

    async def finish(self) -> None:
        """Forgets what was done: the next replay does everything again."""
        await positions.forget(self._pool, self._mark)

    async def _begin_anew(self, schedule_id: str, mark: str | None = None) -> None:
        """Throws a schedule's data away; with a mark that is put in the same transaction, where it is not there yet."""
        async with self._pool.acquire() as connection, connection.transaction():
            await positions.lock(connection, self._service.name, schedule_id)
            if mark is not None and await positions.lock(connection, mark, schedule_id):
                return
            await self._service.forget(connection, schedule_id)
            await positions.forget(connection, self._service.name, schedule_id)
            if mark is not None:
                await positions.move(connection, mark, schedule_id, 1)
                # A position that has just moved is one that the live service does not repair from the journal.
                await positions.lock(connection, self._service.name, schedule_id)

    # --- from the topic -----------------------------------------------------------------------------------------------
    async def published(self, schedule_id: str | None = None) -> dict[str, int]:
        """Up to which version each schedule's events are on the topic."""
        return {each: head.announced for each, head in (await heads.of_all(self._pool, schedule_id)).items()}

    async def run_from_topic(self, schedule_id: str | None, read: ReadTopic, done: Callable[[int], None]) -> int:
        """Makes the data again from what is on the topic; returns how many events were taken.

        The topic is read twice: first to see that it has everything. Raises `TopicIncomplete` and `LogUnavailable`.
        What was broken off goes on, though it has to read what it had from the topic again.
        """
        published = await self.published(schedule_id)
        await _check_whole(read, published)
        for each in published:
            await self._begin_anew(each, self._topic_mark)
        taken = 0
        async for messages in read():
            ours = _about(messages, published)
            taken += await self._hearing.receive(ours, "topic")
            done(len(ours))
        await positions.forget(self._pool, self._topic_mark)
        return taken


async def _check_whole(read: ReadTopic, published: dict[str, int]) -> None:
    """Whether 1, 2, 3 … can be read off for each schedule, up to what is published."""
    in_order = dict.fromkeys(published, 0)
    async for messages in read():
        for message in _about(messages, published):
            try:
                version = decode(message.value).data.version
            except EventError as error:
                where = f"partition {message.partition}, offset {message.offset}"
                raise TopicIncomplete(f"{where}: {error}; replay from the journal") from error
            in_order[message.key] += version == in_order[message.key] + 1
    for schedule_id, due in published.items():
        if (last := in_order[schedule_id]) < due:
            gone = "its beginning is gone" if last == 0 else f"what follows on version {last} is missing"
            raise TopicIncomplete(
                f"the topic does not have all {due} events of schedule {schedule_id}: {gone}; replay from the journal"
            )


def _about(messages: list[Message], schedules: Collection[str]) -> list[Message]:
    return [message for message in messages if message.key in schedules]
