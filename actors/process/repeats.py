"""Keeps one line from drowning all others: what is said again and again is said a few times, and then how often.

While something is away, whoever tries it again says so each time: a library for every connection, our own code for
every schedule that waits. The first lines of a kind in `SECONDS` are let through, the others are counted, and the next
that is let through tells how many there were. What an investigator reads (`boxoffice.security`) is never left out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

SECONDS = 10.0
LINES = 20  # of one kind, within them
OF_LIBRARIES = 1  # of one of their loggers, within six times as long: each has many words for one trouble
LIBRARY_SECONDS = 6 * SECONDS
NEVER = "boxoffice.security"
KINDS = 1_000  # that are remembered; kinds are texts with gaps, so there are few


class Repeats(logging.Filter):
    """A handler's filter. `libraries`: the loggers, with those below them, that are not ours."""

    def __init__(self, libraries: tuple[str, ...], now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._libraries = libraries
        self._now = now
        self._seen: dict[str, tuple[float, int]] = {}  # by kind: since when, and how many

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written. Adds to it how many like it were not."""
        if record.name == NEVER:
            return True
        foreign = record.name.startswith(self._libraries)
        lines, seconds = (OF_LIBRARIES, LIBRARY_SECONDS) if foreign else (LINES, SECONDS)
        kind = record.name if foreign else f"{record.name} {record.msg}"
        now = self._now()
        since, count = self._seen.get(kind, (now, 0))
        if now - since >= seconds:
            if count > lines:
                record.msg, record.args = f"{record.getMessage()} ({count - lines} more like it before)", ()
            since, count = now, 0
        if len(self._seen) >= KINDS:
            self._seen.clear()
        self._seen[kind] = (since, count + 1)
        return count < lines
