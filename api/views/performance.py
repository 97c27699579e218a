"""Performances as clients see them: the row, and what its schedules come to.

A list says of each what a card needs, from one query for the whole page and counts of seats a few seconds old.
"""

from __future__ import annotations

from typing import Literal

from actors.seats.seats_left import Places
from api.http.models import Output, Timestamp
from persistence.catalogue.overview import Overview
from persistence.catalogue.performances import PerformanceRow

SaleState = Literal["scheduled", "on_sale", "sold_out", "closed", "ended", "cancelled"]


class PlaceView(Output):
    """Where a performance is at home."""

    id: str
    name: str
    city: str | None
    time_zone: str


class DatesView(Output):
    """All dates of a performance that were not cancelled; `next` is the first that has not begun."""

    first: Timestamp
    last: Timestamp
    next: Timestamp | None
    count: int


class PriceView(Output):
    """An amount in minor units."""

    amount: int
    currency: str


class PerformanceSaleView(Output):
    """All schedules together: `on_sale` if one is, `scheduled` if one opens later (`opens_at`), and so on."""

    state: SaleState
    opens_at: Timestamp | None


class PerformanceView(Output):
    """A performance.

    `dates`, `from_price` (the lowest of what has not begun) and `sale` are null while nothing is scheduled;
    `seats_left` counts what is on sale, a few seconds old, and `capacity_on_sale` the same places whether somebody has
    them or not: the dates on sale, each as its `capacity` says. Both are null where they were not counted.
    """

    id: str
    organizer_id: str
    venue_id: str | None
    title: str
    title_en: str | None
    description: str | None
    description_en: str | None
    category: str | None
    duration_minutes: int | None
    picture_url: str | None
    venue: PlaceView | None
    dates: DatesView | None
    from_price: PriceView | None
    sale: PerformanceSaleView | None
    seats_left: int | None
    capacity_on_sale: int | None
    created_at: Timestamp
    updated_at: Timestamp


class PerformancePage(Output):
    """One page of performances, newest first."""

    items: list[PerformanceView]
    next_cursor: str | None


class FacetView(Output):
    """A value to choose by, and how many performances have it."""

    value: str
    count: int


class FacetsView(Output):
    """What there is to choose from; a month is `2027-12`, in the venue's time zone."""

    categories: list[FacetView]
    cities: list[FacetView]
    months: list[FacetView]


COPIED = tuple(name for name in PerformanceRow.__struct_fields__ if name in PerformanceView.model_fields)


def performance_view(row: PerformanceRow, overview: Overview, places: Places | None) -> PerformanceView:
    """A performance with when, where, from how much, and how its sale stands; `places` on sale, None: not counted."""
    venue, dates, price, sale = overview.venue, None, None, None
    if overview.first is not None and overview.last is not None:
        dates = DatesView(first=overview.first, last=overview.last, next=overview.next, count=overview.count)
    if overview.from_price is not None and overview.currency is not None:
        price = PriceView(amount=overview.from_price, currency=overview.currency)
    if overview.count or overview.cancelled:
        sale = PerformanceSaleView(state=_state(overview, places), opens_at=overview.opens_at)
    return PerformanceView(
        **{name: getattr(row, name) for name in COPIED},
        venue=None
        if venue is None
        else PlaceView(id=venue.id, name=venue.name, city=venue.city, time_zone=venue.time_zone),
        dates=dates,
        from_price=price,
        sale=sale,
        seats_left=None if places is None else places.left,
        capacity_on_sale=None if places is None else places.capacity,
    )


def _state(overview: Overview, places: Places | None) -> SaleState:
    if overview.on_sale_count:
        return "sold_out" if places is not None and places.left == 0 else "on_sale"
    if overview.opens_at is not None:
        return "scheduled"
    if not overview.count:
        return "cancelled"
    return "ended" if overview.ended else "closed"
