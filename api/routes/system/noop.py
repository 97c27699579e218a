"""A route that does nothing, to measure what HTTP itself costs here. Mounted only where `BOXOFFICE_BENCH` is on.

It takes what a booking takes (path, token, body, all of it checked) and answers what a booking answers, so that the
difference between the two is the booking.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from api.http.models import ScheduleId
from api.http.paging import json_answer
from api.office.dependencies import Customer
from api.routes.bookings.bookings import BookingWish
from api.views.booking import HELD_EXAMPLE

router = APIRouter(include_in_schema=False)


@router.post("/v1/schedules/{schedule_id}/noop", status_code=201)
async def do_nothing(schedule_id: ScheduleId, wish: BookingWish, account: Customer) -> Response:
    return json_answer(HELD_EXAMPLE, 201)
