"""The log that the outside world reads: a schedule's events on Kafka, in order.

Guarantee: when `publish` returns, every value is acknowledged by all in-sync replicas, in the order given. When it
raises `LogUnavailable`, a prefix of the values (perhaps none, perhaps all) is in the log, and the publisher sends them
again from its durable watermark: a value can occur twice, but never for the first time before the one it follows.

How order survives a retry: one batch a partition is on its way, and the next is sent only after the last one is
acknowledged; after any failure the producer is thrown away together with what it still held. Events are durable in the
journal before they come here, so nothing here needs to survive a crash. What is published meanwhile under any number of
keys gathers and goes together: a request costs as much for one event as for hundreds, here, at the broker and at every
consumer. The memory in use is one batch a partition, however much is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import ssl
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import lru_cache
from typing import Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    AuthenticationFailedError,
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import ConsumerRecord, RecordMetadata
from msgspec import Struct

from persistence.database.held import holds_none
from persistence.events import topic
from persistence.events.options import PARTITIONS, KafkaOptions
from persistence.events.outgoing import Load, Outgoing
from persistence.events.topic import TopicFacts

logger = logging.getLogger(__name__)

# One event is 0.6–1.5 kB. A broker takes 1 MiB per batch unless it is configured otherwise; a quarter of it is past the
# point where bigger batches are faster.
BATCH_BYTES = 256 * 1024
TIMEOUT_SECONDS = 10.0  # of one batch, retries included
RETRY_BACKOFF_MS = 250
STOP_TIMEOUT_SECONDS = 2.0


class LogUnavailable(Exception):
    """The log cannot be reached, or did not acknowledge in time."""


class LogRefused(LogUnavailable):
    """The broker does not let us in: log-in, certificate or permission."""


REFUSALS = (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
    ssl.SSLError,
)


def unavailable(what: str, error: Exception) -> LogUnavailable:
    """How a broker failed, in our words."""
    kind = LogRefused if isinstance(error, REFUSALS) else LogUnavailable
    return kind(f"{what}: {str(error) or type(error).__name__}")


class Message(Struct, frozen=True):
    """One value in the log, where it stands."""

    partition: int
    offset: int
    key: str
    value: bytes


class EventLog(Protocol):
    """Where events are published, and read back for an audit."""

    async def start(self) -> None:
        """Connects ahead of the first `publish`, which otherwise does it. Raises `LogUnavailable`."""

    async def publish(self, key: str, values: Sequence[bytes]) -> None:
        """Appends the values in order; returns once all are acknowledged. Raises `LogUnavailable`."""

    async def read_all(self, key: str | None = None) -> list[Message]:
        """Everything that is in the log now, or everything of one key, in order per key. Raises `LogUnavailable`."""

    async def close(self) -> None:
        """Lets go of the connections; may be called twice. `publish` raises `LogUnavailable` from then on."""


class MemoryEventLog:
    """The same contract in memory. While `available` is False it behaves like a broker that is away."""

    def __init__(self, partitions: int = PARTITIONS) -> None:
        self.available = True
        self._partitions: list[list[Message]] = [[] for _ in range(partitions)]
        self._closed = False

    async def start(self) -> None:
        self._check()

    async def publish(self, key: str, values: Sequence[bytes]) -> None:
        self._check()
        number = zlib.crc32(key.encode()) % len(self._partitions)
        partition = self._partitions[number]
        for value in values:
            partition.append(Message(number, len(partition), key, bytes(value)))

    async def read_all(self, key: str | None = None) -> list[Message]:
        self._check()
        return [message for partition in self._partitions for message in partition if key in (None, message.key)]

    async def close(self) -> None:
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise LogUnavailable("the event log is closed")
        if not self.available:
            raise LogUnavailable("the event log is away")


class KafkaEventLog:
    """The log on any broker that speaks Kafka's protocol.

    A missing topic is made. Where the broker has idempotent producers they are used, so that the producer's own retries
    do not duplicate; the embedded broker refuses them.
    """

    def __init__(self, options: KafkaOptions, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._options = options
        self._topic = options.topic
        self._timeout_seconds = timeout_seconds
        self._producer: AIOKafkaProducer | None = None
        self._idempotent: bool | None = None
        self._offsets: dict[int, int] = {}  # partition → the last offset this producer was given
        self._turn = asyncio.Lock()
        self._waiting: list[Outgoing] = []
        self._refused: set[bytes] = set()  # keys of which the broker would not have something: each goes by itself
        self._work: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        async with self._turn, self._attempt("connect"):
            await self._connected()

    async def ensure_topic(self) -> None:
        """Makes the topic if it is missing. Raises `LogUnavailable`; a broker that forbids it is left to its own."""
        with self._reported("make the topic"):
            async with asyncio.timeout(self._timeout_seconds):
                await topic.ensure_topic(self._options)

    async def describe(self) -> tuple[TopicFacts | None, bool]:
        """The topic, if there is one, and whether there are idempotent producers. Raises `LogUnavailable`."""
        with self._reported("look at the topic"):
            async with asyncio.timeout(self._timeout_seconds):
                idempotent = await topic.has_idempotent_producers(self._options)
                return await topic.describe_topic(self._options), idempotent

    async def publish(self, key: str, values: Sequence[bytes]) -> None:
        if not values:
            return
        holds_none("publishing on Kafka")
        outgoing = Outgoing(key.encode(), values)
        self._waiting.append(outgoing)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._publish_waiting())
        await outgoing.done

    async def read_all(self, key: str | None = None) -> list[Message]:
        with self._reported("read"):
            return await self._read(None if key is None else key.encode())

    async def close(self) -> None:
        self._closed = True
        async with self._turn:
            await self._discard()

    async def _publish_waiting(self) -> None:
        """Sends what waits, round after round, until nothing does."""
        while together := self._next_round():
            try:
                async with self._turn, self._attempt("publish"):
                    await self._send(together)
            except Exception as error:  # noqa: BLE001  # whatever it is, those concerned are told, and the others go on
                for each in together:
                    each.end(error)
            except BaseException:  # raised again: nobody is left waiting for it
                for each in self._waiting:
                    each.end(LogUnavailable("publishing was broken off"))
                raise

    def _next_round(self) -> list[Outgoing]:
        """Those that go together: all the others are not to wait for one that the broker refuses."""
        self._waiting = [each for each in self._waiting if not each.done.done()]
        if self._waiting and self._waiting[0].key in self._refused:
            return self._waiting[:1]
        return [each for each in self._waiting if each.key not in self._refused]

    async def _send(self, together: Sequence[Outgoing]) -> None:
        """One batch for each partition, and the wait for their acknowledgements."""
        producer = await self._connected()
        numbers = tuple(sorted(await producer.partitions_for(self._topic)))
        loads: dict[int, Load] = {}
        for each in together:
            number = _partition_of(each.key, numbers)
            if number not in loads:
                loads[number] = Load(producer.create_batch())
            loads[number].take(each)
            if not loads[number].aboard:
                self._refused.add(each.key)
                raise MessageSizeTooLargeError(f"an event of {len(each.values[each.acknowledged])} bytes")
        acknowledged = []
        for number, load in loads.items():
            load.batch.close()
            acknowledged.append(await producer.send_batch(load.batch, self._topic, partition=number))
        written = await asyncio.gather(*acknowledged, return_exceptions=True)
        failures = []
        for load, outcome in zip(loads.values(), written, strict=True):
            keys = {outgoing.key for outgoing, _ in load.aboard}
            if isinstance(outcome, BaseException):
                failures.append(outcome)
                if isinstance(outcome, BrokerResponseError) and not outcome.retriable:
                    self._refused |= keys
                continue
            self._expect_growth(outcome)
            self._refused -= keys
            for outgoing, reached in load.aboard:
                outgoing.reach(reached)
        if failures:
            raise failures[0]

    def _expect_growth(self, written: RecordMetadata) -> None:
        """A log that got shorter has lost what was in it. Raising starts over, topic included.

        The embedded broker begins empty when it is restarted, and acknowledges events for a topic it does not have.
        """
        if 0 <= written.offset <= self._offsets.get(written.partition, -1):
            raise ConnectionError(f"the log was cut: partition {written.partition} goes on at {written.offset}")
        self._offsets[written.partition] = written.offset

    @contextlib.asynccontextmanager
    async def _attempt(self, what: str) -> AsyncIterator[None]:
        """Bounds what the producer is used for, and throws the producer away when it fails."""
        with self._reported(what):
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    yield
            except (KafkaError, OSError, TimeoutError):
                await self._discard()
                raise

    @contextlib.contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        """Turns every way in which a broker can fail into `LogUnavailable`."""
        if self._closed:
            raise LogUnavailable("the event log is closed")
        try:
            yield
        except (KafkaError, OSError, TimeoutError) as error:
            raise unavailable(f"cannot {what} on {self._options.servers}", error) from error

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            await self._probe()
            producer = AIOKafkaProducer(
                **self._options.client(),
                acks="all",
                enable_idempotence=self._idempotent,
                compression_type=None if self._options.compression == "none" else self._options.compression,
                max_batch_size=BATCH_BYTES,
                retry_backoff_ms=RETRY_BACKOFF_MS,
            )
            try:
                await producer.start()
            except BaseException:  # raised again: half a producer is nobody's, also if whoever wanted it has gone
                await _taken_down(producer)
                raise
            self._producer = producer
        return self._producer

    async def _probe(self) -> None:
        """Makes the topic if it is missing, and sees what the broker has."""
        idempotent = await topic.has_idempotent_producers(self._options)
        await topic.ensure_topic(self._options)
        if idempotent is not self._idempotent:
            self._idempotent = idempotent
            has = "with idempotent producers" if idempotent else "which has no idempotent producers"
            logger.info("events go to topic %s on %s, %s", self._topic, self._options.servers, has)

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        self._offsets.clear()
        if producer is not None:
            await _taken_down(producer)

    async def _read(self, key: bytes | None) -> list[Message]:
        """What stands between the beginning and where the log ended when this was called."""
        consumer = AIOKafkaConsumer(
            self._topic,
            **self._options.client(),
            group_id=None,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
        )
        found: list[Message] = []
        # The end comes with what is fetched: asked for it alone, the embedded broker forgets the last batch's tail.
        ends: dict[TopicPartition, int] = {}
        try:
            async with asyncio.timeout(self._timeout_seconds) as patience:
                await topic.ensure_topic(self._options)
                await consumer.start()
                left = consumer.assignment()
                while left:
                    batches = await consumer.getmany(*left, timeout_ms=100)
                    if batches:
                        patience.reschedule(asyncio.get_running_loop().time() + self._timeout_seconds)
                    for partition in left:
                        if (end := consumer.highwater(partition)) is not None:
                            ends.setdefault(partition, end)
                    for record in itertools.chain.from_iterable(batches.values()):
                        if key in (None, record.key):
                            found.append(kafka_message(record))
                    left = {
                        partition
                        for partition in left
                        if partition not in ends or await consumer.position(partition) < ends[partition]
                    }
        finally:
            await consumer.stop()
        found.sort(key=lambda message: (message.partition, message.offset))
        return found


async def _taken_down(producer: AIOKafkaProducer) -> None:
    """With all that it holds, in bounded time."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
            await producer.stop()
    except (KafkaError, OSError, TimeoutError) as error:
        # `stop` first waits for what was never acknowledged, which an idempotent producer retries for ever. Its
        # parts can be stopped, but only one by one.
        logger.debug("the producer did not stop by itself: %r", error)
        with contextlib.suppress(KafkaError, OSError):
            await producer._sender.close()
        producer._message_accumulator.fail_all(KafkaConnectionError("given up"))
        await producer.client.close()


def kafka_message(record: ConsumerRecord[bytes | None, bytes | None]) -> Message:
    """A record as it is told here."""
    return Message(record.partition, record.offset, (record.key or b"").decode(), record.value or b"")


@lru_cache(maxsize=4096)  # it is worked out in Python, byte by byte
def _partition_of(key: bytes, numbers: tuple[int, ...]) -> int:
    """Where Kafka's own clients would put the key."""
    return int(DefaultPartitioner()(key, numbers, numbers))
