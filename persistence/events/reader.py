"""The whole topic from its beginning to where it ends now, a batch at a time, for whoever reads it once.

No consumer group is joined and nothing is remembered; the memory in use is one batch, however long the topic is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from persistence.events import topic
from persistence.events.log import Message, kafka_message, unavailable
from persistence.events.options import KafkaOptions

BATCH = 2_000  # messages handed over at a time, at most
TIMEOUT_SECONDS = 10.0  # without a sign of the broker


async def read_through(options: KafkaOptions) -> AsyncIterator[list[Message]]:
    """Every message there is, in order per partition. A missing topic is made. Raises `LogUnavailable`."""
    consumer = AIOKafkaConsumer(
        options.topic,
        **options.client(),
        group_id=None,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await topic.ensure_topic(options)
            await consumer.start()
        # The end comes with what is fetched: asked for it alone, the embedded broker forgets the last batch's tail.
        ends: dict[TopicPartition, int] = {}
        left = consumer.assignment()
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while left:
            batches = await consumer.getmany(*left, timeout_ms=100, max_records=BATCH)
            if batches:
                heard = loop.time()
            elif loop.time() - heard > TIMEOUT_SECONDS:
                raise TimeoutError("it says nothing more")
            for partition in left:
                if (end := consumer.highwater(partition)) is not None:
                    ends.setdefault(partition, end)
            left = {each for each in left if each not in ends or await consumer.position(each) < ends[each]}
            if batches:
                yield [kafka_message(record) for records in batches.values() for record in records]
                heard = loop.time()
    except (KafkaError, OSError, TimeoutError) as error:
        raise unavailable(f"cannot read {options.topic} on {options.servers}", error) from error
    finally:
        await consumer.stop()
