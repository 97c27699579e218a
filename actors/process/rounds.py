"""Work that comes round: what background jobs have in common.

A round that fails because a service is away is put off to the next one; any other error ends the process, which its
supervisor starts anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from persistence.database.away import Outage, is_away

logger = logging.getLogger(__name__)


async def every(
    seconds: float, stop: asyncio.Event, work: Callable[[], Awaitable[object]], name: str, *, share: float = 1.0
) -> None:
    """Does `work` now and then again after each pause, until `stop` is set.

    `share` is how much of the time the work may take: where it takes long, the pause is longer than `seconds`.
    """
    outage = Outage(name, logger)
    while not stop.is_set():
        started = time.monotonic()
        try:
            await work()
        except Exception as error:
            if not is_away(error):
                raise
            outage.met(error)
        else:
            outage.over()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_after(time.monotonic() - started, seconds, share))


def pause_after(took: float, seconds: float, share: float) -> float:
    """The pause after work that took so long: `seconds`, or what leaves it no more than its share of the time."""
    return max(seconds, took / share - took)
