"""What payment providers tell us on their own.

A webhook, however well signed, is only a hint: the payment is looked up at the provider, and that answer is recorded.
So replays, reorderings and inventions change nothing. The message's id is journaled with its effect, in one
transaction.
"""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import Struct

from actors.money.settlement import give_back, settle
from api.http.addresses import address_of
from api.http.models import UUID_FORM
from api.http.paging import json_answer
from api.http.problems import Problem, responses
from api.office.dependencies import OfficeOf
from api.office.office import Office
from api.views.booking import described
from engine.payment import PaymentStatus
from persistence.bookings.payments import PaymentRow, find_payment, find_requested_payment
from persistence.providers.provider import Approved, BadSignature, Unknown, WebhookEvent

logger = logging.getLogger(__name__)
router = APIRouter(tags=["webhooks"])

RECEIVED = {"received": True}


class ReceivedView(Struct, frozen=True):
    """The message need not come again."""

    received: bool


# A payment that has its money, or has given it back, is beyond what a message can change.
OPEN = (PaymentStatus.REQUESTED, PaymentStatus.DECLINED)


@router.post(
    "/v1/webhooks/{provider}",
    summary="A payment provider's message",
    responses=described(200, ReceivedView, RECEIVED, "Received; whatever had to follow has.")
    | responses("bad_signature", "provider_not_found", "dependency_unavailable", "overloaded"),
)
async def receive(provider: str, request: Request, office: OfficeOf) -> Response:
    """Settles the payment that the message is about, if its outcome is still open. Messages about anything else are
    received and left alone. An answer other than 200 asks the provider to send the message again."""
    sender = office.providers.get(provider)
    if sender is None:
        raise Problem("provider_not_found")
    try:
        event = sender.parse_webhook(request.headers, await request.body())
    except BadSignature as error:
        office.limits.strangers_command(address_of(request))  # a provider's own messages are as many as there are
        logger.warning("a webhook of %s is refused: %s", provider, error)
        raise Problem("bad_signature") from error
    row = await _payment_of(office, sender.name, event)
    if row is None or row.payment.provider != sender.name or row.payment.status not in OPEN:
        return json_answer(RECEIVED)
    outcome = await sender.look_up(row.ref)
    if row.payment.status is PaymentStatus.DECLINED:
        if isinstance(outcome, Approved):  # given up, and now the money came after all
            await give_back(office.gateway, row, outcome.reference)
        return json_answer(RECEIVED)
    if outcome is None or isinstance(outcome, Unknown):
        # It says that something happened, and we cannot see it yet.
        raise Problem("dependency_unavailable", retry_after=2)
    # A message that names no payment proves nothing of its id either: it must not stand in the way of a later one.
    request_id = f"{sender.name}:{event.id}" if event.payment_id is not None else ""
    await settle(office.database, office.gateway, row, outcome, request_id=request_id)
    return json_answer(RECEIVED)


async def _payment_of(office: Office, provider: str, event: WebhookEvent) -> PaymentRow | None:
    """The payment of ours that the message is about. A provider that knows bookings only means the one under way."""
    if event.payment_id is not None and UUID_FORM.fullmatch(event.payment_id) is not None:
        return await find_payment(office.reading, event.payment_id, None)
    if event.booking_id is not None and UUID_FORM.fullmatch(event.booking_id) is not None:
        return await find_requested_payment(office.reading, event.booking_id, provider)
    return None
