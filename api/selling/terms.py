"""What selling makes of a schedule's row: terms for its actor, its sale's state, and how a sale is ended for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import msgspec

from api.http.office import House
from api.http.problems import Problem, problem_of
from engine.commands import ChangeTerms
from engine.events import Terms
from engine.refund_policy import RefundStep
from engine.refusals import Refusal
from persistence.catalogue import schedules
from persistence.database.moments import milliseconds

# Clocks of different machines differ by less: within it a sale counts as open.
CLOCKS_DIFFER = timedelta(minutes=1)
ACTORS_AT_ONCE = 4


def terms_of(row: schedules.ScheduleRow) -> Terms:
    """The row as the schedule's actor is told."""
    return Terms(
        currency=row.currency,
        prices=row.prices,
        starts_at_ms=milliseconds(row.starts_at),
        sale_opens_at_ms=0 if row.sale_opens_at is None else milliseconds(row.sale_opens_at),
        sale_closes_at_ms=milliseconds(row.closes_at),
        max_seats_per_customer=row.max_seats_per_customer or 0,
        hold_ms=row.hold_seconds * 1000,
        refund_policy=tuple(RefundStep(**step) for step in row.refund_policy),
    )


async def change_terms(
    house: House, schedule_id: str, terms: Terms, *, request_id: str | None = None, fingerprint: str = ""
) -> None:
    """Lets the schedule's actor sell on other terms; its transaction writes the row. A refusal raises `Problem`."""
    answer = await house.gateway.send(
        schedule_id, ChangeTerms(terms), request_id=request_id or house.clock.new_id(), fingerprint=fingerprint
    )
    if isinstance(answer, Refusal):
        raise problem_of(answer)


@asynccontextmanager
async def end_sales(house: House, rows: Sequence[schedules.ScheduleRow], *, refusal: str) -> AsyncIterator[None]:
    """Closes the sales that are open, so that nobody gets a seat meanwhile; undone if the caller fails.

    Raises `Problem(refusal)` if somebody got one first: after its actor has closed a sale, the tables tell all.
    """
    now = house.now()
    open_sales = [row for row in rows if _may_sell(row, now)]
    closed: list[schedules.ScheduleRow] = []
    places = asyncio.Semaphore(ACTORS_AT_ONCE)

    async def close(row: schedules.ScheduleRow) -> None:
        async with places:
            before = milliseconds(now - CLOCKS_DIFFER)
            await change_terms(house, row.id, msgspec.structs.replace(terms_of(row), sale_closes_at_ms=before))
            closed.append(row)

    try:
        async with asyncio.TaskGroup() as group:
            for row in open_sales:
                group.create_task(close(row))
        async with house.database.connect() as connection:
            for row in closed:
                if await schedules.has_live_bookings(connection, schedule_id=row.id):
                    raise Problem(refusal)
        yield
    except BaseException as error:  # a cancelled request, too, must leave the sales as they were
        await asyncio.gather(*(change_terms(house, row.id, terms_of(row)) for row in closed), return_exceptions=True)
        if isinstance(error, BaseExceptionGroup):
            raise error.exceptions[0] from None
        raise


def _may_sell(row: schedules.ScheduleRow, now: datetime) -> bool:
    opened = row.sale_opens_at is None or row.sale_opens_at <= now + CLOCKS_DIFFER
    return row.cancelled_at is None and opened and row.closes_at > now - CLOCKS_DIFFER
