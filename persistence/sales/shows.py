"""How an organizer's shows stand: places sold and money by performance, and what of them needs attention.

From the bookings' own rows, as settlements are, so that the sums of a performance are those of its schedules.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from persistence.database.conditions import BOUGHT, CLOSES_AT_TEXT, LIVE, OWED, TAKEN, any_of
from persistence.database.pools import Connection

Kind = Literal[
    "giving_back",
    "refunds_late",
    "nothing_for_sale",
    "starts_soon",
    "sale_opens",
    "nearly_sold_out",
    "sold_out",
    "no_dates",
]

STARTS_SOON = timedelta(hours=24)
OPENS_SOON = timedelta(days=3)
REFUNDS_LATE = timedelta(hours=1)  # a provider confirms within seconds, as a rule
NEARLY = 0.9  # of the places are sold


class Money(Struct, frozen=True, kw_only=True):
    """What a performance has earned in one currency, in minor units: `net` = `gross` - `refunded`."""

    currency: str
    gross: int
    refunded: int  # given back, or owed
    fees: int  # kept when places were given back; part of `net`
    net: int


class House(Struct, frozen=True):
    """Dates at one venue, by the same plan and with the same categories for sale."""

    venue_id: str
    plan_number: int
    not_for_sale: tuple[str, ...]
    dates: int


class Standing(Struct, frozen=True, kw_only=True):
    """How a performance stands; what was cancelled counts for the money alone."""

    sold: int  # places
    houses: tuple[House, ...]  # what there is to sell is theirs
    money: tuple[Money, ...]
    next_schedule_id: str | None  # the first date that has not begun


class Place(Struct, frozen=True):
    """Where a matter stands among all: after those more urgent, and after those it comes later than."""

    urgency: int
    at: datetime
    id: str  # the date's; of a performance without dates its own


class Matter(Struct, frozen=True, kw_only=True):
    """Something of an organizer's that needs attention."""

    place: Place
    kind: Kind
    performance_id: str
    performance_title: str
    performance_title_en: str | None
    schedule_id: str | None
    starts_at: datetime | None
    time_zone: str | None
    at: datetime | None  # when it happens, or since when it is so
    sold: int | None
    capacity: int | None
    bookings: int | None  # that are not ended yet
    amount: int | None  # owed, minor units
    currency: str | None


_HOUSES = """
SELECT s.performance_id::text, s.venue_id::text, s.plan_number, kept.names, count(*)
  FROM schedules s CROSS JOIN LATERAL (
       SELECT coalesce(array_agg(key ORDER BY key), '{}') AS names FROM jsonb_each_text(s.prices) WHERE value IS NULL
  ) AS kept
 WHERE s.performance_id = ANY($1::uuid[]) AND s.deleted_at IS NULL AND s.cancelled_at IS NULL
 GROUP BY s.performance_id, s.venue_id, s.plan_number, kept.names
"""
_SOLD = f"""
SELECT s.performance_id::text, sum(cardinality(b.seats))::bigint
  FROM schedules s JOIN bookings b ON b.schedule_id = s.id AND b.status IN {any_of(BOUGHT)}
 WHERE s.performance_id = ANY($1::uuid[]) AND s.deleted_at IS NULL AND s.cancelled_at IS NULL
 GROUP BY s.performance_id
"""  # noqa: S608  # of words that stand beside the tables
_MONEY = f"""
WITH of_these AS (
    SELECT id, performance_id, currency FROM schedules WHERE performance_id = ANY($1::uuid[]) AND deleted_at IS NULL
), moved AS (
    SELECT schedule_id, amount AS taken, 0 AS refunded, 0 AS fees FROM payments
     WHERE schedule_id IN (SELECT id FROM of_these) AND status IN {any_of(TAKEN)}
     UNION ALL
    SELECT schedule_id, 0, amount, fee FROM refunds WHERE schedule_id IN (SELECT id FROM of_these)
)
SELECT s.performance_id::text, s.currency, sum(taken)::bigint, sum(refunded)::bigint, sum(fees)::bigint
  FROM of_these s JOIN moved ON moved.schedule_id = s.id
 GROUP BY s.performance_id, s.currency ORDER BY s.performance_id, s.currency
"""  # noqa: S608  # of words that stand beside the tables
_NEXT = """
SELECT DISTINCT ON (performance_id) performance_id::text, id::text FROM schedules
 WHERE performance_id = ANY($1::uuid[]) AND deleted_at IS NULL AND cancelled_at IS NULL AND starts_at > $2
 ORDER BY performance_id, starts_at
"""


async def standings(connection: Connection, performance_ids: Sequence[str], now: datetime) -> dict[str, Standing]:
    """How each of these performances stands."""
    ids = list(performance_ids)
    houses: dict[str, list[House]] = {each: [] for each in ids}
    for performance_id, venue_id, plan_number, kept, dates in await connection.fetch(_HOUSES, ids):
        houses[performance_id].append(House(venue_id, plan_number, tuple(kept), dates))
    money: dict[str, list[Money]] = {each: [] for each in ids}
    for performance_id, currency, taken, refunded, fees in await connection.fetch(_MONEY, ids):
        net = taken - refunded
        earned = Money(currency=currency, gross=taken, refunded=refunded, fees=fees, net=net)
        money[performance_id].append(earned)
    sold = {row[0]: row[1] for row in await connection.fetch(_SOLD, ids)}
    coming = {row[0]: row[1] for row in await connection.fetch(_NEXT, ids, now)}
    return {
        each: Standing(
            sold=sold.get(each, 0),
            houses=tuple(houses[each]),
            money=tuple(money[each]),
            next_schedule_id=coming.get(each),
        )
        for each in ids
    }


