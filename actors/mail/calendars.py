"""Entries for calendars (RFC 5545): what is played when, in the time zone of where it is played."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import icalendar
from icalendar.parser import Contentline, Parameters
from msgspec import Struct

PRODUCT = "-//Boxoffice//Tickets//EN"
NO_PARAMETERS = Parameters()
BEGIN, END = b"BEGIN:VEVENT\r\n", b"END:VEVENT\r\n"


class Entry(Struct, frozen=True, kw_only=True):
    """One booking in a calendar. The same `uid` with a higher `sequence` replaces it."""

    uid: str
    sequence: int
    starts_at: datetime
    ends_at: datetime
    time_zone: str  # IANA
    title: str
    venue: str
    where: str  # the venue's address; empty where nobody has said it
    lines: Sequence[str]  # its description


def calendar(entries: Sequence[Entry], *, method: str, now: datetime, organizer: str | None = None) -> bytes:
    """A calendar object; `method` is PUBLISH or CANCEL (RFC 5546), `organizer` an e-mail address."""
    zones = {entry.time_zone: entry.starts_at.year for entry in entries}
    return b"".join(
        (
            f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:{PRODUCT}\r\nMETHOD:{method}\r\n".encode("ascii"),
            *(_event(entry, method, now, organizer) for entry in entries),
            *(_zone(zone, year) for zone, year in zones.items()),
            b"END:VCALENDAR\r\n",
        )
    )


def _event(entry: Entry, method: str, now: datetime, organizer: str | None) -> bytes:
    times = (entry.starts_at, entry.ends_at, entry.time_zone)
    description: bytes = Contentline.from_parts("DESCRIPTION", NO_PARAMETERS, "\n".join(entry.lines)).to_ical()
    own = f"UID:{entry.uid}\r\nSEQUENCE:{entry.sequence}\r\nDTSTAMP:{now.astimezone(UTC):%Y%m%dT%H%M%SZ}\r\n"
    return (
        BEGIN
        + own.encode("ascii")
        + description
        + b"\r\n"
        + _occasion(*times, entry.title, ", ".join(filter(None, (entry.venue, entry.where))), organizer, method)
        + END
    )


@lru_cache(1_024)  # a sale's mails all have the same
def _occasion(
    starts_at: datetime, ends_at: datetime, time_zone: str, title: str, place: str, organizer: str | None, method: str
) -> bytes:
    """What entries for one performance have in common."""
    there = ZoneInfo(time_zone)
    named = {} if organizer is None else {"organizer": f"mailto:{organizer}"}
    return _lines(
        dtstart=starts_at.astimezone(there),
        dtend=ends_at.astimezone(there),
        summary=title,
        location=place,
        status="CANCELLED" if method == "CANCEL" else "CONFIRMED",
        **named,
    )


def _lines(**properties: object) -> bytes:
    """Properties, escaped and folded."""
    made = icalendar.Event()
    for name, value in properties.items():
        made.add(name, value)
    lines: bytes = made.to_ical()
    return lines.removeprefix(BEGIN).removesuffix(END)


@lru_cache(64)  # one takes some 10 ms to make, and a sale's mails all have the same
def _zone(time_zone: str, year: int) -> bytes:
    """What calendars have to know of a zone that they do not know, for the years around this one."""
    made = icalendar.Timezone.from_tzid(time_zone, first_date=date(year - 1, 1, 1), last_date=date(year + 2, 1, 1))
    content: bytes = made.to_ical()
    return content
