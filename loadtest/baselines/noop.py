"""Nothing at all: the booking route's path, token and body, all checked, and a booking's answer. The limit of FastAPI.

`GET /v1/noop` is the same for reads: no token, a small answer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from fastapi import Depends, FastAPI, Response

from loadtest.baselines.app import NO_TELEMETRY, Customers, Hold, Seat, Wish, answer, view

SEAT = Seat("1F-A-12", "1st floor", "A", "12", "VIP", 150_000)
HOLD = Hold(
    id="0199f3a0-9b1e-7c53-b1f4-6a3d0c5e8f22",
    schedule_id="0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    customer_id="0199f39c-22d2-7a0f-8c8e-51d0c7b9a012",
    seats=[SEAT.id],
    amount=SEAT.price,
    created_at=datetime(2026, 11, 22, 14, 0, tzinfo=UTC),
    expires_at=datetime(2026, 11, 22, 15, 0, tzinfo=UTC),
)
BOOKING = view(HOLD, [SEAT])


def create_noop_app(secret: str) -> FastAPI:
    """Two routes that do nothing: one behind a token and a body, and one that is asked for as it is."""
    app = FastAPI(**NO_TELEMETRY)
    customer = Depends(Customers(secret))

    @app.post("/v1/schedules/{schedule_id}/bookings", status_code=201)
    async def book(schedule_id: UUID, wish: Wish, customer_id: str = customer) -> Response:
        return answer(201, BOOKING, {"Location": f"/v1/bookings/{HOLD.id}"})

    @app.get("/v1/noop")
    async def read() -> Response:
        return answer(200, {"status": "up"})

    return app