# What is wrong comes first, then what happens soon, then what goes well.
_MATTERS = f"""
WITH mine AS (
    SELECT s.id, s.starts_at, s.sale_opens_at, {CLOSES_AT_TEXT} AS closes_at, s.cancelled_at,
           s.currency, p.id AS performance_id, p.title, p.title_en, v.time_zone,
           (SELECT count(*) FROM jsonb_each_text(s.prices) WHERE value IS NOT NULL) AS priced,
           (SELECT count(*) FROM jsonb_each_text(s.prices) WHERE value IS NULL) AS kept, v.capacity
      FROM schedules s JOIN performances p ON p.id = s.performance_id JOIN venues v ON v.id = s.venue_id
     WHERE p.organizer_id = $1 AND p.deleted_at IS NULL AND s.deleted_at IS NULL
), owed AS (
    SELECT r.schedule_id, sum(r.amount)::bigint AS amount, min(r.requested_at) AS since
      FROM refunds r JOIN mine ON mine.id = r.schedule_id WHERE r.status = '{OWED}' GROUP BY r.schedule_id
), live AS (
    SELECT b.schedule_id, count(*) AS bookings FROM bookings b JOIN mine ON mine.id = b.schedule_id
     WHERE mine.cancelled_at IS NOT NULL AND b.status IN {any_of(LIVE)}
     GROUP BY b.schedule_id
), sold AS (
    SELECT b.schedule_id, sum(cardinality(b.seats))::bigint AS places
      FROM bookings b JOIN mine ON mine.id = b.schedule_id
     WHERE mine.cancelled_at IS NULL AND mine.starts_at > $2 AND b.status IN {any_of(BOUGHT)}
     GROUP BY b.schedule_id
), told AS (
    SELECT 1 AS urgency, 'giving_back' AS kind, mine.id, cancelled_at AS at, NULL::bigint AS sold,
           NULL::int AS capacity, coalesce(bookings, 0) AS bookings, coalesce(amount, 0) AS amount
      FROM mine LEFT JOIN live ON live.schedule_id = mine.id LEFT JOIN owed ON owed.schedule_id = mine.id
     WHERE cancelled_at IS NOT NULL AND (bookings > 0 OR amount > 0)
     UNION ALL
    SELECT 2, 'refunds_late', mine.id, since, NULL, NULL, NULL, amount
      FROM mine JOIN owed ON owed.schedule_id = mine.id WHERE cancelled_at IS NULL AND since < $2 - $5::interval
     UNION ALL
    SELECT 3, 'nothing_for_sale', id, starts_at, NULL, NULL, NULL, NULL
      FROM mine WHERE cancelled_at IS NULL AND starts_at > $2 AND priced = 0
     UNION ALL
    SELECT 4, 'starts_soon', mine.id, starts_at, coalesce(places, 0), CASE WHEN kept = 0 THEN capacity END,
           NULL, NULL
      FROM mine LEFT JOIN sold ON sold.schedule_id = mine.id
     WHERE cancelled_at IS NULL AND starts_at > $2 AND starts_at <= $2 + $3::interval
     UNION ALL
    SELECT 5, 'sale_opens', id, sale_opens_at, NULL, NULL, NULL, NULL
      FROM mine WHERE cancelled_at IS NULL AND sale_opens_at > $2 AND sale_opens_at <= $2 + $4::interval
     UNION ALL
    SELECT 6, CASE WHEN places >= capacity THEN 'sold_out' ELSE 'nearly_sold_out' END, mine.id, starts_at, places,
           capacity, NULL, NULL
      FROM mine JOIN sold ON sold.schedule_id = mine.id
     WHERE cancelled_at IS NULL AND closes_at > $2 AND kept = 0 AND places >= capacity * $6::float8
)
SELECT urgency, id::text AS place_id, kind, performance_id::text, title AS performance_title,
       title_en AS performance_title_en, schedule_id::text, starts_at, time_zone, at, sold, capacity, bookings, amount,
       currency
  FROM (
    SELECT urgency, mine.id, kind, performance_id, title, title_en, mine.id AS schedule_id, starts_at, time_zone, at,
           sold, told.capacity, bookings, amount, CASE WHEN amount IS NOT NULL THEN currency END AS currency
      FROM told JOIN mine ON mine.id = told.id
     UNION ALL
    SELECT 3, p.id, 'no_dates', p.id, title, title_en, NULL, NULL, NULL, p.created_at, NULL, NULL, NULL, NULL, NULL
      FROM performances p
     WHERE p.organizer_id = $1 AND p.deleted_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.performance_id = p.id AND s.deleted_at IS NULL)
  ) AS each
 WHERE $8::int IS NULL OR (urgency, at, id) > ($8, $9::timestamptz, $10::uuid)
 ORDER BY urgency, at, id LIMIT $7
"""  # noqa: S608  # of words that stand beside the tables


async def matters(
    connection: Connection, organizer_id: str, now: datetime, *, after: Place | None = None, limit: int
) -> list[Matter]:
    """What of the organizer's shows needs attention at this time, the most urgent first, starting after a place."""
    place = (None, None, None) if after is None else (after.urgency, after.at, after.id)
    asked = (organizer_id, now, STARTS_SOON, OPENS_SOON, REFUNDS_LATE, NEARLY, limit, *place)
    rows = await connection.fetch(_MATTERS, *asked)
    facts = [name for name in Matter.__struct_fields__ if name != "place"]
    return [
        Matter(place=Place(row["urgency"], row["at"], row["place_id"]), **{name: row[name] for name in facts})
        for row in rows
    ]
