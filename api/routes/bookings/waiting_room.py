"""The waiting room of a schedule that more people want than there are seats: a place in line, and then a pass.

Where the schedule has one, seats are held with a pass only. A pass is looked at here and nowhere else, and needs no
Redis: whoever is in goes on while the line is away. Whether there is a room is known as it was some seconds ago, like
all that an answer to a hold says of its schedule.
"""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import Depends, Header
from prometheus_client import Counter
from starlette.requests import Request

from api.http.models import rfc3339
from api.http.problems import Problem
from api.office.office import Office
from api.office.tokens import Account
from api.office.under_way import begun
from api.views.queue import QueuePlaceView, queue_place_view
from persistence.bookings import bookings
from persistence.bookings.booked_schedules import BookedSchedule
from persistence.database.moments import rfc3339 as written
from persistence.seats.line import Doors, LineUnavailable, Standing, arrival, at_once

HEADER = "queue-pass"
SHOWN_UP = Counter(
    "boxoffice_queue_looks_total", "Who joined a line or looked at it, by what they were told", ("told",)
)

logger = logging.getLogger(__name__)


async def _described(
    queue_pass: Annotated[
        str | None,
        Header(
            alias="Queue-Pass",
            description="The `pass` of `POST /v1/schedules/{id}/queue`, for a schedule that has a waiting room.",
        ),
    ] = None,
) -> None:
    """Only there to be described: `pass_in` reads the header."""


# Put into `dependencies=[…]` of a route that takes the header, so that its description says so.
TAKES_PASS = Depends(_described)


def pass_in(request: Request) -> str | None:
    """What the request says to have for a pass."""
    return request.headers.get(HEADER)


# --- in line ----------------------------------------------------------------------------------------------------------
async def join(office: Office, schedule_id: str, account: Account) -> QueuePlaceView:
    """The account's place in the schedule's line: the one that it has, or one at the end.

    Raises `Problem` where there is nothing to wait for, and `LineUnavailable`.
    """
    schedule, doors = await _sale(office, schedule_id)
    lot = office.queue_tickets.lot(schedule_id, account.id)
    if _walks_in(schedule, account):
        return _without_waiting(
            office, schedule_id, account, arrival(office.clock.now_ms(), lot, doors.opens_ms), doors
        )
    return _told(office, schedule_id, account, await office.line.join(schedule_id, account.id, lot, doors), doors)


async def look(office: Office, ticket: str, account: Account) -> QueuePlaceView:
    """The place that a ticket of the account's stands for. Raises the same, and `Problem` for any other ticket."""
    place = office.queue_tickets.place_of(ticket, account.id)
    if place is None:
        raise Problem("ticket_not_found")
    schedule, doors = await _sale(office, place.schedule_id)
    if _walks_in(schedule, account):
        return _without_waiting(office, place.schedule_id, account, place.score, doors)
    lot = office.queue_tickets.lot(place.schedule_id, account.id)
    standing = await office.line.look(place.schedule_id, account.id, lot, place.score, doors)
    if standing.ahead is None and standing.pass_ends_ms is None:
        SHOWN_UP.labels("over").inc()
        raise Problem("queue_turn_over", queue_url=queue_url(place.schedule_id))
    return _told(office, place.schedule_id, account, standing, doors)


async def leave(office: Office, ticket: str, account: Account) -> None:
    """Gives the place up, or the turn. Raises the same as `look`, but takes a ticket that is over."""
    place = office.queue_tickets.place_of(ticket, account.id)
    if place is None:
        raise Problem("ticket_not_found")
    await office.line.leave(place.schedule_id, account.id, place.score)


async def _sale(office: Office, schedule_id: str) -> tuple[BookedSchedule, Doors]:
    """The schedule, if its seats can be had now or later, and how people are let in. Raises `Problem`, and
    `UnknownSchedule` where there is none, or none any more: that, and how many places are left, is known at once, what
    else there is to know of it after some seconds."""
    counts = (await office.seat_views.availability(schedule_id)).by_category
    schedule = await office.booked.known(schedule_id)
    if schedule is None:  # it could not be read, which is said now
        schedule = (await office.booked.read([schedule_id]))[schedule_id]
    if schedule.cancelled_at is not None:
        raise Problem("schedule_cancelled", at=rfc3339(schedule.cancelled_at))
    _, terms = schedule.terms[-1]
    if terms.is_closed(office.clock.now_ms()):
        raise Problem("sale_closed", at=written(terms.sale_closes_at_ms))
    left = sum(count.free for name, count in counts.items() if terms.prices.get(name) is not None)
    return schedule, Doors(
        opens_ms=terms.sale_opens_at_ms,
        closes_ms=terms.sale_closes_at_ms,
        admitted_per_second=office.settings.admitted_per_second,
        shopping_at_once=at_once(office.settings.shopping_at_once, left),
    )


def _walks_in(schedule: BookedSchedule, account: Account) -> bool:
    return not schedule.waiting_room or account.buys_for_many


def _without_waiting(office: Office, schedule_id: str, account: Account, score: float, doors: Doors) -> QueuePlaceView:
    """The place of somebody who needs no pass, and gets none: a waiting room may be opened in the next moment."""
    now_ms, flow = office.clock.now_ms(), doors.first_flow
    standing = Standing(now_ms=now_ms, score=score, ahead=None, pass_ends_ms=None, waiting=0, shopping=0, flow=flow)
    return queue_place_view(
        schedule_id, office.queue_tickets.ticket(schedule_id, account.id, score), standing, doors, None
    )


def _told(office: Office, schedule_id: str, account: Account, standing: Standing, doors: Doors) -> QueuePlaceView:
    tickets, ends_ms = office.queue_tickets, standing.pass_ends_ms
    SHOWN_UP.labels("waiting" if ends_ms is None else "admitted").inc()
    queue_pass = None if ends_ms is None else tickets.queue_pass(schedule_id, account.id, ends_ms)
    ticket = tickets.ticket(schedule_id, account.id, standing.score)
    return queue_place_view(schedule_id, ticket, standing, doors, queue_pass)


# --- let in -----------------------------------------------------------------------------------------------------------
def queue_url(schedule_id: str) -> str:
    """Where one joins the schedule's line."""
    return f"/v1/schedules/{schedule_id}/queue"


async def check_pass(
    office: Office, schedule_id: str, account: Account, queue_pass: str | None, named: tuple[str, str]
) -> bool:
    """Whether the account came through a waiting room. Raises `Problem("queue_pass_required")` if it should have.

    A request that was done by a key with a pass is answered again when that is over.
    """
    schedule = await office.booked.known(schedule_id)
    if schedule is None or _walks_in(schedule, account):
        return False
    ends_ms = None if queue_pass is None else office.queue_tickets.pass_ends_ms(queue_pass, schedule_id, account.id)
    if ends_ms is not None and office.clock.now_ms() < ends_ms:
        return True
    request_id, fingerprint = named
    if ends_ms is not None and fingerprint and await bookings.was_done(office.pool, schedule_id, request_id):
        return True
    raise Problem("queue_pass_required", queue_url=queue_url(schedule_id))


def has_seats(office: Office, schedule_id: str, account: Account) -> None:
    """Lets somebody else in for the account, soon: nobody waits for it."""
    begun(_has_seats(office, schedule_id, account))


async def _has_seats(office: Office, schedule_id: str, account: Account) -> None:
    try:
        await office.line.has_seats(schedule_id, account.id)
    except LineUnavailable as error:
        logger.warning("somebody else is let in when a pass ends, not now: %s", error)
