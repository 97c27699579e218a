"""Gives money back: asks the provider for what the schedule's owner has journaled as owed.

The seats are free and the money is owed before anything here runs; what does not succeed here is done by
`actors.money.refunding`, under the same refund's id.
"""

from __future__ import annotations

import logging

from actors.gateway.gateway import Unavailable
from actors.money import refunding
from api.office.office import Office
from engine.payment import RefundStatus
from persistence.bookings import refunds

logger = logging.getLogger(__name__)


async def pay_out(office: Office, refund_id: str) -> None:
    """Has the provider carry the refund out, unless that is known to have happened. May be called again and again."""
    due = await refunds.due(office.reading, refund_id)
    assert due is not None, "a refund that was answered is in the tables"
    if due.row.status is RefundStatus.COMPLETED:
        return
    provider = office.providers.get(due.row.provider)
    if provider is None:
        logger.error("refund %s is left waiting: there is no provider %s", refund_id, due.row.provider)
        return
    try:
        await refunding.pay_out(office.gateway, provider, due)
    except Unavailable:
        logger.warning("the outcome of refund %s is left to refunding, its schedule is unavailable", refund_id)
