"""The journal as people read it: seats by their ids, times as times.

A customer reads the story of a booking of their own, which says nothing of anybody else; an admin reads all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Query
from msgspec import Struct

from api.office.office import Office
from api.views.booking import described
from engine.events import Record
from engine.seating_plan import SeatingPlan
from persistence.bookings.bookings import BookingRow
from persistence.database.moments import rfc3339
from persistence.journal.history import read_journal

FromVersion = Annotated[int, Query(ge=1, le=2**62, description="The first version to answer.")]

# Fields of an event that hold plan indexes.
SEAT_FIELDS = ("seats",)
# A customer knows whose booking it is, and which.
OMITTED_FOR_CUSTOMERS = frozenset({"booking_id", "customer_id", "from_booking_id", "to_booking_id"})
# Whoever was handed the seats knows nothing of the money for them.
OMITTED_FOR_TAKERS = OMITTED_FOR_CUSTOMERS | {"payment_id", "refund_id", "amount", "fee"}

STORY_EXAMPLE = {
    "items": [
        {
            "version": 42,
            "at": "2026-11-22T14:00:00.000+00:00",
            "type": "reservation.held",
            "data": {
                "seats": ["1F-A-12", "1F-A-13"],
                "prices": [150_000, 150_000],
                "currency": "KRW",
                "expires_at": "2026-11-22T14:10:00.000+00:00",
            },
        },
        {"version": 45, "at": "2026-11-22T14:03:11.262+00:00", "type": "reservation.confirmed", "data": {}},
    ],
    "next_version": None,
}


class JournalEntryView(Struct, frozen=True, kw_only=True):
    """Something that happened: the event's name, and what it says. Times and seats are told as everywhere else."""

    version: int
    at: str
    type: str
    data: dict[str, Any]


class JournalView(Struct, frozen=True, kw_only=True):
    """A stretch of a journal."""

    items: list[JournalEntryView]
    next_version: int | None


STORY = described(200, JournalView, STORY_EXAMPLE, "In order. `next_version` is where to go on; null at the end.")


def seats_of(record: Record) -> tuple[int, ...]:
    """The plan indexes that the record names."""
    return next((getattr(record.event, name) for name in SEAT_FIELDS if hasattr(record.event, name)), ())


def entry(record: Record, plan: SeatingPlan) -> dict[str, Any]:
    """One record as an admin reads it."""
    data = _plain(record.event)
    for name in SEAT_FIELDS:
        if name in data:
            data[name] = [plan.ids[index] for index in data[name]]
    return {"version": record.seq, "at": rfc3339(record.at_ms), "type": record.event.type_name, "data": data}


def customer_entry(record: Record, plan: SeatingPlan) -> dict[str, Any]:
    """One record as the customer whose booking it is about reads it."""
    return _without(OMITTED_FOR_CUSTOMERS, entry(record, plan))


def taker_entry(record: Record, plan: SeatingPlan) -> dict[str, Any]:
    """One record as the customer reads it who was handed the booking's seats."""
    return _without(OMITTED_FOR_TAKERS, entry(record, plan))


def _without(omitted: frozenset[str], told: dict[str, Any]) -> dict[str, Any]:
    return told | {"data": {name: value for name, value in told["data"].items() if name not in omitted}}


async def story_of(
    office: Office,
    row: BookingRow,
    told: Callable[[Record, SeatingPlan], dict[str, Any]],
    from_version: int,
    limit: int,
) -> dict[str, Any]:
    """One page of all that was ever journaled of a booking."""
    plan_at = await office.plans.at_version(row.schedule_id)
    records = await read_journal(
        office.reading, row.schedule_id, from_version=from_version, booking_id=row.id, limit=limit + 1
    )
    assert records is not None, "a booking's schedule has a journal"
    following = records[limit].seq if len(records) > limit else None
    return {"items": [told(record, plan_at(record.seq)) for record in records[:limit]], "next_version": following}


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return dict(_named(name, getattr(value, name)) for name in value.__struct_fields__)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _named(name: str, value: Any) -> tuple[str, Any]:
    """`expires_ms`, `starts_at_ms` → `expires_at`, `starts_at`; 0 says that there is no such moment."""
    if name == "expires_ms" or name.endswith("_at_ms"):
        return name.removesuffix("_ms").removesuffix("_at") + "_at", rfc3339(value) if value else None
    return name, _plain(value)
