"""The process that sends mails: `python -m actors.mail.main`. It needs the database and a mail server, and no topic."""

from __future__ import annotations

import asyncio
import logging

from actors.mail.composing import Postmark
from actors.mail.mailer import LANES, Mailer
from actors.mail.tickets import signing_key
from actors.mail.transport import open_transport
from actors.process import garbage
from actors.process.clock import SystemClock
from actors.process.courtesy import give_way
from actors.process.entry import serve
from actors.process.keys import TICKETS
from actors.process.settings import Settings
from persistence.database.pools import open_pool

PROGRAM = "mails"

logger = logging.getLogger(__name__)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Works until `stop` is set."""
    give_way()
    transport = open_transport(settings)
    async with open_pool(settings.database, LANES + 1) as pool:
        postmark = Postmark(
            transport.sender, signing_key(settings.keys_for(TICKETS)[0]), SystemClock(), settings.origin
        )
        logger.info("mails go to %s", transport.name)
        garbage.spare_what_is_here()
        await Mailer(pool, transport, postmark).run(stop)


def main() -> None:
    """The process entry."""
    serve(PROGRAM, run)


if __name__ == "__main__":
    main()
