"""Bookings: hold seats, read, extend.

Every change is one command to the schedule's owner, answered when it is durable. The hot path, `book`, waits for that
answer and for nothing else; reads come from the tables, which the owner writes in the same transaction.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response
from pydantic import Field

from api.http.large_bodies import LargeBodies, takes_up_to
from api.http.models import BookingId, BookingState, Input, RawText, ScheduleId, UuidText
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer
from api.http.problems import Problem, invalid, problem_of, responses
from api.office.dependencies import CurrentAccount, Customer, OfficeOf
from api.office.idempotency import TAKES_KEY, request_of
from api.office.office import Office
from api.office.tokens import Account
from api.routes.bookings.waiting_room import TAKES_PASS, check_pass, has_seats, pass_in
from api.selling import booking_commands as commands
from api.views.booking import CONFIRMED_EXAMPLE, HELD_EXAMPLE, BookingView, Page, described, listed, server_time
from api.views.journal import STORY, FromVersion, customer_entry, story_of, taker_entry
from engine.booking import Booking
from engine.commands import Extend, HoldBest, HoldSeats
from engine.decide import MAX_PLACES_PER_BOOKING
from persistence.bookings import bookings as rows_of

router = APIRouter(tags=["bookings"], route_class=LargeBodies)

WISH_BYTES = 256 * 1024  # of one for ten thousand seats, which is told how many it may name

SeatId = Annotated[RawText, Field(min_length=1, max_length=200)]
SeatIds = Annotated[
    list[SeatId],
    Field(
        min_length=1,
        max_length=MAX_PLACES_PER_BOOKING,
        description="Seat ids; a standing area's id occurs once per place wanted.",
    ),
]
Name = Annotated[RawText, Field(min_length=1, max_length=200)]
Quantity = Annotated[int, Field(strict=True, ge=1, le=MAX_PLACES_PER_BOOKING)]
Adjacent = Annotated[bool, Field(strict=True, description="Side by side is a must; otherwise it is only preferred.")]
MAX_EXCLUDED = 1_000  # ten times others, of the largest booking
Excluded = Annotated[tuple[SeatId, ...], Field(max_length=MAX_EXCLUDED)]
Number = Annotated[
    RawText | None,
    Query(
        max_length=20,
        description="Only the booking with this number; small letters, spaces and no hyphen will do.",
        examples=["7K3M-Q2XD"],
    ),
]


class BookingWish(Input):
    """Either these `seats`, or the best `quantity` there are. All of them, or none."""

    seats: SeatIds | None = None
    quantity: Quantity | None = None
    category: Annotated[Name | None, Field(description="Only places of this category; with `quantity`.")] = None
    zone: Annotated[Name | None, Field(description="Only places in this zone; with `quantity`.")] = None
    adjacent: Adjacent = False
    exclude: Annotated[
        Excluded, Field(description="Any but these; with `quantity`. So one asks for others than those offered.")
    ] = ()


WISHES = Body(
    openapi_examples={
        "seats": {"summary": "Named seats", "value": {"seats": ["1F-A-12", "1F-A-13"]}},
        "best": {"summary": "The best two", "value": {"quantity": 2}},
        "category": {
            "summary": "Four side by side in one category",
            "value": {"category": "VIP", "quantity": 4, "adjacent": True},
        },
    }
)


def _hold(wish: BookingWish, booking_id: str, account: Account) -> HoldSeats | HoldBest:
    if wish.seats is not None:
        check_only_seats(wish)
        return HoldSeats(booking_id, account.id, tuple(wish.seats), account.buys_for_many)
    if wish.quantity is None:
        raise invalid("seats", "name seats, or give a quantity", "좌석을 지정하거나 수량(quantity)을 입력하세요")
    best = (wish.quantity, wish.category, wish.zone, wish.adjacent, wish.exclude)
    return HoldBest(booking_id, account.id, *best, account.buys_for_many)


def check_only_seats(wish: BookingWish) -> None:
    """Whoever names seats says nothing else of them. Raises a 422 `Problem`."""
    if wish.quantity is not None or wish.category is not None or wish.zone is not None or wish.exclude:
        raise invalid(
            "seats",
            "cannot be combined with quantity, category, zone or exclude: name seats, or let us choose",
            "quantity, category, zone, exclude와 함께 쓸 수 없습니다. 좌석을 지정하거나 수량을 지정하세요",
        )


@router.post(
    "/v1/schedules/{schedule_id}/bookings",
    status_code=201,
    summary="Hold seats",
    dependencies=[TAKES_KEY, TAKES_PASS],
    responses=described(201, BookingView, HELD_EXAMPLE, "The seats are held until `expires_at`.")
    | responses(
        "unauthenticated",
        "forbidden",
        "queue_pass_required",
        "schedule_not_found",
        "seats_unavailable",
        "not_enough_seats",
        "sale_not_open",
        "sale_closed",
        "schedule_cancelled",
        "customer_limit_reached",
        "idempotency_in_progress",
        "validation_failed",
        "unknown_seat",
        "duplicate_seat",
        "unknown_category",
        "unknown_zone",
        "idempotency_key_reused",
        "rate_limited",
        "overloaded",
    ),
)
@takes_up_to(WISH_BYTES)
async def book(
    schedule_id: ScheduleId, wish: Annotated[BookingWish, WISHES], request: Request, account: Customer, office: OfficeOf
) -> Response:
    """Holds the seats named, or the best there are, all or none. Pay before `expires_at` to keep them."""
    view = await hold(office, schedule_id, wish, account, await request_of(request, account), pass_in(request))
    headers = {"Location": f"/v1/bookings/{view.id}"} | server_time(office.clock.now_ms())
    return json_answer(view, 201, headers)


async def hold(
    office: Office,
    schedule_id: str,
    wish: BookingWish,
    account: Account,
    named: tuple[str, str],
    queue_pass: str | None,
) -> BookingView:
    """The booking that the wish leads to, once however often it comes by this request id and fingerprint.

    Raises the refusal as a `Problem`, and what the gateway raises.
    """
    let_in = await check_pass(office, schedule_id, account, queue_pass, named)
    command = _hold(wish, await office.booking_ids.new(office.clock.new_id()), account)
    result = await commands.send_named(office, schedule_id, command, account, named)
    if not isinstance(result, Booking):
        raise problem_of(result, await office.plans.of_schedule(schedule_id) if result.seats else None)
    if let_in:
        has_seats(office, schedule_id, account)
    return await commands.view_of(office, schedule_id, result)


@router.get(
    "/v1/bookings",
    summary="My bookings",
    responses=listed(BookingView, CONFIRMED_EXAMPLE) | responses("unauthenticated", "validation_failed"),
)
async def list_bookings(
    account: CurrentAccount,
    office: OfficeOf,
    status: BookingState | None = None,
    performance_id: Annotated[UuidText | None, Query()] = None,
    schedule_id: Annotated[UuidText | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The caller's own bookings, newest first, but for ended ones that an administrator has put away."""
    rows = await rows_of.list_bookings(
        office.reading,
        customer_id=account.id,
        archived=False,
        now_ms=office.clock.now_ms(),
        status=None if status is None else rows_of.STATUSES[status],
        performance_id=performance_id,
        schedule_id=schedule_id,
        before_id=id_in(cursor),
        limit=limit + 1,
    )
    items = await commands.views_of_rows(office, rows[:limit])
    return json_answer(Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None))


