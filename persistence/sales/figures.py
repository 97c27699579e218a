"""The sales projection: places and money of each schedule, by category and by the minute in which it happened.

Follows from the events alone, so it can be thrown away and made again; `checksum` tells whether two makings agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from persistence.database.pools import Connection

# How far a schedule has been counted. Its first record opens it and holds nothing to count, whether or not it was seen.
POSITION = "greatest(coalesce(p.version, 0), 1)"
FIGURES = ("held", "expired", "cancelled", "sold", "refunded", "revenue", "fees")


class LiveBooking(Struct):
    """What has to be known of a booking to tell what the next event about it changes."""

    sold: bool
    places: list[tuple[str, str, int]]  # id, category, price


class Figures(Struct, frozen=True, kw_only=True):
    """Counts of places, and money in minor units of the schedule's currency."""

    held: int = 0  # places taken into a booking
    expired: int = 0  # of them, given up by running out of time
    cancelled: int = 0  # of them, given up before they were paid for
    sold: int = 0
    refunded: int = 0  # places given back after they had been sold
    revenue: int = 0  # prices of places sold, less those of places given back
    fees: int = 0  # kept when places were given back

    def __add__(self, other: Figures) -> Figures:
        return Figures(**{name: getattr(self, name) + getattr(other, name) for name in FIGURES})


class SalesRow(Struct, frozen=True):
    """A schedule's figures for one category and minute."""

    category: str
    minute: datetime
    figures: Figures


class ScheduleSales(Struct, frozen=True, kw_only=True):
    """A schedule's sales, and how far they have come."""

    schedule_id: str
    starts_at: datetime
    time_zone: str  # the venue's, IANA
    currency: str
    cancelled: bool
    version: int  # the journal's
    up_to_version: int  # the projection's
    rows: list[SalesRow]


class Curve(Struct, frozen=True, kw_only=True):
    """One schedule's figures over time, and how far they have come."""

    version: int  # the journal's
    up_to_version: int  # the projection's
    by_category: dict[str, Figures]  # of all time
    rows: list[SalesRow]  # by category and `Unit`, whose beginning stands for `minute`


Unit = Literal["minute", "hour", "day"]


async def live_bookings(connection: Connection, booking_ids: Iterable[str]) -> dict[str, LiveBooking]:
    """Those of the bookings that own seats, as the projection last knew them."""
    ids = list(booking_ids)
    if not ids:
        return {}
    rows = await connection.fetch(
        "SELECT booking_id::text, booking FROM sales_bookings WHERE booking_id = ANY($1::uuid[])", ids
    )
    return {row[0]: msgspec.json.decode(row[1], type=LiveBooking) for row in rows}


async def keep_bookings(
    connection: Connection, schedule_id: str, live: Mapping[str, LiveBooking], ended: Collection[str]
) -> None:
    """Writes what is known of live bookings, and forgets those that ended."""
    await connection.execute(
        "INSERT INTO sales_bookings (booking_id, schedule_id, booking)"
        " SELECT n.id, $1, n.booking::jsonb FROM unnest($2::uuid[], $3::text[]) AS n(id, booking)"
        " ON CONFLICT (booking_id) DO UPDATE SET booking = excluded.booking",
        schedule_id,
        list(live),
        [msgspec.json.encode(booking).decode() for booking in live.values()],
    )
    if ended:
        await connection.execute("DELETE FROM sales_bookings WHERE booking_id = ANY($1::uuid[])", list(ended))


async def add(connection: Connection, schedule_id: str, rows: Sequence[SalesRow]) -> None:
    """Adds to a schedule's figures."""
    columns = [[getattr(row.figures, name) for row in rows] for name in FIGURES]
    changes = ", ".join(f"{name} = sales.{name} + excluded.{name}" for name in FIGURES)
    arrays = ", ".join(f"${number}::bigint[]" for number in range(4, 4 + len(FIGURES)))
    await connection.execute(
        f"INSERT INTO sales (schedule_id, category, minute, {', '.join(FIGURES)})"  # noqa: S608  # constants
        f" SELECT $1, n.* FROM unnest($2::text[], $3::timestamptz[], {arrays}) AS n"
        f" ON CONFLICT (schedule_id, category, minute) DO UPDATE SET {changes}",
        schedule_id,
        [row.category for row in rows],
        [row.minute for row in rows],
        *columns,
    )


