"""Has a process be one schedule's own: whoever else is there leaves for other processes, without losing a request.

Which schedule that is follows from the head rows (`persistence/journal/own_process.py`). Those that are hot are found
here, by what they make durable: a sale that keeps its process busy slows whoever shares its loop and its commits. A
schedule whose own process has others in it goes itself where a process is empty: one moves sooner than many.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from actors.owner.host import Host
from persistence.database.away import Outage
from persistence.journal.journal import JournalUnavailable
from persistence.journal.own_process import Marked, owned

LOOK_SECONDS = 2.0
HOT_LOOKS = 2  # in a row: opening a schedule, or a burst, is not yet a sale in demand
COOL_SHARE, COOL_SECONDS = 0.5, 60.0  # below this share of the limit for so long it is hot no more
# Schedules that leave from one look to the next, those used last first. Each costs some milliseconds, at a time when
# the one they make way for needs them; and those that nobody uses are in nobody's way.
LEAVING_AT_ONCE = 20

logger = logging.getLogger(__name__)


class Rows(Protocol):
    """What the database knows of who is where. Each may raise `JournalUnavailable`."""

    async def hosts(self) -> Sequence[str]:
        """The processes there are that take schedules in."""

    async def counted(self) -> Mapping[str, int]:
        """How many schedules are in each that has any."""

    async def marked(self) -> Sequence[Marked]:
        """Those that are to have a process of their own, the first to be served first."""

    async def take_temperatures(self, hot: Mapping[str, bool]) -> None:
        """Says of schedules here whether they are hot."""


class Heat:
    """Which schedules are hot: those that have made more than `limit` records durable a second, look after look."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._seen: dict[str, int] = {}  # versions at the last look
        self._seen_at = 0.0
        self._looks: dict[str, int] = {}  # above the limit, in a row
        self._warm_at: dict[str, float] = {}  # when it was last above what counts as cool, or first seen

    def look(self, versions: Mapping[str, int], now: float) -> None:
        """Takes the versions of the schedules that are open, at a moment in seconds."""
        span = max(now - self._seen_at, 0.001)
        rates = {key: (version - self._seen.get(key, version)) / span for key, version in versions.items()}
        self._looks = {key: self._looks.get(key, 0) + 1 if rate > self._limit else 0 for key, rate in rates.items()}
        self._warm_at = {
            key: now if rate > self._limit * COOL_SHARE else self._warm_at.get(key, now) for key, rate in rates.items()
        }
        self._seen, self._seen_at = dict(versions), now

    @property
    def hot(self) -> set[str]:
        """Those that keep their process busy."""
        return {key for key, looks in self._looks.items() if looks >= HOT_LOOKS}

    def cool(self, hot: Iterable[str]) -> set[str]:
        """Of these, those that have not been busy for long."""
        return {key for key in hot if key in self._seen and self._seen_at - self._warm_at[key] >= COOL_SECONDS}


class OwnProcess:
    """One process of owners, `name`, and what becomes of its schedules. `hot_per_second`: records; 0: none is hot."""

    def __init__(
        self, name: str, host: Host, rows: Rows, *, hot_per_second: int, now: Callable[[], float] | None = None
    ) -> None:
        self._name = name
        self._host = host
        self._rows = rows
        self._heat = Heat(hot_per_second) if hot_per_second else None
        self._now = now or asyncio.get_running_loop().time

    async def run(self) -> None:
        """For ever: looks every two seconds."""
        outage = Outage(f"{self._name}: the look at who is to be alone", logger)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except JournalUnavailable as error:
                outage.met(error)  # nobody moves while nobody knows where to
            else:
                outage.over()

    async def look(self) -> None:
        """Looks once, and has leave whoever is not to be here."""
        hosts = await self._rows.hosts()
        if len(hosts) < 2:
            return
        marked = await self._rows.marked()
        await self._take_temperatures({each.schedule_id for each in marked if each.host == self._name and each.hot})
        owner = owned(marked, hosts).get(self._name)
        ready = sorted((each for each in self._host.schedules if each.ready), key=lambda each: -each.used_ms)
        others = [schedule.id for schedule in ready if schedule.id != owner]
        if owner is None or not others:
            return
        counted = await self._rows.counted()
        await self._host.hand_over(
            [owner] if any(not counted.get(host) for host in hosts) else others[:LEAVING_AT_ONCE]
        )

    async def _take_temperatures(self, known: set[str]) -> None:
        """Notes what has become hot, and what is so no longer. `known`: those noted as hot."""
        if self._heat is None:
            return
        self._heat.look({each.id: each.version for each in self._host.schedules if each.ready}, self._now())
        changed = dict.fromkeys(self._heat.hot - known, True) | dict.fromkeys(self._heat.cool(known), False)
        if changed:
            await self._rows.take_temperatures(changed)
