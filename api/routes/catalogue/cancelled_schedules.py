"""An organizer cancels a performance that will not take place.

From the moment it is answered nothing is sold any more; the background process then ends every booking, batch by batch,
and gives back all that was paid, whatever the refund policy says. How far it has come can be read meanwhile.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response
from msgspec import Struct, structs
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.http.models import EXACT_QUERY, Exact, ScheduleId, Text, rfc3339
from api.http.paging import json_answer
from api.http.problems import Problem, invalid, problem_of, responses
from api.office.dependencies import OfficeOf, Organizer
from api.office.idempotency import TAKES_KEY, request_of
from api.office.office import Office
from api.office.tokens import Account
from api.office.under_way import finished
from api.routes.catalogue.schedules import own_schedule
from api.selling.audit_trail import record
from api.views.booking import described
from engine.commands import CancelSchedule
from engine.refusals import Code, Refusal
from persistence.bookings import cancelled_schedules
from persistence.bookings.cancelled_schedules import ToBeGivenBack
from persistence.catalogue.schedules import ScheduleRow

router = APIRouter(prefix="/v1/organizer", tags=["organizer"])


class WhyCancelled(Exact):
    """Why the performance will not take place. Customers are told."""

    reason: Annotated[Text, Field(min_length=1, max_length=500)]


class ScheduleCancellationView(Struct, frozen=True, kw_only=True):
    """The cancellation of a schedule so far."""

    schedule_id: str
    reason: str
    cancelled_at: str
    finished: bool  # no booking is live and no money is owed any more
    bookings_ended: int  # since the cancellation
    bookings_live: int  # still to be ended; those with a payment under way wait for its outcome
    refunds_pending: int  # not confirmed by the provider yet
    refunds_completed: int
    amount_pending: int  # minor units of `currency`
    amount_refunded: int
    currency: str


class ScheduleCancellationPreview(Struct, frozen=True, kw_only=True):
    """What cancelling the schedule now would end and give back."""

    schedule_id: str
    unpaid: int  # bookings that are held
    paid: int  # bookings that are confirmed, those that cost nothing included
    places: int  # of both
    amount: int  # what was paid for them, minor units of `currency`
    currency: str


PREVIEW_EXAMPLE = {
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "unpaid": 12,
    "paid": 359,
    "places": 804,
    "amount": 30_000_000,
    "currency": "KRW",
}
PROGRESS_EXAMPLE = {
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "reason": "the singer is ill",
    "cancelled_at": "2026-11-22T15:00:00.000+00:00",
    "finished": False,
    "bookings_ended": 200,
    "bookings_live": 171,
    "refunds_pending": 58,
    "refunds_completed": 142,
    "amount_pending": 8_700_000,
    "amount_refunded": 21_300_000,
    "currency": "KRW",
}
REFUSALS = responses("unauthenticated", "forbidden", "schedule_not_found")


@router.post(
    "/schedules/{schedule_id}/cancellation",
    status_code=202,
    summary="Cancel a schedule",
    dependencies=[TAKES_KEY, EXACT_QUERY],
    responses=described(200, ScheduleCancellationPreview, PREVIEW_EXAMPLE, "What it would do: with `preview=true`.")
    | described(
        202, ScheduleCancellationView, PROGRESS_EXAMPLE, "Nothing is sold any more; the bookings are being ended."
    )
    | REFUSALS
    | responses("validation_failed", "idempotency_key_reused", "overloaded"),
)
async def cancel_schedule(
    schedule_id: ScheduleId,
    request: Request,
    account: Organizer,
    office: OfficeOf,
    why: Annotated[WhyCancelled | None, Body(examples=[{"reason": "the singer is ill"}])] = None,
    preview: Annotated[bool, Query(description="Only say what would be given back.")] = False,
) -> Response:
    """Cancels a schedule of one's own for good. Asked again, it answers how far that has come."""
    async with office.reading.connect() as connection:
        row = await own_schedule(connection, schedule_id, account)
        if preview:
            return json_answer(await _preview(connection, row))
    if why is None:
        raise invalid("reason", "is needed: customers are told", "고객에게 안내되므로 필요합니다")
    await finished(_cancel(office, request, account, row, why.reason))
    location = f"/v1/organizer/schedules/{schedule_id}/cancellation"
    return json_answer(await _progress(office, schedule_id), 202, {"Location": location})


async def _preview(connection: AsyncConnection, row: ScheduleRow) -> ScheduleCancellationPreview:
    nothing = ToBeGivenBack(currency=row.currency, unpaid=0, paid=0, places=0, amount=0)
    owed = await cancelled_schedules.would_give_back(connection, row.id) or nothing
    return ScheduleCancellationPreview(schedule_id=row.id, **structs.asdict(owed))


async def _cancel(office: Office, request: Request, account: Account, row: ScheduleRow, reason: str) -> None:
    """The command and its record."""
    request_id, fingerprint = await request_of(request, account)
    command = CancelSchedule(reason, account.role)
    result = await office.gateway.send(row.id, command, request_id=request_id, fingerprint=fingerprint)
    if isinstance(result, Refusal):
        if result.code is Code.SCHEDULE_CANCELLED:
            return
        raise problem_of(result)
    before, after = {"cancelled_at": row.cancelled_at}, {"reason": reason, "version": result.version}
    await record(office, request, account, "schedule.cancelled", f"schedule:{row.id}", before=before, after=after)


@router.get(
    "/schedules/{schedule_id}/cancellation",
    summary="How far the cancellation of a schedule has come",
    responses=described(200, ScheduleCancellationView, PROGRESS_EXAMPLE, "Finished when no money is owed any more.")
    | REFUSALS
    | responses("schedule_not_cancelled"),
)
async def get_schedule_cancellation(schedule_id: ScheduleId, account: Organizer, office: OfficeOf) -> Response:
    """What is ended and given back, and what is left to do."""
    async with office.reading.connect() as connection:
        await own_schedule(connection, schedule_id, account)
    return json_answer(await _progress(office, schedule_id))


async def _progress(office: Office, schedule_id: str) -> ScheduleCancellationView:
    progress = await cancelled_schedules.progress(office.reading, schedule_id)
    if progress is None:
        raise Problem("schedule_not_cancelled")
    return ScheduleCancellationView(
        schedule_id=schedule_id,
        reason=progress.reason,
        cancelled_at=rfc3339(progress.cancelled_at),
        finished=progress.finished,
        bookings_ended=progress.bookings_ended,
        bookings_live=progress.bookings_live,
        refunds_pending=progress.refunds_requested,
        refunds_completed=progress.refunds_completed,
        amount_pending=progress.amount_owed,
        amount_refunded=progress.amount_refunded,
        currency=progress.currency,
    )
