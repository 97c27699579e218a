"""Records written past a schedule's owner, in a transaction that concerns more than this one schedule.

A schedule is withdrawn or cancelled with the others of its performance, or moved in a calendar that others look at: all
of it happens, or nothing. Guarantees: the record stands where the head row says, because the row is locked from `hold`
to the end of the transaction; the owner, if there is one, is deposed by it and can write nothing any more; and what it
has not been told yet can be found (`untold`), so that whoever wrote may die at any line. A schedule that never had an
owner needs none for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.events import PlanChanged, ScheduleCancelled, TermsChanged, Withdrawn, encode_event
from persistence.database.moments import moment
from persistence.database.tables import journal, schedule_heads
from persistence.journal.rows import about_schedule

UNTOLD_LIMIT = 500


class Held(Struct, frozen=True):
    """A schedule whose head row is locked: nobody else writes until the transaction ends."""

    schedule_id: str
    seq: int
    owned: bool  # it has, or had, an owner


class Overruled(Struct, frozen=True):
    """A schedule whose owner and readers are to be told of a record."""

    schedule_id: str
    seq: int  # of the record
    owned: bool
    at: datetime  # which of several times this is


async def hold(connection: AsyncConnection, schedule_ids: Sequence[str]) -> list[Held]:
    """Locks the heads of these schedules, in an order that everybody keeps, for the caller's transaction."""
    query = (
        sa.select(schedule_heads.c.schedule_id, schedule_heads.c.seq, schedule_heads.c.epoch > 0)
        .where(schedule_heads.c.schedule_id.in_(schedule_ids))
        .order_by(schedule_heads.c.schedule_id)
        .with_for_update(key_share=True)
    )
    return [Held(*row) for row in await connection.execute(query)]


Event = Withdrawn | ScheduleCancelled | TermsChanged | PlanChanged


async def write(
    connection: AsyncConnection, held: Sequence[Held], at_ms: int, event: Event | Mapping[str, Event]
) -> list[Overruled]:
    """Adds the event, or each schedule's own, to the journal of each, with what follows from it in its row."""
    if not held:
        return []
    of = event if isinstance(event, Mapping) else dict.fromkeys((each.schedule_id for each in held), event)
    records = [
        {
            "schedule_id": each.schedule_id,
            "seq": each.seq + 1,
            "at_ms": at_ms,
            "type": of[each.schedule_id].type_name,
            "request_id": "",
            "fingerprint": "",
            "payload": encode_event(of[each.schedule_id]),
        }
        for each in held
    ]
    await connection.execute(journal.insert(), records)
    # By the statements of the owner's own transaction: there is one way in which a row follows an event.
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None, "a connection that has written is connected"
    rows: dict[str, list[tuple[object, ...]]] = {}
    for each in held:
        for statement, row in about_schedule(of[each.schedule_id], at_ms):
            rows.setdefault(statement, []).append((each.schedule_id, *row))
    for statement, those in rows.items():
        await driver.executemany(statement, those)
    at = moment(at_ms)
    moved = (
        schedule_heads.update()
        .where(schedule_heads.c.schedule_id.in_([each.schedule_id for each in held]))
        .values(
            seq=schedule_heads.c.seq + 1,
            epoch=sa.case((schedule_heads.c.epoch > 0, schedule_heads.c.epoch + 1), else_=0),
            overruled_at=at,
            resting=False,
            updated_at=sa.func.now(),
        )
    )
    await connection.execute(moved)
    return [Overruled(each.schedule_id, each.seq + 1, each.owned, at) for each in held]


async def told(database: asyncpg.Pool[Any], overruled: Sequence[Overruled]) -> None:
    """The owner and the readers of these know; what has been written since is another matter."""
    await database.executemany(
        "UPDATE schedule_heads SET overruled_at = NULL WHERE schedule_id = $1 AND overruled_at = $2",
        [(each.schedule_id, each.at) for each in overruled],
    )


async def untold(database: asyncpg.Pool[Any], *, older_than_seconds: float) -> list[Overruled]:
    """Those that somebody should have told by now."""
    rows = await database.fetch(
        "SELECT schedule_id::text, seq, epoch > 0, overruled_at FROM schedule_heads"
        " WHERE overruled_at < now() - make_interval(secs => $1) ORDER BY overruled_at LIMIT $2",
        older_than_seconds,
        UNTOLD_LIMIT,
    )
    return [Overruled(*row) for row in rows]
