"""What a list of performances says of each besides its own row: where, when, from how much, and how its sale stands.

One query for all of a page, however long their runs are; and what there is to choose from (`facets`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.catalogue.performances import DEFAULT_DURATION_MINUTES
from persistence.database.conditions import CLOSES_AT_TEXT

COUNTED = 20  # schedules on sale whose seats are counted for one performance


class Home(Struct, frozen=True, kw_only=True):
    """Where a performance is at home: the venue it was registered with, or that of its next schedule."""

    id: str
    name: str
    city: str | None
    time_zone: str


class OnSale(Struct, frozen=True, array_like=True):
    """A schedule on sale. `untouched`: its seats, if nobody has ever asked for one; None: they must be counted."""

    id: str
    untouched: int | None
    not_for_sale: list[str]  # categories without a price


class Overview(Struct, frozen=True, kw_only=True):
    """All schedules of a performance together, those left out that were cancelled or deleted unless it says so."""

    venue: Home | None = None
    count: int = 0  # of its schedules
    cancelled: int = 0  # of schedules that will not take place, which `count` has not
    first: datetime | None = None
    last: datetime | None = None
    next: datetime | None = None  # the first that has not begun
    currency: str | None = None  # of that one
    from_price: int | None = None  # the lowest price of those not begun that are sold in that currency
    opens_at: datetime | None = None  # when the first sale opens that has not
    on_sale: list[OnSale] = []  # by start, at most COUNTED
    on_sale_count: int = 0
    ended: bool = True  # the last one is over


class Facet(Struct, frozen=True):
    """A value to choose by, and how many performances have it."""

    value: str
    count: int


class Facets(Struct, frozen=True, kw_only=True):
    """What there is to choose from, by category, city and month (`2027-12`) of what has not begun."""

    categories: list[Facet]
    cities: list[Facet]
    months: list[Facet]


_OVERVIEW = sa.text(f"""
SELECT p.id, json_build_object(
    'venue', CASE WHEN home.id IS NOT NULL THEN json_build_object(
        'id', home.id, 'name', home.name, 'city', home.city, 'time_zone', home.time_zone) END,
    'count', run.count, 'cancelled', run.cancelled, 'first', run.first, 'last', run.last, 'next', run.next,
    'currency', run.currency, 'from_price', lowest.price, 'opens_at', run.opens_at,
    'on_sale', run.on_sale, 'on_sale_count', run.on_sale_count, 'ended', run.ended)
FROM performances p
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE going) AS count,
           count(*) FILTER (WHERE NOT going) AS cancelled,
           min(starts_at) FILTER (WHERE going) AS first,
           max(starts_at) FILTER (WHERE going) AS last,
           min(starts_at) FILTER (WHERE ahead) AS next,
           (array_agg(venue_id ORDER BY starts_at) FILTER (WHERE ahead))[1] AS venue_id,
           (array_agg(currency ORDER BY starts_at) FILTER (WHERE ahead))[1] AS currency,
           min(sale_opens_at) FILTER (WHERE ahead AND sale_opens_at > :now) AS opens_at,
           to_json(coalesce((array_agg(json_build_array(id, untouched, without) ORDER BY starts_at)
               FILTER (WHERE selling))[1:{COUNTED}], ARRAY[]::json[])) AS on_sale,
           count(*) FILTER (WHERE selling) AS on_sale_count,
           coalesce(bool_and(over) FILTER (WHERE going), true) AS ended
    FROM (
        SELECT s.id, s.starts_at, s.venue_id, s.currency, s.sale_opens_at, s.cancelled_at IS NULL AS going,
               s.cancelled_at IS NULL AND s.starts_at > :now AS ahead,
               s.cancelled_at IS NULL AND coalesce(s.sale_opens_at <= :now, true)
                   AND {CLOSES_AT_TEXT} > :now AS selling,
               s.starts_at + make_interval(mins => coalesce(p.duration_minutes, {DEFAULT_DURATION_MINUTES}))
                   <= :now AS over,
               CASE WHEN h.seq = 1 AND kept = '{{}}' THEN v.capacity END AS untouched, to_json(kept) AS without
        FROM schedules s
        CROSS JOIN LATERAL (
            SELECT ARRAY(SELECT key FROM jsonb_each_text(s.prices) WHERE value IS NULL) AS kept
        ) AS unpriced
        JOIN schedule_heads h ON h.schedule_id = s.id JOIN venues v ON v.id = s.venue_id
        WHERE s.performance_id = p.id AND s.deleted_at IS NULL
    ) AS each
) AS run
LEFT JOIN venues home ON home.id = coalesce(p.venue_id, run.venue_id)
LEFT JOIN LATERAL (
    SELECT min(price.value::bigint) AS price
    FROM schedules s CROSS JOIN LATERAL jsonb_each_text(s.prices) AS price
    WHERE s.performance_id = p.id AND s.deleted_at IS NULL AND s.cancelled_at IS NULL AND s.starts_at > :now
      AND s.currency = run.currency
) AS lowest ON true
WHERE p.id = ANY(CAST(:ids AS uuid[]))
""")  # noqa: S608  # constants

# A performance counts once for each value it has.
_FACETS = sa.text("""
WITH ahead AS (
    SELECT p.id, p.category, v.city, to_char(timezone(v.time_zone, s.starts_at), 'YYYY-MM') AS month
    FROM performances p JOIN schedules s ON s.performance_id = p.id JOIN venues v ON v.id = s.venue_id
    WHERE p.deleted_at IS NULL AND s.deleted_at IS NULL AND s.cancelled_at IS NULL AND s.starts_at > :now
)
SELECT 'categories', min(category), count(DISTINCT id) FROM ahead WHERE category IS NOT NULL GROUP BY lower(category)
UNION ALL
SELECT 'cities', min(city), count(DISTINCT id) FROM ahead WHERE city IS NOT NULL GROUP BY lower(city)
UNION ALL
SELECT 'months', month, count(DISTINCT id) FROM ahead GROUP BY month
""")


async def overviews(connection: AsyncConnection, ids: Sequence[str], now: datetime) -> dict[str, Overview]:
    """What there is to say of each of these performances at this time."""
    if not ids:
        return {}
    rows = await connection.execute(_OVERVIEW, {"ids": list(ids), "now": now})
    return {str(performance_id): msgspec.convert(said, Overview, strict=False) for performance_id, said in rows}


async def facets(connection: AsyncConnection, now: datetime) -> Facets:
    """What there is to choose from at this time, in order."""
    found: dict[str, list[Facet]] = {"categories": [], "cities": [], "months": []}
    for name, value, count in await connection.execute(_FACETS, {"now": now}):
        found[name].append(Facet(value, count))
    return Facets(**{name: sorted(each, key=lambda facet: facet.value.casefold()) for name, each in found.items()})
