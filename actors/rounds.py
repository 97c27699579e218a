"""Work that comes round: what background jobs have in common.

A round that fails because a service is away is put off to the next one; any other error ends the process, which its
supervisor starts anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from persistence.database import is_unavailable

log = logging.getLogger(__name__)


async def every(seconds: float, stop: asyncio.Event, work: Callable[[], Awaitable[object]], name: str) -> None:
    """Does `work` now and then again after each pause, until `stop` is set."""
    while not stop.is_set():
        try:
            await work()
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("%s put off, the database is in trouble: %r", name, error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
