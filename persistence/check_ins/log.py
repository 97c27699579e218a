"""The log of the door: every code that was read, what it was worth at which version, and what was taken back.

One transaction judges a batch; it holds the schedule's lock, so that two phones never let the same place in twice. The
lock is the door's own: no sale waits for it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database.conditions import is_bought
from persistence.database.tables import (
    accounts,
    bookings,
    check_in_undos,
    check_ins,
    performances,
    schedules,
)
from persistence.journal import heads

Result = Literal["admitted", "already_in", "refunded", "replaced", "other_schedule", "not_genuine"]
ADMITTED: Result = "admitted"


class CheckIn(Struct, frozen=True, kw_only=True):
    """A code as it was judged. `answer` is what the door was told, and is told again when the same id comes again."""

    id: str
    schedule_id: str  # where it was read
    booking_id: str | None  # None: not a code of ours
    result: Result
    places: int  # let in; 0 unless admitted
    seat: str | None  # the one place the code was for, and which of several alike; None: for the whole booking
    gate: str | None
    at: datetime  # by the clock of the door
    version: int  # of the schedule, when it was judged
    staff: str  # account:<id> or door:<id>
    answer: dict[str, Any]


class Entry(Struct, frozen=True, kw_only=True):
    """People let in on a booking, and not taken back."""

    booking_id: str
    places: int
    seat: str | None  # as in `CheckIn`
    gate: str | None
    at: datetime


class TicketBooking(Struct, frozen=True, kw_only=True):
    """What the door has to know of a booking."""

    id: str
    schedule_id: str
    status: str
    seats: tuple[str, ...]
    customer_name: str | None
    starts_at: datetime
    title: str
    schedule_cancelled: bool


class Count(Struct, frozen=True, kw_only=True):
    """How often a result was given at a gate, and how many places came in by it."""

    gate: str | None
    result: Result
    codes: int
    places: int


async def lock(connection: AsyncConnection, schedule_id: str) -> int:
    """Keeps the schedule's door to this transaction; the schedule's newest version."""
    door = sa.func.hashtextextended(f"door:{schedule_id}", 0)
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(door)))
    return await heads.version(connection, schedule_id)


async def first_answers(connection: AsyncConnection, ids: Collection[str]) -> dict[str, CheckIn]:
    """What was judged before under these ids."""
    columns = [check_ins.c[name] for name in CheckIn.__struct_fields__]
    rows = await connection.execute(sa.select(*columns).where(check_ins.c.id.in_(ids)))
    return {row.id: CheckIn(**row._mapping) for row in rows}


async def ticket_bookings(connection: AsyncConnection, ids: Collection[str]) -> dict[str, TicketBooking]:
    """These bookings, whichever schedule they are of."""
    rows = await connection.execute(_BOOKINGS.where(bookings.c.id.in_(ids)))
    return {row.id: TicketBooking(**{**row._mapping, "seats": tuple(row.seats)}) for row in rows}


async def paid_bookings(
    connection: AsyncConnection, schedule_id: str, *, after_id: str | None, limit: int
) -> list[TicketBooking]:
    """Bookings of a schedule whose holders may come in, by id."""
    query = _BOOKINGS.where(bookings.c.schedule_id == schedule_id, is_bought).order_by(bookings.c.id).limit(limit)
    if after_id is not None:
        query = query.where(bookings.c.id > after_id)
    rows = await connection.execute(query)
    return [TicketBooking(**{**row._mapping, "seats": tuple(row.seats)}) for row in rows]


async def entries(connection: AsyncConnection, booking_ids: Collection[str]) -> dict[str, list[Entry]]:
    """Who is in on these bookings, oldest first."""
    query = (
        sa.select(*(check_ins.c[name] for name in Entry.__struct_fields__))
        .where(check_ins.c.booking_id.in_(booking_ids), check_ins.c.result == ADMITTED, ~_undone())
        .order_by(check_ins.c.at, check_ins.c.id)
    )
    found: dict[str, list[Entry]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.booking_id, []).append(Entry(**row._mapping))
    return found


async def write(connection: AsyncConnection, judged: Sequence[CheckIn]) -> bool:
    """Appends what was judged; False if another door has used one of the ids at this moment, then undo everything."""
    if not judged:
        return True
    rows = [{name: getattr(each, name) for name in CheckIn.__struct_fields__} for each in judged]
    written = await connection.execute(insert(check_ins).values(rows).on_conflict_do_nothing())
    return bool(written.rowcount == len(rows))


async def find(connection: AsyncConnection, check_in_id: str) -> CheckIn | None:
    """One fact of the log."""
    return (await first_answers(connection, [check_in_id])).get(check_in_id)


async def undo(connection: AsyncConnection, check_in_id: str, *, reason: str, staff: str, at: datetime) -> bool:
    """Takes an admission back; False where it was: once is enough, and the first reason stays."""
    statement = insert(check_in_undos).values(check_in_id=check_in_id, reason=reason, staff=staff, at=at)
    return (await connection.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def counts(connection: AsyncConnection, schedule_id: str) -> list[Count]:
    """What the door did so far, by gate and result; what was taken back is not counted."""
    query = (
        sa.select(
            check_ins.c.gate,
            check_ins.c.result,
            sa.func.count().label("codes"),
            sa.cast(sa.func.sum(check_ins.c.places), sa.BigInteger).label("places"),
        )
        .where(check_ins.c.schedule_id == schedule_id, ~_undone())
        .group_by(check_ins.c.gate, check_ins.c.result)
        .order_by(check_ins.c.gate.nulls_first(), check_ins.c.result)
    )
    return [Count(**row._mapping) for row in await connection.execute(query)]


async def places_sold(connection: AsyncConnection, schedule_id: str) -> int:
    """How many places have an owner who paid: as many may come in."""
    query = sa.select(sa.func.coalesce(sa.func.sum(sa.func.cardinality(bookings.c.seats)), 0)).where(
        bookings.c.schedule_id == schedule_id, is_bought
    )
    return int((await connection.execute(query)).scalar_one())


_BOOKINGS = sa.select(
    bookings.c.id,
    bookings.c.schedule_id,
    bookings.c.status,
    bookings.c.seats,
    accounts.c.name.label("customer_name"),
    schedules.c.starts_at,
    performances.c.title,
    schedules.c.cancelled_at.is_not(None).label("schedule_cancelled"),
).select_from(
    bookings.join(schedules, schedules.c.id == bookings.c.schedule_id)
    .join(performances, performances.c.id == schedules.c.performance_id)
    .outerjoin(accounts, accounts.c.id == bookings.c.customer_id)
)


def _undone() -> sa.Exists:
    return sa.exists().where(check_in_undos.c.check_in_id == check_ins.c.id)
