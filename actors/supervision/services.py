"""The services that an instance stands on: PostgreSQL, Redis, a broker, a Ray head.

Each runs here, unless a setting names where somebody else runs it. What has to be in them before anything of ours may
use them is made here, too: the database's tables and roles, and the topic.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from actors.process.keys import MIN_SECRET_CHARACTERS
from actors.process.settings import Settings
from actors.supervision import ray_head
from persistence.database.roles import establish
from persistence.embedded import outside
from persistence.embedded.instance import kept_secret
from persistence.embedded.kafka import kafka
from persistence.embedded.postgres import postgres
from persistence.embedded.process import Program, free_port
from persistence.embedded.redis import redis

logger = logging.getLogger(__name__)


class StartError(RuntimeError):
    """The system cannot be started or be kept; the message is for the person who started it."""


class Service(NamedTuple):
    """How it is started here, and how to see that one elsewhere is there."""

    name: str
    start: Callable[[Path], Program]
    reach: Callable[[str], Awaitable[None]]


# By the setting that names its address.
SERVICES = {
    "database_url": Service("postgres", postgres, outside.reach_postgres),
    "redis_url": Service("redis", redis, outside.reach_redis),
    "kafka_bootstrap_servers": Service("kafka", kafka, outside.reach_kafka),
    "ray_address": Service("ray", ray_head.ray_head, outside.reach_ray),
}


class Settled(NamedTuple):
    """Where everything is: the settings name every address."""

    settings: Settings
    outside: list[str]  # the settings whose services somebody else runs
    programs: list[Program]  # the other services, to be started here


def settle(settings: Settings, data_dir: Path) -> Settled:
    """Decides what is started here. Raises `StartError` for what does not go together."""
    elsewhere = [setting for setting in SERVICES if getattr(settings, setting) is not None]
    if "kafka_bootstrap_servers" not in elsewhere and settings.kafka_security_protocol != "PLAINTEXT":
        asked = f"BOXOFFICE_KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}"
        raise StartError(f"{asked}, which the embedded broker has not: set KAFKA_BOOTSTRAP_SERVERS, or unset it")
    if settings.provider_lacks:
        raise StartError(f"BOXOFFICE_PROVIDER={settings.provider} needs {' and '.join(settings.provider_lacks)}")
    if settings.node and settings.unshared:
        missing = ", ".join(settings.unshared)
        raise StartError(f"BOXOFFICE_NODE={settings.node} joins a cluster: set {missing}, too")
    if settings.node and "ray_address" in elsewhere:
        raise StartError("a machine of a cluster has a Ray head of its own: unset RAY_ADDRESS")
    secret = settings.secret or kept_secret(data_dir / "secret")
    if len(secret) < MIN_SECRET_CHARACTERS:
        place = "BOXOFFICE_SECRET" if settings.secret else f"{data_dir / 'secret'} is cut off: it"
        raise StartError(f"{place} must have at least {MIN_SECRET_CHARACTERS} characters (openssl rand -hex 32)")
    programs = {setting: service.start(data_dir) for setting, service in SERVICES.items() if setting not in elsewhere}
    settings = msgspec.structs.replace(
        settings,
        **{setting: program.address for setting, program in programs.items()},
        sandbox_url=settings.sandbox_url or f"http://127.0.0.1:{free_port()}",
        secret=secret,
    )
    if settings.node and not settings.node_address:
        settings = msgspec.structs.replace(settings, node_address=outside.own_address(settings.database))
    return Settled(settings, elsewhere, list(programs.values()))


async def reach(setting: str, settings: Settings) -> None:
    """Raises `outside.UnreachableError` unless the service that the setting names is there."""
    await SERVICES[setting].reach(getattr(settings, setting))


async def bring_up_to_date(database_url: str) -> bool:
    """Makes the database's tables and roles. Whether it has roles for our processes; raises `StartError`."""
    from persistence.database.away import FAILURES, DatabaseUnavailable
    from persistence.database.connection import migrate
    from persistence.database.suitable import UnsuitableDatabase

    try:
        await migrate(database_url)
        return await establish(database_url)
    except (DatabaseUnavailable, UnsuitableDatabase) as error:
        raise StartError(str(error)) from error
    except FAILURES as error:
        raise StartError(f"the database is in trouble: {error}") from error


async def open_topic(settings: Settings) -> None:
    """Makes the topic and says where events go, so that nobody has to wait for the first one to be published."""
    if (broker := settings.publishing) is None:
        return
    from persistence.events.log import KafkaEventLog, LogUnavailable

    events = KafkaEventLog(broker)
    try:
        await events.start()
    except LogUnavailable as error:
        logger.warning("events wait in the journal: %s", error)
    finally:
        await events.close()
