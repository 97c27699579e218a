"""The topic on its broker: made if it is missing, described for whoever has to judge it, and what the broker can do.

Nothing of a topic that exists is ever changed: another number of partitions would move schedules to other ones, past
events that are not read yet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    NoError,
    NotControllerError,
    NotCoordinatorError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.protocol.transaction import InitProducerIdRequest
from msgspec import Struct

from persistence.events.options import KafkaOptions

logger = logging.getLogger(__name__)

REPLICAS = 3  # as many of them as there are brokers
IN_SYNC = 2  # of three: an acknowledged event outlives the loss of any one broker
# A single event may be big: tens of thousands of seats blocked at once. A topic made here takes that.
EVENT_BYTES = 16 * 1024 * 1024
AGAIN_SECONDS = 0.05  # Apache Kafka answers its first question for a producer's id so, and a moment later gives it
HOUR_MS = 3_600_000
# What a broker says that has just started: it does not know yet what it has.
NOT_YET = (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotControllerError,
    NotCoordinatorError,
    RequestTimedOutError,
)
SETTINGS = ("cleanup.policy", "max.message.bytes", "min.insync.replicas", "retention.ms")


class TopicFacts(Struct, frozen=True, kw_only=True):
    """What the broker says of the topic; None where it does not say."""

    partitions: int
    replicas: int  # of the partition that has the fewest
    cleanup_policy: str | None
    max_message_bytes: int | None
    min_insync_replicas: int | None
    retention_ms: int | None  # -1: for ever


async def ensure_topic(options: KafkaOptions) -> None:
    """Makes the topic if it is missing. Raises `KafkaError` or `OSError`; a broker that forbids it is left to its own.

    An operator may make it himself; if nobody does, publishing says so.
    """
    async with _admin(options) as admin:
        brokers = len((await admin.describe_cluster())["brokers"])
        answer = await admin.create_topics([_wanted(options, brokers)])
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if error is NoError:
            logger.info("made topic %s with %d partitions", name, options.partitions)
        elif issubclass(error, NOT_YET):
            raise error(f"topic {name}")
        elif error is not TopicAlreadyExistsError:
            logger.warning("could not make topic %s: %s", name, error.__name__)


def _wanted(options: KafkaOptions, brokers: int) -> NewTopic:
    replicas = min(REPLICAS, max(1, brokers))
    settings = {"max.message.bytes": str(EVENT_BYTES)}
    if replicas > IN_SYNC:
        settings["min.insync.replicas"] = str(IN_SYNC)
    if options.retention_hours is not None:
        for_ever = options.retention_hours < 0
        settings["retention.ms"] = "-1" if for_ever else str(options.retention_hours * HOUR_MS)
    return NewTopic(options.topic, options.partitions, replicas, topic_configs=settings)


async def describe_topic(options: KafkaOptions) -> TopicFacts | None:
    """The topic as it is; None where there is none. Raises `KafkaError` or `OSError`."""
    async with _admin(options) as admin:
        # All topics are asked for: asked for one that is missing, some brokers make it.
        found = [topic for topic in await admin.describe_topics() if topic["topic"] == options.topic]
        if not found or not found[0]["partitions"]:
            return None
        resource = ConfigResource(ConfigResourceType.TOPIC, options.topic)
        (answer,) = await admin.describe_configs([resource])
    said = {setting[0]: setting[1] for resource in answer.resources for setting in resource[4]}
    numbers = {name: int(said[name]) if said.get(name) is not None else None for name in SETTINGS[1:]}
    return TopicFacts(
        partitions=len(found[0]["partitions"]),
        replicas=min(len(partition["replicas"]) for partition in found[0]["partitions"]),
        cleanup_policy=said.get("cleanup.policy"),
        max_message_bytes=numbers["max.message.bytes"],
        min_insync_replicas=numbers["min.insync.replicas"],
        retention_ms=numbers["retention.ms"],
    )


async def has_idempotent_producers(options: KafkaOptions) -> bool:
    """Whether the broker weeds out what a producer sends twice. Raises `KafkaError` or `OSError`.

    Waits for a broker that does not know yet; how long is up to the caller.
    """
    client = AIOKafkaClient(**options.client())
    try:
        await _bootstrap(client, options)
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=2**31 - 1)
        while True:
            answer = await client.send(client.get_random_node(), request)
            error = for_code(answer.error_code)
            if not issubclass(error, NOT_YET):
                return error is NoError
            await asyncio.sleep(AGAIN_SECONDS)
    finally:
        await client.close()


@asynccontextmanager
async def _admin(options: KafkaOptions) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**options.client())
    try:
        try:
            await admin.start()
        except KafkaConnectionError as error:
            raise (await _cause(options) or error) from error
        yield admin
    finally:
        await admin.close()


async def _bootstrap(client: AIOKafkaClient, options: KafkaOptions) -> None:
    try:
        await client.bootstrap()
    except KafkaConnectionError as error:
        raise (await _cause(options) or error) from error


async def _cause(options: KafkaOptions) -> Exception | None:
    """Why no broker lets us in: a client that looks for one among several says only that it found none."""
    cause: Exception | None = None
    arguments: dict[str, Any] = {**options.client()}
    del arguments["bootstrap_servers"]
    for server in options.server_list:
        host, _, port = server.rpartition(":")
        try:
            connection = await create_conn(host.strip("[]"), int(port), **arguments)
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            cause = error
        else:
            connection.close()
    return cause
