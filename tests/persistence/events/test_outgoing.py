"""Publishing under many keys at once, without a broker: who travels with whom, and whose failure is whose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata, TopicPartition

from persistence.events.log import KafkaEventLog, LogUnavailable
from persistence.events.options import KafkaOptions

NUMBERS = (0, 1, 2)
KEYS = [f"schedule-{number}" for number in range(40)]


class Batch:
    """Takes so many values."""

    def __init__(self, room: int) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self._room = room

    def append(self, *, timestamp: int | None, key: bytes, value: bytes) -> object | None:
        if len(self.taken) == self._room:
            return None
        self.taken.append((key.decode(), value))
        return self

    def close(self) -> None: ...


class Producer:
    """A broker that keeps what it is sent, and will not have what holds a word of `refused`."""

    def __init__(self, room: int = 1_000) -> None:
        self.requests: list[tuple[int, list[tuple[str, bytes]]]] = []  # partition and what it was sent
        self.refused = b"\0"
        self.kept: dict[str, list[bytes]] = {}
        self._room = room
        self._offsets = count()

    async def partitions_for(self, topic: str) -> set[int]:
        return set(NUMBERS)

    def create_batch(self) -> Batch:
        return Batch(self._room)

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[RecordMetadata]:
        self.requests.append((partition, batch.taken))
        answer = asyncio.get_running_loop().create_future()
        if any(self.refused in value for _, value in batch.taken):
            answer.set_exception(MessageSizeTooLargeError())
            return answer
        for key, value in batch.taken:
            self.kept.setdefault(key, []).append(value)
        place = TopicPartition(topic, partition)
        answer.set_result(RecordMetadata(topic, partition, place, next(self._offsets), -1, 0, 0))
        return answer


class Log(KafkaEventLog):
    """The log, before this broker."""

    def __init__(self, producer: Producer) -> None:
        super().__init__(KafkaOptions(servers="nowhere:1", topic="events"))
        self._broker = producer

    async def _connected(self) -> Producer:  # as much of a producer as is used
        return self._broker


def numbered(key: str, upto: int) -> list[bytes]:
    return [f"{key} {number}".encode() for number in range(upto)]


async def publish_all(log: Log, each: int) -> None:
    """So many values under every key, at the same time."""
    await asyncio.gather(*(log.publish(key, numbered(key, each)) for key in KEYS))


async def outcome(log: Log, key: str, values: Sequence[bytes]) -> bool:
    try:
        await log.publish(key, values)
    except LogUnavailable:
        return False
    return True


async def test_what_is_published_at_the_same_time_is_one_batch_a_partition() -> None:
    producer = Producer()
    await publish_all(Log(producer), 5)
    assert sorted(partition for partition, _ in producer.requests) == list(NUMBERS)
    assert producer.kept == {key: numbered(key, 5) for key in KEYS}


@pytest.mark.parametrize("room", [1, 3, 7, 64])
async def test_each_key_keeps_its_order_however_little_a_batch_takes(room: int) -> None:
    producer = Producer(room)
    log = Log(producer)
    await asyncio.gather(*(log.publish(key, numbered(key, 5)) for key in KEYS), log.publish(KEYS[0], [b"later"]))
    assert producer.kept == {key: numbered(key, 5) + [b"later"] * (key == KEYS[0]) for key in KEYS}


async def test_what_the_broker_refuses_holds_up_nobody_but_its_own_schedule() -> None:
    producer = Producer()
    log = Log(producer)
    producer.refused = b"too large"
    bad, values = KEYS[0], [b"too large"]
    await asyncio.gather(outcome(log, bad, values), *(outcome(log, key, [b"1"]) for key in KEYS[1:]))
    # As publishers do: again. Those who shared its batch are known only from then on not to be at fault.
    for _ in range(len(KEYS)):
        told = await asyncio.gather(outcome(log, bad, values), *(outcome(log, key, [b"2"]) for key in KEYS[1:]))
        assert told == [False] + [True] * len(KEYS[1:])
    producer.refused = b"\0"
    assert await outcome(log, bad, values)
    producer.requests.clear()
    await publish_all(log, 1)
    assert sorted(partition for partition, _ in producer.requests) == list(NUMBERS), "nobody goes by itself any more"


async def test_one_who_goes_away_takes_nobody_along() -> None:
    producer = Producer(room=2)
    log = Log(producer)
    tasks = [asyncio.create_task(log.publish(key, numbered(key, 9))) for key in KEYS]
    while not producer.requests:
        await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert tasks[0].cancelled()
    for key in KEYS[1:]:
        assert producer.kept[key] == numbered(key, 9)
    assert producer.kept[KEYS[0]] == numbered(KEYS[0], 9)[: len(producer.kept[KEYS[0]])]


async def test_a_bug_is_told_to_those_concerned_and_the_next_go_on() -> None:
    class Broken(Producer):
        sound = False

        async def partitions_for(self, topic: str) -> set[int]:
            if not self.sound:
                self.sound = True
                raise LookupError("a bug")
            return await super().partitions_for(topic)

    log = Log(Broken())
    with pytest.raises(LookupError):
        await log.publish("a", [b"one"])
    await log.publish("a", [b"one"])
