"""Schedules as clients see them: the row, where its sale stands, and what is left of its seats.

Seats are counted without waking the schedule's owner; a count that cannot be had is shown as null rather than failing a
list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from actors.gateway.gateway import Unavailable
from actors.seats.copies import CategoryCount
from api.http.models import Output, Timestamp
from api.office.office import Office
from engine.seating_plan import SeatingPlan
from persistence.catalogue import schedules
from persistence.journal.journal import UnknownSchedule

VIEWS_AT_ONCE = 8


class Sale(Output):
    """Where the sale stands: `scheduled`, `on_sale`, `closed`, `ended` with the performance; or `cancelled`."""

    state: str
    opens_at: Timestamp | None
    closes_at: Timestamp


class RefundStepView(Output):
    """Until the end of the day so many days before (0: until the start) a seat given up costs so much of its price."""

    days_before: int
    fee_percent: int


class ScheduleView(Output):
    """A schedule. `seats_left` counts free places per category, `capacity` those that are free, held or sold; both with
    standing room, by the plan that it is sold by now. Places that are blocked, or without a price, count for neither.
    Both are null while they cannot be counted.

    Times are instants; `time_zone` (IANA) is the venue's, and says which day and hour it is there.

    `refund_policy` holds for bookings made from now on, from its first step to its last; empty: paid seats are final.
    """

    id: str
    performance_id: str
    performance_title: str
    performance_title_en: str | None
    venue_id: str
    venue_name: str
    venue_city: str | None
    time_zone: str
    starts_at: Timestamp
    ends_at: Timestamp
    currency: str
    prices: dict[str, int | None]
    sale: Sale
    seats_left: dict[str, int] | None
    capacity: dict[str, int] | None
    sale_opens_at: Timestamp | None
    sale_closes_at: Timestamp | None
    max_seats_per_customer: int | None
    hold_seconds: int
    waiting_room: bool
    refund_policy: list[RefundStepView]
    refund_when_moved: bool
    transferable: bool
    cancelled_at: Timestamp | None
    cancellation_reason: str | None
    created_at: Timestamp
    updated_at: Timestamp


class CreatedSchedule(ScheduleView):
    """The (first) schedule that was created. `recurring` holds those of the further dates."""

    recurring: list[ScheduleView]


class SchedulePage(Output):
    """One page of schedules, by start."""

    items: list[ScheduleView]
    next_cursor: str | None


MADE = ("ends_at", "sale", "seats_left", "capacity", "refund_policy")
COPIED = tuple(name for name in ScheduleView.model_fields if name not in MADE)


def sale_state(row: schedules.ScheduleRow, now: datetime) -> str:
    """`scheduled` → `on_sale` → `closed` → `ended`; `cancelled` for good."""
    if row.cancelled_at is not None:
        return "cancelled"
    if now >= row.starts_at + timedelta(minutes=row.duration_minutes):
        return "ended"
    if row.is_closed(now):
        return "closed"
    if row.sale_opens_at is not None and now < row.sale_opens_at:
        return "scheduled"
    return "on_sale"


ByCategory = Mapping[str, CategoryCount]


def untouched(plan: SeatingPlan) -> ByCategory:
    """The places of a house in which nobody has ever asked for one, by category."""
    return {name: CategoryCount(places, places, 0, 0, 0) for name, places in plan.capacities().items()}


def schedule_view(row: schedules.ScheduleRow, counts: ByCategory | None, now: datetime) -> ScheduleView:
    """A schedule as it is at this moment; `counts` by category, None where they cannot be had."""
    for_sale = None
    if counts is not None:
        none = CategoryCount(0, 0, 0, 0, 0)
        for_sale = {name: none if row.prices.get(name) is None else count for name, count in counts.items()}
    return ScheduleView(
        **{name: getattr(row, name) for name in COPIED},
        ends_at=row.starts_at + timedelta(minutes=row.duration_minutes),
        sale=Sale(state=sale_state(row, now), opens_at=row.sale_opens_at, closes_at=row.closes_at),
        seats_left=None if for_sale is None else {name: count.free for name, count in for_sale.items()},
        capacity=None if for_sale is None else {name: count.capacity for name, count in for_sale.items()},
        refund_policy=[RefundStepView(**step) for step in row.refund_policy],
    )


async def schedule_views(office: Office, rows: Sequence[schedules.ScheduleRow]) -> list[ScheduleView]:
    """These schedules with what is left of each, so many looked up at a time; what cannot be counted is null."""
    places = asyncio.Semaphore(VIEWS_AT_ONCE)
    of_plans: dict[tuple[str, int], ByCategory] = {}

    async def counts_of(row: schedules.ScheduleRow) -> ByCategory | None:
        if row.seq == 1:  # nobody has ever asked for a seat: nothing to look up
            which = (row.venue_id, row.plan_number)
            if which not in of_plans:
                of_plans[which] = untouched(await office.plans.get(*which))
            return of_plans[which]
        async with places:
            try:
                return (await office.seat_views.availability(row.id)).by_category
            except (Unavailable, UnknownSchedule):
                return None

    counted = await asyncio.gather(*(counts_of(row) for row in rows))
    now = office.now()
    return [schedule_view(row, counts, now) for row, counts in zip(rows, counted, strict=True)]
