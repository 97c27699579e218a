"""Payments: take the money for a held booking, and read what became of it.

Journal first (`RequestPayment`: from there on the hold cannot expire), then the provider with the payment's id as its
idempotency key, then the outcome. A process that dies at any line leaves a payment `pending`, which the same request
sent again, a webhook or settlement brings to its end. The card token goes to the provider and nowhere else.

Where the customer's bank asks them (3-D Secure), the payment is declined, and they pay once more afterwards: so no hold
is kept by somebody who does not come back from their bank.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response
from msgspec import Struct
from pydantic import Field, SecretStr

from actors.gateway.gateway import Unavailable
from actors.money.settlement import settle
from api.http.models import BookingId, Input, PaymentId, PaymentState, UuidText
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer
from api.http.problems import Problem, invalid, responses
from api.office.dependencies import CurrentAccount, OfficeOf
from api.office.idempotency import TAKES_KEY
from api.office.office import Office
from api.office.tokens import Account
from api.office.under_way import finished
from api.routes.bookings.first_outcome import at_outcome
from api.selling import booking_commands as commands
from api.views.booking import (
    PAID_EXAMPLE,
    PAYMENT_EXAMPLE,
    Page,
    PaidView,
    PaymentView,
    described,
    free_of_charge,
    listed,
    paid_view,
    payment_row_view,
    payment_view,
)
from api.views.booking import (
    PAYMENT_STATUS_NAMES as STATUS_NAMES,
)
from engine.booking import Booking
from engine.commands import Confirm, RequestPayment
from engine.payment import PaymentStatus
from engine.refusals import Code
from persistence.bookings import bookings as rows_of
from persistence.bookings import payments, refunds
from persistence.bookings.payments import PaymentRow
from persistence.providers.provider import (
    CHARGE_WINDOW_MS,
    Approved,
    ChargeRequest,
    Confirmation,
    Declined,
    Outcome,
    Unknown,
)

logger = logging.getLogger(__name__)
router = APIRouter(tags=["payments"])

STATUSES = {name: status for status, name in STATUS_NAMES.items()}
FREE = Approved("free")  # the outcome for a booking that costs nothing: no provider need be asked
PENDING_RETRY_SECONDS = 2


class Card(Input):
    """A card, as a token that the provider understands. Card numbers are never sent here."""

    type: Literal["card"]
    token: Annotated[SecretStr, Field(min_length=1, max_length=500)]


class PaymentWish(Input):
    """How to pay. What to pay is the booking's amount; one that costs nothing needs no method."""

    method: Card | None = None


FREE_OF_CHARGE: dict[str, Any] = {"free": {"summary": "A booking that costs nothing", "value": {}}}
METHODS = Body(
    openapi_examples=FREE_OF_CHARGE
    | {
        token: {"summary": summary, "value": {"method": {"type": "card", "token": token}}}
        for token, summary in (
            ("tok_approve", "Sandbox: approved"),
            ("tok_decline_insufficient_funds", "Sandbox: declined, insufficient funds"),
            ("tok_decline_lost_card", "Sandbox: declined, lost card"),
            ("tok_slow", "Sandbox: approved after 3 s"),
            ("tok_timeout_charged", "Sandbox: no answer, but charged"),
            ("tok_timeout_uncharged", "Sandbox: no answer, and not charged"),
        )
    }
)