async def forget(connection: Connection, schedule_id: str | None = None) -> None:
    """Throws a schedule's figures away, or all."""
    for table in ("sales", "sales_bookings"):
        await connection.execute(f"DELETE FROM {table} WHERE $1::uuid IS NULL OR schedule_id = $1", schedule_id)  # noqa: S608  # constants


async def of_performance(connection: Connection, performance_id: str, consumer: str) -> list[ScheduleSales]:
    """The sales of a performance's schedules, by start; `consumer` names the service that writes them."""
    schedules = await connection.fetch(
        f"""
        SELECT s.id::text, s.starts_at, v.time_zone, s.currency, s.cancelled_at IS NOT NULL AS cancelled, h.seq,
               {POSITION} AS position
          FROM schedules s JOIN schedule_heads h ON h.schedule_id = s.id JOIN venues v ON v.id = s.venue_id
          LEFT JOIN consumer_positions p ON p.schedule_id = s.id AND p.consumer = $2
         WHERE s.performance_id = $1 AND s.deleted_at IS NULL ORDER BY s.starts_at, s.id""",  # noqa: S608  # constants
        performance_id,
        consumer,
    )
    rows = await connection.fetch(
        f"SELECT schedule_id::text, category, minute, {', '.join(FIGURES)} FROM sales"  # noqa: S608  # constants
        " WHERE schedule_id = ANY($1::uuid[]) ORDER BY minute, category",
        [row["id"] for row in schedules],
    )
    figures: dict[str, list[SalesRow]] = {}
    for schedule_id, category, minute, *numbers in rows:
        row = SalesRow(category, minute, Figures(**dict(zip(FIGURES, numbers, strict=True))))
        figures.setdefault(schedule_id, []).append(row)
    return [
        ScheduleSales(
            schedule_id=row["id"],
            starts_at=row["starts_at"],
            time_zone=row["time_zone"],
            currency=row["currency"],
            cancelled=row["cancelled"],
            version=row["seq"],
            up_to_version=row["position"],
            rows=figures.get(row["id"], []),
        )
        for row in schedules
    ]


async def of_schedule(
    connection: Connection, schedule_id: str, consumer: str, *, unit: Unit, time_zone: str, since: datetime | None
) -> Curve:
    """A schedule's figures by minute, hour or day of a time zone, from a moment on; totals are of all time.

    One statement, so that the figures are those of `up_to_version` and of no other. An unknown schedule has none.
    """
    sums = ", ".join(f"sum({name})::bigint" for name in FIGURES)
    rows = await connection.fetch(
        f"""
        WITH head AS (
            SELECT h.seq, {POSITION} AS position
              FROM schedule_heads h LEFT JOIN consumer_positions p ON p.schedule_id = h.schedule_id AND p.consumer = $2
             WHERE h.schedule_id = $1
        ), counted AS (
            SELECT category, NULL::timestamptz AS began, {sums} FROM sales WHERE schedule_id = $1 GROUP BY category
             UNION ALL
            SELECT category, date_trunc($3, minute, $4), {sums} FROM sales
             WHERE schedule_id = $1 AND ($5::timestamptz IS NULL OR minute >= $5) GROUP BY 1, 2
        )
        SELECT head.*, counted.* FROM head LEFT JOIN counted ON true ORDER BY began NULLS FIRST, category""",  # noqa: S608  # constants
        schedule_id,
        consumer,
        unit,
        time_zone,
        since,
    )
    curve = Curve(version=rows[0][0] if rows else 0, up_to_version=rows[0][1] if rows else 0, by_category={}, rows=[])
    for _, _, category, began, *numbers in rows:
        if category is None:
            continue
        counted = Figures(**dict(zip(FIGURES, numbers, strict=True)))
        if began is None:
            curve.by_category[category] = counted
        else:
            curve.rows.append(SalesRow(category, began, counted))
    return curve


async def checksum(connection: Connection, schedule_id: str | None = None) -> str:
    """The same for two makings that agree to the last won."""
    query = f"""
        SELECT coalesce(md5(string_agg(t, E'\\n' ORDER BY t)), '') FROM (
            SELECT concat_ws('|', schedule_id, category, extract(epoch from minute)::bigint, {", ".join(FIGURES)}) AS t
              FROM sales WHERE $1::uuid IS NULL OR schedule_id = $1
             UNION ALL
            SELECT concat_ws('|', booking_id, schedule_id, booking::text)
              FROM sales_bookings WHERE $1::uuid IS NULL OR schedule_id = $1
        ) AS rows"""  # noqa: S608  # constants
    value: Any = await connection.fetchval(query, schedule_id)
    return str(value)
