"""Seats leave a booking only while nobody is in on them, and nobody comes in while that is decided.

Of somebody who is in, a seat given back would be paid for nothing, and one exchanged be sold to another who then stands
before it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from actors.gateway.gateway import Unavailable
from actors.mail.tickets import seat_of
from api.http.problems import Problem
from api.office.office import Office
from api.office.tokens import Account
from api.office.under_way import finished
from api.selling import booking_commands as commands
from engine.booking import Booking
from engine.commands import Cancel, Change, ChangeBest, Refund
from engine.refusals import Refusal
from persistence.bookings import bookings as rows_of
from persistence.bookings import refunds
from persistence.check_ins import giving_back, log
from persistence.database.away import is_away

logger = logging.getLogger(__name__)

SeatsLeave = Cancel | Change | ChangeBest | Refund


async def may_leave(connection: AsyncConnection, booking_id: str, leaving: Sequence[str] | None) -> bool:
    """Whether nobody can be in on these seats of the booking (None: on any of them).

    Who came in by the code of one seat is on that one. Who came in by the booking's may be on any of its seats, so each
    of them may be taken; of the places of a standing area, which are all alike, as many as there are people.
    """
    inside = (await log.entries(connection, [booking_id])).get(booking_id, [])
    if leaving is None or not inside:
        return not inside
    booking = (await log.ticket_bookings(connection, [booking_id]))[booking_id]
    has, going = Counter(booking.seats), Counter(leaving)
    anywhere = sum(each.places for each in inside if each.seat is None)
    own = Counter(seat_of(each.seat) for each in inside if each.seat is not None)
    return all(max(0, has[seat] - going[seat]) >= min(has[seat], own[seat] + anywhere) for seat in going)


async def send(
    office: Office,
    schedule_id: str,
    command: SeatsLeave,
    account: Account,
    named: tuple[str, str],
    *,
    leaving: Sequence[str] | None = None,
    refused: Problem,
) -> Booking | Refusal:
    """What `booking_commands.send_named` does, of a command by which these seats of a booking (None: all) may leave it;
    the door lets nobody in on the booking until that is decided. Raises `refused` where somebody may be on them.

    Whoever has asked the same before, and asks again as the answer was lost, takes nothing more away.
    """
    return await finished(_send(office, schedule_id, command, account, named, leaving, refused))


async def send_if_bought(
    office: Office,
    schedule_id: str,
    command: SeatsLeave,
    account: Account,
    named: tuple[str, str],
    *,
    for_nothing: bool = False,
) -> Booking | Refusal:
    """The same of all seats, where the booking is somebody's for good (and cost nothing): the account's, or to an
    administrator anybody's. Where it isn't, nobody can be in on it.

    Raises `Problem("booking_not_changeable")` where somebody is in.
    """
    whose = commands.owner_of(account)
    if not await rows_of.has_bought(office.pool, command.booking_id, whose, for_nothing=for_nothing):
        return await commands.send_named(office, schedule_id, command, account, named)
    refused = Problem("booking_not_changeable", reason="checked_in")
    return await send(office, schedule_id, command, account, named, refused=refused)


async def _send(
    office: Office,
    schedule_id: str,
    command: SeatsLeave,
    account: Account,
    named: tuple[str, str],
    leaving: Sequence[str] | None,
    refused: Problem,
) -> Booking | Refusal:
    note, decided = office.clock.new_id(), True
    async with office.database.begin() as connection:
        await log.lock(connection, schedule_id)
        if not await may_leave(connection, command.booking_id, leaving) and not await refunds.was_asked(
            connection, schedule_id, command.booking_id, named[0]
        ):
            raise refused
        await giving_back.begin(connection, note, command.booking_id, office.now())
    try:
        return await commands.send_named(office, schedule_id, command, account, named)
    except Unavailable:
        decided = False  # the owner may do it yet: the door stays shut until that is over, or for a minute
        raise
    finally:
        if decided:
            await _open(office, note)


async def _open(office: Office, note: str) -> None:
    try:
        await giving_back.end(office.database, note)
    except Exception as error:
        if not is_away(error):
            raise
        logger.warning("the door goes on without a note of who gives back: %r", error)
