"""The head of a page that people share: title and description for previews, and what search engines read (schema.org).

Read from the catalogue and kept for a minute, so that a link going round costs one look-up a minute a worker.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from api.office.office import Office
from persistence.catalogue import performances, schedules
from persistence.catalogue.performances import PerformanceRow
from persistence.catalogue.schedules import ScheduleRow
from persistence.database.asked_once import AskedOnce
from persistence.database.away import is_away

KEPT = 500  # shells of 3 kB
KEPT_SECONDS = 60.0
DATES_NAMED = 20
DESCRIPTION_CHARACTERS = 200  # what previews show of one

ShellT = TypeVar("ShellT")


class Sharing(Generic[ShellT]):
    """The shells of shared addresses, the latest ones kept."""

    def __init__(self) -> None:
        self._kept: AskedOnce[tuple[ShellT, int]] = AskedOnce(KEPT)

    async def page(
        self, office: Office, kind: str, its_id: str, shell: Callable[[str | None], ShellT]
    ) -> tuple[ShellT, int] | None:
        """The shell of one performance or schedule, 404 where there is none; None while the catalogue is away."""
        make = partial(self._make, office, kind, its_id, shell)
        try:
            return await self._kept.ask((kind, its_id), make, within_seconds=KEPT_SECONDS)
        except Exception as error:
            if not is_away(error):
                raise
            return None

    @staticmethod
    async def _make(
        office: Office, kind: str, its_id: str, shell: Callable[[str | None], ShellT]
    ) -> tuple[ShellT, int]:
        async with office.reading.connect() as connection:
            head = await head_of(connection, kind, its_id, office.now())
        return shell(head), 200 if head is not None else 404


async def head_of(connection: AsyncConnection, kind: str, its_id: str, now: datetime) -> str | None:
    """The head of a performance's or a schedule's page, as HTML; None where there is no such thing.

    Of a performance the next dates are named: of a long run the first ones were over long ago.
    """
    date = await schedules.schedule(connection, its_id) if kind == "schedule" else None
    if kind == "schedule" and date is None:
        return None
    row = await performances.performance(connection, its_id if date is None else date.performance_id)
    if row is None:
        return None
    if date is not None:
        return rendered(row, [date])
    return rendered(row, await schedules.list_schedules(connection, row.id, starts_from=now, limit=DATES_NAMED))


def rendered(row: PerformanceRow, dates: list[ScheduleRow]) -> str:
    """Title, OpenGraph and JSON-LD. Everything in it comes from organizers and is escaped."""
    description = (row.description or "")[:DESCRIPTION_CHARACTERS]
    tags = {"og:title": row.title, "og:description": description, "og:type": "website", "og:site_name": "Boxoffice"}
    document = {"@context": "https://schema.org", "@graph": [_event(row, date) for date in dates]}
    # Inside a script element only `<` can end it early.
    linked = json.dumps(document, ensure_ascii=False).replace("<", "\\u003c")
    return "".join(
        (
            f"<title>{html.escape(row.title)} · Boxoffice</title>",
            f'<meta name="description" content="{html.escape(description)}">',
            *(f'<meta property="{name}" content="{html.escape(value)}">' for name, value in tags.items() if value),
            f'<script type="application/ld+json">{linked}</script>' if dates else "",
        )
    )


def _event(row: PerformanceRow, date: ScheduleRow) -> dict[str, object]:
    cancelled = date.cancelled_at is not None
    return {
        "@type": "Event",
        "name": row.title,
        "startDate": date.starts_at.isoformat(),
        "endDate": (date.starts_at + timedelta(minutes=date.duration_minutes)).isoformat(),
        "eventStatus": f"https://schema.org/Event{'Cancelled' if cancelled else 'Scheduled'}",
        "eventAttendanceMode": "https://schema.org/OfflineEventAttendanceMode",
        "location": {"@type": "Place", "name": date.venue_name},
        "offers": {
            "@type": "AggregateOffer",
            "priceCurrency": date.currency,
            "offerCount": sum(price is not None for price in date.prices.values()),
        },
    }
