"""The head rows: how far each schedule stands, what is due of it, and who may write it.

Every row's `epoch` is the fence, and `seq` the length of its journal. Owners move both in their own transactions
(`group_commit`, `journal`), `placement` gives a row its process, `overruling` writes past an owner; what else is asked
of heads, or done to them, is here. Only this wing writes them, and only here somebody other than an owner raises an
epoch; `overruling` does it with the record by which it does so. Elsewhere in the layer heads are joined by what is told
of a schedule, to be read: figures, lists and positions are those of the version they are told with only where one
statement reads both, and such a statement stands beside the table it is about.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from persistence.database.conditions import UNPUBLISHED_TEXT, WAITS_SINCE_TEXT
from persistence.database.pools import Connection
from persistence.database.tables import schedule_heads
from persistence.journal.journal import UnknownSchedule, outages_told


class Head(Struct, frozen=True):
    """How far a schedule stands. `published_seq` < `seq`: events are on their way to Kafka. `host` is the process that
    its owner lives in, if it has one; `dedicated` or `hot`: it is to have that to itself, because an administrator says
    so, or because it is found to keep it busy."""

    schedule_id: str
    epoch: int  # how often the schedule has had a new owner; 0: it never had one
    seq: int
    published_seq: int
    snapshot_seq: int
    next_deadline_ms: int | None
    oldest_payment_ms: int | None
    host: str | None
    dedicated: bool
    hot: bool

    @property
    def announced(self) -> int:
        """The newest version that is published, and is in the journal."""
        return min(self.published_seq, self.seq)

    @property
    def waiting(self) -> int:
        """The events on their way to Kafka, as `UNPUBLISHED_TEXT` has it: of what was written before its first owner
        that one tells."""
        return self.seq - self.announced if self.seq > 1 and self.epoch > 0 else 0


_MARKS = {name: schedule_heads.c[f"{name}_at"].is_not(None).label(name) for name in ("dedicated", "hot")}
_COLUMNS = [_MARKS[name] if name in _MARKS else schedule_heads.c[name] for name in Head.__struct_fields__]
_READ = """
SELECT schedule_id::text, epoch, seq, published_seq, snapshot_seq, next_deadline_ms, oldest_payment_ms, host,
       dedicated_at IS NOT NULL, hot_at IS NOT NULL
  FROM schedule_heads
"""
NOT_RESTING = f"{_READ} WHERE NOT resting ORDER BY 1"

# What is written before a schedule has an owner (it is opened, and perhaps moved, cancelled or withdrawn): nobody needs
# a process for that, its first owner tells of it. What is in a head changes with every commit, so those that do not
# rest are looked through; the schedules are found by an index.
DUE = f"""
SELECT schedule_id::text
  FROM (SELECT schedule_id, next_deadline_ms
          FROM schedule_heads h
         WHERE NOT resting
           AND (next_deadline_ms < $1
                OR ($2 AND {UNPUBLISHED_TEXT} AND updated_at < now() - $3::interval))
        UNION ALL
        SELECT id, NULL
          FROM schedules
         WHERE sale_opens_at BETWEEN now() AND now() + $4::interval AND deleted_at IS NULL) AS due
 GROUP BY schedule_id
 ORDER BY min(next_deadline_ms) NULLS LAST
 LIMIT $5
"""  # noqa: S608  # of words that stand beside the tables
# For how long the first event that is not on Kafka yet has waited for that, if any does.
UNPUBLISHED = f"""
SELECT extract(epoch FROM now()) - min({WAITS_SINCE_TEXT}) / 1000.0
  FROM schedule_heads h
 WHERE NOT h.resting AND {UNPUBLISHED_TEXT}
"""  # noqa: S608  # of words that stand beside the tables
# So many at once that whoever is to have one of them opened does not wait for long; the array, so that they are looked
# for once and then found by their key.
REST = f"""
UPDATE schedule_heads SET resting = true
 WHERE schedule_id = ANY(ARRAY(
    SELECT h.schedule_id FROM schedule_heads h
     WHERE NOT h.resting AND h.host IS NULL AND h.next_deadline_ms IS NULL AND h.oldest_payment_ms IS NULL
       AND h.overruled_at IS NULL AND h.updated_at < now() - $1::interval AND NOT ({UNPUBLISHED_TEXT})
       AND NOT EXISTS (
           SELECT FROM unnest($2::text[]) AS each(consumer)
             LEFT JOIN consumer_positions p ON p.consumer = each.consumer AND p.schedule_id = h.schedule_id
            WHERE coalesce(p.version, 0) < h.published_seq)
     LIMIT 1000 FOR UPDATE OF h SKIP LOCKED))
"""  # noqa: S608  # of words that stand beside the tables


# --- read -------------------------------------------------------------------------------------------------------------
async def of_schedule(connection: Connection, schedule_id: str) -> Head:
    """The schedule's head. Raises `UnknownSchedule`."""
    row = await connection.fetchrow(f"{_READ} WHERE schedule_id = $1", schedule_id)
    if row is None:
        raise UnknownSchedule(schedule_id)
    return Head(*row)


async def not_resting(connection: Connection) -> dict[str, Head]:
    """The heads that may be moving, by their schedules' ids: whatever is written to another ends its rest. Beside
    20,000 that rest they are found in a millisecond by an index, and all are read in 120."""
    return {row[0]: Head(*row) for row in await connection.fetch(NOT_RESTING)}