@router.get(
    "/v1/bookings/{booking_id}",
    summary="One of my bookings",
    responses=described(200, BookingView, CONFIRMED_EXAMPLE, "The booking as it is now.")
    | responses("unauthenticated", "booking_not_found"),
)
async def get_booking(booking_id: BookingId, account: CurrentAccount, office: OfficeOf) -> Response:
    """A booking of the caller's own; anybody else's is not found."""
    row = await rows_of.find_booking(office.reading, booking_id, account.id)
    if row is None:
        raise Problem("booking_not_found")
    return json_answer(await commands.view_of_row(office, row), headers=server_time(office.clock.now_ms()))


@router.get(
    "/v1/bookings/{booking_id}/history",
    summary="What happened to my booking",
    responses=STORY | responses("unauthenticated", "booking_not_found", "validation_failed"),
)
async def get_history(
    booking_id: BookingId, account: CurrentAccount, office: OfficeOf, from_version: FromVersion = 1, limit: Limit = 100
) -> Response:
    """All that was ever journaled of a booking of the caller's own: holding, paying, exchanging, giving back."""
    row = await rows_of.find_booking(office.reading, booking_id, account.id)
    if row is None:
        raise Problem("booking_not_found")
    told = customer_entry if row.payer_id in (None, account.id) else taker_entry
    return json_answer(await story_of(office, row, told, from_version, limit))


@router.post(
    "/v1/bookings/{booking_id}/extension",
    status_code=201,
    summary="Hold for longer",
    dependencies=[TAKES_KEY],
    responses=described(201, BookingView, HELD_EXAMPLE, "The booking with its new `expires_at`.")
    | responses(
        "unauthenticated",
        "booking_not_found",
        "booking_not_changeable",
        "booking_already_cancelled",
        "booking_expired",
        "schedule_cancelled",
        "overloaded",
    ),
)
async def extend_hold(booking_id: BookingId, request: Request, account: CurrentAccount, office: OfficeOf) -> Response:
    """Starts the hold's time anew, up to twice the hold time after the booking was made."""
    where = await commands.find(office, booking_id)
    command = Extend(booking_id, account.id)
    result = await commands.send(office, where.schedule_id, command, request, account)
    if not isinstance(result, Booking):
        raise await commands.refused(office, account, booking_id, where.schedule_id, result)
    return json_answer(await commands.view_of(office, where.schedule_id, result), 201)
