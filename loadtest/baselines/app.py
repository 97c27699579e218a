"""The booking route that all baselines share: `POST /v1/schedules/{id}/bookings` in plain FastAPI.

It takes the body and token that ours takes and answers what ours answers; how seats are taken is the `Store`'s affair.
A token is verified once and then recognised, a schedule's seats (which never change) are read once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Protocol
from uuid import UUID

import jwt
import msgspec
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field
from uuid_utils import uuid7

CURRENCY = "KRW"
HOLD_SECONDS = 3600  # longer than a run, as in the schedules we measure of our own
MAX_SEATS = 100
PERFORMANCE_ID = "0199f39b-f0aa-7e44-9a57-2d8d9f3b6c90"


class Seat(Struct, frozen=True):
    """A seat as an answer shows it."""

    id: str
    zone: str
    row: str
    number: str
    category: str
    price: int


class Hold(Struct, frozen=True, kw_only=True):
    """A booking to be made. `seats` are in the order in which they are to be locked."""

    id: str
    schedule_id: str
    customer_id: str
    seats: list[str]
    amount: int
    created_at: datetime
    expires_at: datetime


class SeatsTaken(Exception):
    """Somebody else has these seats; nothing was booked."""

    def __init__(self, seats: list[str]) -> None:
        super().__init__(seats)
        self.seats = seats


class Store(Protocol):
    """Where seats and bookings are kept."""

    async def seats(self, schedule_id: str) -> dict[str, Seat]:
        """The schedule's seats by their ids; none if there is no such schedule."""

    async def hold(self, hold: Hold) -> None:
        """All of the seats, durably, or none: raises `SeatsTaken`."""


SeatId = Annotated[str, Field(min_length=1, max_length=200)]


class Wish(BaseModel):
    """The body, with the members and limits of our own."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    seats: Annotated[list[SeatId], Field(min_length=1, max_length=MAX_SEATS)] | None = None
    quantity: Annotated[int, Field(strict=True, ge=1, le=MAX_SEATS)] | None = None
    category: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    zone: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    adjacent: Annotated[bool, Field(strict=True)] = False


class Customers:
    """A dependency: who asks. Async, so that it costs no thread."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._known: dict[str, tuple[str, float]] = {}

    async def __call__(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        known = self._known.get(token)
        if known is None:
            try:
                claims = jwt.decode(token, self._secret, algorithms=["HS256"], options={"require": ["sub", "exp"]})
            except jwt.InvalidTokenError:
                raise HTTPException(401, "no valid token") from None
            if scheme.lower() != "bearer" or claims.get("role") != "customer":
                raise HTTPException(403, "not a customer's token")
            known = self._known[token] = (claims["sub"], claims["exp"])
        customer_id, expires = known
        if datetime.now(UTC).timestamp() >= expires:
            raise HTTPException(401, "the token has expired")
        return customer_id


class Plans:
    """The seats of schedules, each schedule's read once however many ask."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading: dict[str, asyncio.Task[dict[str, Seat]]] = {}

    async def get(self, schedule_id: str) -> dict[str, Seat]:
        """The schedule's seats by id. Raises `HTTPException` (404) where there is none."""
        if schedule_id not in self._reading:
            self._reading[schedule_id] = asyncio.create_task(self._store.seats(schedule_id))
        seats = await asyncio.shield(self._reading[schedule_id])
        if not seats:
            del self._reading[schedule_id]
            raise HTTPException(404, "no such schedule")
        return seats


# FastAPI would ask on every request whether to trace it; ours does not let it ask either.
NO_TELEMETRY: dict[str, Any] = {"telemetry": {"tracing": False, "metrics": False, "logs": False}, "openapi_url": None}


def create_app(secret: str, open_store: Callable[[], AbstractAsyncContextManager[Store]]) -> FastAPI:
    """The application over a store, which is open while it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_store() as store:
            app.state.store, app.state.plans = store, Plans(store)
            yield

    app = FastAPI(lifespan=lifespan, **NO_TELEMETRY)
    app.state.customers = Customers(secret)
    customer = Depends(app.state.customers)

    @app.post("/v1/schedules/{schedule_id}/bookings", status_code=201)
    async def book(schedule_id: UUID, wish: Wish, request: Request, customer_id: str = customer) -> Response:
        return await booking_of(request, str(schedule_id), wish, customer_id)

    return app


async def booking_of(request: Request, schedule_id: str, wish: Wish, customer_id: str) -> Response:
    """What the route does once the framework has checked what it can."""
    plan = await request.app.state.plans.get(schedule_id)
    wanted = wish.seats or []
    if not wanted or len(set(wanted)) != len(wanted) or not all(seat in plan for seat in wanted):
        raise HTTPException(422, "name seats of this schedule, each once")
    hold = hold_of(schedule_id, customer_id, [plan[seat] for seat in wanted])
    try:
        await request.app.state.store.hold(hold)
    except SeatsTaken as taken:
        return refusal(taken.seats, request.url.path)
    return answer(201, view(hold, [plan[seat] for seat in wanted]), {"Location": f"/v1/bookings/{hold.id}"})


def hold_of(schedule_id: str, customer_id: str, seats: list[Seat]) -> Hold:
    """A new hold of these seats, by the machine's own clock."""
    now = datetime.now(UTC)
    return Hold(
        id=str(uuid7()),
        schedule_id=schedule_id,
        customer_id=customer_id,
        seats=sorted(seat.id for seat in seats),
        amount=sum(seat.price for seat in seats),
        created_at=now,
        expires_at=now + timedelta(seconds=HOLD_SECONDS),
    )


def view(hold: Hold, seats: list[Seat]) -> dict[str, Any]:
    """The booking as our own API shows it."""
    return {
        "id": hold.id,
        "schedule_id": hold.schedule_id,
        "performance_id": PERFORMANCE_ID,
        "status": "held",
        "seats": seats,
        "amount": hold.amount,
        "currency": CURRENCY,
        "created_at": hold.created_at.isoformat(timespec="milliseconds"),
        "expires_at": hold.expires_at.isoformat(timespec="milliseconds"),
        "version": 1,
        "payment": None,
        "refunds": [],
    }


def answer(status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def refusal(seats: list[str], path: str) -> Response:
    """The 409 as our own API words it."""
    problem = {
        "type": "/problems/seats_unavailable",
        "title": "Seats not available",
        "status": 409,
        "detail": "At least one of the seats is held or sold.",
        "instance": path,
        "code": "seats_unavailable",
        "seats": seats,
    }
    return Response(msgspec.json.encode(problem), 409, media_type="application/problem+json")
