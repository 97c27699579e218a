"""What a schedule has earned: the money its customers paid, what went back, and what is left for its organizer."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter
from fastapi.responses import Response

from api.http.models import ScheduleId, rfc3339
from api.http.paging import json_answer
from api.http.problems import responses
from api.office.dependencies import OfficeOf, Organizer
from api.routes.catalogue.schedules import own_schedule
from api.views.booking import described
from persistence.reconciliation import money

router = APIRouter(prefix="/v1/organizer", tags=["organizer"])


class SettlementView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule's money in minor units. `net` = `gross` - `refunded`; `fees` in it were kept when seats came back."""

    schedule_id: str
    currency: str
    gross: int
    refunded: int  # given back, or owed
    fees: int
    net: int
    as_of: str


EXAMPLE = {
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "currency": "KRW",
    "gross": 12_400_000,
    "refunded": 1_350_000,
    "fees": 150_000,
    "net": 11_050_000,
    "as_of": "2026-11-22T14:05:40.117+00:00",
}


@router.get(
    "/schedules/{schedule_id}/settlement",
    summary="What a schedule has earned",
    responses=described(200, SettlementView, EXAMPLE, "To the minor unit, of this moment.")
    | responses("unauthenticated", "forbidden", "schedule_not_found"),
)
async def get_settlement(schedule_id: ScheduleId, account: Organizer, office: OfficeOf) -> Response:
    """Reckoned from the bookings' own rows, by the very sums that reconciliation holds against the journal."""
    async with office.reading.connect() as connection:
        schedule = await own_schedule(connection, schedule_id, account)
    total, _ = await money.balance(office.pool, schedule_id, 0)
    view = SettlementView(
        schedule_id=schedule_id,
        currency=schedule.currency,
        gross=total.taken,
        refunded=total.refunded,
        fees=total.fees,
        net=total.taken - total.refunded,
        as_of=rfc3339(office.now()),
    )
    return json_answer(view)
