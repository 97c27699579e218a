"""What a booking's customer is told of its schedule: what is played, when and where, and on what terms it was sold.

Deleted ones are found as well: their bookings are still shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.events import Opened, Terms, TermsChanged, decode_event
from persistence.catalogue.schedules import DURATION
from persistence.database.tables import journal, performances, schedules, venues

TERMS = tuple(str(kind.__struct_config__.tag) for kind in (Opened, TermsChanged))


class BookedSchedule(Struct, frozen=True, eq=False, kw_only=True):
    """A schedule as the catalogue says now, and its terms as the journal has them. Itself alone is equal to it."""

    performance_title: str
    performance_title_en: str | None
    starts_at: datetime
    ends_at: datetime
    venue_name: str
    venue_city: str | None
    venue_address: str | None
    time_zone: str  # IANA
    cancelled_at: datetime | None
    waiting_room: bool
    terms: tuple[tuple[int, Terms], ...]  # since when (milliseconds), oldest first

    def promised(self, booked_ms: int) -> int:
        """Which of the terms were in force before a booking of that time was made (as `ScheduleState.policy_of`)."""
        return max(sum([since_ms < booked_ms for since_ms, _ in self.terms]) - 1, 0)

    def moved_for(self, booked_ms: int) -> bool:
        """Whether a booking of that time is from before the start was moved, and was promised all the money back then
        (as `ScheduleState.moved_for`)."""
        if len(self.terms) == 1:
            return False
        pairs = pairwise(self.terms)
        moved = [at_ms for (_, former), (at_ms, terms) in pairs if terms.starts_at_ms != former.starts_at_ms]
        return bool(moved) and booked_ms <= moved[-1] and self.terms[self.promised(booked_ms)][1].refund_when_moved


_SCHEDULES = sa.select(
    schedules.c.id,
    performances.c.title.label("performance_title"),
    performances.c.title_en.label("performance_title_en"),
    schedules.c.starts_at,
    (schedules.c.starts_at + sa.func.make_interval(0, 0, 0, 0, 0, DURATION)).label("ends_at"),
    venues.c.name.label("venue_name"),
    venues.c.city.label("venue_city"),
    venues.c.address.label("venue_address"),
    venues.c.time_zone,
    schedules.c.cancelled_at,
    schedules.c.waiting_room,
).select_from(
    schedules.join(performances, performances.c.id == schedules.c.performance_id).join(
        venues, venues.c.id == schedules.c.venue_id
    )
)


async def booked_schedules(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, BookedSchedule]:
    """These schedules, by id."""
    if not ids:
        return {}
    # The index ix_journal_terms has them: a schedule's journal is thousands of rows.
    query = sa.select(journal.c.schedule_id, journal.c.at_ms, journal.c.payload)
    query = query.where(journal.c.schedule_id.in_(ids), journal.c.type.in_(TERMS)).order_by(journal.c.seq)
    terms: dict[str, list[tuple[int, Terms]]] = {}
    for schedule_id, at_ms, payload in await connection.execute(query):
        event = decode_event(payload)
        assert isinstance(event, (Opened, TermsChanged)), "asked for by type"
        terms.setdefault(schedule_id, []).append((at_ms, event.terms))
    found: dict[str, BookedSchedule] = {}
    for row in await connection.execute(_SCHEDULES.where(schedules.c.id.in_(ids))):
        values = dict(row._mapping)
        schedule_id = str(values.pop("id"))
        found[schedule_id] = BookedSchedule(**values, terms=tuple(terms.get(schedule_id, ())))
    return found
