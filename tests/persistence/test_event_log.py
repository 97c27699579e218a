"""One contract for every event log, and what only a real broker can do: go away, and forget."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from persistence.embedded.kafka import kafka
from persistence.embedded.process import running
from persistence.event_log import BATCH_BYTES, EventLog, KafkaEventLog, LogUnavailable, MemoryEventLog

TOPICS = (f"event-log-test-{number}" for number in itertools.count(1))


def values(count: int, size: int = 0) -> list[bytes]:
    return [b"%d:" % number + b"x" * size for number in range(count)]


async def written(log: EventLog, key: str | None = None) -> list[bytes]:
    return [message.value for message in await log.read_all(key)]


@pytest.fixture(params=["memory", "kafka"])
async def log(request: pytest.FixtureRequest, kafka_servers: str) -> AsyncIterator[EventLog]:
    made: EventLog = MemoryEventLog() if request.param == "memory" else KafkaEventLog(kafka_servers, next(TOPICS))
    yield made
    await made.close()


async def test_a_new_log_is_empty(log: EventLog) -> None:
    assert await log.read_all() == []
    assert await log.read_all("nobody") == []


async def test_what_is_published_is_read_back_in_order(log: EventLog) -> None:
    await log.start()
    await log.publish("a", values(3))
    await log.publish("a", [b"later"])
    assert await written(log) == [*values(3), b"later"]


async def test_publishing_connects_by_itself(log: EventLog) -> None:
    await log.publish("a", [b"one"])
    assert await written(log) == [b"one"]


async def test_publishing_nothing_does_nothing(log: EventLog) -> None:
    await log.publish("a", [])
    assert await log.read_all() == []


async def test_more_than_fits_one_batch_stays_in_order(log: EventLog) -> None:
    many = values(700, size=1_000)
    assert sum(map(len, many)) > 2 * BATCH_BYTES
    await log.publish("a", many)
    assert await written(log) == many


async def test_an_event_bigger_than_a_batch_goes_through_in_its_place(log: EventLog) -> None:
    big = b"x" * (4 * BATCH_BYTES)
    await log.publish("a", [b"before", big, b"after"])
    assert await written(log) == [b"before", big, b"after"]


async def test_one_key_stays_on_one_partition_at_rising_offsets(log: EventLog) -> None:
    for key in ("a", "b", "c", "d"):
        await log.publish(key, values(5))
    for key in ("a", "b", "c", "d"):
        messages = await log.read_all(key)
        assert {(message.key, message.partition) for message in messages} == {(key, messages[0].partition)}
        offsets = [message.offset for message in messages]
        assert offsets == sorted(set(offsets))


async def test_reading_one_key_leaves_the_others_out(log: EventLog) -> None:
    keys = [f"schedule-{number}" for number in range(30)]  # more than there are partitions
    for key in keys:
        await log.publish(key, [key.encode()])
    for key in keys[:3]:
        assert await written(log, key) == [key.encode()]
    assert sorted(await written(log)) == sorted(key.encode() for key in keys)


async def test_concurrent_publishers_each_keep_their_order(log: EventLog) -> None:
    await asyncio.gather(*(log.publish(key, values(200)) for key in ("a", "b", "c")))
    for key in ("a", "b", "c"):
        assert await written(log, key) == values(200)


async def test_a_closed_log_refuses_and_may_be_closed_again(log: EventLog) -> None:
    await log.publish("a", [b"one"])
    await log.close()
    await log.close()
    with pytest.raises(LogUnavailable):
        await log.publish("a", [b"two"])
    with pytest.raises(LogUnavailable):
        await log.start()


async def test_the_twin_can_be_away_and_come_back() -> None:
    log = MemoryEventLog()
    await log.publish("a", [b"one"])
    log.available = False
    with pytest.raises(LogUnavailable):
        await log.publish("a", [b"two"])
    log.available = True
    assert await written(log) == [b"one"]


async def test_a_missing_topic_is_made_with_its_partitions(kafka_servers: str) -> None:
    topic = next(TOPICS)
    log = KafkaEventLog(kafka_servers, topic, partitions=3)
    await log.ensure_topic()
    await log.ensure_topic()
    for number in range(30):
        await log.publish(f"schedule-{number}", [b"x"])
    assert {message.partition for message in await log.read_all()} == {0, 1, 2}
    await log.close()


async def test_compressed_events_are_read_back(kafka_servers: str) -> None:
    log = KafkaEventLog(kafka_servers, next(TOPICS), compression="gzip")
    await log.publish("a", values(500, size=1_000))
    assert await written(log) == values(500, size=1_000)
    await log.close()


async def test_the_embedded_broker_is_used_without_idempotence(kafka_servers: str) -> None:
    log = KafkaEventLog(kafka_servers, next(TOPICS))
    assert log.idempotent is None
    await log.start()
    assert log.idempotent is False
    await log.close()


async def test_nobody_listening_is_reported_at_once(services_dir: Path) -> None:
    log = KafkaEventLog(kafka(services_dir).address, next(TOPICS))
    for use in (log.start, log.ensure_topic, log.read_all, lambda: log.publish("a", [b"one"])):
        with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1"):
            await use()
    await log.close()


async def test_a_silent_broker_is_reported_in_bounded_time() -> None:
    async with silent_server() as address:
        log = KafkaEventLog(address, next(TOPICS), request_timeout_seconds=0.2, timeout_seconds=0.5)
        async with asyncio.timeout(5):
            with pytest.raises(LogUnavailable):
                await log.publish("a", [b"one"])
            await log.close()


async def test_publishing_goes_on_when_the_broker_is_back(services_dir: Path) -> None:
    program = kafka(services_dir)
    log = KafkaEventLog(program.address, next(TOPICS), request_timeout_seconds=0.5)
    async with running(program):
        await log.publish("a", [b"one"])
    with pytest.raises(LogUnavailable):
        await log.publish("a", [b"two"])
    async with running(program):
        await log.publish("a", [b"two"])
        assert await written(log) == [b"two"]  # the embedded broker begins empty
        await log.close()


async def test_a_broker_that_forgot_everything_is_noticed_and_served_again(services_dir: Path) -> None:
    """The embedded broker acknowledges events for a topic it does not have, and shows them to nobody."""
    program = kafka(services_dir)
    log = KafkaEventLog(program.address, next(TOPICS))
    async with running(program):
        await log.publish("a", [b"one", b"two"])
    async with running(program):
        await until_published(log, "a", [b"three"])
        await log.publish("a", [b"four"])
        seen = list(dict.fromkeys(await written(log)))  # without the duplicates that every reader drops
        assert seen == [b"three", b"four"]
        await log.close()


async def test_a_cancelled_publish_leaves_the_log_usable(kafka_servers: str) -> None:
    log = KafkaEventLog(kafka_servers, next(TOPICS))
    await log.start()
    task = asyncio.create_task(log.publish("a", values(5_000, size=1_000)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await log.publish("a", [b"last"])
    assert (await written(log))[-1] == b"last"
    await log.close()


async def until_published(log: EventLog, key: str, what: list[bytes]) -> None:
    """As the publisher does: again until it is acknowledged."""
    for _ in range(10):
        try:
            return await log.publish(key, what)
        except LogUnavailable:
            continue
    raise AssertionError("never acknowledged")


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Accepts connections and never answers."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
        for writer in writers:
            writer.close()
