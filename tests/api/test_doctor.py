"""What `doctor` says of the topic, and to whom it gives which advice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.settings import Settings
from api.doctor import State, kafka, topic_findings
from persistence.event_log import KafkaEventLog
from persistence.kafka_options import KafkaOptions
from persistence.kafka_topic import EVENT_BYTES, TopicFacts

WANTED = KafkaOptions(servers="broker:9092", topic="booking-events", partitions=12)
GOOD = TopicFacts(
    partitions=12,
    replicas=3,
    cleanup_policy="delete",
    max_message_bytes=EVENT_BYTES,
    min_insync_replicas=2,
    retention_ms=604_800_000,
)
SILENT = TopicFacts(
    partitions=12,
    replicas=1,
    cleanup_policy=None,
    max_message_bytes=None,
    min_insync_replicas=None,
    retention_ms=None,
)


@pytest.mark.parametrize("topic", [GOOD, SILENT], ids=["good", "a broker that says little"])
def test_nothing_is_wrong_with_a_good_topic(topic: TopicFacts) -> None:
    assert {finding.state for finding in topic_findings(WANTED, topic, running=True)} == {State.FINE}


@pytest.mark.parametrize(
    ("change", "state", "seen", "advice"),
    [
        ({"partitions": 3}, State.NOTE, "3 partitions", "at most 3 processes"),
        ({"cleanup_policy": "compact"}, State.WRONG, "cleanup.policy=compact", "thrown away"),
        ({"cleanup_policy": "compact,delete"}, State.WRONG, "compact,delete", "cleanup.policy=delete"),
        ({"max_message_bytes": 1_048_588}, State.NOTE, "1048588", f"max.message.bytes={EVENT_BYTES}"),
        ({"min_insync_replicas": 4}, State.WRONG, "4 of 3", "nothing is acknowledged"),
        ({"min_insync_replicas": 1}, State.NOTE, "1 of 3", "can be lost"),
        ({"min_insync_replicas": 3}, State.NOTE, "3 of 3", "stops publishing"),
    ],
)
def test_what_is_amiss_is_said_with_what_to_do(change: dict[str, Any], state: State, seen: str, advice: str) -> None:
    findings = topic_findings(WANTED, msgspec.structs.replace(GOOD, **change), running=True)
    (found,) = [finding for finding in findings if finding.state is not State.FINE]
    assert (found.state, seen in found.seen, advice in found.advice) == (state, True, True)


@pytest.mark.parametrize(
    ("hours", "retention_ms", "state", "seen"),
    [
        (None, 3_600_000, State.FINE, "1 hours"),
        (None, -1, State.FINE, "for ever"),
        (1, 3_600_000, State.FINE, "1 hours"),
        (-1, -1, State.FINE, "for ever"),
        (48, 3_600_000, State.NOTE, "1 hours"),
        (-1, 3_600_000, State.NOTE, "1 hours"),
    ],
)
def test_retention_is_compared_with_what_was_asked_for(
    hours: int | None, retention_ms: int, state: State, seen: str
) -> None:
    wanted = msgspec.structs.replace(WANTED, retention_hours=hours)
    found = topic_findings(wanted, msgspec.structs.replace(GOOD, retention_ms=retention_ms), running=True)[-1]
    assert (found.state, found.seen.endswith(seen)) == (state, True)


@pytest.mark.parametrize(("running", "state"), [(True, State.WRONG), (False, State.NOTE)])
def test_a_missing_topic_is_wrong_only_where_events_are_published(running: bool, state: State) -> None:
    (found,) = topic_findings(WANTED, None, running=running)
    assert (found.state, "booking-events is missing" in found.seen) == (state, True)


async def test_the_topic_of_a_real_broker_is_fine_once_it_is_made(servers: str) -> None:
    settings = Settings(kafka_bootstrap_servers=servers, topic="doctor-test")
    assert settings.kafka is not None
    missing = await kafka(settings, None)
    assert [finding.state for finding in missing] == [State.FINE, State.NOTE]
    log = KafkaEventLog(settings.kafka)
    await log.ensure_topic()
    await log.close()
    found = await kafka(settings, None)
    assert {finding.state for finding in found} == {State.FINE}
    assert any("12 partitions" in finding.seen for finding in found)
