"""The receiving services' process: one reading of topic and journal for all of them.

It needs the database and the topic, and no Ray. `python -m actors.receivers.main` is the process.
"""

from __future__ import annotations

import asyncio
import logging

from actors.process import garbage
from actors.process.courtesy import give_way
from actors.process.entry import serve
from actors.process.settings import Settings
from actors.receivers.hearing import Hearing
from actors.receivers.names import PROGRAM
from actors.receivers.receiver import Receiver
from actors.receivers.services import SERVICES
from actors.receivers.taker import Taker
from persistence.database.pools import open_pool
from persistence.events.feed import KafkaEventFeed
from persistence.journal.journal import PostgresJournal

# One to read for all; of each service one for its transaction, and one for its repair.
CONNECTIONS = 1 + 2 * len(SERVICES)

logger = logging.getLogger(__name__)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Works until `stop` is set."""
    give_way()
    async with open_pool(settings.database, CONNECTIONS) as pool:
        journal = PostgresJournal(pool)
        hearing = Hearing([Taker(service, pool, journal) for service in SERVICES.values()], pool, journal)
        feed = KafkaEventFeed(settings.broker, PROGRAM)
        logger.info("%s follow %s", ", ".join(SERVICES), settings.topic)
        garbage.spare_what_is_here()
        await Receiver(hearing, feed).run(stop)


def main() -> None:
    """The process entry."""
    serve(PROGRAM, run)


if __name__ == "__main__":
    main()
