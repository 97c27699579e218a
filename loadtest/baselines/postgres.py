"""The tables of the PostgreSQL baselines, and how they reach them.

A seat is a row with its state; a booking is a row; every booking leaves a row in an outbox, from which events would be
published, in the same transaction. `seats` leaves room in its pages, so that a change of state touches no index.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import msgspec

from loadtest.baselines.app import CURRENCY, Hold, Seat, Store

SCHEMA = """
CREATE TABLE seats (
    schedule_id uuid NOT NULL, id text NOT NULL, zone text NOT NULL, row text NOT NULL, number text NOT NULL,
    category text NOT NULL, price bigint NOT NULL, state text NOT NULL DEFAULT 'free', booking_id uuid,
    PRIMARY KEY (schedule_id, id)
) WITH (fillfactor = 50);
CREATE TABLE bookings (
    id uuid PRIMARY KEY, schedule_id uuid NOT NULL, customer_id uuid NOT NULL, status text NOT NULL,
    seats text[] NOT NULL, amount bigint NOT NULL, currency text NOT NULL,
    created_at timestamptz NOT NULL, expires_at timestamptz
);
CREATE INDEX ON bookings (customer_id, id);
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, schedule_id uuid NOT NULL, booking_id uuid NOT NULL,
    type text NOT NULL, payload jsonb NOT NULL
);
"""
INSERT_BOOKING = """
INSERT INTO bookings (id, schedule_id, customer_id, status, seats, amount, currency, created_at, expires_at)
VALUES ($1, $2, $3, 'held', $4, $5, $6, $7, $8)
"""
INSERT_EVENT = "INSERT INTO outbox (schedule_id, booking_id, type, payload) VALUES ($1, $2, 'reservation.held', $3)"

# A process's connections. The rule of thumb (twice the cores, and one) gives a machine of two cores five; a request
# keeps its connection for six round trips, in most of which PostgreSQL waits for Python, so each of the two processes
# gets twice that. More of them would only wait for each other's locks: 5 to 40 made no difference beyond the noise.
POOL_SIZE = 10

StoreT = TypeVar("StoreT", bound=Store)


async def leave_as_it_is(connection: Any) -> None:
    """A connection carries no session state, so nothing is reset when one goes back: saves a round trip a request."""


@asynccontextmanager
async def pool_of(database_url: str, size: int = POOL_SIZE) -> AsyncIterator[asyncpg.Pool[Any]]:
    """All connections are there from the start, so that the warm-up is not spent on opening them."""
    async with asyncpg.create_pool(database_url, min_size=size, max_size=size, reset=leave_as_it_is) as pool:
        yield pool


def opening(
    store: Callable[[asyncpg.Pool[Any]], StoreT], database_url: str, size: int = POOL_SIZE
) -> Callable[[], Any]:
    """What opens such a store for as long as an application runs."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[StoreT]:
        async with pool_of(database_url, size) as pool:
            yield store(pool)

    return opened


async def seats_of(pool: asyncpg.Pool[Any], schedule_id: str) -> dict[str, Seat]:
    query = "SELECT id, zone, row, number, category, price FROM seats WHERE schedule_id = $1"
    return {row["id"]: Seat(*row) for row in await pool.fetch(query, schedule_id)}


async def book(connection: Any, hold: Hold) -> None:
    """The booking and its event, in the transaction that took the seats."""
    times = (hold.created_at, hold.expires_at)
    await connection.execute(
        INSERT_BOOKING, hold.id, hold.schedule_id, hold.customer_id, hold.seats, hold.amount, CURRENCY, *times
    )
    await connection.execute(INSERT_EVENT, hold.schedule_id, hold.id, event_of(hold))


def event_of(hold: Hold) -> str:
    """What a consumer would be told."""
    return msgspec.json.encode(hold).decode()


async def put_on_sale(connection: asyncpg.Connection[Any], schedule_id: str, seats: Iterable[Seat]) -> None:
    """A schedule's seats, all free, in tables that are as a database that runs for a while has them."""
    columns = ("schedule_id", "id", "zone", "row", "number", "category", "price")
    rows = [(schedule_id, each.id, each.zone, each.row, each.number, each.category, each.price) for each in seats]
    await connection.copy_records_to_table("seats", records=rows, columns=columns)
    await connection.execute("VACUUM ANALYZE seats")


async def booked(connection: asyncpg.Connection[Any], schedule_ids: list[str]) -> dict[str, list[str]]:
    """What the tables say of these schedules: booking → its seats, those that are also marked as its own."""
    query = """
        SELECT b.id::text, array(SELECT s.schedule_id || '/' || s.id FROM seats s
                                  WHERE s.schedule_id = b.schedule_id AND s.id = ANY (b.seats) AND s.booking_id = b.id
                                    AND s.state = 'held') AS seats
          FROM bookings b JOIN outbox o ON o.booking_id = b.id
         WHERE b.schedule_id = ANY ($1::uuid[])
    """
    return {row["id"]: row["seats"] for row in await connection.fetch(query, schedule_ids)}
