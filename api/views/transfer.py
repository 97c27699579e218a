"""Seats on their way to somebody else, as either of the two reads it: neither learns the other's address or booking."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from api.http.models import rfc3339
from api.views.booking import CONFIRMED_EXAMPLE, BookedScheduleView, BookedSeat
from persistence.bookings.transfers import Transfer


class TransferView(Struct, frozen=True, kw_only=True):
    """Seats on their way to somebody else. `email` is for whoever offers them, `booking_id` theirs; who takes them
    over has `to_booking_id`, once it is accepted."""

    id: str
    direction: Literal["outgoing", "incoming"]
    status: Literal["offered", "accepting", "accepted", "declined", "withdrawn", "expired"]
    schedule_id: str
    schedule: BookedScheduleView | None
    seats: list[BookedSeat]
    email: str | None
    booking_id: str | None
    to_booking_id: str | None
    created_at: str
    expires_at: str


TRANSFER_EXAMPLE = {
    "id": "01980000-0000-7000-8000-0000000000f1",
    "direction": "outgoing",
    "status": "offered",
    "schedule_id": CONFIRMED_EXAMPLE["schedule_id"],
    "schedule": CONFIRMED_EXAMPLE["schedule"],
    "seats": CONFIRMED_EXAMPLE["seats"],
    "email": "haneul@example.com",
    "booking_id": CONFIRMED_EXAMPLE["id"],
    "to_booking_id": None,
    "created_at": "2026-11-22T14:05:00.000+00:00",
    "expires_at": "2026-11-25T14:05:00.000+00:00",
}


def transfer_view(
    transfer: Transfer,
    account_id: str,
    now: datetime,
    schedule: BookedScheduleView | None,
    seats: Iterable[BookedSeat],
) -> TransferView:
    """The offer as this account reads it. What the seats cost is nobody's business but who paid it."""
    mine = transfer.from_customer_id == account_id
    return TransferView(
        id=transfer.id,
        direction="outgoing" if mine else "incoming",
        status=transfer.status_at(now),  # type: ignore[arg-type]  # one of them
        schedule_id=transfer.schedule_id,
        schedule=schedule,
        seats=[replace(seat, price=0) for seat in seats],
        email=transfer.to_email if mine else None,
        booking_id=transfer.booking_id if mine else None,
        to_booking_id=transfer.to_booking_id if transfer.status == "accepted" and not mine else None,
        created_at=rfc3339(transfer.created_at),
        expires_at=rfc3339(transfer.expires_at),
    )
