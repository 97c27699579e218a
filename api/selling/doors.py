"""Seats leave a booking only while nobody is in on them, and nobody comes in while that is decided.

Of somebody who is in, a seat given back would be paid for nothing, and one exchanged be sold to another who then stands
before it.
"""

from __future__ import annotations

import logging

from sqlalchemy.ext.asyncio import AsyncConnection

from actors.gateway.gateway import Unavailable
from api.http.problems import Problem
from api.office.office import Office
from api.office.tokens import Account
from api.office.under_way import finished
from api.selling import booking_commands as commands
from engine.booking import Booking
from engine.commands import AnyCommand
from engine.refusals import Refusal
from persistence.bookings import bookings as rows_of
from persistence.bookings import refunds
from persistence.check_ins import giving_back, log
from persistence.database.away import is_away

logger = logging.getLogger(__name__)


async def may_leave(connection: AsyncConnection, booking_id: str, leaving: int | None) -> bool:
    """Whether no more are in on the booking than are left once so many seats (None: all of them) have gone."""
    inside = sum(each.places for each in (await log.entries(connection, [booking_id])).get(booking_id, []))
    booking = (await log.ticket_bookings(connection, [booking_id]))[booking_id]
    return inside <= (0 if leaving is None else max(0, len(booking.seats) - leaving))


async def shut(
    office: Office, schedule_id: str, booking_id: str, request_id: str, *, leaving: int | None = None
) -> str | None:
    """Has the door let nobody in on the booking until `send` is over; gives the note of it. None where so many may not
    leave.

    Whoever has asked the same before, and asks again as the answer was lost, takes nothing more away.
    """
    note = office.clock.new_id()
    async with office.database.begin() as connection:
        await log.lock(connection, schedule_id)
        if not await may_leave(connection, booking_id, leaving) and not await refunds.was_asked(
            connection, schedule_id, booking_id, request_id
        ):
            return None
        await giving_back.begin(connection, note, booking_id, office.now())
    return note


async def shut_if_bought(
    office: Office, schedule_id: str, booking_id: str, account: Account, request_id: str, *, for_nothing: bool = False
) -> str | None:
    """The same for all seats of a booking, where it is the customer's for good (and cost nothing); None where it isn't.

    Raises `Problem("booking_not_changeable")` where somebody is in.
    """
    if not await rows_of.has_bought(office.pool, booking_id, account.id, for_nothing=for_nothing):
        return None
    note = await shut(office, schedule_id, booking_id, request_id)
    if note is None:
        raise Problem("booking_not_changeable", reason="checked_in")
    return note


async def send(
    office: Office, note: str | None, schedule_id: str, command: AnyCommand, account: Account, named: tuple[str, str]
) -> Booking | Refusal:
    """What `booking_commands.send_named` does; a door that was shut is open again then. By itself it opens after a
    minute."""
    if note is None:
        return await commands.send_named(office, schedule_id, command, account, named)
    return await finished(_send_and_open(office, note, schedule_id, command, account, named))


async def _send_and_open(
    office: Office, note: str, schedule_id: str, command: AnyCommand, account: Account, named: tuple[str, str]
) -> Booking | Refusal:
    left: str | None = note
    try:
        return await commands.send_named(office, schedule_id, command, account, named)
    except Unavailable:
        left = None  # the owner may do it yet: the door stays shut until that is over
        raise
    finally:
        if left is not None:
            await _open(office, left)


async def _open(office: Office, note: str) -> None:
    try:
        await giving_back.end(office.database, note)
    except Exception as error:
        if not is_away(error):
            raise
        logger.warning("the door goes on without a note of who gives back: %r", error)
