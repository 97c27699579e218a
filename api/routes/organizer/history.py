"""The house at any version: how every seat stood, and the event behind each step to the next.

For the schedule's organizer and admins. Reads the journal and touches no owner; a page has a beginning and the steps
that lead on from it, so that whoever looks moves to and fro without asking again.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.http.models import ScheduleId
from api.http.paging import json_answer
from api.http.problems import responses
from api.office.dependencies import OfficeOf, Organizer
from api.routes.catalogue.schedules import own_schedule
from api.routes.catalogue.seats import Pages
from api.views.booking import described
from api.views.journal import FromVersion, entry
from api.views.seat_forms import two_bits
from engine.events import PlanChanged, Record
from engine.state import ScheduleState, apply
from persistence.journal import history
from persistence.journal.journal import PostgresJournal
from persistence.seats.from_journal import view_of

router = APIRouter(prefix="/v1/organizer", tags=["organizer"])

TOLD_AT_ONCE = 100  # steps, in some two milliseconds
STEPS_LIMIT = 2_000  # a page of them is some 400 kB, and a fifth of that compressed


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Every place at a version: two bits a seat in the layout's order, base64 (0 free, 1 held, 2 sold, 3 blocked), of
    each standing area `[free, held, sold, blocked]`, and who had what."""

    version: int
    seats: str
    areas: list[list[int]]
    bookings: list[HeldView]


class HeldView(msgspec.Struct, frozen=True, kw_only=True):
    """A booking that owned places then: its id, its customer's, and the places by their number in the layout; the
    areas' follow those of the seats."""

    id: str
    customer_id: str
    places: list[int]


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """What happened at a version, and the places that stood differently afterwards; where it changed what a booking
    owns, `places` has all of that."""

    version: int
    at: str
    type: str
    data: dict[str, Any]
    seats: list[list[int]]  # [place in the layout, state]
    areas: list[list[int]]  # [number of the area, free, held, sold, blocked]
    places: list[int] | None  # of `data.booking_id`; null: as before


class HistoryView(msgspec.Struct, frozen=True, kw_only=True):
    """The house before `from_version`, and the steps from there on. `next_version` is where to go on.

    All of it numbers places by one layout, to be had by its digest. Where the house's plan was corrected a page ends,
    and the next one, which begins there, has it behind it.
    """

    schedule_id: str
    layout: str
    newest: int
    before: Moment
    items: list[StepView]
    next_version: int | None


EXAMPLE = {
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "layout": "d210d44b1fb828f67136e952701f937b",
    "newest": 57,
    "before": {"version": 41, "seats": "AAQ…", "areas": [[2000, 0, 0, 0]], "bookings": []},
    "items": [
        {
            "version": 42,
            "at": "2026-11-22T14:00:00.000+00:00",
            "type": "reservation.held",
            "data": {"booking_id": "01a2…", "customer_id": "01a2…", "seats": ["1F-A-12"], "prices": [150_000]},
            "seats": [[11, 1]],
            "areas": [],
            "places": [11],
        }
    ],
    "next_version": 43,
}


@router.get(
    "/schedules/{schedule_id}/history",
    summary="The house at any version, step by step",
    responses=described(200, HistoryView, EXAMPLE, "A beginning, and what led on from it.")
    | responses("unauthenticated", "forbidden", "schedule_not_found", "validation_failed"),
)
async def get_house_history(
    schedule_id: ScheduleId,
    account: Organizer,
    office: OfficeOf,
    pages: Pages,
    from_version: FromVersion = 1,
    limit: Annotated[int, Query(ge=1, le=STEPS_LIMIT, description="How many steps to answer at most.")] = 500,
) -> Response:
    """How every place stood before a version, and what happened from it on. Past the end there are no steps."""
    async with office.reading.connect() as connection:
        newest = (await own_schedule(connection, schedule_id, account)).seq
    plan = await office.plans.opened_with(schedule_id)
    journal = PostgresJournal(office.pool)
    first = min(from_version, newest + 1)
    state = await history.state_at(journal, schedule_id, plan, first - 1)
    while (corrected := await _read(journal, schedule_id, state, 1)) and isinstance(corrected[0].event, PlanChanged):
        apply(state, corrected[0])
    state.dirty.clear()
    first = state.seq + 1
    view = view_of(schedule_id, state)
    before = Moment(
        version=view.version,
        seats=b64encode(two_bits(view.states)).decode(),
        areas=[list(each) for each in state.areas],
        bookings=[
            HeldView(id=each.id, customer_id=each.customer_id, places=list(each.seats))
            for each in state.bookings.values()
        ],
    )
    items: list[StepView] = []
    last = min(newest, first - 1 + limit)
    while state.seq < last:
        for record in await _read(journal, schedule_id, state, min(history.CHUNK, last - state.seq)):
            if isinstance(record.event, PlanChanged):
                last = state.seq
                break
            apply(state, record)
            items.append(_view(record, state))
            if len(items) % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)  # a sale goes on in this worker
    following = last + 1 if last < newest else None
    layout = (await pages.layout_of(state.plan)).digest
    told = HistoryView(
        schedule_id=schedule_id, layout=layout, newest=newest, before=before, items=items, next_version=following
    )
    return json_answer(told)


async def _read(journal: PostgresJournal, schedule_id: str, state: ScheduleState, limit: int) -> list[Record]:
    records = await journal.read(schedule_id, state.seq, limit)
    await history.know_plans(journal, schedule_id, state, records)
    return records


def _view(record: Record, state: ScheduleState) -> StepView:
    size, changed = state.plan.size, sorted(state.dirty)
    state.dirty.clear()
    booking_id = getattr(record.event, "booking_id", None)
    booking = None if booking_id is None else state.bookings.get(booking_id)
    return StepView(
        **entry(record, state.plan),
        seats=[[place, state.seats[place]] for place in changed if place < size],
        areas=[[place - size, *state.areas[place - size]] for place in changed if place >= size],
        places=None if booking_id is None or not changed else [] if booking is None else list(booking.seats),
    )
