"""The topic of a running system is there before anything is published, and again when the embedded broker was lost."""

from __future__ import annotations

import pytest

from actors.settings import Settings
from persistence.event_log import KafkaEventLog, LogUnavailable
from tests.conftest import MakeStack
from tests.waiting import until


@pytest.mark.long
async def test_the_topic_is_made_at_the_start_and_again_when_the_broker_came_back_empty(make_stack: MakeStack) -> None:
    async with make_stack(workers=1, BOXOFFICE_TOPIC="events-here", BOXOFFICE_TOPIC_PARTITIONS="5") as stack:
        names = {"BOXOFFICE_TOPIC": "events-here"}
        options = Settings.from_environment({**stack.run.environment, **names}).kafka
        assert options is not None
        log = KafkaEventLog(options)

        async def is_there() -> bool:
            try:
                topic, _ = await log.describe()
            except LogUnavailable:
                return False
            return topic is not None and topic.partitions == 5

        assert await is_there()
        await stack.replaced("kafka", await stack.kill("kafka"))
        await until(is_there)
        await log.close()
