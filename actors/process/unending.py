"""Work that has no end and that nobody waits for, beside what a process is there for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

ANEW_SECONDS = 1.0

logger = logging.getLogger(__name__)


async def kept_up(work: Callable[[], Awaitable[None]], name: str) -> None:
    """For ever: whatever breaks the work off is logged, and it is begun anew.

    It would be missed without anybody noticing, and is not worth the process that sells beside it.
    """
    while True:
        try:
            await work()
        except Exception:  # whatever it is: nobody waits for this work, and the sale beside it goes on
            logger.exception("%s breaks off, and is begun anew", name)
        await asyncio.sleep(ANEW_SECONDS)
