"""Dates by recurrence rule (RFC 5545 section 3.3.10), with EXDATE and RDATE, by the clocks of where they are played.

Guarantees: the first date is the start that was asked for; eight in the evening stays eight when the clocks change; no
rule keeps the server busy. Only whole-day frequencies are taken, the rule must end, and nobody looks for dates beyond
some thirty years.
"""

from __future__ import annotations

import calendar
import itertools
import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from api.http.models import LAST_YEAR
from api.http.problems import Problem, invalid

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
MAX_DATES = 366
HORIZON_YEARS = 3
LAST_TWIN = 9_995  # four years before Python's calendar, and with it every search, ends
DAY, MONTH = r"(0?[1-9]|[12][0-9]|3[01])", r"(0?[1-9]|1[0-2])"
WEEKDAY = r"([+-]?[1-5]?[0-9])?(MO|TU|WE|TH|FR|SA|SU)"
HOUR, MINUTE = r"([01]?[0-9]|2[0-3])", r"[0-5]?[0-9]"
YEAR_DAY, WEEK = r"-?[1-3]?[0-9]{1,2}", r"-?[1-5]?[0-9]"
MOMENT = r"[0-9]{8}(T[0-9]{6}Z?)?"
# What a rule may say. Sub-daily rules are not for schedules; BYEASTER is none of the RFC's.
PARTS = {
    "FREQ": re.compile(r"DAILY|WEEKLY|MONTHLY|YEARLY"),
    "INTERVAL": re.compile(r"[1-9][0-9]{0,2}"),
    "COUNT": re.compile(r"[1-9][0-9]{0,3}"),
    "UNTIL": re.compile(MOMENT),
    "BYDAY": re.compile(rf"{WEEKDAY}(,{WEEKDAY})*"),
    "BYMONTHDAY": re.compile(rf"-?{DAY}(,-?{DAY})*"),
    "BYYEARDAY": re.compile(rf"{YEAR_DAY}(,{YEAR_DAY})*"),
    "BYWEEKNO": re.compile(rf"{WEEK}(,{WEEK})*"),
    "BYMONTH": re.compile(rf"{MONTH}(,{MONTH})*"),
    "BYHOUR": re.compile(rf"{HOUR}(,{HOUR})*"),
    "BYMINUTE": re.compile(rf"{MINUTE}(,{MINUTE})*"),
    "BYSETPOS": re.compile(rf"{YEAR_DAY}(,{YEAR_DAY})*"),
    "WKST": re.compile(r"MO|TU|WE|TH|FR|SA|SU"),
}
# A line besides the rule: dates that are left out, or added.
LINE = re.compile(rf"(EXDATE|RDATE)(;VALUE=DATE|;VALUE=DATE-TIME|;TZID=[A-Z0-9_+/-]+)*:({MOMENT}(,{MOMENT})*)")


def occurrences(text: str, starts_at: datetime, time_zone: str) -> list[datetime]:
    """Every start in order, `starts_at` first. Raises a 422 `Problem` for `recurrence`, with the first date if there is
    one: a rule that begins on another day than its start says was meant otherwise."""
    zone = ZoneInfo(time_zone)
    first = starts_at.astimezone(zone).replace(tzinfo=None)  # from here on times are what clocks there show
    lines = [line.strip() for line in text.upper().splitlines() if line.strip()]
    # In calendars their order is anyone's, and the start stands among them.
    others = [line for line in lines if line.startswith(("EXDATE", "RDATE"))]
    rule, *more = [line for line in lines if line not in others and not _is_start(line, first, zone)] or [""]
    if more:
        raise _wrong(f"cannot be read at {more[0][:40]!r}", f"해석할 수 없습니다: {more[0][:40]!r}")
    found = set(_by_rule(_parts(rule), first, zone))
    for line in others:
        days, times = _listed(line, first, zone)
        if line.startswith("EXDATE"):
            found = {each for each in found if each not in times and each.date() not in days}
        else:
            found |= times | {datetime.combine(day, first.time()) for day in days}
    if len(found) > MAX_DATES:
        raise _wrong(f"must end after at most {MAX_DATES} dates", f"{MAX_DATES}회를 넘을 수 없습니다")
    dates = sorted({each.replace(tzinfo=zone).astimezone(UTC) for each in found})
    if not dates:
        raise _wrong("has no date from the start on", "시작 일시 이후의 날짜가 없습니다")
    if dates[0] != starts_at:
        begins = dates[0].astimezone(zone).isoformat(timespec="seconds")
        message = f"does not begin at starts_at; its first date is {begins}"
        ko = f"starts_at에 시작하지 않습니다. 첫 일시는 {begins}입니다"
        raise Problem(
            "validation_failed", errors=[{"field": "recurrence", "message": message, "ko": ko}], first_date=begins
        )
    return [each.astimezone(starts_at.tzinfo) for each in dates]


