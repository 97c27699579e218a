"""Gives back what is owed: has the provider carry a refund out, and records that it did.

A refund is owed from the moment it is journaled; whoever asks the provider for it uses the refund's id as the
idempotency key, and the owner takes its completion once. So the route that made it and this process may both do it,
die at any line, and do it again.
"""

from __future__ import annotations

import asyncio
import logging

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.gateway.gateway import Impossible, Unavailable, Unencodable, UnknownSchedule
from actors.money.settlement import Sends
from actors.process.clock import Clock
from actors.process.rounds import every
from engine.commands import CompleteRefund
from engine.refusals import Refusal
from persistence.bookings import refunds
from persistence.bookings.refunds import DueRefund, RefundRow
from persistence.database.away import is_away
from persistence.database.moments import EPOCH, moment
from persistence.providers.provider import (
    CLIENT_TIMEOUT_SECONDS,
    Provider,
    Refunded,
    RefundOutcome,
    RefundRequest,
    Refused,
)

INTERVAL_SECONDS = 5.0
# Left to whoever requested the refund until then: twice as long as it waits for the provider itself.
OVERDUE_AFTER_MS = int(2 * CLIENT_TIMEOUT_SECONDS * 1000)
BATCH = 200
REFUNDS_AT_ONCE = 8
# A provider that refuses (a closed card, an empty account) is asked again ever less often; an admin can settle the
# refund by other means meanwhile.
REFUSED_AGAIN_MS = (60_000, 300_000, 1_800_000, 3_600_000)

FIRST = (EPOCH, "00000000-0000-0000-0000-000000000000")  # sorts before every refund
REFUNDS = Counter("boxoffice_refunds_total", "Refunds asked of the provider", ("provider", "outcome"))

logger = logging.getLogger(__name__)


async def pay_out(gateway: Sends, provider: Provider, due: DueRefund) -> RefundOutcome:
    """Has the provider give the money back and records it. Raises what the gateway raises; then it is still owed."""
    row = due.row
    outcome = await provider.refund(
        RefundRequest(refund_id=row.id, payment=due.payment, amount=row.amount, reason=row.reason)
    )
    REFUNDS.labels(provider.name, type(outcome).__name__.lower()).inc()
    if isinstance(outcome, Refunded):
        await complete(gateway, row, outcome.reference)
    elif isinstance(outcome, Refused):
        logger.critical("refund %s of payment %s is refused: %s", row.id, row.payment_id, outcome.reason)
    return outcome


async def complete(gateway: Sends, row: RefundRow, reference: str) -> bool:
    """Records that the customer has the money; False if that was known. May be told any number of times."""
    command = CompleteRefund(row.id, row.payment_id, row.amount, row.currency, reference)
    answer = await gateway.send(row.schedule_id, command, request_id="")
    return not isinstance(answer, Refusal)


class Refunding:
    """Carries out one provider's refunds. What is to be done stands in the `refunds` table."""

    def __init__(self, database: AsyncEngine, gateway: Sends, provider: Provider, clock: Clock) -> None:
        self._database = database
        self._gateway = gateway
        self._provider = provider
        self._clock = clock
        self._refused: dict[str, tuple[int, int]] = {}  # refund → how often it was refused, when to ask again

    async def run(self, stop: asyncio.Event) -> None:
        """A round every few seconds until `stop` is set."""
        await every(INTERVAL_SECONDS, stop, self.run_once, "refunding")

    async def run_once(self) -> int:
        """One round over every refund that is owed. Returns how many are completed now."""
        completed = 0
        after = FIRST
        before = moment(self._clock.now_ms() - OVERDUE_AFTER_MS)
        lanes = asyncio.Semaphore(REFUNDS_AT_ONCE)
        while rows := await refunds.unsettled(
            self._database, requested_before=before, provider=self._provider.name, after=after, limit=BATCH
        ):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(lanes, due)) for due in rows]
            completed += sum(task.result() for task in tasks)
            after = refunds.place_of(rows[-1])
        return completed

    async def _one(self, lanes: asyncio.Semaphore, due: DueRefund) -> bool:
        """Carries the refund out; one refund's trouble is not the next one's."""
        refund_id = due.row.id
        times, again_ms = self._refused.get(refund_id, (0, 0))
        if self._clock.now_ms() < again_ms:
            return False
        async with lanes:
            try:
                outcome = await pay_out(self._gateway, self._provider, due)
            except (Unavailable, UnknownSchedule) as error:
                logger.warning("refund %s put off, its schedule is unavailable: %r", refund_id, error)
                return False
            except (Impossible, Unencodable):  # whatever the provider has said, the others' refunds go on
                logger.critical("what became of refund %s cannot be recorded", refund_id, exc_info=True)
                return False
            except Exception as error:
                if not is_away(error):
                    raise
                logger.warning("refund %s put off, the database is in trouble: %r", refund_id, error)
                return False
        if isinstance(outcome, Refused):
            pause_ms = REFUSED_AGAIN_MS[min(times, len(REFUSED_AGAIN_MS) - 1)]
            self._refused[refund_id] = (times + 1, self._clock.now_ms() + pause_ms)
        else:
            self._refused.pop(refund_id, None)
            logger.info("refund %s: %s", refund_id, type(outcome).__name__.lower())
        return isinstance(outcome, Refunded)
