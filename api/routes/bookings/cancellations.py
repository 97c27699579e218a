"""Cancellations: give an unpaid booking's seats back, and read how that came about."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from api.http.models import EXACT_QUERY, BookingId, Exact, Input, Text
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer
from api.http.problems import Problem, responses
from api.office.dependencies import CurrentAccount, OfficeOf
from api.office.idempotency import TAKES_KEY, request_of
from api.selling import booking_commands as commands
from api.selling import doors
from api.views.booking import (
    CANCELLATION_EXAMPLE,
    CancellationView,
    Page,
    cancellation_view,
    described,
    ending_view,
    listed,
)
from engine.booking import Booking
from engine.commands import Cancel
from persistence.bookings import bookings as rows_of
from persistence.bookings import cancellations

router = APIRouter(tags=["cancellations"])

Reason = Annotated[Text, Field(max_length=500)]


class Why(Exact):
    """Why the booking is cancelled, if the customer wants to say."""

    reason: Reason = ""


class Rewording(Input):
    """The reason, put differently."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "A cold"}]})

    reason: Reason


CANCELS = described(201, CancellationView, CANCELLATION_EXAMPLE, "The seats are free again.") | responses(
    "unauthenticated",
    "booking_not_found",
    "booking_already_cancelled",
    "booking_paid",
    "booking_expired",
    "booking_not_changeable",
    "payment_in_progress",
    "overloaded",
)
REASONS = Body(openapi_examples={"reason": {"value": {"reason": "cannot come"}}})


@router.post(
    "/v1/bookings/{booking_id}/cancellation",
    status_code=201,
    summary="Cancel an unpaid booking",
    dependencies=[TAKES_KEY, EXACT_QUERY],
    responses=CANCELS,
)
async def cancel_booking(
    booking_id: BookingId,
    request: Request,
    account: CurrentAccount,
    office: OfficeOf,
    why: Annotated[Why | None, REASONS] = None,
) -> Response:
    """Cancels the booking; its seats are free again at once. A paid one is refunded instead, see `refund_url`; one that
    cost nothing is cancelled before the start, unless somebody has come in on it."""
    where = await commands.find(office, booking_id)
    reason = "" if why is None else why.reason
    command = Cancel(booking_id, office.clock.new_id(), account.id, reason, "customer")
    named = await request_of(request, account)
    # What is bought and cost nothing is cancelled; all else that is bought is refunded.
    result = await doors.send_if_bought(office, where.schedule_id, command, account, named, for_nothing=True)
    if not isinstance(result, Booking):
        raise await commands.refused(office, account, booking_id, where.schedule_id, result)
    return json_answer(ending_view(result, where.schedule_id), 201)


@router.delete(
    "/v1/bookings/{booking_id}",
    status_code=201,
    summary="Cancel an unpaid booking",
    dependencies=[TAKES_KEY, EXACT_QUERY],
    responses=CANCELS,
)
async def delete_booking(
    booking_id: BookingId, request: Request, account: CurrentAccount, office: OfficeOf
) -> Response:
    """The same as `POST …/cancellation` without a reason: a booking leaves a cancellation behind, not a hole."""
    return await cancel_booking(booking_id, request, account, office)


@router.get(
    "/v1/bookings/{booking_id}/cancellation",
    summary="How my booking was cancelled",
    responses=described(200, CancellationView, CANCELLATION_EXAMPLE, "The cancellation.")
    | responses("unauthenticated", "booking_not_found", "cancellation_not_found"),
)
async def get_cancellation(booking_id: BookingId, account: CurrentAccount, office: OfficeOf) -> Response:
    row = await cancellations.find_cancellation(office.reading, booking_id, account.id)
    if row is None:
        raise await _missing(office, booking_id, account)
    (refund,) = await commands.refunds_of(office, [row], account.id)
    return json_answer(cancellation_view(row, refund))


@router.patch(
    "/v1/bookings/{booking_id}/cancellation",
    summary="Put the reason differently",
    responses=described(200, CancellationView, CANCELLATION_EXAMPLE, "The cancellation with its new reason.")
    | responses("unauthenticated", "booking_not_found", "cancellation_not_found", "validation_failed"),
)
async def reword_cancellation(
    booking_id: BookingId, change: Rewording, account: CurrentAccount, office: OfficeOf
) -> Response:
    """Changes the wording of the reason; the journal keeps the one that was given first."""
    row = await cancellations.reword_cancellation(office.database, booking_id, account.id, change.reason)
    if row is None:
        raise await _missing(office, booking_id, account)
    (refund,) = await commands.refunds_of(office, [row], account.id)
    return json_answer(cancellation_view(row, refund))


@router.get(
    "/v1/cancellations",
    summary="My cancellations",
    responses=listed(CancellationView, CANCELLATION_EXAMPLE) | responses("unauthenticated", "validation_failed"),
)
async def list_cancellations(
    account: CurrentAccount, office: OfficeOf, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The caller's own cancellations, newest first."""
    rows = await cancellations.list_cancellations(
        office.reading,
        customer_id=account.id,
        before_id=id_in(cursor),
        limit=limit + 1,
    )
    refunds = await commands.refunds_of(office, rows[:limit], account.id)
    items = [cancellation_view(row, refund) for row, refund in zip(rows[:limit], refunds, strict=True)]
    return json_answer(Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None))


async def _missing(office: OfficeOf, booking_id: str, account: CurrentAccount) -> Problem:
    row = await rows_of.find_booking(office.reading, booking_id, account.id)
    return Problem("booking_not_found" if row is None else "cancellation_not_found")
