"""What payment providers tell us on their own.

A webhook, however well signed, is only a hint: the payment is looked up at the provider, and that answer is recorded.
So replays, reorderings and inventions change nothing.
"""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request
from fastapi.responses import Response

from actors.settlement import settle
from api.dependencies import HouseOf
from api.models import UUID_FORM
from api.paging import json_answer
from api.problems import Problem, responses
from engine.booking import PaymentStatus
from persistence.bookings import find_payment
from persistence.providers.provider import BadSignature, Unknown

logger = logging.getLogger(__name__)
router = APIRouter(tags=["webhooks"])

RECEIVED = {"received": True}


@router.post(
    "/v1/webhooks/{provider}",
    summary="A payment provider's message",
    responses=responses("bad_signature", "provider_not_found", "dependency_unavailable", "overloaded"),
)
async def receive(provider: str, request: Request, house: HouseOf) -> Response:
    """Settles the payment that the message is about, if its outcome is still open. Messages about anything else are
    received and left alone. An answer other than 200 asks the provider to send the message again."""
    sender = house.providers.get(provider)
    if sender is None:
        raise Problem("provider_not_found")
    try:
        event = sender.parse_webhook(request.headers, await request.body())
    except BadSignature as error:
        logger.warning("a webhook of %s is refused: %s", provider, error)
        raise Problem("bad_signature") from error
    if event.payment_id is None or UUID_FORM.fullmatch(event.payment_id) is None:
        return json_answer(RECEIVED)
    row = await find_payment(house.database, event.payment_id, None)
    if row is None or row.payment.provider != sender.name or row.payment.status is not PaymentStatus.REQUESTED:
        return json_answer(RECEIVED)
    outcome = await sender.look_up(row.payment.id)
    if outcome is None or isinstance(outcome, Unknown):
        # It says that something happened, and we cannot see it yet.
        raise Problem("dependency_unavailable", retry_after=2)
    await settle(house.database, house.gateway, row, outcome)
    return json_answer(RECEIVED)
