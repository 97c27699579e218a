"""Seats that are kept out of the sale, and why: read off the journal, which alone keeps reasons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.events import Blocked, PlanChanged, Unblocked, decode_event
from engine.seating_plan import SeatingPlan, renumbering
from persistence.database.tables import journal

KINDS = ("seats.blocked", "seats.unblocked", "schedule.plan_changed")


class Block(Struct, frozen=True, kw_only=True):
    """Places that were blocked together and still are."""

    version: int  # of the event that blocked them
    at_ms: int
    seats: tuple[int, ...]  # plan indices; a standing area's once per place
    reason: str
    by: str


Story = Sequence[tuple[int, int, bytes]]  # version, time in ms, event


async def read_story(connection: AsyncConnection, schedule_id: str) -> Story:
    """What the journal says of a schedule's blocks, in order."""
    query = (
        sa.select(journal.c.seq, journal.c.at_ms, journal.c.payload)
        .where(journal.c.schedule_id == schedule_id, journal.c.type.in_(KINDS))
        .order_by(journal.c.seq)
    )
    return [(row.seq, row.at_ms, row.payload) for row in await connection.execute(query)]


def blocks_of(story: Story, plan: SeatingPlan) -> tuple[list[Block], SeatingPlan]:
    """A schedule's blocks, oldest first, and the plan that numbers their places: the one in force.

    `plan` is the one that the schedule was opened with. Of a standing area those blocked last are unblocked first.
    """
    told: dict[int, tuple[int, Blocked]] = {}
    blocked_by: defaultdict[int, list[int]] = defaultdict(list)  # seat → versions that blocked it
    for seq, at_ms, payload in story:
        event = decode_event(payload)
        if isinstance(event, Blocked):
            told[seq] = (at_ms, event)
            for seat in event.seats:
                blocked_by[seat].append(seq)
        elif isinstance(event, Unblocked):
            for seat in event.seats:
                if blocked_by[seat]:
                    blocked_by[seat].pop()
        elif isinstance(event, PlanChanged):
            before, plan = plan, plan.numbered(event.plan_number)
            to, there = renumbering(before, plan), len(plan.zone_of)
            carried = {to[seat]: versions for seat, versions in blocked_by.items() if to[seat] < there}
            blocked_by = defaultdict(list, carried)
    left: defaultdict[int, list[int]] = defaultdict(list)
    for seat, versions in blocked_by.items():
        for seq in versions:
            left[seq].append(seat)
    kept = [
        Block(
            version=seq,
            at_ms=told[seq][0],
            seats=tuple(sorted(left[seq])),
            reason=told[seq][1].reason,
            by=told[seq][1].by,
        )
        for seq in sorted(left)
    ]
    return kept, plan
