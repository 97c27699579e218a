"""The topic is made as it is wanted and never changed; a broker with TLS, log-ins and permissions is served, too."""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from loadtest.apache_kafka import Access, apache_kafka
from persistence.embedded.process import running
from persistence.events.feed import KafkaEventFeed
from persistence.events.log import KafkaEventLog, LogRefused, LogUnavailable
from persistence.events.options import KafkaOptions, SaslMechanism
from persistence.events.topic import EVENT_BYTES, describe_topic, ensure_topic, has_idempotent_producers

TOPICS = (f"topic-test-{number}" for number in itertools.count(1))
HOUR_MS = 3_600_000


def options(servers: str) -> KafkaOptions:
    return KafkaOptions(servers=servers, topic=next(TOPICS), partitions=3)


async def test_looking_at_a_missing_topic_does_not_make_it(servers: str) -> None:
    wanted = options(servers)
    assert await describe_topic(wanted) is None
    assert await describe_topic(wanted) is None


async def test_a_topic_is_made_with_room_for_the_biggest_event(servers: str) -> None:
    wanted = options(servers)
    await ensure_topic(wanted)
    found = await describe_topic(wanted)
    assert found is not None
    assert (found.partitions, found.replicas, found.max_message_bytes) == (3, 1, EVENT_BYTES)


@pytest.mark.parametrize(("hours", "expected_ms"), [(48, 48 * HOUR_MS), (-1, -1)])
async def test_a_topic_is_made_with_the_retention_asked_for(servers: str, hours: int, expected_ms: int) -> None:
    wanted = msgspec.structs.replace(options(servers), retention_hours=hours)
    await ensure_topic(wanted)
    found = await describe_topic(wanted)
    assert found is not None
    assert found.retention_ms == expected_ms


async def test_where_nothing_is_asked_for_the_broker_decides(apache_kafka_servers: str) -> None:
    wanted = options(apache_kafka_servers)
    await ensure_topic(wanted)
    found = await describe_topic(wanted)
    assert found is not None
    assert (found.retention_ms, found.cleanup_policy, found.min_insync_replicas) == (168 * HOUR_MS, "delete", 1)


async def test_a_topic_that_exists_is_not_changed(servers: str) -> None:
    wanted = options(servers)
    await ensure_topic(wanted)
    before = await describe_topic(wanted)
    await ensure_topic(msgspec.structs.replace(wanted, partitions=7, retention_hours=1))
    assert await describe_topic(wanted) == before


def test_the_printed_form_hides_the_password() -> None:
    secret = KafkaOptions(servers="x:1", topic="t", sasl_username="boxoffice", sasl_password="hush")
    assert "hush" not in f"{secret} {secret!r}"


@pytest.fixture(scope="module")
async def guarded(
    apache_kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[KafkaOptions, Path]]:
    """A broker with TLS and log-ins, on which `boxoffice` may do everything and `guest` nothing."""
    directory = tmp_path_factory.mktemp("guarded")
    access = Access("SASL_SSL", {"boxoffice": "correct horse", "guest": "nobody"})
    permissions = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:boxoffice;User:ANONYMOUS",  # the latter is the broker itself
    }
    program = apache_kafka(apache_kafka_jars, directory, access=access, properties=permissions)
    async with running(program):
        found = KafkaOptions(
            servers=program.address,
            topic="",
            security_protocol="SASL_SSL",
            sasl_username="boxoffice",
            sasl_password="correct horse",
            ssl_cafile=str(directory / "apache-kafka" / "ca.pem"),
        )
        yield found, directory


@pytest.fixture
def secured(guarded: tuple[KafkaOptions, Path]) -> KafkaOptions:
    return msgspec.structs.replace(guarded[0], topic=next(TOPICS))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_events_go_in_and_out_over_tls_with_a_log_in(secured: KafkaOptions, mechanism: SaslMechanism) -> None:
    wanted = msgspec.structs.replace(secured, sasl_mechanism=mechanism)
    log, feed = KafkaEventLog(wanted), KafkaEventFeed(wanted, "sales")
    await log.publish("a", [b"one"])
    assert await has_idempotent_producers(wanted)
    assert [message.value for message in await log.read_all()] == [b"one"]
    assert [message.value for message in await feed.next(5)] == [b"one"]
    await feed.done()
    assert await describe_topic(wanted) is not None
    await feed.close()
    await log.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_wrong_password_is_said_to_be_one(secured: KafkaOptions, mechanism: SaslMechanism) -> None:
    wrong = msgspec.structs.replace(secured, sasl_mechanism=mechanism, sasl_password="wrong")
    log, feed = KafkaEventLog(wrong), KafkaEventFeed(wrong, "sales")
    for use in (log.start, log.ensure_topic, log.describe, log.read_all, lambda: feed.next(1)):
        with pytest.raises(LogRefused, match=r"SaslAuthenticationFailed") as refused:
            await use()
        assert "wrong" not in str(refused.value)
    await log.close()


async def test_a_certificate_that_is_not_trusted_is_said_to_be_one(secured: KafkaOptions) -> None:
    log = KafkaEventLog(msgspec.structs.replace(secured, ssl_cafile=""))
    with pytest.raises(LogRefused, match="certificate verify failed"):
        await log.start()
    await log.close()


async def test_a_missing_certificate_file_is_reported(secured: KafkaOptions) -> None:
    log = KafkaEventLog(msgspec.structs.replace(secured, ssl_cafile="/nowhere/ca.pem"))
    with pytest.raises(LogUnavailable, match="No such file"):
        await log.publish("a", [b"one"])
    await log.close()


async def test_speaking_plainly_to_a_broker_with_tls_is_reported_in_bounded_time(secured: KafkaOptions) -> None:
    plain = KafkaOptions(servers=secured.servers, topic=secured.topic, request_timeout_seconds=1)
    log = KafkaEventLog(plain)
    with pytest.raises(LogUnavailable):
        await log.start()
    await log.close()


async def test_a_broker_that_forbids_to_make_the_topic_is_left_to_its_own(
    secured: KafkaOptions, caplog: pytest.LogCaptureFixture
) -> None:
    guest = msgspec.structs.replace(secured, sasl_username="guest", sasl_password="nobody")
    with caplog.at_level(logging.WARNING, "persistence.events.topic"):
        await ensure_topic(guest)
    assert f"could not make topic {guest.topic}: TopicAuthorizationFailedError" in caplog.text
    assert await describe_topic(secured) is None
    log = KafkaEventLog(guest, timeout_seconds=3)
    with pytest.raises(LogUnavailable):
        await log.publish("a", [b"one"])
    await log.close()
