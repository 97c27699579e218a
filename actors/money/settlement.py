"""Finds payments without an outcome and asks the provider what became of them.

A payment stays `requested` when the worker that asked for it died, the provider did not answer, or a webhook got lost.
Each round looks at every such payment and changes a booking only by commands that the schedule's owner takes once,
whoever sends them and however often: rounds may overlap, stop at any line and run on many machines. Money that turns up
for a payment given up as declined goes back by the same rule (`give_back`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.gateway.gateway import Impossible, Unavailable, Unencodable, UnknownSchedule
from actors.process.clock import Clock
from actors.process.rounds import every
from engine.booking import Booking
from engine.commands import AnyCommand, ApprovePayment, DeclinePayment, ReturnPayment
from engine.payment import PAYMENT_NAMES, PaymentStatus
from engine.refusals import Code, Refusal
from engine.state import Done
from persistence.bookings.payments import PaymentRow, find_payment, unsettled_payments
from persistence.database.away import is_away
from persistence.providers.provider import (
    CLIENT_TIMEOUT_SECONDS,
    NEVER_CHARGED_AFTER_MS,
    Approved,
    Declined,
    Provider,
    Unknown,
)

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0
# Left to the worker that requested the payment until then: twice as long as one call to a provider may take.
OVERDUE_AFTER_MS = int(2 * CLIENT_TIMEOUT_SECONDS * 1000)
BATCH = 200
LOOK_UPS_AT_ONCE = 8

NOT_CHARGED = Declined("not_charged")
FIRST = (0, "00000000-0000-0000-0000-000000000000")  # sorts before every payment


class Sends(Protocol):
    """As much of the gateway as settling needs."""

    async def send(
        self, schedule_id: str, command: AnyCommand, *, request_id: str, fingerprint: str = ""
    ) -> Booking | Done | Refusal:
        """Brings the command to the schedule's owner."""


async def settle(
    database: AsyncEngine, gateway: Sends, row: PaymentRow, outcome: Approved | Declined, *, request_id: str = ""
) -> Booking | PaymentRow:
    """Records what became of a payment. Returns the booking as it is now, or the payment as somebody else settled it.

    May be called any number of times, by the route, the webhook and settlement at once: the first one counts, the
    others are told `payment_already_settled`. So it needs no `request_id`; a webhook gives its own, which is then
    journaled with its effect. Raises what the gateway raises; then nothing is lost, the payment is still in doubt and
    comes up again. A payment that comes back still `requested` could not be settled; that is a bug, and logged as one.
    """
    payment_id = row.payment.id
    command: AnyCommand
    if isinstance(outcome, Approved):
        command = ApprovePayment(row.booking_id, payment_id, outcome.reference)
    else:
        command = DeclinePayment(row.booking_id, payment_id, outcome.reason)
    answer = await gateway.send(row.schedule_id, command, request_id=request_id)
    if isinstance(answer, Booking):
        return answer
    assert isinstance(answer, Refusal), "a payment's outcome concerns a booking"
    if answer.code is Code.IDEMPOTENCY_IN_PROGRESS:
        raise Unavailable("the same message is being recorded")
    # Settled in the meantime, and perhaps followed by a later attempt: the tables tell which way.
    now = await find_payment(database, payment_id, None)
    if now is None or now.payment.status is PaymentStatus.REQUESTED:
        logger.error("payment %s cannot be settled: %s", payment_id, answer.code)
        return row
    taken = now.payment.status is not PaymentStatus.DECLINED
    if isinstance(outcome, Approved) and not taken:
        await give_back(gateway, now, outcome.reference)
    elif taken and isinstance(outcome, Declined):
        logger.critical(
            "payment %s of booking %s: the provider says declined, the journal says %s",
            payment_id,
            row.booking_id,
            PAYMENT_NAMES[now.payment.status],
        )
    return now


