"""How many schedules an account may have opened: what nobody else has asked for lately takes memory and work to open.

Counted per worker in memory, like bookings. Off when `BOXOFFICE_FAIR_USE=off`.
"""

from __future__ import annotations

import math
import time

from api.http.problems import Problem

# Whoever plans a season looks at many evenings and holds seats for few of them.
OPENED_PER_WINDOW, WINDOW_SECONDS = 30, 60


class Openings:
    """The counters of one worker."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._opened: dict[str, set[str]] = {}  # account → schedules
        self._window_ends = 0.0

    def count(self, account_id: str, schedule_id: str) -> None:
        """Counts a schedule that has to be opened. Raises `Problem("rate_limited")` with the seconds to wait."""
        if not self._enabled:
            return
        now = time.monotonic()
        if now >= self._window_ends:
            self._opened.clear()
            self._window_ends = now + WINDOW_SECONDS
        opened = self._opened.setdefault(account_id, set())
        if len(opened) >= OPENED_PER_WINDOW and schedule_id not in opened:
            raise Problem("rate_limited", retry_after=max(1, math.ceil(self._window_ends - now)))
        opened.add(schedule_id)
