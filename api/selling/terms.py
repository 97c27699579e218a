"""What selling makes of a schedule's row: terms for its owner, and how they are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from api.http.problems import problem_of
from api.office.office import Office
from engine.commands import ChangeTerms
from engine.events import Terms, TermsChanged
from engine.refund_policy import Clocks, RefundStep
from engine.refusals import Code, Refusal
from persistence.catalogue import schedules
from persistence.database.moments import milliseconds
from persistence.journal import overruling
from persistence.journal.overruling import Held, Overruled

POLICY_REACHES = timedelta(days=368)  # back from the start, and a day more on either side of the world


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
        transferable=row.transferable,
        clocks=clocks_of(row.time_zone, row.starts_at),
    )


@lru_cache(1_024)
def clocks_of(time_zone: str, starts_at: datetime) -> Clocks:
    """How far the clocks of a zone are ahead of UTC, since when: in the year and a bit that a policy can reach back."""
    zone, day = ZoneInfo(time_zone), timedelta(days=1)
    at = (starts_at - POLICY_REACHES).astimezone(UTC)
    found = [(milliseconds(at), _ahead(at, zone))]
    while at < starts_at:
        if _ahead(at + day, zone) != found[-1][1]:
            moment = _change(at, at + day, zone)
            found.append((milliseconds(moment), _ahead(moment, zone)))
        at += day
    return tuple(found)


def _ahead(at: datetime, zone: ZoneInfo) -> int:
    return (at.astimezone(zone).utcoffset() or timedelta()) // timedelta(minutes=1)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """When, to the minute, the clocks are changed between the two."""
    while after - before > timedelta(minutes=1):
        middle = before + (after - before) / 2
        before, after = (middle, after) if _ahead(middle, zone) == _ahead(before, zone) else (before, middle)
    return after.replace(second=0, microsecond=0)


async def change_terms(
    office: Office, schedule_id: str, before: Terms, after: Terms, *, request_id: str, fingerprint: str
) -> bool:
    """Lets the schedule's owner sell on other terms; its transaction writes the row. Any other refusal is a `Problem`.

    False if `before` is not in force any more: somebody else has changed them, whose change must not be undone.
    """
    command = ChangeTerms(after, before)
    answer = await office.gateway.send(schedule_id, command, request_id=request_id, fingerprint=fingerprint)
    if isinstance(answer, Refusal):
        if answer.code is Code.TERMS_CHANGED:
            return False
        raise problem_of(answer)
    return True


async def move(connection: AsyncConnection, office: Office, held: Held, terms: Terms) -> list[Overruled]:
    """Changes the terms of a schedule whose start moves, past its owner: the calendar is looked at and written in one
    transaction, the caller's. It is told by `withdrawal.announce` when that is committed."""
    return await overruling.write(connection, [held], office.clock.now_ms(), TermsChanged(terms))
