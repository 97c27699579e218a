"""What `doctor` says of the topic and of the mail server, and to whom it gives which advice."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from actors.process.settings import Settings
from api.command_line import doctor
from api.command_line.doctor import clock_finding, guarded, kafka, mail, redis, topic_findings
from api.command_line.finding import Finding, State
from persistence.events.log import KafkaEventLog
from persistence.events.options import KafkaOptions
from persistence.events.topic import EVENT_BYTES, TopicFacts
from tests.support.mail.server import MailServer, mail_server

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


# --- mail -------------------------------------------------------------------------------------------------------------
FROM = "Boxoffice <tickets@boxoffice.example>"


async def mail_finding(url: str, sender: str = FROM) -> Finding:
    (found,) = await mail(Settings(smtp_url=url, mail_from=sender), None)
    return found


@asynccontextmanager
async def guarded_mail_server(user: str, password: str) -> AsyncIterator[MailServer]:
    """A mail server that wants a log-in."""
    keeper = MailServer()

    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == (user, password), handled=False)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(keeper, authenticator=check, auth_require_tls=False, loop=loop), "127.0.0.1"
    )
    keeper.port = server.sockets[0].getsockname()[1]
    try:
        yield keeper
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("ahead", "state", "seen"),
    [
        (0.04, State.FINE, "0.0 s ahead of the database's"),
        (-0.9, State.FINE, "0.9 s behind the database's"),
        (180.0, State.WRONG, "180.0 s ahead of the database's"),
        (-1.5, State.WRONG, "1.5 s behind the database's"),
    ],
)
def test_a_clock_that_is_not_the_database_s_is_wrong(ahead: float, state: State, seen: str) -> None:
    found = clock_finding(ahead)
    assert (found.state, found.seen) == (state, seen)
    assert bool(found.advice) == (state is State.WRONG)


async def test_without_a_mail_server_it_says_where_mails_go(tmp_path: Path) -> None:
    (found,) = await mail(Settings(data_dir=str(tmp_path)), None)
    assert (found.state, found.seen) == (State.NOTE, f"mails go to {tmp_path / 'outbox.mbox'}")
    assert "BOXOFFICE_SMTP_URL" in found.advice


async def test_a_mail_server_that_answers_is_fine_and_gets_nothing() -> None:
    async with mail_server() as server:
        found = await mail_finding(server.url)
    assert found == Finding("mail", State.FINE, f"127.0.0.1:{server.port}, without log-in, from {FROM}")
    assert server.mails == []


async def test_a_log_in_is_tried_and_its_refusal_told_without_the_password() -> None:
    async with guarded_mail_server("office", "open sesame") as server:
        good = await mail_finding(f"smtp://office:open%20sesame@127.0.0.1:{server.port}")
        bad = await mail_finding(f"smtp://office:hush@127.0.0.1:{server.port}")
    assert (good.state, good.seen) == (State.FINE, f"127.0.0.1:{server.port}, log-in accepted, from {FROM}")
    assert bad.state is State.WRONG
    assert "535" in bad.seen
    assert "hush" not in bad.seen + bad.advice


async def test_tls_that_is_asked_for_and_not_offered_is_wrong() -> None:
    async with mail_server() as server:
        found = await mail_finding(f"{server.url}?starttls=required")
    assert (found.state, "TLS" in found.seen.upper()) == (State.WRONG, True)


async def test_a_mail_server_that_is_away_is_wrong_and_named() -> None:
    async with mail_server() as server:
        url = server.url
    found = await mail_finding(url)
    assert (found.state, f"127.0.0.1:{server.port}: " in found.seen) == (State.WRONG, True)
    assert "BOXOFFICE_SMTP_URL" in found.advice


async def test_a_mail_server_that_says_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SMTP_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = await mail_finding(f"smtp://127.0.0.1:{silent.getsockname()[1]}")
    assert (found.state, "no answer in time" in found.seen) == (State.WRONG, True)


@pytest.mark.parametrize(
    ("url", "sender", "said"),
    [
        ("http://mail.example", FROM, "BOXOFFICE_SMTP_URL must look like smtp://"),
        ("smtp://mail.example", "", "BOXOFFICE_MAIL_FROM is not set"),
        ("smtp://mail.example", "nobody", "is not a sender"),
    ],
)
async def test_mail_settings_that_cannot_be_used_are_named(url: str, sender: str, said: str) -> None:
    found = await mail_finding(url, sender)
    assert (found.state, said in found.seen) == (State.WRONG, True)


async def test_a_doctor_looks_at_the_mail_server_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(settings: Settings, run: None) -> list[Finding]:
        return []

    for other in ("postgres", "redis", "kafka", "ray", "payments", "api", "machine"):
        monkeypatch.setattr(doctor, other, nothing)
    async with mail_server() as server:
        (found,) = await doctor.examine(Settings(smtp_url=server.url, mail_from=FROM), None)
    assert (found.name, found.state) == ("mail", State.FINE)


async def refused(_: Redis) -> dict[str, object]:
    raise NoPermissionError("this user has no permissions to run the 'info' command")


async def filled(_: Redis) -> dict[str, object]:
    return {"maxmemory_policy": "noeviction", "maxmemory": 2**20, "used_memory": 2**20 + 1}


@pytest.mark.parametrize(
    ("info", "state", "advice"),
    [(refused, State.NOTE, "+info lets doctor see"), (filled, State.WRONG, "raise its maxmemory")],
)
async def test_a_redis_that_is_full_or_says_little_is_told(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, info: Callable[..., object], state: State, advice: str
) -> None:
    monkeypatch.setattr(Redis, "info", info)
    (found,) = await redis(Settings(redis_url=redis_url), None)
    assert (found.state, advice in found.advice) == (state, True)


async def test_a_check_that_fails_is_a_finding_and_no_end_of_the_others() -> None:
    async def check() -> list[Finding]:
        raise ConnectionResetError("the server\nhangs up")

    (found,) = await guarded("Redis", check())
    assert found.state is State.WRONG
    assert "ConnectionResetError: the server hangs up" in found.seen