@router.post(
    "/v1/bookings/{booking_id}/payments",
    status_code=201,
    summary="Pay for a booking",
    dependencies=[TAKES_KEY],
    responses=described(201, PaidView, PAID_EXAMPLE, "Paid; the booking is confirmed.")
    | described(
        202,
        PaidView,
        PAID_EXAMPLE | {"status": "pending", "reference": None, "settled_at": None},
        "The provider has not answered yet: the seats stay held until it has. Read the payment again.",
    )
    | responses(
        "unauthenticated",
        "payment_declined",
        "booking_not_found",
        "booking_expired",
        "booking_already_cancelled",
        "booking_already_paid",
        "payment_in_progress",
        "schedule_cancelled",
        "schedule_not_found",
        "sale_closed",
        "validation_failed",
        "idempotency_key_reused",
        "overloaded",
    ),
)
async def pay(
    booking_id: BookingId,
    request: Request,
    account: CurrentAccount,
    office: OfficeOf,
    wish: Annotated[PaymentWish | None, METHODS] = None,
) -> Response:
    """Charges the booking's amount, once, however often the request is sent with the same `Idempotency-Key`.

    Sent again it has the first outcome, whatever has become of the booking since; after 202 that is what the provider
    has said meanwhile. While the first is still running it is no conflict: the provider, which charges once, answers
    both.

    A card whose customer has to confirm with their bank (3-D Secure) is declined with a `confirmation`: its
    `client_secret` is for the provider's script on the customer's page, and its `token` pays once they have confirmed,
    under an `Idempotency-Key` of its own.
    """
    method = None if wish is None else wish.method
    where = await commands.find(office, booking_id)
    provider = next(iter(office.providers.values()))
    if where.free or method is None:
        free = await commands.send(office, where.schedule_id, Confirm(booking_id, account.id), request, account)
        if isinstance(free, Booking):
            return await _free_of_charge(office, where.schedule_id, free)
        if free.code is not Code.PAYMENT_REQUIRED:  # it has been exchanged for seats that cost something since
            raise await commands.refused(office, account, booking_id, where.schedule_id, free)
    if method is None:
        raise invalid("method", "is needed: the booking costs something", "결제할 금액이 있으므로 필요합니다")
    asked = RequestPayment(booking_id, account.id, office.clock.new_id(), provider.name)
    requested = await commands.send(office, where.schedule_id, asked, request, account)
    if not isinstance(requested, Booking):
        raise await commands.refused(office, account, booking_id, where.schedule_id, requested)
    if requested.payment is None:  # the same request was answered while the booking was free
        return await _free_of_charge(office, where.schedule_id, requested)
    row = PaymentRow(
        payment=requested.payment,
        booking_id=booking_id,
        schedule_id=where.schedule_id,
        customer_id=account.id,
        currency=requested.currency,
    )
    repeated = requested.payment.id != asked.payment_id
    # A customer who hangs up must not stop what happens between the charge and its outcome's being recorded; what a
    # process that dies leaves undone is left to settlement.
    result, confirmation = await finished(_take(office, row, method.token, repeated=repeated))
    return await _answer(office, account, row, result, confirmation)


async def _take(
    office: Office, row: PaymentRow, token: SecretStr, *, repeated: bool
) -> tuple[Booking | PaymentRow, Confirmation | None]:
    """Has the provider take the money and records what came of it: the booking then, or the payment as it stands; and
    what the customer has to confirm before, if that is all that was missing.

    That is the provider the payment was first asked of, whichever takes new ones by now: it may have the money.
    """
    payment = row.payment
    provider = office.providers.get(payment.provider)
    if provider is None:
        logger.error("payment %s is left waiting: there is no provider %s", payment.id, payment.provider)
        return row, None
    if repeated:
        now = await payments.find_payment(office.reading, payment.id, row.customer_id)
        if now is not None and now.payment.status is not PaymentStatus.REQUESTED:
            story = await refunds.story(office.reading, row.schedule_id, row.booking_id)
            plan = await office.plans.opened_with(row.schedule_id)
            return await asyncio.to_thread(at_outcome, plan, story, payment.id) or now, None
    outcome: Outcome | None
    valid_until_ms = payment.requested_ms + CHARGE_WINDOW_MS
    if payment.amount == 0:
        outcome = FREE
    elif office.clock.now_ms() < valid_until_ms:
        charge = ChargeRequest(
            payment_id=payment.id,
            booking_id=row.booking_id,
            amount=payment.amount,
            currency=row.currency,
            token=token.get_secret_value(),
            valid_until_ms=valid_until_ms,
        )
        outcome = await provider.charge(charge)
    else:
        # Too late to charge: settlement may conclude soon that it never happened. What did happen can be asked.
        outcome = await provider.look_up(row.ref)
    if outcome is None or isinstance(outcome, Unknown):
        return row, None
    try:
        settled = await settle(office.database, office.gateway, row, outcome)
    except Unavailable:
        logger.warning("the outcome of payment %s is left to settlement, its schedule is unavailable", payment.id)
        return row, None
    return settled, outcome.confirmation if isinstance(outcome, Declined) else None


