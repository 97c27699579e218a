"""Reports 9 and 10: a rule that begins on another day than it says, and times that are none."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from api.http.problems import Problem
from api.selling.recurrence import occurrences
from tests.api.conftest import Worker
from tests.support.sale import open_sale, problem

SEOUL = ZoneInfo("Asia/Seoul")
WEDNESDAY = datetime(2031, 1, 29, 14, tzinfo=SEOUL)


async def opening(worker: Worker, **terms: Any) -> Any:
    sale = await open_sale(worker.http)
    body = {
        "venue_id": sale.venue_id,
        "currency": "KRW",
        "prices": dict(sale.prices),
        "starts_at": WEDNESDAY.isoformat(),
        **terms,
    }
    url = f"/v1/performances/{sale.performance_id}/schedules"
    return await worker.http.post(url, json=body, headers=sale.organizer)


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        ("FREQ=WEEKLY;COUNT=3;BYDAY=TH", "2031-01-30T14:00:00+09:00"),
        ("FREQ=DAILY;COUNT=3\nEXDATE:20310129", "2031-01-30T14:00:00+09:00"),
        ("FREQ=DAILY;COUNT=3\nRDATE:20310125T140000", "2031-01-25T14:00:00+09:00"),
        ("FREQ=DAILY;UNTIL=20310128", None),
        ("FREQ=DAILY;COUNT=1\nEXDATE:20310129T050000Z", None),
    ],
)
async def test_report_09_a_rule_begins_where_its_start_says(worker: Worker, rule: str, first: str | None) -> None:
    document = problem(await opening(worker, recurrence=rule), 422, "validation_failed")
    assert [each["field"] for each in document["errors"]] == ["recurrence"]
    assert document.get("first_date") == first
    assert first is None or first in document["errors"][0]["message"]


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        ("FREQ=DAILY;BYHOUR=14,19;COUNT=4", ["29T14", "29T19", "30T14", "30T19"]),
        ("FREQ=DAILY;COUNT=4\nEXDATE:20310130,20310131T140000", ["29T14", "01T14"]),
        ("FREQ=DAILY;COUNT=2\nRDATE:20310205,20310206T100000Z", ["29T14", "30T14", "05T14", "06T19"]),
        ("FREQ=MONTHLY;BYDAY=WE;BYSETPOS=-1;COUNT=2", ["29T14", "26T14"]),
        ("RRULE:FREQ=WEEKLY;BYDAY=WE,SA;BYHOUR=14;UNTIL=20310202", ["29T14", "01T14"]),
        ("FREQ=DAILY;COUNT=2\r\nEXDATE;TZID=Asia/Seoul:20310130T140000\n", ["29T14"]),
    ],
)
async def test_report_09_matinees_and_days_off_are_rules_too(worker: Worker, rule: str, days: list[str]) -> None:
    answer = await opening(worker, recurrence=rule)
    assert answer.status_code == 201, answer.text
    made = [answer.json(), *answer.json()["recurring"]]
    starts = [datetime.fromisoformat(each["starts_at"]).astimezone(SEOUL) for each in made]
    assert [f"{each:%dT%H}" for each in starts] == days


@pytest.mark.parametrize("time", ["2031-01-29T24:00:00Z", "2031-02-29T10:00:00Z", "2031-06-30T23:59:60Z"])
async def test_a_time_that_no_calendar_or_clock_has_is_told_so(worker: Worker, time: str) -> None:
    document = problem(await opening(worker, starts_at=time), 422, "validation_failed")
    assert document["errors"] == [{"field": "starts_at", "message": "is no day or time that there is"}]


@pytest.mark.parametrize(
    ("day", "message"),
    [
        ("2100-01-01", "must be between the years 2000 and 2100"),
        ("1999-12-31T23:59:59Z", "must be between the years 2000 and 2100"),
        ("2031-02-29", "is no day or time that there is"),
        ("tomorrow", "must be a full date, or a time with its offset (RFC 3339)"),
    ],
)
async def test_a_day_is_told_what_is_wrong_with_it(worker: Worker, day: str, message: str) -> None:
    document = problem(await worker.http.get(f"/v1/performances?date_to={day}"), 422, "validation_failed")
    assert document["errors"] == [{"field": "date_to", "message": message}]


RULES = st.builds(
    lambda freq, interval, count, by: f"FREQ={freq};INTERVAL={interval};COUNT={count}{by}",
    st.sampled_from(["DAILY", "WEEKLY", "MONTHLY"]),
    st.integers(1, 4),
    st.integers(1, 12),
    st.sampled_from(
        [
            "",
            ";BYDAY=MO,WE,SA",
            ";BYHOUR=11,14,19",
            ";BYDAY=WE;BYHOUR=14",
            ";BYMONTHDAY=-1,15",
            ";BYDAY=MO,TU;BYSETPOS=1",
        ]
    ),
)


@given(rule=RULES, days=st.integers(0, 1_500))
def test_dates_are_those_that_dateutil_reads(rule: str, days: int) -> None:
    starts_at = WEDNESDAY + timedelta(days=days)
    start = starts_at.replace(tzinfo=None)
    # A position counts in the whole of a week; dateutil takes what is left of the first one for a week.
    since = start - timedelta(days=start.weekday()) if "WEEKLY" in rule and "BYSETPOS" in rule else start
    endless, count = re.sub("COUNT=[0-9]+;?", "", rule).rstrip(";"), int(re.findall("COUNT=([0-9]+)", rule)[0])
    expected = list(islice((each for each in rrulestr(endless, dtstart=since) if each >= start), count))
    begins = expected[0] == start
    if not begins or expected[-1] > expected[0] + timedelta(days=3 * 366):
        with pytest.raises(Problem):
            occurrences(rule, starts_at, "Asia/Seoul")
    else:
        found = occurrences(rule, starts_at, "Asia/Seoul")
        assert [each.replace(tzinfo=None) for each in found] == expected


# --- what a time is ---------------------------------------------------------------------------------------------------
NO_TIMES = [
    *("2027122419", "20271224T193000Z", "2027-W52-5", "2027-358", "2027-12-24", "2027-12-24T19:30+09:00"),
    *("2027-12-24T19:30:00", "2027-12-24 19:30:00+09:00", "2027-12-24T19:30:00+0900", "2027-12-24T24:00:00Z"),
    *("2027-02-30T00:00:00Z", "1830000000", "٢٠٢٧-12-24T19:30:00Z", "2027-12-24T19:30:00,5Z", "tomorrow", ""),
]


@pytest.mark.parametrize("text", [*NO_TIMES, 1_830_000_000, None, True])
async def test_report_10_a_time_is_rfc_3339_with_its_offset(worker: Worker, text: object) -> None:
    answer = await opening(worker, starts_at=text)
    assert [each["field"] for each in problem(answer, 422, "validation_failed")["errors"]] == ["starts_at"]


@pytest.mark.parametrize("text", ["2031-01-29T05:00:00Z", "2031-01-29t14:00:00.000000+09:00", "2031-01-29T05:00:00.5z"])
async def test_report_10_every_way_to_write_rfc_3339_is_read(worker: Worker, text: str) -> None:
    answer = await opening(worker, starts_at=text)
    assert answer.status_code == 201, answer.text
    assert datetime.fromisoformat(answer.json()["starts_at"]).replace(microsecond=0) == WEDNESDAY


@pytest.mark.parametrize("text", [each for each in NO_TIMES if each not in ("2027-12-24", "2027-12-24 19:30:00+09:00")])
async def test_report_10_a_filter_takes_a_full_date_or_a_time(worker: Worker, text: str) -> None:
    for name in ("date_from", "date_to"):
        answer = await worker.http.get("/v1/performances", params={name: text})
        assert [each["field"] for each in problem(answer, 422, "validation_failed")["errors"]] == [name]
    for good in ("2027-12-24", "2027-12-24T00:00:00+09:00"):
        assert (await worker.http.get("/v1/performances", params={"date_from": good})).status_code in (200, 404)
