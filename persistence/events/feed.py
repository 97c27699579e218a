"""The other end of the log: events as they arrive, for a service that keeps data of its own.

A feed may tell an event twice, begin anew after a failure, and leave events out where the broker has lost them. Whoever
reads it goes by the events' versions and fetches what is missing from the journal (see `actors.receivers.receiver`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from persistence.events import topic
from persistence.events.log import MemoryEventLog, Message, kafka_message, unavailable
from persistence.events.options import KafkaOptions

BATCH = 2_000  # messages handed over at a time, at most
START_SECONDS = 30.0  # to join the others of one name, who may have to notice first that one of them has died
SESSION_MS = 6_000  # a member silent for so long is given up, and its partitions go to others; brokers allow no less
HEARTBEAT_MS = 2_000
COMMIT_SECONDS = 10.0
METADATA_MS = 10_000  # how old what is known of the topic may be: it may have been made anew meanwhile
FETCH_BYTES, FETCH_WAIT_MS = 256 * 1024, 500  # a fetch is answered when there is so much, or after so long
# To say good-bye, so that others take over at once what was ours. Who has no share yet is still being introduced, which
# takes Kafka's brokers three seconds: nobody waits for that.
STOP_SECONDS, STOP_SECONDS_WITHOUT_SHARE = 2.0, 0.1

logger = logging.getLogger(__name__)


class EventFeed(Protocol):
    """Events in the order in which the log has them, per schedule."""

    async def next(self, timeout_seconds: float) -> list[Message]:
        """What has arrived; empty if nothing does in time. Raises `LogUnavailable`; call again later."""

    async def done(self) -> None:
        """Everything handed over so far is taken care of: a new feed of the same name need not tell it again."""

    async def close(self) -> None:
        """Gives the connections back. The feed may be used again: it then begins after what was `done`."""


class MemoryEventFeed:
    """The same contract over a log in memory."""

    def __init__(self, log: MemoryEventLog, done: dict[int, int] | None = None) -> None:
        self._log = log
        self.positions = done if done is not None else {}  # partition → offset to go on at; survives the feed
        self._told = dict(self.positions)

    async def next(self, timeout_seconds: float) -> list[Message]:
        messages = await self._log.read_all()
        fresh = [message for message in messages if message.offset >= self._told.get(message.partition, 0)][:BATCH]
        for message in fresh:
            self._told[message.partition] = message.offset + 1
        if not fresh:
            await asyncio.sleep(min(timeout_seconds, 0.01))
        return fresh

    async def done(self) -> None:
        self.positions.update(self._told)

    async def close(self) -> None:
        self._told = dict(self.positions)


class KafkaEventFeed:
    """A consumer group's share of the topic. Several processes of one name divide the partitions among themselves.

    A missing topic is made. After a failure the connection is made anew, and what was not `done` is told again.
    """

    def __init__(self, options: KafkaOptions, service: str) -> None:
        self._options = options
        self._group = options.group(service)
        self._consumer: AIOKafkaConsumer | None = None

    async def next(self, timeout_seconds: float) -> list[Message]:
        async with self._attempt("read"):
            consumer = await self._connected()
            batches = await consumer.getmany(timeout_ms=int(timeout_seconds * 1000), max_records=BATCH)
            await self._rewind_where_cut(consumer, told={*batches})
            return [kafka_message(record) for records in batches.values() for record in records]
        raise AssertionError("an attempt ends or raises")

    async def done(self) -> None:
        if self._consumer is None:
            return
        async with self._attempt("commit offsets"), asyncio.timeout(COMMIT_SECONDS):
            await self._consumer.commit()

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS if consumer.assignment() else STOP_SECONDS_WITHOUT_SHARE):
                await consumer.stop()
        except (KafkaError, OSError, TimeoutError) as error:
            # It says good-bye to a broker that does not listen. Its parts can be stopped, but only one by one.
            logger.debug("the consumer did not stop by itself: %r", error)
            for part in (consumer._fetcher, consumer._client):
                if part is not None:
                    with contextlib.suppress(KafkaError, OSError):
                        await part.close()

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            async with asyncio.timeout(START_SECONDS):
                await topic.ensure_topic(self._options)
                consumer = AIOKafkaConsumer(
                    self._options.topic,
                    **self._options.client(),
                    group_id=self._group,
                    enable_auto_commit=False,
                    auto_offset_reset="earliest",
                    session_timeout_ms=SESSION_MS,
                    heartbeat_interval_ms=HEARTBEAT_MS,
                    metadata_max_age_ms=METADATA_MS,
                    # Many at a time: a fetch costs as much for one message as for thousands, here and at the broker.
                    fetch_min_bytes=FETCH_BYTES,
                    fetch_max_wait_ms=FETCH_WAIT_MS,
                )
                self._consumer = consumer  # before it is started: a failure must find it to take it down
                await consumer.start()
        return self._consumer

    async def _rewind_where_cut(self, consumer: AIOKafkaConsumer, told: set[TopicPartition]) -> None:
        """A broker that came back empty has logs that end before where we are: begin anew there.

        It may say nothing of it, and answer that there is nothing new. Where a log ends comes with every answer. (Asked
        for it alone, the embedded broker forgets the tail.)
        """
        cut = []
        for partition in consumer.assignment() - told:
            end = consumer.highwater(partition)
            if end is not None and end < await consumer.position(partition):
                cut.append(partition)
        if cut:
            logger.warning("the log was cut in %d partitions and is read from its beginning", len(cut))
            await consumer.seek_to_beginning(*cut)

    @contextlib.asynccontextmanager
    async def _attempt(self, what: str) -> AsyncIterator[None]:
        """Turns every way in which a broker can fail into `LogUnavailable`, and begins anew after it."""
        try:
            yield
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise unavailable(f"cannot {what} on {self._options.servers}", error) from error
