"""Recurrence rules as they stand in public calendars and trackers (docs/reports.md), each with the dates it means."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from api.http.problems import Problem
from api.selling.recurrence import occurrences

FRIDAYS = ["2031-03-14T20:00+02:00", "2031-03-21T20:00+02:00", "2031-03-28T20:00+03:00", "2031-04-04T20:00+03:00"]
LAST_BUT_ONE = [
    *("2031-09-29T09:00-04:00", "2031-10-30T09:00-04:00", "2031-11-27T09:00-05:00", "2031-12-30T09:00-05:00"),
    *("2032-01-29T09:00-05:00", "2032-02-26T09:00-05:00", "2032-03-30T09:00-04:00"),
]
COMMUNITY_CLUB = (
    "DTSTART;TZID=Europe/London:20310611T140000\n"
    "EXDATE;TZID=Europe/London:20310625T140000\n"
    "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=WE;UNTIL=20310901T225959Z\n"
    "EXDATE;TZID=Europe/London:20310709T140000"
)
WEDNESDAYS = [f"2031-{day}T14:00+01:00" for day in ("06-11", "07-23", "08-06", "08-20")]


def dates(rule: str, starts_at: str, zone: str) -> list[str]:
    found = occurrences(rule, datetime.fromisoformat(starts_at).replace(tzinfo=ZoneInfo(zone)), zone)
    return [each.isoformat(timespec="minutes") for each in found]


@pytest.mark.parametrize(
    ("rule", "starts_at", "zone", "expected"),
    [
        ("FREQ=WEEKLY;BYDAY=FR;COUNT=4", "2031-03-14T20:00", "Asia/Jerusalem", FRIDAYS),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2;COUNT=7",
            "2031-09-29T09:00",
            "America/New_York",
            LAST_BUT_ONE,
        ),
        (
            "RRULE:FREQ=MONTHLY;BYMONTHDAY=28,29,30;BYSETPOS=-1;COUNT=3",
            "2031-01-30T20:00",
            "Asia/Seoul",
            ["2031-01-30T20:00+09:00", "2031-02-28T20:00+09:00", "2031-03-30T20:00+09:00"],
        ),
        (
            "FREQ=WEEKLY;WKST=WE;BYSETPOS=1;BYDAY=MO,TU,WE;COUNT=3",
            "2030-11-13T19:30",
            "Europe/Berlin",
            ["2030-11-13T19:30+01:00", "2030-11-20T19:30+01:00", "2030-11-27T19:30+01:00"],
        ),
        (
            "FREQ=WEEKLY;BYSETPOS=-1;BYDAY=MO,TU,WE;COUNT=3",
            "2030-11-13T19:30",
            "Europe/Berlin",
            ["2030-11-13T19:30+01:00", "2030-11-20T19:30+01:00", "2030-11-27T19:30+01:00"],
        ),
        (
            "FREQ=DAILY;COUNT=3",
            "2031-03-08T02:30",
            "America/New_York",
            ["2031-03-08T02:30-05:00", "2031-03-09T03:30-04:00", "2031-03-10T02:30-04:00"],
        ),
        (COMMUNITY_CLUB, "2031-06-11T14:00", "Europe/London", WEDNESDAYS),
        (
            "RRULE:FREQ=MONTHLY;BYDAY=1SA,3SA,5SA;COUNT=5",
            "2031-03-01T15:00",
            "Asia/Seoul",
            [f"2031-{day}T15:00+09:00" for day in ("03-01", "03-15", "03-29", "04-05", "04-19")],
        ),
    ],
    ids=["DST", "last but one", "30th or last", "week from Wednesday", "last of a week", "gap", "any order", "odd"],
)
def test_a_rule_found_in_public_means_what_it_means_there(
    rule: str, starts_at: str, zone: str, expected: list[str]
) -> None:
    assert dates(rule, starts_at, zone) == expected


@pytest.mark.parametrize(
    ("rule", "starts_at", "said"),
    [
        # The first of the week that began on Wednesday before was before the start.
        ("FREQ=WEEKLY;WKST=WE;BYSETPOS=1;BYDAY=MO,TU,WE;COUNT=3", "2030-11-11T19:30", "2030-11-13T19:30:00+01:00"),
        ("RRULE:FREQ=WEEKLY;WKST=SU;UNTIL=20310701T235959Z;INTERVAL=1;BDAY=TU", "2031-06-10T14:00", "BDAY=TU"),
        ("DTSTART:20310610T150000\nRRULE:FREQ=WEEKLY;COUNT=2", "2031-06-10T14:00", "DTSTART"),
        ("RRULE:FREQ=WEEKLY;COUNT=2\nRRULE:FREQ=MONTHLY;COUNT=2", "2031-06-10T14:00", "RRULE:FREQ=MONTHLY"),
    ],
)
def test_a_rule_that_means_something_else_is_refused_with_what_is_wrong(rule: str, starts_at: str, said: str) -> None:
    with pytest.raises(Problem) as refused:
        dates(rule, starts_at, "Europe/Berlin")
    (error,) = refused.value.facts["errors"]  # type: ignore[misc,attr-defined]  # facts are of any shape
    assert said in error["message"]
    assert error["field"] == "recurrence"
