"""What waits, as the tables have it, in one small query: each count is over an index of what is open, or a small table.

One is not: how many schedules were examined is a count of all that ever were. With 20,000 of them it takes 4 ms, 15
when the two cores do other work (2026-11-27, PostgreSQL 18, by EXPLAIN ANALYZE), and an index would take half of that,
at the price of being written with each examination. It is asked once a second while somebody looks, for all who do
(`persistence/operations/board.py`).

Schedules whose owner sleeps have nothing unpublished for long: the sweeper wakes them. So only those that have a place
in a process are looked at.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.database.conditions import OWED, UNPUBLISHED_TEXT, WAITS_SINCE_TEXT
from persistence.reconciliation.findings import OVERALL

LATE_MAILS_LOOKED_AT = 1_000  # of the newest: failures of long ago are in the list, not in the overview


class Waiting(Struct, frozen=True, kw_only=True):
    """Things that wait: how many, since when the oldest does (milliseconds since 1970), and what they come to."""

    count: int = 0
    oldest_ms: int | None = None
    amounts: dict[str, int] = {}  # minor units by currency


class Standing(Struct, frozen=True, kw_only=True):
    """How the system stands."""

    schedules_unpublished: int
    events_unpublished: int
    oldest_unpublished_ms: int | None
    payments: Waiting  # without an outcome
    refunds: Waiting  # owed
    mails: Waiting  # to be sent; the oldest is one that is not put off because its address has had enough
    mails_failed: int  # among the newest: failed, or of unknown fate
    parked_events: int
    examined: int
    failing: int
    oldest_examination_ms: int | None
    overall_holds: bool | None  # the audit log and the providers' books; None: not examined yet


_MS = "(extract(epoch FROM {}) * 1000)::bigint"


def _money(table: str) -> str:
    """What of it has been asked for and has no outcome."""
    return f"""(
    SELECT json_build_object('count', coalesce(sum(n), 0), 'oldest_ms', min(oldest),
                             'amounts', coalesce(json_object_agg(currency, amount), '{{}}'))
      FROM (SELECT currency, count(*) AS n, sum(amount) AS amount, min({_MS.format("requested_at")}) AS oldest
              FROM {table} WHERE status = '{OWED}' GROUP BY currency) AS open)"""  # noqa: S608  # the table's name stands below


_STANDING = sa.text(f"""
WITH behind AS MATERIALIZED (
    SELECT h.seq - h.published_seq AS events, {WAITS_SINCE_TEXT} AS since_ms
      FROM schedule_heads h
     WHERE h.host IS NOT NULL AND {UNPUBLISHED_TEXT}
)
SELECT json_build_object(
    'schedules_unpublished', (SELECT count(*) FROM behind),
    'events_unpublished', (SELECT coalesce(sum(events), 0) FROM behind),
    'oldest_unpublished_ms', (SELECT min(since_ms) FROM behind),
    'payments', {_money("payments")},
    'refunds', {_money("refunds")},
    'mails', (SELECT json_build_object('count', count(*), 'oldest_ms', min({_MS.format("created_at")})
                                       FILTER (WHERE attempts > 0 OR due_at <= now()))
                FROM notifications WHERE status IN ('pending', 'sending')),
    'mails_failed', (SELECT count(*) FILTER (WHERE status IN ('failed', 'unknown'))
                       FROM (SELECT status FROM notifications ORDER BY created_at DESC, id DESC
                              LIMIT {LATE_MAILS_LOOKED_AT}) AS newest),
    'parked_events', (SELECT count(*) FROM parked_events),
    'examined', examined.count, 'failing', examined.failing, 'oldest_examination_ms', examined.oldest,
    'overall_holds', (SELECT holds FROM reconciliations WHERE subject = '{OVERALL}')
)::text
FROM (SELECT count(*), count(*) FILTER (WHERE NOT holds) AS failing, min({_MS.format("checked_at")}) AS oldest
        FROM reconciliations) AS examined
""")  # noqa: S608  # of words that stand above


async def standing(database: AsyncEngine) -> bytes:
    """How the system stands, as JSON of a `Standing`."""
    async with database.connect() as connection:
        text: str = (await connection.execute(_STANDING)).scalar_one()
    return text.encode()


read_standing = msgspec.json.Decoder(Standing, strict=False).decode
