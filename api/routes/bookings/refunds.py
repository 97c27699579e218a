"""Refunds: give seats of a paid booking back for money, see what that would come to, and read what became of it.

The schedule's owner decides by the refund policy the booking was made under, frees the seats and journals what is owed,
all at once; only then the provider is asked, with the refund's id as the idempotency key. If it does not answer, the
refund is `pending` and the background process goes on with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response
from msgspec.structs import replace
from pydantic import Field

from api.http.models import EXACT_QUERY, Exact, PaymentId, RefundId
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer
from api.http.problems import Problem, invalid, problem_of, responses
from api.office.dependencies import CurrentAccount, OfficeOf
from api.office.idempotency import TAKES_KEY, request_of
from api.office.office import Office
from api.office.tokens import Account
from api.office.under_way import finished
from api.routes.bookings.bookings import SeatId, SeatIds
from api.routes.bookings.cancellations import Reason
from api.selling import booking_commands as commands
from api.selling import doors
from api.selling.audit_trail import record
from api.selling.paying_out import pay_out
from api.selling.refund_quote import quote
from api.views.booking import REFUNDED_EXAMPLE, Page, RefundedView, described, listed, refunded_view
from api.views.refund import QUOTE_EXAMPLE, REFUND_EXAMPLE, QuoteView, RefundView, refund_row_view
from engine.commands import Refund
from engine.decide import MAX_PLACES_PER_BOOKING, nothing_left
from engine.payment import PaymentStatus
from engine.refusals import Code, Refusal, Why
from persistence.bookings import bookings as rows_of
from persistence.bookings import payments, refunds
from persistence.bookings.payments import PaymentRow
from persistence.bookings.refunds import RefundRow

router = APIRouter(tags=["refunds"])


class RefundWish(Exact):
    """What to give back, and why. Without `seats`, all that are left."""

    seats: SeatIds | None = None
    reason: Reason = ""
    fee_percent: Annotated[
        int | None,
        Field(strict=True, ge=0, le=100, description="Only for admins, who are not bound by the policy; 0 unless set."),
    ] = None


WISHES = Body(
    openapi_examples={
        "everything": {"summary": "All seats", "value": {"reason": "cannot come"}},
        "seats": {"summary": "One of the seats", "value": {"seats": ["1F-A-13"]}},
        "admin": {"summary": "As an admin", "value": {"reason": "row A was flooded", "fee_percent": 0}},
    }
)


def _command(wish: RefundWish, row: PaymentRow, account: Account, refund_id: str) -> Refund:
    seats = tuple(wish.seats or ())
    ids = (row.booking_id, account.id, refund_id, row.payment.id)
    if account.role != "admin":
        if wish.fee_percent is not None:
            raise Problem("forbidden")
        return Refund(*ids, seats, wish.reason, "customer")
    if not wish.reason:
        raise invalid("reason", "an admin must give a reason", "관리자는 사유를 입력해야 합니다")
    return Refund(row.booking_id, "", refund_id, row.payment.id, seats, wish.reason, "admin", wish.fee_percent or 0)


@router.post(
    "/v1/payments/{payment_id}/refunds",
    status_code=201,
    summary="Give seats back",
    dependencies=[TAKES_KEY, EXACT_QUERY],
    responses=described(
        201,
        RefundedView,
        REFUNDED_EXAMPLE,
        "The seats are free again. `pending`: the provider has not confirmed yet; the money is owed all the same.",
    )
    | responses(
        "unauthenticated",
        "forbidden",
        "payment_not_found",
        "not_refundable",
        "already_refunded",
        "validation_failed",
        "unknown_seat",
        "duplicate_seat",
        "idempotency_key_reused",
        "overloaded",
    ),
)
async def refund_payment(
    payment_id: PaymentId,
    request: Request,
    account: CurrentAccount,
    office: OfficeOf,
    wish: Annotated[RefundWish | None, WISHES] = None,
) -> Response:
    """Gives back all seats or some, for their price less the fee of the refund policy they were booked under.

    Not those that somebody may be in on: by the code of the booking that is any of its seats. Seats handed on and
    back are a booking of their own: without `seats` those of the first go; asked again, those of the next.

    An admin may refund any payment, at any time, for any fee, and says why.
    """
    row = await _for_seats(office, await _payment(office, payment_id, account), account, (wish or RefundWish()).seats)
    named = await request_of(request, account)
    command = _command(wish or RefundWish(), row, account, office.clock.new_id())
    return await finished(_refund(office, request, account, row, command, named))


async def _refund(
    office: Office,
    request: Request,
    account: Account,
    row: PaymentRow,
    command: Refund,
    named: tuple[str, str],
) -> Response:
    """From the command to the provider's answer. If this process dies, `actors.money.refunding` goes on."""
    if account.role == "admin":
        booking = await commands.send_named(office, row.schedule_id, command, account, named)
    else:
        leaving, refused = command.seats or None, Problem("not_refundable", reason="checked_in")
        booking = await doors.send(office, row.schedule_id, command, account, named, leaving=leaving, refused=refused)
    if isinstance(booking, Refusal):
        raise await _refused(office, row, booking)
    made = booking.refunds[-1]  # of the moment of the command, also where the request is repeated
    if account.role == "admin":
        facts = {"refund_id": made.id, "amount": made.amount, "fee": made.fee, "reason": made.reason}
        plan = await office.plans.numbered(row.schedule_id, booking.plan_number)
        await record(
            office,
            request,
            account,
            "booking.refunded",
            f"booking:{row.booking_id}",
            before={"payment_id": row.payment.id, "refunded": row.refunded},
            after=facts | {"seats": [plan.ids[index] for index in made.seats]},
        )
    await pay_out(office, made.id)
    refund = await refunds.find(office.reading, made.id)
    now = await rows_of.find_booking(office.reading, row.booking_id, None)
    assert refund is not None, "what was answered is in the tables"
    assert now is not None, "what was answered is in the tables"
    view = refunded_view(refund, await commands.view_of_row(office, now))
    return json_answer(view, 201, {"Location": f"/v1/refunds/{refund.id}"})


