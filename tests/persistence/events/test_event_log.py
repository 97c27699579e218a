"""One contract for every event log and every broker, and what only a real broker can do: go away, and forget."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from loadtest.apache_kafka import apache_kafka
from persistence.embedded.kafka import kafka
from persistence.embedded.process import Program, running
from persistence.events.log import BATCH_BYTES, EventLog, KafkaEventLog, LogUnavailable, MemoryEventLog
from persistence.events.options import Compression, KafkaOptions
from tests.support.waiting import PATIENCE_SECONDS

TOPICS = (f"event-log-test-{number}" for number in itertools.count(1))


def values(count: int, size: int = 0) -> list[bytes]:
    return [b"%d:" % number + b"x" * size for number in range(count)]


async def written(log: EventLog, key: str | None = None) -> list[bytes]:
    return [message.value for message in await log.read_all(key)]


def options(servers: str, *, compression: Compression = "zstd", partitions: int = 12) -> KafkaOptions:
    return KafkaOptions(servers=servers, topic=next(TOPICS), compression=compression, partitions=partitions)


def kafka_log(request: pytest.FixtureRequest, fixture: str) -> EventLog:
    return KafkaEventLog(options(request.getfixturevalue(fixture)))


@pytest.fixture(params=["memory", "kafka_servers", "apache_kafka_servers"])
def made(request: pytest.FixtureRequest) -> EventLog:
    return MemoryEventLog() if request.param == "memory" else kafka_log(request, request.param)


@pytest.fixture
async def log(made: EventLog) -> AsyncIterator[EventLog]:
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


async def test_a_missing_topic_is_made_with_its_partitions(servers: str) -> None:
    log = KafkaEventLog(options(servers, partitions=3))
    await log.ensure_topic()
    await log.ensure_topic()
    for number in range(30):
        await log.publish(f"schedule-{number}", [b"x"])
    assert {message.partition for message in await log.read_all()} == {0, 1, 2}
    await log.close()


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_events_are_read_back_however_they_are_compressed(servers: str, compression: Compression) -> None:
    log = KafkaEventLog(options(servers, compression=compression))
    await log.publish("a", values(500, size=1_000))
    assert await written(log) == values(500, size=1_000)
    await log.close()


async def test_the_embedded_broker_is_used_without_idempotence(
    kafka_servers: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert ["no idempotent producers" in line for line in await said_of_idempotence(kafka_servers, caplog)] == [True]


async def test_apache_kafka_is_used_with_idempotence(
    apache_kafka_servers: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = await said_of_idempotence(apache_kafka_servers, caplog)
    assert ["with idempotent producers" in line for line in said] == [True]


async def said_of_idempotence(servers: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is logged of it while the log connects twice."""
    log = KafkaEventLog(options(servers))
    with caplog.at_level(logging.INFO, "persistence.events.log"):
        await log.start()
        await log._discard()
        await log.start()
        await log.close()
    lines = [record.getMessage() for record in caplog.records if record.name == "persistence.events.log"]
    return [line for line in lines if "idempotent producers" in line]


async def test_apache_kafka_drops_what_the_producer_sends_again_by_itself(
    apache_kafka_jars: Path, tmp_path: Path
) -> None:
    """An acknowledgement is lost on its way; the producer cannot know and sends the batch again."""
    async with forgetful_proxy() as proxy:
        program = apache_kafka(apache_kafka_jars, tmp_path, advertised=proxy.address)
        proxy.target = program.address
        async with running(program):
            log = KafkaEventLog(options(proxy.address))
            await log.publish("a", [b"one"])
            proxy.swallow_next_answer()
            await log.publish("a", [b"two", b"three"])
            assert proxy.swallowed == 1
            assert await written(log) == [b"one", b"two", b"three"]
            await log.close()


