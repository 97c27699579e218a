"""Entries for calendars (RFC 5545): what is played when, in the time zone of where it is played."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import icalendar
from msgspec import Struct

PRODUCT = "-//Boxoffice//Tickets//EN"


class Entry(Struct, frozen=True, kw_only=True):
    """One booking in a calendar. The same `uid` with a higher `sequence` replaces it."""

    uid: str
    sequence: int
    starts_at: datetime
    ends_at: datetime
    time_zone: str  # IANA
    title: str
    place: str
    lines: Sequence[str]  # its description


def calendar(entries: Sequence[Entry], *, method: str, now: datetime, organizer: str | None = None) -> bytes:
    """A calendar object; `method` is PUBLISH or CANCEL (RFC 5546), `organizer` an e-mail address."""
    made = icalendar.Calendar()
    made.add("prodid", PRODUCT)
    made.add("version", "2.0")
    made.add("method", method)
    for entry in entries:
        there = ZoneInfo(entry.time_zone)
        event = icalendar.Event()
        event.add("uid", entry.uid)
        event.add("sequence", entry.sequence)
        event.add("dtstamp", now)
        event.add("dtstart", entry.starts_at.astimezone(there))
        event.add("dtend", entry.ends_at.astimezone(there))
        event.add("summary", entry.title)
        event.add("location", entry.place)
        event.add("description", "\n".join(entry.lines))
        if organizer is not None:
            event.add("organizer", f"mailto:{organizer}")
        event.add("status", "CANCELLED" if method == "CANCEL" else "CONFIRMED")
        made.add_component(event)
    for zone, year in {entry.time_zone: entry.starts_at.year for entry in entries}.items():
        made.add_component(_zone(zone, year))
    content: bytes = made.to_ical()
    return content


@lru_cache(64)  # one takes some 10 ms to make, and a sale's mails all have the same
def _zone(time_zone: str, year: int) -> icalendar.Timezone:
    """What calendars have to know of a zone that they do not know, for the years around this one."""
    return icalendar.Timezone.from_tzid(time_zone, first_date=date(year - 1, 1, 1), last_date=date(year + 2, 1, 1))