async def _payment(office: Office, payment_id: str, account: Account) -> PaymentRow:
    row = await payments.find_payment(office.reading, payment_id, commands.owner_of(account))
    if row is None:
        raise Problem("payment_not_found")
    return row


async def _for_seats(office: Office, row: PaymentRow, account: Account, seats: Sequence[str] | None) -> PaymentRow:
    """The payment as that of the booking that has these seats now: they may have been handed on, and handed back."""
    paid = (row.booking_id, row.payment.id, commands.owner_of(account))
    found = await rows_of.sold_by(office.reading, *paid, tuple(seats or ()))
    return row if found is None else replace(row, booking_id=found)


async def _refused(office: Office, row: PaymentRow, refusal: Refusal) -> Problem:
    """The refusal as a problem; it is about the payment, whose booking the owner may have forgotten."""
    if refusal.code is Code.BOOKING_NOT_FOUND or refusal.reason is Why.HANDED_ON:
        now = await payments.find_payment(office.reading, row.payment.id, None)
        status = None if now is None else now.payment.status
        newest = await refunds.list_refunds(office.reading, payment_id=row.payment.id, limit=1)
        if status is PaymentStatus.REFUNDED and newest:
            refusal = nothing_left(newest[0].amount, newest[0].fee)
        else:  # whoever has ended it otherwise has handed it on, if it was ever paid
            paid = status in (PaymentStatus.APPROVED, PaymentStatus.PARTIALLY_REFUNDED)
            refusal = Refusal(Code.NOT_REFUNDABLE, reason=Why.HANDED_ON if paid else None)
    return problem_of(refusal, await office.plans.of_schedule(row.schedule_id) if refusal.seats else None)


@router.get(
    "/v1/payments/{payment_id}/refund_quote",
    summary="What I would get back",
    responses=described(200, QuoteView, QUOTE_EXAMPLE, "What a refund would come to if it were asked for now.")
    | responses(
        "unauthenticated",
        "forbidden",
        "payment_not_found",
        "not_refundable",
        "already_refunded",
        "validation_failed",
        "unknown_seat",
        "duplicate_seat",
    ),
)
async def quote_refund(
    payment_id: PaymentId,
    account: CurrentAccount,
    office: OfficeOf,
    seats: Annotated[
        list[SeatId] | None,
        Query(max_length=MAX_PLACES_PER_BOOKING, description="As in the refund: repeated once per place."),
    ] = None,
    fee_percent: Annotated[
        int | None, Query(ge=0, le=100, description="Only for admins: by this fee, and not by the policy.")
    ] = None,
) -> Response:
    """Changes nothing; refused where the refund would be. An admin who names no fee is told what the customer would
    get."""
    if fee_percent is not None and account.role != "admin":
        raise Problem("forbidden")
    row = await _for_seats(office, await _payment(office, payment_id, account), account, seats)
    if account.role != "admin":
        async with office.reading.connect() as connection:
            if not await doors.may_leave(connection, row.booking_id, seats or None):
                raise Problem("not_refundable", reason="checked_in")
    story = await refunds.story(office.reading, row.schedule_id, row.booking_id)
    plan = await office.plans.opened_with(row.schedule_id)
    what = (row.booking_id, payment_id, tuple(seats or ()), office.clock.now_ms())
    quoted = await asyncio.to_thread(quote, plan, story, *what, fee_percent)
    if isinstance(quoted, Refusal):
        raise await _refused(office, row, quoted)
    return json_answer(quoted)


@router.get(
    "/v1/payments/{payment_id}/refunds",
    summary="The refunds of a payment",
    responses=listed(RefundView, REFUND_EXAMPLE)
    | responses("unauthenticated", "payment_not_found", "validation_failed"),
)
async def list_refunds(
    payment_id: PaymentId, account: CurrentAccount, office: OfficeOf, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """What was given back of a payment of one's own, newest first."""
    payment = await _payment(office, payment_id, account)
    rows = await refunds.list_refunds(
        office.reading,
        payment_id=payment_id,
        before_id=id_in(cursor),
        limit=limit + 1,
    )
    items: list[Any] = [_told(row, payment, account) for row in rows[:limit]]
    return json_answer(Page(items, encode_cursor(rows[limit - 1].id) if len(rows) > limit else None))


@router.get(
    "/v1/refunds/{refund_id}",
    summary="One of my refunds",
    responses=described(200, RefundView, REFUND_EXAMPLE, "The refund as it is now.")
    | responses("unauthenticated", "refund_not_found"),
)
async def get_refund(refund_id: RefundId, account: CurrentAccount, office: OfficeOf) -> Response:
    """A refund of the caller's own; anybody else's is not found."""
    row = await refunds.find(office.reading, refund_id)
    if row is None or commands.owner_of(account) not in (None, row.customer_id):
        raise Problem("refund_not_found")
    return json_answer(_told(row, await _payment(office, row.payment_id, account), account))


def _told(row: RefundRow, payment: PaymentRow, account: Account) -> RefundView:
    """The refund as whoever it went to reads it: of the booking they paid for, whoever had the seats at last."""
    return refund_row_view(row if account.role == "admin" else replace(row, booking_id=payment.booking_id))
