"""Whether seats can be offered to somebody else, and why not."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from api.http.problems import Problem
from engine.booking import BOUGHT
from persistence.bookings import transfers
from persistence.bookings.bookings import BookingRow
from persistence.catalogue import schedules
from persistence.check_ins import log

OPEN_PER_BOOKING = 20


async def possible_until(
    connection: AsyncConnection, booking: BookingRow, status: str, seats: tuple[str, ...], now: datetime
) -> datetime:
    """Until when these seats can be handed on. `status` is the booking's as its customer reads it.

    Raises `Problem("transfer_not_allowed")`, with the reason where it is not that they are promised already.
    """
    if booking.status not in BOUGHT:
        raise Problem("transfer_not_allowed", reason=status)
    schedule = await schedules.schedule(connection, booking.schedule_id)
    if schedule is None:
        raise Problem("transfer_not_allowed")
    if (reason := _why_not(schedule, now)) is not None:
        raise Problem("transfer_not_allowed", reason=reason)
    if (await log.entries(connection, [booking.id])).get(booking.id):
        raise Problem("transfer_not_allowed", reason="checked_in")
    offers = await transfers.lapse(connection, await transfers.open_of(connection, booking.id, now), now)
    under_way = [each for each in offers if each.status in transfers.OPEN]
    promised = Counter(seat for each in under_way for seat in each.seats) + Counter(seats)
    if promised - Counter(booking.seats) or len(under_way) >= OPEN_PER_BOOKING:
        raise Problem("transfer_not_allowed")
    return schedule.starts_at


def _why_not(schedule: schedules.ScheduleRow, now: datetime) -> str | None:
    """Why nobody hands seats of this schedule on, if so."""
    if schedule.cancelled_at is not None:
        return "schedule_cancelled"
    if schedule.starts_at <= now:
        return "begun"
    return None if schedule.transferable else "not_allowed"
