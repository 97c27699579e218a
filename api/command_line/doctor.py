"""`boxoffice doctor`: looks at everything the system stands on, and says of what is wrong what to do about it.

Looks at the services of the system that runs on the data directory, or at the outside ones the environment names; where
nothing runs, at what a start would find. It changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import sys
import time
from collections.abc import Awaitable, Callable

import asyncpg
import httpx
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from actors.mail.transport import OUTBOX, MailAway, SmtpServer, SmtpTransport, sender_of
from actors.process.settings import Settings, SettingsError
from actors.supervision.programs import AddressError, listening
from api.command_line.finding import Finding, State
from api.command_line.taking_money import payments
from persistence.database.connection import current_revision, head_revision
from persistence.database.dsn import asyncpg_dsn
from persistence.database.suitable import TRAITS, shortcomings
from persistence.embedded import outside
from persistence.embedded.instance import RunNote
from persistence.embedded.kafka import broker
from persistence.embedded.postgres import installation
from persistence.embedded.redis import server
from persistence.events.log import KafkaEventLog, LogRefused, LogUnavailable
from persistence.events.options import KafkaOptions
from persistence.events.topic import EVENT_BYTES, HOUR_MS, TopicFacts

MIB, GIB = 1024**2, 1024**3
LOW_DISK_BYTES = 5 * GIB
NO_DISK_BYTES = 1 * GIB  # less than the journal's own write-ahead log may take
ENOUGH_FILES = 4096  # a connection is a file: two workers with a crowd of 1,500 each, and what they need themselves
FEW_FILES = 1024
CLOCK_SECONDS = 1.0  # a hold may end so much sooner or later when its schedule moves to another machine
DURABLE_COMMITS = ("on", "local", "remote_write", "remote_apply")  # each waits for this server's own disk
ACCESS_ADVICE = "correct BOXOFFICE_KAFKA_SECURITY_PROTOCOL, BOXOFFICE_KAFKA_SASL_… or BOXOFFICE_KAFKA_SSL_CAFILE"
SMTP_SECONDS = 8.0  # of each step of a conversation
SECONDS = 30.0  # to look at Ray alone takes a Python with Ray in it


async def examine(settings: Settings, run: RunNote | None) -> list[Finding]:
    """All findings, in the order shown. `settings` name the services' addresses; `run` is what runs, if anything."""
    checks: tuple[tuple[str, Callable[[Settings, RunNote | None], Awaitable[list[Finding]]]], ...] = (
        ("PostgreSQL", postgres),
        ("Redis", redis),
        ("Kafka", kafka),
        ("Ray", ray),
        ("mail", mail),
        ("payments", payments),
        ("API", api),
        ("machine", machine),
    )
    found = await asyncio.gather(*(guarded(name, check(settings, run)) for name, check in checks))
    return [finding for findings in found for finding in findings]