async def test_nobody_listening_is_reported_at_once(services_dir: Path) -> None:
    log = KafkaEventLog(options(kafka(services_dir).address))
    for use in (log.start, log.ensure_topic, log.read_all, log.describe, lambda: log.publish("a", [b"one"])):
        with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1"):
            await use()
    await log.close()


async def test_a_silent_broker_is_reported_in_bounded_time() -> None:
    async with silent_server() as address:
        impatient = msgspec.structs.replace(options(address), request_timeout_seconds=0.2)
        log = KafkaEventLog(impatient, timeout_seconds=0.5)
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(LogUnavailable):
                await log.publish("a", [b"one"])
            await log.close()


async def test_publishing_goes_on_when_the_broker_is_back(own_broker: Program) -> None:
    impatient = msgspec.structs.replace(options(own_broker.address), request_timeout_seconds=0.5)
    log = KafkaEventLog(impatient, timeout_seconds=3)
    async with running(own_broker):
        await until_published(log, "a", [b"one"])
    with pytest.raises(LogUnavailable):
        await log.publish("a", [b"two"])
    async with running(own_broker):
        await until_published(log, "a", [b"two"])
        kept = [b"one"] if own_broker.name == "apache-kafka" else []  # the embedded broker begins empty
        assert list(dict.fromkeys(await written(log))) == [*kept, b"two"]
        await log.close()


async def test_a_broker_that_forgot_everything_is_noticed_and_served_again(services_dir: Path) -> None:
    """The embedded broker acknowledges events for a topic it does not have, and shows them to nobody."""
    program = kafka(services_dir)
    log = KafkaEventLog(options(program.address))
    async with running(program):
        await log.publish("a", [b"one", b"two"])
    async with running(program):
        await until_published(log, "a", [b"three"])
        await log.publish("a", [b"four"])
        seen = list(dict.fromkeys(await written(log)))  # without the duplicates that every reader drops
        assert seen == [b"three", b"four"]
        await log.close()


async def test_a_cancelled_publish_leaves_the_log_usable(servers: str) -> None:
    log = KafkaEventLog(options(servers))
    await log.start()
    task = asyncio.create_task(log.publish("a", values(5_000, size=1_000)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await log.publish("a", [b"last"])
    assert (await written(log))[-1] == b"last"
    await log.close()


async def test_a_connecting_that_is_called_off_half_way_leaves_the_next_to_begin_anew(
    kafka_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, reached = AIOKafkaProducer.start, asyncio.Event()

    async def half(producer: AIOKafkaProducer) -> None:
        reached.set()
        await asyncio.Event().wait()

    log = KafkaEventLog(options(kafka_servers), timeout_seconds=2 * PATIENCE_SECONDS)
    monkeypatch.setattr(AIOKafkaProducer, "start", half)
    task = asyncio.create_task(log.start())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.setattr(AIOKafkaProducer, "start", start)
    async with asyncio.timeout(PATIENCE_SECONDS):  # half a producer would have its batch wait for as long as one may
        await log.publish("a", [b"one"])
    assert await written(log) == [b"one"]
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


class ForgetfulProxy:
    """Passes everything on, and once, when asked, swallows an answer and breaks the connection."""

    def __init__(self) -> None:
        self.address = ""
        self.target = ""
        self.swallowed = 0
        self._armed = False

    def swallow_next_answer(self) -> None:
        self._armed = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        try:
            from_broker, to_broker = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        asked = asyncio.create_task(self._pass_on(reader, to_broker))
        await self._pass_on(from_broker, writer, answers=True)
        await asked

    async def _pass_on(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, answers: bool = False) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(1 << 16):
                if answers and self._armed:
                    self._armed = False
                    self.swallowed += 1
                    break
                to.write(data)
                await to.drain()
        to.close()


@asynccontextmanager
async def forgetful_proxy() -> AsyncIterator[ForgetfulProxy]:
    proxy = ForgetfulProxy()
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        proxy.address = f"{host}:{port}"
        yield proxy
