"""The latest findings of the reconciliation, one row per schedule and one for the whole.

So there is one for each schedule that ever was: what is asked often goes by what does not rest (see
`persistence/database/tables.py`) and by the index of what does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from msgspec import Raw, Struct

OVERALL = "overall"


class Finding(Struct, frozen=True, kw_only=True):
    """What the last examination of a subject found. `checks` is JSON, as it was kept."""

    subject: str  # a schedule's id, or `OVERALL`
    version: int
    checked_at: datetime
    holds: bool
    checks: Raw


class Summary(Struct, frozen=True):
    """How many subjects have been examined, and how many of them do not hold."""

    examined: int
    failing: int
    oldest: datetime | None  # the examination that is longest ago


# The text is of `NOT h.resting` or of what rests. The first is found by an index, in 1 ms beside 20,000 that have been
# played. The second looks through all of these, which takes 30 to 110 ms (2026-11-27, PostgreSQL 18 on two cores that
# did other work, by EXPLAIN ANALYZE): for now and then.
_DUE = """
SELECT h.schedule_id::text
  FROM schedule_heads h LEFT JOIN reconciliations r ON r.subject = h.schedule_id::text
 WHERE {}
   AND (r.subject IS NULL OR r.version <> h.seq OR NOT r.holds OR r.checked_at < $1
        OR ($3 AND h.published_seq <> h.seq AND h.seq > 1 AND h.epoch > 0))
 ORDER BY r.checked_at NULLS FIRST
 LIMIT $2
"""
DUE, DUE_RESTING = _DUE.format("NOT h.resting"), _DUE.format("h.resting")
FAILING_CHECKS = """
SELECT each ->> 'name', count(*) FROM reconciliations, jsonb_array_elements(checks) AS each
 WHERE NOT holds AND NOT (each ->> 'holds')::boolean GROUP BY 1
"""


async def due(
    pool: asyncpg.Pool[Any], *, before: datetime, limit: int, publishing: bool = False, resting: bool = False
) -> list[str]:
    """Schedules that have changed since they were examined, did not hold then, or were not examined since a moment,
    the oldest first; where events are published, also those that have some which are not. Of those that rest, or of
    the others."""
    rows = await pool.fetch(DUE_RESTING if resting else DUE, before, limit, publishing)
    return [row[0] for row in rows]


async def keep(
    pool: asyncpg.Pool[Any], *, subject: str, version: int, checked_at: datetime, holds: bool, checks: Sequence[Struct]
) -> None:
    """Keeps the latest finding about a subject."""
    await pool.execute(
        "INSERT INTO reconciliations (subject, version, checked_at, holds, checks) VALUES ($1, $2, $3, $4, $5::jsonb)"
        " ON CONFLICT (subject) DO UPDATE SET version = excluded.version, checked_at = excluded.checked_at,"
        " holds = excluded.holds, checks = excluded.checks",
        subject,
        version,
        checked_at,
        holds,
        msgspec.json.encode(checks).decode(),
    )


async def failing_checks(pool: asyncpg.Pool[Any]) -> dict[str, int]:
    """How many subjects each check does not hold for."""
    return {row[0]: row[1] for row in await pool.fetch(FAILING_CHECKS)}


async def summary(pool: asyncpg.Pool[Any]) -> Summary:
    """How many subjects were examined, how many of them fail, and when the oldest examination was."""
    row = await pool.fetchrow(
        "SELECT count(*), count(*) FILTER (WHERE NOT holds), min(checked_at) FROM reconciliations"
    )
    assert row is not None
    return Summary(*row)


async def find(pool: asyncpg.Pool[Any], subject: str) -> Finding | None:
    """The latest finding about a subject."""
    row = await pool.fetchrow(f"{SELECT} WHERE subject = $1", subject)
    return None if row is None else _finding(row)


async def page(pool: asyncpg.Pool[Any], *, failing: bool, after: str | None, limit: int) -> list[Finding]:
    """The findings about schedules by id; only those that do not hold, if asked."""
    rows = await pool.fetch(FAILING_PAGE if failing else PAGE, OVERALL, after or "", limit)
    return [_finding(row) for row in rows]


SELECT = "SELECT subject, version, checked_at, holds, checks FROM reconciliations"
_PAGE = f"{SELECT} WHERE subject <> $1 AND subject > $2 {{}}ORDER BY subject LIMIT $3"
PAGE, FAILING_PAGE = _PAGE.format(""), _PAGE.format("AND NOT holds ")


def _finding(row: asyncpg.Record) -> Finding:
    return Finding(
        subject=row["subject"],
        version=row["version"],
        checked_at=row["checked_at"],
        holds=row["holds"],
        checks=Raw(row["checks"].encode()),
    )