async def _answer(
    office: Office,
    account: Account,
    row: PaymentRow,
    result: Booking | PaymentRow,
    confirmation: Confirmation | None,
) -> Response:
    """201, 402 or 202, by what is known of the payment."""
    if isinstance(result, Booking):
        assert result.payment is not None, "a settled payment is part of its booking"
        payment, booking = result.payment, await commands.view_of(office, row.schedule_id, result)
        view = payment_view(payment, row.booking_id, row.currency, result.refunds)
    else:
        payment, view = result.payment, payment_row_view(result)
        found = await rows_of.find_booking(office.reading, row.booking_id, account.id)
        assert found is not None, "a booking with a payment is in the tables"
        booking = await commands.view_of_row(office, found)
    # Money that came after all for a payment given up goes back: to the customer it stays declined.
    if payment.status is PaymentStatus.DECLINED or payment.reason:
        facts: dict[str, object] = {} if confirmation is None else {"confirmation": confirmation}
        facts |= {"payment_id": payment.id, "expires_at": booking.expires_at}
        raise Problem("payment_declined", detail=None, reason=payment.reason, **facts)
    paid, location = paid_view(view, booking), {"Location": f"/v1/payments/{payment.id}"}
    if payment.status is PaymentStatus.REQUESTED:
        return json_answer(paid, 202, location | {"Retry-After": str(PENDING_RETRY_SECONDS)})
    return json_answer(paid, 201, location)


async def _free_of_charge(office: Office, schedule_id: str, booking: Booking) -> Response:
    return json_answer(free_of_charge(await commands.view_of(office, schedule_id, booking)), 201)


class PaymentProviderView(Struct, frozen=True, kw_only=True):
    """Who takes the money: what a page has to know to ask a customer for a method of payment.

    A card goes from the page to the provider, which gives a token for it; the token comes here.
    """

    name: Literal["sandbox", "toss", "stripe"]
    public_key: str | None  # for the provider's own script; null where it needs none, or none was set
    return_url: str  # where the provider sends the customer back to; `{booking_id}` stands for the booking's


PROVIDER_EXAMPLE = {
    "name": "toss",
    "public_key": "test_ck_D5GePWvyJnrK0W0k6q8gLzN97Eoq",
    "return_url": "https://tickets.example.com/b/{booking_id}",
}


@router.get(
    "/v1/payment-provider",
    summary="Who takes the money",
    responses=described(200, PaymentProviderView, PROVIDER_EXAMPLE, "The provider that is charged now."),
)
async def get_payment_provider(office: OfficeOf) -> Response:
    """The provider that is charged, the public key for its script, and where it sends customers back to."""
    settings = office.settings
    keys = {"toss": settings.toss_client_key, "stripe": settings.stripe_publishable_key}
    view = PaymentProviderView(
        name=settings.provider,
        public_key=keys.get(settings.provider) or None,
        return_url=f"{settings.origin}/b/{{booking_id}}",
    )
    return json_answer(view, headers={"Cache-Control": "public, max-age=60"})


@router.get(
    "/v1/payments",
    summary="My payments",
    responses=listed(PaymentView, PAYMENT_EXAMPLE) | responses("unauthenticated", "validation_failed"),
)
async def list_payments(
    account: CurrentAccount,
    office: OfficeOf,
    status: PaymentState | None = None,
    booking_id: Annotated[UuidText | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The caller's own payments, declined attempts included, newest first. What was refunded says how much."""
    rows = await payments.list_payments(
        office.reading,
        customer_id=account.id,
        status=None if status is None else STATUSES[status],
        booking_id=booking_id,
        before_id=id_in(cursor),
        limit=limit + 1,
    )
    items = [payment_row_view(row) for row in rows[:limit]]
    return json_answer(Page(items, encode_cursor(rows[limit - 1].payment.id) if len(rows) > limit else None))


@router.get(
    "/v1/payments/{payment_id}",
    summary="One of my payments",
    responses=described(200, PaymentView, PAYMENT_EXAMPLE, "The payment as it is now.")
    | responses("unauthenticated", "payment_not_found"),
)
async def get_payment(payment_id: PaymentId, account: CurrentAccount, office: OfficeOf) -> Response:
    """A payment of the caller's own; anybody else's is not found."""
    row = await payments.find_payment(office.reading, payment_id, account.id)
    if row is None:
        raise Problem("payment_not_found")
    return json_answer(payment_row_view(row))
