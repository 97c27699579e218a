"""The same batching as ours, without an actor: each API process gathers requests and gives them to PostgreSQL together.

One transaction carries many bookings: it locks the seats they want that are free, decides in the order of arrival who
gets them, and writes everything in one statement. Several processes still meet at the rows, which are the only truth.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from msgspec import Struct

from loadtest.baselines.app import CURRENCY, Hold, Seat, SeatsTaken
from loadtest.baselines.postgres import event_of, seats_of

GATHER_SECONDS = 0.002  # while a transaction is under way; none when idle
BATCH_LIMIT = 512
UNDER_WAY = 2  # transactions of one process: one decides while the other commits

LOCK = """
SELECT s.schedule_id::text, s.id
  FROM seats s JOIN unnest($1::uuid[], $2::text[]) AS w (schedule_id, id) USING (schedule_id, id)
 WHERE s.state = 'free' ORDER BY s.schedule_id, s.id FOR UPDATE OF s
"""
# Seats of a booking travel as one text, because unnest flattens arrays of arrays.
WRITE = """
WITH taken AS (
    UPDATE seats AS s SET state = 'held', booking_id = w.booking_id
      FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS w (schedule_id, id, booking_id)
     WHERE s.schedule_id = w.schedule_id AND s.id = w.id
), booked AS (
    INSERT INTO bookings (id, schedule_id, customer_id, seats, amount, created_at, expires_at, status, currency)
    SELECT b.id, b.schedule_id, b.customer_id, string_to_array(b.seats, E'\\x1f'), b.amount, b.created_at, b.expires_at,
           'held', $12
      FROM unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::bigint[], $9::timestamptz[], $10::timestamptz[])
        AS b (id, schedule_id, customer_id, seats, amount, created_at, expires_at)
)
INSERT INTO outbox (schedule_id, booking_id, type, payload)
SELECT e.schedule_id, e.booking_id, 'reservation.held', e.payload
  FROM unnest($5::uuid[], $4::uuid[], $11::jsonb[]) AS e (schedule_id, booking_id, payload)
"""


class Waiting(Struct):
    """A request that waits for its transaction. The outcome: the seats that somebody else has; none if booked."""

    hold: Hold
    outcome: asyncio.Future[list[str]]


class Coalescer:
    """Gathers holds; each is answered when the transaction that carries it has committed."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool
        self._queue: list[Waiting] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def seats(self, schedule_id: str) -> dict[str, Seat]:
        return await seats_of(self._pool, schedule_id)

    async def hold(self, hold: Hold) -> None:
        loop = asyncio.get_running_loop()
        waiting = Waiting(hold, loop.create_future())
        self._queue.append(waiting)
        if self._timer is None:
            self._timer = loop.call_later(GATHER_SECONDS if self._under_way else 0, self._send)
        if taken := await waiting.outcome:
            raise SeatsTaken(taken)

    def _send(self) -> None:
        self._timer = None
        if not self._queue or len(self._under_way) >= UNDER_WAY:
            return
        batch, self._queue = self._queue[:BATCH_LIMIT], self._queue[BATCH_LIMIT:]
        task = asyncio.create_task(self._carry_out(batch))
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._timer is None:
            self._send()

    async def _carry_out(self, batch: list[Waiting]) -> None:
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                outcomes = await self._decide(connection, [each.hold for each in batch])
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what each of the requests is answered with
            for each in batch:
                if not each.outcome.done():
                    each.outcome.set_exception(error)
            return
        for each, taken in zip(batch, outcomes, strict=True):
            if not each.outcome.done():  # its client may have gone
                each.outcome.set_result(taken)

    async def _decide(self, connection: Any, holds: list[Hold]) -> list[list[str]]:
        wanted = sorted({(hold.schedule_id, seat) for hold in holds for seat in hold.seats})
        free = {(row[0], row[1]) for row in await connection.fetch(LOCK, *zip(*wanted, strict=True))}
        outcomes, winners = [], []
        for hold in holds:
            taken = [seat for seat in hold.seats if (hold.schedule_id, seat) not in free]
            if not taken:
                free.difference_update((hold.schedule_id, seat) for seat in hold.seats)
                winners.append(hold)
            outcomes.append(taken)
        if winners:
            await connection.execute(WRITE, *columns(winners), CURRENCY)
        return outcomes


def columns(holds: list[Hold]) -> list[list[Any]]:
    """The rows of a batch as `WRITE` takes them."""
    seats = [(hold.schedule_id, seat, hold.id) for hold in holds for seat in hold.seats]
    rows = [
        (h.id, h.schedule_id, h.customer_id, "\x1f".join(h.seats), h.amount, h.created_at, h.expires_at, event_of(h))
        for h in holds
    ]
    return [*map(list, zip(*seats, strict=True)), *map(list, zip(*rows, strict=True))]