# Why a payment that was not given up is not returned.
NOT_GIVEN_UP = {
    PaymentStatus.REQUESTED: Code.PAYMENT_IN_PROGRESS,
    PaymentStatus.APPROVED: Code.PAYMENT_ALREADY_SETTLED,
    PaymentStatus.PARTIALLY_REFUNDED: Code.ALREADY_REFUNDED,
    PaymentStatus.REFUNDED: Code.ALREADY_REFUNDED,
}


async def give_back(gateway: Sends, row: PaymentRow, reference: str) -> Booking | Done | Refusal:
    """Has money that came for a payment given up, or never known here, returned whole.

    The refund's id follows from the payment's, so that however often this is done there is one refund. Refused where
    the payment is not given up here: under way, with its seats, or returned already.
    """
    if row.payment.status is not PaymentStatus.DECLINED:
        return Refusal(NOT_GIVEN_UP[row.payment.status])
    refund_id = str(uuid5(UUID(row.payment.id), "late"))
    command = ReturnPayment(
        booking_id=row.booking_id,
        customer_id=row.customer_id,
        payment_id=row.payment.id,
        amount=row.payment.amount,
        currency=row.currency,
        provider=row.payment.provider,
        reference=reference,
        refund_id=refund_id,
    )
    answer = await gateway.send(row.schedule_id, command, request_id=f"late:{row.payment.id}")
    if isinstance(answer, Refusal):
        logger.info("payment %s is not given back: %s", row.payment.id, answer.code)
    else:
        logger.warning(
            "payment %s came too late for its seats and is given back as refund %s", row.payment.id, refund_id
        )
    return answer


class Settlement:
    """Settles one provider's payments. Holds no state: what is to be done stands in the `payments` table."""

    def __init__(self, database: AsyncEngine, gateway: Sends, provider: Provider, clock: Clock) -> None:
        self._database = database
        self._gateway = gateway
        self._provider = provider
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """A round every few seconds until `stop` is set."""
        await every(INTERVAL_SECONDS, stop, self.run_once, "settlement")

    async def run_once(self) -> int:
        """One round over every overdue payment. Returns how many are settled now."""
        settled = 0
        after = FIRST
        overdue_ms = self._clock.now_ms() - OVERDUE_AFTER_MS
        lanes = asyncio.Semaphore(LOOK_UPS_AT_ONCE)
        while rows := await unsettled_payments(
            self._database, requested_before_ms=overdue_ms, provider=self._provider.name, after=after, limit=BATCH
        ):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(lanes, row)) for row in rows]
            settled += sum(task.result() for task in tasks)
            after = (rows[-1].payment.requested_ms, rows[-1].payment.id)
        return settled

    async def _one(self, lanes: asyncio.Semaphore, row: PaymentRow) -> bool:
        """Settles the payment if its outcome is certain; one payment's trouble is not the next one's."""
        async with lanes:
            now_ms = self._clock.now_ms()  # before asking: a None counts for the moment it was asked
            outcome = await self._provider.look_up(row.ref)
            if outcome is None and now_ms - row.payment.requested_ms >= NEVER_CHARGED_AFTER_MS:
                outcome = NOT_CHARGED
            if outcome is None or isinstance(outcome, Unknown):
                return False
            try:
                result = await settle(self._database, self._gateway, row, outcome)
                logger.info("payment %s settled: %s", row.payment.id, type(outcome).__name__.lower())
                return isinstance(result, Booking) or result.payment.status is not PaymentStatus.REQUESTED
            except Unavailable:
                logger.warning("payment %s put off, its schedule is unavailable", row.payment.id)
            except UnknownSchedule:
                logger.exception("payment %s belongs to a schedule that is not there", row.payment.id)
            except (Impossible, Unencodable):  # whatever the provider has said, the others' payments go on
                logger.critical("what became of payment %s cannot be recorded", row.payment.id, exc_info=True)
            except Exception as error:
                if not is_away(error):
                    raise
                logger.warning("payment %s put off, the database is in trouble: %r", row.payment.id, error)
            return False
