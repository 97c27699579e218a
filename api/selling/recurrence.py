"""Dates by recurrence rule (RFC 5545 section 3.3.10), as far as performances need them.

Guarantee: no rule keeps the server busy. Only whole-day frequencies are taken, the rule must end, and looking for dates
stops after `HORIZON_DAYS`.
"""

from __future__ import annotations

import itertools
import re
from datetime import datetime, timedelta

from dateutil.rrule import rrule, rrulestr

from api.http.models import LAST_YEAR
from api.http.problems import invalid

MAX_DATES = 366
HORIZON_DAYS = 3 * 366
DAY, MONTH = r"(0?[1-9]|[12][0-9]|3[01])", r"(0?[1-9]|1[0-2])"
WEEKDAY = r"([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)"
# What a rule may say. Sub-daily rules and BYEASTER, BYSETPOS and the like are not for schedules.
PARTS = {
    "FREQ": re.compile(r"DAILY|WEEKLY|MONTHLY|YEARLY"),
    "INTERVAL": re.compile(r"[1-9][0-9]{0,2}"),
    "COUNT": re.compile(r"[1-9][0-9]{0,3}"),
    "UNTIL": re.compile(r"[0-9]{8}(T[0-9]{6}Z?)?"),
    "BYDAY": re.compile(rf"{WEEKDAY}(,{WEEKDAY})*"),
    "BYMONTHDAY": re.compile(rf"-?{DAY}(,-?{DAY})*"),
    "BYMONTH": re.compile(rf"{MONTH}(,{MONTH})*"),
    "WKST": re.compile(r"MO|TU|WE|TH|FR|SA|SU"),
}


def occurrences(text: str, starts_at: datetime) -> list[datetime]:
    """Every start, `starts_at` first whether or not the rule names it. Raises a 422 `Problem` for `recurrence`."""
    parts = _parts(text)
    horizon = min(starts_at + timedelta(days=HORIZON_DAYS), starts_at.replace(year=LAST_YEAR - 1, month=1, day=1))
    until = _until(parts.pop("UNTIL"), starts_at) if "UNTIL" in parts else horizon
    count = int(parts.pop("COUNT")) if "COUNT" in parts else None
    if until > horizon:
        raise _wrong("must end within three years", "3년 안에 끝나야 합니다")
    # The end is ours: with a COUNT alone, a rule that hardly ever matches would be followed to the year 9999.
    bounded = ";".join(f"{name}={value}" for name, value in parts.items())
    try:
        dates = rrulestr(bounded, dtstart=starts_at.replace(tzinfo=None))
        assert isinstance(dates, rrule), "a set of rules takes more than one line"
        ended = dates.replace(until=until.replace(tzinfo=None))
        found = list(itertools.islice(ended, min(count or MAX_DATES + 1, MAX_DATES + 1)))
    except (ValueError, TypeError, OverflowError):
        raise _wrong("is not a valid recurrence rule", "올바른 반복 규칙이 아닙니다") from None
    if len(found) > MAX_DATES:
        raise _wrong(f"must end after at most {MAX_DATES} dates", f"{MAX_DATES}회를 넘을 수 없습니다")
    if count is not None and len(found) < count:
        raise _wrong("must end within three years", "3년 안에 끝나야 합니다")
    starts = [date.replace(tzinfo=starts_at.tzinfo, microsecond=starts_at.microsecond) for date in found]
    return starts if starts_at in starts else [starts_at, *starts]


def _parts(rule: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in rule.strip().removeprefix("RRULE:").upper().rstrip(";").split(";"):
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


def _until(text: str, starts_at: datetime) -> datetime:
    """The rule's last moment. A plain date means the whole of that day where the performance is."""
    try:
        if "T" not in text:
            end = datetime.strptime(text, "%Y%m%d") + timedelta(days=1, milliseconds=-1)
            return end.replace(tzinfo=starts_at.tzinfo)
        time = datetime.strptime(text.removesuffix("Z"), "%Y%m%dT%H%M%S")
        if not text.endswith("Z"):
            return time.replace(tzinfo=starts_at.tzinfo)
        return (time + (starts_at.utcoffset() or timedelta())).replace(tzinfo=starts_at.tzinfo)
    except (ValueError, OverflowError):
        raise _wrong("has an UNTIL that is no date", "UNTIL이 올바른 날짜가 아닙니다") from None


def _wrong(message: str, ko: str) -> Exception:
    return invalid("recurrence", message, ko)
