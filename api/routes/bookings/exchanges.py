"""What a booking has instead: other seats of its date, or, while it is not paid for, seats of another date."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response
from pydantic import Field

from api.http.models import BookingId, UuidText
from api.http.paging import json_answer
from api.http.problems import invalid, responses
from api.office.dependencies import CurrentAccount, OfficeOf
from api.office.idempotency import TAKES_KEY, request_of
from api.office.tokens import Account
from api.office.under_way import finished
from api.routes.bookings.bookings import BookingWish, Excluded, check_only_seats
from api.routes.bookings.moves import move
from api.routes.bookings.waiting_room import TAKES_PASS, pass_in
from api.selling import booking_commands as commands
from api.selling import doors
from api.views.booking import HELD_EXAMPLE, BookingView, described, server_time
from engine.booking import Booking
from engine.commands import Change, ChangeBest

router = APIRouter(tags=["bookings"])


class Exchange(BookingWish):
    """Either the `seats` the booking shall have from now on, or the best `quantity` among the free ones and its own;
    with another `schedule_id`, among the free ones of that date.

    Without `category` they are of the one that all its seats have now, where they have one (and the other date has it).
    """

    exclude: Annotated[
        Excluded, Field(description="Any but these; with `quantity`. Its own seats here: others, please.")
    ] = ()
    schedule_id: Annotated[UuidText | None, Field(description="The date that it goes to; without it, it stays.")] = None


EXCHANGES = Body(
    openapi_examples={
        "seats": {"summary": "Named seats", "value": {"seats": ["1F-B-12", "1F-B-13"]}},
        "quantity": {"summary": "The best three", "value": {"quantity": 3}},
        "others": {"summary": "Two others", "value": {"quantity": 2, "exclude": ["1F-A-12", "1F-A-13"]}},
        "date": {
            "summary": "The best two of another date",
            "value": {"schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a012", "quantity": 2},
        },
    }
)
EXCHANGED = described(200, BookingView, HELD_EXAMPLE, "The booking with its new seats; of another date, the new one.")
EXCHANGED[200]["headers"] = {
    "Content-Location": {
        "description": "The booking that is answered, where it went to another date: it has an id of its own there.",
        "schema": {"type": "string"},
    }
}


def _change(wish: Exchange, booking_id: str, account: Account) -> Change | ChangeBest:
    if wish.seats is not None:
        check_only_seats(wish)
        return Change(booking_id, account.id, tuple(wish.seats), account.buys_for_many)
    if wish.quantity is None:
        raise invalid(
            "seats", "name the seats the booking shall have, or how many", "변경할 좌석이나 수량(quantity)을 지정하세요"
        )
    best = (wish.quantity, wish.category, wish.zone, wish.adjacent, wish.exclude)
    return ChangeBest(booking_id, account.id, *best, account.buys_for_many)


@router.patch(
    "/v1/bookings/{booking_id}",
    summary="Exchange seats, or the date",
    dependencies=[TAKES_KEY, TAKES_PASS],
    responses=EXCHANGED
    | responses(
        "unauthenticated",
        "forbidden",
        "queue_pass_required",
        "booking_not_found",
        "schedule_not_found",
        "seats_unavailable",
        "not_enough_seats",
        "customer_limit_reached",
        "sale_not_open",
        "sale_closed",
        "schedule_cancelled",
        "booking_not_changeable",
        "booking_already_cancelled",
        "booking_transferred",
        "booking_expired",
        "payment_in_progress",
        "idempotency_in_progress",
        "validation_failed",
        "unknown_seat",
        "duplicate_seat",
        "unknown_category",
        "unknown_zone",
        "idempotency_key_reused",
        "overloaded",
    ),
)
async def exchange_seats(
    booking_id: BookingId,
    wish: Annotated[Exchange, EXCHANGES],
    request: Request,
    account: CurrentAccount,
    office: OfficeOf,
) -> Response:
    """Exchanges the booking's seats, all or none; the old ones stay the customer's until the new ones are.

    A paid booking can be exchanged for seats of the same total price, unless somebody has come in on it.

    With the `schedule_id` of another date, any that the customer could book, what is not paid for yet goes there: the
    seats are held as by `POST /v1/schedules/{id}/bookings`, for as long, as a booking with an id of its own
    (`Content-Location`), and those of this one are free, which is cancelled then and says where it went (`moved_to`).
    Where its time runs out meanwhile the new seats are the customer's all the same. What is paid for stays: book there,
    pay, then give these seats back.
    """
    where = await commands.find(office, booking_id)
    named = await request_of(request, account)
    if wish.schedule_id not in (None, where.schedule_id):
        view = await finished(move(office, booking_id, wish, wish.schedule_id, account, named, pass_in(request)))
        headers = {"Content-Location": f"/v1/bookings/{view.id}"} | server_time(office.clock.now_ms())
        return json_answer(view, headers=headers)
    command = _change(wish, booking_id, account)
    result = await doors.send_if_bought(office, where.schedule_id, command, account, named)
    if not isinstance(result, Booking):
        raise await commands.refused(office, account, booking_id, where.schedule_id, result)
    return json_answer(await commands.view_of(office, where.schedule_id, result))
