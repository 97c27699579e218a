"""Ends a booking for whoever runs the house: an unpaid one is cancelled, a paid one given back, whatever its policy.

What is owed stands in the journal before the provider is asked, so nothing is lost if this process dies on the way
(`actors.money.refunding` goes on). Who ordered it, and why, stands in the audit log.
"""

from __future__ import annotations

from fastapi import Request

from api.http.problems import Problem
from api.office.office import Office
from api.office.tokens import Account
from api.selling import booking_commands as commands
from api.selling.audit_trail import record
from api.selling.paying_out import pay_out
from engine.booking import STATUS_NAMES, Booking
from engine.commands import Cancel, Refund
from engine.refusals import Code, Refusal, Why
from persistence.bookings import bookings as rows_of
from persistence.bookings import cancellations
from persistence.bookings.bookings import BookingRow
from persistence.bookings.cancellations import CancellationRow
from persistence.bookings.refunds import RefundRow


async def end_booking(
    office: Office, request: Request, account: Account, row: BookingRow, reason: str, *, refund: bool
) -> tuple[CancellationRow, RefundRow | None]:
    """Ends it and pays out; without `refund` the money is kept. Raises the refusal as a `Problem`."""
    booking = await _ended(office, request, account, row, reason, refund=refund)
    assert booking.ending is not None, "it was ended just now"
    plan = await office.plans.numbered(row.schedule_id, booking.plan_number)
    last = booking.refunds[-1] if booking.refunds and booking.refunds[-1].id == booking.ending.id else None
    money = {} if last is None else {"refund_id": last.id, "amount": last.amount, "fee": last.fee}
    await record(
        office,
        request,
        account,
        "booking.cancelled",
        f"booking:{row.id}",
        before={"status": STATUS_NAMES[row.status], "seats": row.seats},
        after={
            "status": STATUS_NAMES[booking.status],
            "seats": [plan.ids[index] for index in booking.seats],
            "reason": reason,
            **money,
        },
    )
    if last is not None:
        await pay_out(office, last.id)
    cancellation = await cancellations.find_cancellation(office.reading, row.id, None)
    assert cancellation is not None, "what was answered is in the tables"
    (paid_out,) = await commands.refunds_of(office, [cancellation])
    return cancellation, paid_out


async def _ended(
    office: Office, request: Request, account: Account, row: BookingRow, reason: str, *, refund: bool
) -> Booking:
    ending_id = office.clock.new_id()
    # The owner knows whether it is paid. A repeated request is answered by its id, whichever command was accepted.
    cancel = Cancel(row.id, ending_id, "", reason, account.role)
    result = await commands.send(office, row.schedule_id, cancel, request, account)
    if isinstance(result, Refusal) and result.code is Code.BOOKING_PAID:
        now = await rows_of.find_booking(office.reading, row.id, None)
        assert now is not None, "it was found a moment ago"
        assert now.payment is not None, "a paid booking has a payment"
        given_back = Refund(row.id, "", ending_id, now.payment.id, (), reason, account.role, 0 if refund else 100)
        result = await commands.send(office, row.schedule_id, given_back, request, account)
        if isinstance(result, Refusal) and (result.code is Code.ALREADY_REFUNDED or result.reason is Why.KEPT):
            raise Problem("booking_already_cancelled")  # by somebody else, between the two commands
    if isinstance(result, Refusal):
        raise await commands.refused(office, account, row.id, row.schedule_id, result)
    return result
