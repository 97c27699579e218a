"""A schedule's first record and its head row: with them its journal begins."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from engine import events
from engine.events import encode_event
from persistence.database.tables import (
    journal,
    schedule_heads,
)


async def open_schedule(connection: AsyncConnection, schedule_id: str, at_ms: int, event: events.Opened) -> None:
    """Writes a schedule's first record and its head row, in the caller's transaction."""
    await connection.execute(
        journal.insert().values(
            schedule_id=schedule_id,
            seq=1,
            at_ms=at_ms,
            type=event.type_name,
            request_id="",
            fingerprint="",
            payload=encode_event(event),
        )
    )
    await connection.execute(schedule_heads.insert().values(schedule_id=schedule_id, epoch=0, seq=1))
