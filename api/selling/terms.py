"""What selling makes of a schedule's row: terms for its owner, and how they are changed."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from api.http.office import House
from api.http.problems import problem_of
from engine.commands import ChangeTerms
from engine.events import Terms, TermsChanged
from engine.refund_policy import RefundStep
from engine.refusals import Code, Refusal
from persistence.catalogue import schedules
from persistence.database.moments import milliseconds
from persistence.journal import overruling
from persistence.journal.overruling import Held, Overruled


def terms_of(row: schedules.ScheduleRow) -> Terms:
    """The row as the schedule's owner is told."""
    return Terms(
        currency=row.currency,
        prices=row.prices,
        starts_at_ms=milliseconds(row.starts_at),
        sale_opens_at_ms=0 if row.sale_opens_at is None else milliseconds(row.sale_opens_at),
        sale_closes_at_ms=milliseconds(row.closes_at),
        max_seats_per_customer=row.max_seats_per_customer or 0,
        hold_ms=row.hold_seconds * 1000,
        refund_policy=tuple(RefundStep(**step) for step in row.refund_policy),
        refund_when_moved=row.refund_when_moved,
    )


async def change_terms(
    house: House, schedule_id: str, before: Terms, after: Terms, *, request_id: str, fingerprint: str
) -> bool:
    """Lets the schedule's owner sell on other terms; its transaction writes the row. Any other refusal is a `Problem`.

    False if `before` is not in force any more: somebody else has changed them, whose change must not be undone.
    """
    command = ChangeTerms(after, before)
    answer = await house.gateway.send(schedule_id, command, request_id=request_id, fingerprint=fingerprint)
    if isinstance(answer, Refusal):
        if answer.code is Code.TERMS_CHANGED:
            return False
        raise problem_of(answer)
    return True


async def move(connection: AsyncConnection, house: House, held: Held, terms: Terms) -> list[Overruled]:
    """Changes the terms of a schedule whose start moves, past its owner: the calendar is looked at and written in one
    transaction, the caller's. It is told by `withdrawal.announce` when that is committed."""
    return await overruling.write(connection, [held], house.clock.now_ms(), TermsChanged(terms))
