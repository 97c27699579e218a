"""Schedules that are to have a process to themselves: those an administrator has dedicated one to, and those found hot.

The head row says since when (`dedicated_at`, `hot_at`). Whose a process is follows from these rows and from the
processes there are, so everybody who looks says the same, and nothing has to be undone when either changes. Nobody else
is given a place in it (`placement`), and whoever is there leaves (`actors/owner/own_process.py`). Everything here may
raise `JournalUnavailable`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from persistence.database.pools import Connection
from persistence.journal.journal import outages_told

# NULLs come last: first those that were dedicated, then those found hot, each in the order in which they were marked.
MARKED = """
SELECT schedule_id::text, host, hot_at IS NOT NULL AS hot FROM schedule_heads
 WHERE host IS NOT NULL AND (dedicated_at IS NOT NULL OR hot_at IS NOT NULL)
 ORDER BY dedicated_at, hot_at, schedule_id
"""
TAKE_TEMPERATURES = """
UPDATE schedule_heads AS h SET hot_at = CASE WHEN n.hot THEN clock_timestamp() END
  FROM unnest($2::uuid[], $3::boolean[]) AS n(id, hot)
 WHERE h.schedule_id = n.id AND h.host = $1 AND (h.hot_at IS NOT NULL) <> n.hot
"""


class Marked(Struct, frozen=True):
    """A schedule that has a place and is to have it alone."""

    schedule_id: str
    host: str
    hot: bool


def owned(marked: Sequence[Marked], hosts: Collection[str]) -> dict[str, str]:
    """The processes that are one schedule's own: process → schedule.

    In the order of the marks each schedule has the process that it is in, unless that is another's already; the last
    process is everybody's. Who comes too late for one is placed like all others, and has one as soon as one is free.
    """
    own: dict[str, str] = {}
    for each in marked:
        if len(own) + 1 >= len(hosts):
            break
        if each.host in hosts:
            own.setdefault(each.host, each.schedule_id)
    return own


async def marked(connection: Connection) -> list[Marked]:
    """Those there are, the first to be served first."""
    with outages_told():
        return [Marked(*row) for row in await connection.fetch(MARKED)]


async def take_temperatures(connection: Connection, host: str, hot: Mapping[str, bool]) -> None:
    """Says of schedules in a process whether they are hot."""
    if hot:
        with outages_told():
            await connection.execute(TAKE_TEMPERATURES, host, list(hot), list(hot.values()))