async def guarded(name: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    """A check that hangs is a finding, too, and so is one that fails: a service may refuse any question."""
    try:
        return await asyncio.wait_for(check, SECONDS)
    except TimeoutError:
        return [
            Finding(name, State.WRONG, f"no answer within {SECONDS:g} s", "see whether it is overloaded or stopped")
        ]
    except Exception as error:  # noqa: BLE001  # each service's client raises errors of its own
        seen = f"cannot be looked at: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return [Finding(name, State.WRONG, seen, "see whether it stops just now, and what its user may do there")]


async def postgres(settings: Settings, run: RunNote | None) -> list[Finding]:
    """Whether PostgreSQL is reached with its schema as it should be, or the embedded one can be started."""
    if settings.database_url is None:
        return [await startable("PostgreSQL", str(installation() / "bin" / "postgres"), "DATABASE_URL")]
    try:
        await outside.reach_postgres(asyncpg_dsn(settings.database_url))
    except (outside.UnreachableError, ValueError) as error:
        return [Finding("PostgreSQL", State.WRONG, str(error), "start it, or correct DATABASE_URL")]
    connection = await asyncpg.connect(asyncpg_dsn(settings.database_url), timeout=5)
    try:
        seen = {
            name: str(await connection.fetchval("SELECT current_setting($1)", name))
            for name in ("server_version", "fsync", "full_page_writes", "synchronous_commit")
        }
        short = "; ".join(shortcomings(*(await connection.fetch(TRAITS))[0]))
        began = time.time()
        there = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
        clock = clock_finding((began + time.time()) / 2 - there)
    finally:
        await connection.close()
    version, unfit = f"version {seen['server_version']}", "nothing starts with it"
    findings = [
        Finding("PostgreSQL", State.WRONG, short, unfit) if short else Finding("PostgreSQL", State.FINE, version)
    ]
    durable = seen["fsync"] == seen["full_page_writes"] == "on" and seen["synchronous_commit"] in DURABLE_COMMITS
    findings.append(
        Finding(
            "PostgreSQL durability",
            State.FINE if durable else State.WRONG,
            ", ".join(f"{name}={seen[name]}" for name in ("fsync", "full_page_writes", "synchronous_commit")),
            "" if durable else "acknowledged bookings can be lost: ALTER SYSTEM SET … = on; SELECT pg_reload_conf()",
        )
    )
    findings.append(clock)
    current, head = await current_revision(settings.database_url), head_revision()
    later = "a later release has brought it there: start that one"
    findings.append(
        Finding(
            "PostgreSQL migrations",
            State.FINE if current == head else State.WRONG,
            f"at {current or 'none'}" + ("" if current == head else f", this version needs {head}"),
            "" if current == head else later if (current or "") > head else "boxoffice migrate",
        )
    )
    return findings


def clock_finding(ahead_seconds: float) -> Finding:
    """How far this machine's clock is from the database's, by which all of a cluster's can be compared."""
    off = abs(ahead_seconds)
    seen = f"{off:.1f} s {'ahead of' if ahead_seconds > 0 else 'behind'} the database's"
    if off <= CLOCK_SECONDS:
        return Finding("clock", State.FINE, seen)
    return Finding("clock", State.WRONG, seen, "holds and sales end by it: set the machines' clocks (NTP, chrony)")


async def redis(settings: Settings, run: RunNote | None) -> list[Finding]:
    """Whether Redis is reached and may be used, or the embedded one can be started."""
    if settings.redis_url is None:
        return [await startable("Redis", server(settings.data_path), "REDIS_URL")]
    try:
        await outside.reach_redis(settings.redis_url)
    except outside.UnreachableError as error:
        return [Finding("Redis", State.WRONG, str(error), "start it, or correct REDIS_URL; bookings go on without it")]
    async with Redis.from_url(settings.redis_url, decode_responses=True) as client:
        try:
            info = await client.info()
        except NoPermissionError as error:
            advice = "+info lets doctor see maxmemory-policy, which must be noeviction, and how full it is"
            return [Finding("Redis", State.NOTE, str(error), advice)]
    policy = str(info.get("maxmemory_policy", "noeviction"))
    evicts = policy != "noeviction"
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if limit and used >= limit:
        full = f"full: {used / MIB:.0f} of {limit / MIB:.0f} MiB, so that it takes no writes"
        return [Finding("Redis", State.WRONG, full, "raise its maxmemory; bookings go on, seats come from the journal")]
    return [
        Finding(
            "Redis",
            State.NOTE if evicts else State.FINE,
            f"version {info.get('redis_version', 'unknown')}, maxmemory-policy {policy}",
            "under memory pressure a log-out may be forgotten: CONFIG SET maxmemory-policy noeviction"
            if evicts
            else "",
        )
    ]


async def kafka(settings: Settings, run: RunNote | None) -> list[Finding]:
    """Whether the broker is reached with a topic as it should be, or the embedded one can be started."""
    if not settings.publish:
        return [Finding("Kafka", State.NOTE, "publishing is switched off", "unset BOXOFFICE_PUBLISH to publish events")]
    if settings.kafka_bootstrap_servers is None:
        return [await startable("Kafka", broker(settings.data_path), "KAFKA_BOOTSTRAP_SERVERS")]
    events = KafkaEventLog(settings.broker)
    try:
        await outside.reach_kafka(settings.kafka_bootstrap_servers)
        topic, idempotent = await events.describe()
    except LogRefused as error:
        return [Finding("Kafka", State.WRONG, str(error), ACCESS_ADVICE)]
    except (outside.UnreachableError, LogUnavailable) as error:
        return [Finding("Kafka", State.WRONG, str(error), "start it; events wait in the journal until it is back")]
    finally:
        await events.close()
    has = "idempotent producers" if idempotent else "no idempotent producers, so retries can repeat events"
    seen = f"{settings.kafka_bootstrap_servers}, {settings.kafka_security_protocol}, {has}"
    return [Finding("Kafka", State.FINE, seen), *topic_findings(settings.broker, topic, running=run is not None)]


def topic_findings(wanted: KafkaOptions, topic: TopicFacts | None, *, running: bool) -> list[Finding]:
    """What there is to say of the topic. What a broker does not tell is taken to be right."""
    name = "Kafka topic"
    if topic is None:
        made = f"kafka-topics.sh --create --topic {wanted.topic} --partitions {wanted.partitions}"
        advice = f"{made} --config max.message.bytes={EVENT_BYTES}" if running else "made at the start, if it may be"
        return [Finding(name, State.WRONG if running else State.NOTE, f"topic {wanted.topic} is missing", advice)]
    findings = []
    copies, kept = topic.replicas, topic.min_insync_replicas
    partitions = f"topic {wanted.topic}: {topic.partitions} partitions, {copies} " + (
        "copy" if copies == 1 else "copies"
    )
    if topic.partitions < wanted.partitions:
        advice = f"at most {topic.partitions} processes of a service share the work; more only by a new topic"
        findings.append(Finding(name, State.NOTE, f"{partitions}, wanted {wanted.partitions}", advice))
    else:
        findings.append(Finding(name, State.FINE, partitions))
    if topic.cleanup_policy is not None and "compact" in topic.cleanup_policy:
        advice = "all but the last event of each schedule is thrown away: set cleanup.policy=delete"
        findings.append(Finding(name, State.WRONG, f"cleanup.policy={topic.cleanup_policy}", advice))
    if topic.max_message_bytes is not None and topic.max_message_bytes < EVENT_BYTES:
        advice = f"an event that is bigger holds up its schedule's: set max.message.bytes={EVENT_BYTES}"
        findings.append(Finding(name, State.NOTE, f"max.message.bytes={topic.max_message_bytes}", advice))
    if kept is not None and kept > copies:
        advice = f"nothing is acknowledged: more copies, or min.insync.replicas={copies}"
        findings.append(Finding(name, State.WRONG, f"min.insync.replicas={kept} of {copies}", advice))
    elif kept is not None and copies > 1 and kept in (1, copies):
        risk = "an acknowledged event can be lost with one broker" if kept == 1 else "one broker away stops publishing"
        findings.append(
            Finding(name, State.NOTE, f"min.insync.replicas={kept} of {copies}", f"{risk}: 2 of 3 is usual")
        )
    findings += retention_findings(wanted, topic.retention_ms)
    return findings


def retention_findings(wanted: KafkaOptions, retention_ms: int | None) -> list[Finding]:
    """How long events stay; the journal keeps them for ever."""
    if retention_ms is None:
        return []
    hours = -1 if retention_ms < 0 else retention_ms // HOUR_MS
    seen = "events stay for ever" if hours < 0 else f"events stay for {hours} hours"
    if wanted.retention_hours in (None, hours):
        return [Finding("Kafka retention", State.FINE, seen)]
    advice = f"BOXOFFICE_TOPIC_RETENTION_HOURS={wanted.retention_hours} counts when a topic is made: set retention.ms"
    return [Finding("Kafka retention", State.NOTE, seen, advice)]


async def ray(settings: Settings, run: RunNote | None) -> list[Finding]:
    """Whether Ray is reached and is of our version, or can be started."""
    if settings.ray_address is None:
        return [await startable("Ray", sys.executable, "RAY_ADDRESS", "-m", "ray.scripts.scripts", "--version")]
    try:
        await outside.reach_ray(settings.ray_address)
    except outside.UnreachableError as error:
        return [Finding("Ray", State.WRONG, str(error), "start it, or correct RAY_ADDRESS")]
    environment = {**os.environ, **(run.environment if run is not None else {})}
    command = (sys.executable, "-m", "actors.supervision.ray_status", settings.ray_address)
    code, output = await finished(*command, environment=environment)
    last = output.strip().rpartition("\n")[2] or f"exit code {code}"
    if code != 0:
        return [Finding("Ray", State.WRONG, last, "see logs/ray in the data directory; is RAY_AUTH_TOKEN_PATH right?")]
    return [Finding("Ray", State.FINE, f"{settings.ray_address}, {last}")]


async def mail(settings: Settings, run: RunNote | None) -> list[Finding]:
    """Whether mails can be handed over: connects, says EHLO, begins TLS and logs in as it is set; sends nothing."""
    if not settings.smtp_url:
        advice = "set BOXOFFICE_SMTP_URL and BOXOFFICE_MAIL_FROM to send them"
        return [Finding("mail", State.NOTE, f"mails go to {settings.data_path / OUTBOX}", advice)]
    try:
        server = SmtpServer.parse(settings.smtp_url)
        if not settings.mail_from:
            raise SettingsError("BOXOFFICE_MAIL_FROM is not set: it says from whom mails are")
        sender = sender_of(settings.mail_from)
    except SettingsError as error:
        return [Finding("mail", State.WRONG, str(error), "correct it, and start again")]
    transport = SmtpTransport(server, sender, timeout_seconds=SMTP_SECONDS)
    try:
        async with transport.opened():
            pass
    except MailAway as error:
        advice = "start it, or correct BOXOFFICE_SMTP_URL; mails wait until it answers"
        return [Finding("mail", State.WRONG, str(error), advice)]
    logged_in = "without log-in" if server.username is None else "log-in accepted"
    return [Finding("mail", State.FINE, f"{transport.name}, {logged_in}, from {sender}")]


async def api(settings: Settings, run: RunNote | None) -> list[Finding]:
    """Whether the API runs and is ready; if it does not run, whether its port is free."""
    if run is None:
        try:
            with listening(settings.host, settings.port):
                return [Finding("API", State.NOTE, f"not running, port {settings.port} is free", "boxoffice up")]
        except AddressError as error:
            return [Finding("API", State.WRONG, str(error), "free the port, or use --port")]
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        try:
            response = await client.get(f"{run.url}/readyz")
        except httpx.HTTPError as error:
            seen = f"{run.url} does not answer ({type(error).__name__})"
            return [Finding("API", State.WRONG, seen, "see the output of `boxoffice up`")]
    if response.status_code == httpx.codes.OK:
        return [Finding("API", State.FINE, f"ready at {run.url}")]
    return [Finding("API", State.WRONG, f"not ready: {response.text[:300]}", "see what is wrong above")]


async def machine(settings: Settings, run: RunNote | None) -> list[Finding]:
    """Whether disk space and open files will do."""
    path = settings.data_path
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    disk = State.WRONG if free < NO_DISK_BYTES else State.NOTE if free < LOW_DISK_BYTES else State.FINE
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = most if most != resource.RLIM_INFINITY else sys.maxsize  # `up` raises the limit as far as it may
    few = State.WRONG if limit < FEW_FILES else State.NOTE if limit < ENOUGH_FILES else State.FINE
    return [
        Finding(
            "disk space",
            disk,
            f"{free / GIB:.1f} GiB free at {path}",
            ""
            if disk is State.FINE
            else "make room, or choose another --data-dir: PostgreSQL stops when the disk is full",
        ),
        Finding(
            "open files",
            few,
            f"limit {files}, may be raised to {'any' if limit == sys.maxsize else limit}",
            "" if few is State.FINE else "a crowd needs more connections: raise the hard limit (ulimit -Hn 65536)",
        ),
    ]


async def startable(name: str, program: str, variable: str, *arguments: str) -> Finding:
    """Whether the embedded service could be started, by asking its program for its version."""
    try:
        code, output = await finished(program, *(arguments or ("--version",)))
    except OSError as error:
        code, output = 1, str(error)
    version = output.strip().rpartition("\n")[2]
    if code != 0:
        return Finding(name, State.WRONG, f"cannot be started here: {version}", f"make install, or set {variable}")
    return Finding(name, State.NOTE, f"embedded, not running ({version})", "boxoffice up")


async def finished(*command: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Runs a program to its end: its exit code and all it printed."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")