def _by_rule(parts: dict[str, str], first: datetime, zone: ZoneInfo) -> list[datetime]:
    """The rule's own dates, on a calendar that ends soon: Python's goes on to the year 9999, and a rule that never
    matches would be followed to there, day by day."""
    years = _twin(first.year) - first.year
    horizon = min(first + timedelta(days=HORIZON_YEARS * 366), datetime(LAST_YEAR - 1, 1, 1))
    until = _until(parts.pop("UNTIL"), zone) if "UNTIL" in parts else horizon
    count = int(parts.pop("COUNT")) if "COUNT" in parts else None
    if until > horizon:
        raise _wrong("must end within three years", "3년 안에 끝나야 합니다")
    if until < first:
        return []
    since = first
    if parts["FREQ"] == "WEEKLY" and "BYSETPOS" in parts:
        # The library would count a position in what is left of the first week; it is meant in the whole of it.
        since -= timedelta(days=(first.weekday() - WEEKDAYS.index(parts.get("WKST", "MO"))) % 7)
        parts.setdefault("BYDAY", WEEKDAYS[first.weekday()])
    bounded = ";".join(f"{name}={value}" for name, value in parts.items())
    try:
        dates = rrulestr(bounded, dtstart=_moved(since, years))
        assert isinstance(dates, rrule), "a set of rules takes more than one line"
        ended = (each for each in dates.replace(until=_moved(until, years)) if each >= _moved(first, years))
        found = list(itertools.islice(ended, min(count or MAX_DATES + 1, MAX_DATES + 1)))
    except (ValueError, TypeError, OverflowError):
        raise _wrong("is not a valid recurrence rule", "올바른 반복 규칙이 아닙니다") from None
    if count is not None and len(found) < min(count, MAX_DATES + 1):
        raise _wrong("must end within three years", "3년 안에 끝나야 합니다")
    return [_moved(each, -years).replace(microsecond=first.microsecond) for each in found]


def _is_start(line: str, first: datetime, zone: ZoneInfo) -> bool:
    """Whether the line says what the start is. Raises the 422 if it says another."""
    if not line.startswith("DTSTART"):
        return False
    days, times = _listed(line.replace("DTSTART", "RDATE", 1), first, zone)
    if days or times != {first}:
        raise _wrong("begins at another DTSTART than starts_at", "DTSTART가 starts_at과 다릅니다")
    return True


def _twin(year: int) -> int:
    """A year near the calendar's end whose days, and those of the years after it, fall on the same weekdays."""

    def looks(start: int) -> list[tuple[int, bool]]:
        return [(calendar.weekday(each, 1, 1), calendar.isleap(each)) for each in range(start, start + 5)]

    return next(each for each in range(LAST_TWIN, LAST_TWIN - 28, -1) if looks(each) == looks(year))


def _moved(at: datetime, years: int) -> datetime:
    return at.replace(year=at.year + years)


def _parts(rule: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in rule.removeprefix("RRULE:").rstrip(";").split(";"):
        name, _, value = part.partition("=")
        pattern = PARTS.get(name)
        if pattern is None or name in parts or pattern.fullmatch(value) is None:
            raise _wrong(f"cannot be read at {part[:40]!r}", f"해석할 수 없습니다: {part[:40]!r}")
        parts[name] = value
    if "FREQ" not in parts:
        raise _wrong("must have a FREQ", "FREQ가 필요합니다")
    if ("COUNT" in parts) == ("UNTIL" in parts):
        raise _wrong("must have either COUNT or UNTIL", "COUNT와 UNTIL 중 하나가 필요합니다")
    return parts


def _listed(line: str, first: datetime, zone: ZoneInfo) -> tuple[set[date], set[datetime]]:
    """The days and times of an EXDATE or RDATE; a day stands for all of it, or for the start's own hour."""
    read = LINE.fullmatch(line)
    if read is None:
        raise _wrong(f"cannot be read at {line[:40]!r}", f"해석할 수 없습니다: {line[:40]!r}")
    named = re.search(r"TZID=([^;:]+)", line)
    if named is not None and named.group(1) != zone.key.upper():
        raise _wrong(f"must be in the venue's time zone, {zone.key}", f"공연장의 시간대({zone.key})여야 합니다")
    days: set[date] = set()
    times: set[datetime] = set()
    for text in read.group(3).split(","):
        if "T" in text:
            times.add(_moment(text, zone).replace(microsecond=first.microsecond))
        else:
            days.add(_moment(text, zone).date())
    return days, times


def _until(text: str, zone: ZoneInfo) -> datetime:
    """The rule's last moment. A plain date means the whole of that day where the performance is."""
    end = _moment(text, zone)
    return end if "T" in text else datetime.combine(end.date(), time.max)


def _moment(text: str, zone: ZoneInfo) -> datetime:
    """A day's beginning, a time there, or one in UTC, as clocks there show it."""
    try:
        if "T" not in text:
            return datetime.strptime(text, "%Y%m%d")
        moment = datetime.strptime(text.removesuffix("Z"), "%Y%m%dT%H%M%S")
        return moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if text.endswith("Z") else moment
    except (ValueError, OverflowError):
        raise _wrong(f"names no date by {text!r}", f"올바른 날짜가 아닙니다: {text!r}") from None


def _wrong(message: str, ko: str) -> Exception:
    return invalid("recurrence", message, ko)
