"""Seats that are kept out of the sale, and why: read off the journal, which alone keeps reasons."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.events import Blocked, Unblocked, decode_event
from persistence.database.tables import journal

KINDS = ("seats.blocked", "seats.unblocked")


class Block(Struct, frozen=True, kw_only=True):
    """Places that were blocked together and still are."""

    version: int  # of the event that blocked them
    at_ms: int
    seats: tuple[int, ...]  # plan indices; a standing area's once per place
    reason: str
    by: str


async def blocks(connection: AsyncConnection, schedule_id: str) -> list[Block]:
    """A schedule's blocks, oldest first. Of a standing area those blocked last are unblocked first."""
    query = (
        sa.select(journal.c.seq, journal.c.at_ms, journal.c.payload)
        .where(journal.c.schedule_id == schedule_id, journal.c.type.in_(KINDS))
        .order_by(journal.c.seq)
    )
    told: dict[int, tuple[int, Blocked]] = {}
    blocked_by: defaultdict[int, list[int]] = defaultdict(list)  # seat → versions that blocked it
    for seq, at_ms, payload in await connection.execute(query):
        event = decode_event(payload)
        if isinstance(event, Blocked):
            told[seq] = (at_ms, event)
            for seat in event.seats:
                blocked_by[seat].append(seq)
        elif isinstance(event, Unblocked):
            for seat in event.seats:
                if blocked_by[seat]:
                    blocked_by[seat].pop()
    left: defaultdict[int, list[int]] = defaultdict(list)
    for seat, versions in blocked_by.items():
        for seq in versions:
            left[seq].append(seat)
    return [
        Block(
            version=seq,
            at_ms=told[seq][0],
            seats=tuple(sorted(left[seq])),
            reason=told[seq][1].reason,
            by=told[seq][1].by,
        )
        for seq in sorted(left)
    ]