async def changed_ms(connection: Connection, schedule_id: str) -> int:
    """When the schedule was last claimed or written to, in ms since the epoch."""
    query = "SELECT (extract(epoch FROM updated_at) * 1000)::bigint FROM schedule_heads WHERE schedule_id = $1"
    found: int = await connection.fetchval(query, schedule_id)
    return found


async def of_all(connection: Connection, schedule_id: str | None = None) -> dict[str, Head]:
    """The heads by their schedules' ids, in the order of these; one alone, or none, if a schedule is named."""
    rows = await connection.fetch(f"{_READ} WHERE $1::uuid IS NULL OR schedule_id = $1 ORDER BY 1", schedule_id)
    return {row[0]: Head(*row) for row in rows}


async def version(connection: AsyncConnection, schedule_id: str) -> int:
    """The last sequence number of the schedule's journal. Raises `UnknownSchedule`."""
    query = sa.select(schedule_heads.c.seq).where(schedule_heads.c.schedule_id == schedule_id)
    found: int | None = (await connection.execute(query)).scalar_one_or_none()
    if found is None:
        raise UnknownSchedule(schedule_id)
    return found


async def newest(connection: Connection, schedule_ids: Collection[str]) -> dict[str, int]:
    """The last sequence number of each of these schedules' journals. Raises `JournalUnavailable`."""
    with outages_told():
        query = "SELECT schedule_id::text, seq FROM schedule_heads WHERE schedule_id = ANY($1::uuid[])"
        return dict(await connection.fetch(query, schedule_ids))


async def list_heads(database: AsyncEngine, *, after_id: str | None, limit: int) -> list[Head]:
    """A page of the heads in the order of their schedules' ids."""
    query = sa.select(*_COLUMNS).order_by(schedule_heads.c.schedule_id).limit(limit)
    if after_id is not None:
        query = query.where(schedule_heads.c.schedule_id > after_id)
    async with database.connect() as connection:
        return [Head(*row) for row in await connection.execute(query)]


async def due(
    connection: Connection,
    *,
    before_ms: int,
    publishing: bool,
    unpublished: timedelta,
    opens_within: timedelta,
    limit: int,
) -> list[str]:
    """Schedules that have something to do without anybody asking: holds that ended before `before_ms`, where events
    are published one that waits for so long, and a sale that is about to open. The longest overdue first."""
    rows = await connection.fetch(DUE, before_ms, publishing, unpublished, opens_within, limit)
    return [row[0] for row in rows]


async def oldest_unpublished_seconds(connection: AsyncConnection) -> float | None:
    """How long an event has waited to be published; None where all are."""
    found: float | None = (await connection.execute(sa.text(UNPUBLISHED))).scalar_one()
    return found


# --- written ----------------------------------------------------------------------------------------------------------
async def locked(connection: AsyncConnection, schedule_id: str) -> Head | None:
    """The head, kept to this transaction until it ends; None if there is no such schedule."""
    query = sa.select(*_COLUMNS).where(schedule_heads.c.schedule_id == schedule_id).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else Head(*row)


async def hold_still(connection: Connection, schedule_id: str) -> None:
    """Keeps the schedule's owner from committing until this transaction ends."""
    await connection.execute("SELECT 1 FROM schedule_heads WHERE schedule_id = $1 FOR UPDATE", schedule_id)


async def dedicate(connection: AsyncConnection, schedule_id: str, dedicated: bool) -> None:
    """Has the schedule keep a process to itself, or share one like others."""
    at = sa.func.clock_timestamp() if dedicated else None
    statement = schedule_heads.update().where(schedule_heads.c.schedule_id == schedule_id)
    await connection.execute(statement.values(dedicated_at=at))


async def drop_snapshots(connection: Connection, schedule_id: str) -> None:
    """Drops all of a schedule, in the caller's transaction. Its owner, which may have made them wrong, is deposed."""
    await hold_still(connection, schedule_id)
    await _depose(connection, schedule_id, "snapshot_seq = 0")
    await connection.execute("DELETE FROM snapshots WHERE schedule_id = $1", schedule_id)


async def publish_from(connection: Connection, schedule_id: str, version: int) -> None:
    """Sets the watermark back, for the next owner to publish from this version on. The one there is deposed: it would
    raise the watermark again."""
    await _depose(connection, schedule_id, "published_seq = $2, resting = false", version - 1)


async def _depose(connection: Connection, schedule_id: str, change: str, *arguments: object) -> None:
    """Changes the head so that its owner can write nothing any more."""
    statement = f"UPDATE schedule_heads SET epoch = epoch + 1, {change} WHERE schedule_id = $1"  # noqa: S608  # ours
    await connection.execute(statement, schedule_id, *arguments)


async def let_rest(connection: Connection, consumers: Sequence[str], *, quiet_seconds: float) -> int:
    """Lets schedules rest that nothing has changed for so long, where nothing is due any more; returns how many, a
    thousand at most.

    Each of these services has what was published of them. Whoever gives a schedule a place, writes past its owner or
    sets its watermark back says that it rests no longer.
    """
    done: str = await connection.execute(REST, timedelta(seconds=quiet_seconds), list(consumers))
    return int(done.rpartition(" ")[2])
