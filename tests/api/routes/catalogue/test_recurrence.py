"""Schedules opened by a rule, over HTTP, and what rules are refused."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from types import FrameType

import pytest

from api.http.problems import Problem
from api.selling.recurrence import occurrences
from tests.api.conftest import Worker
from tests.api.routes.catalogue.schedule_requests import create
from tests.support.sale import open_sale, problem

SEOUL = timezone(timedelta(hours=9))
MOST_CALLS = 500_000  # four times what the dearest refusal makes; a search to the end of the calendar makes millions


async def test_a_rule_opens_a_schedule_for_every_date(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    answer = await create(
        worker,
        sale,
        starts_at="2031-03-03T19:30:00+09:00",
        sale_opens_at="2031-01-01T10:00:00+09:00",
        sale_closes_at="2031-03-03T18:30:00+09:00",
        recurrence="FREQ=WEEKLY;BYDAY=MO,WE;COUNT=4",
    )
    assert answer.status_code == 201
    first = answer.json()
    made = [first, *first["recurring"]]
    assert [each["starts_at"][:16] for each in made] == [f"2031-03-{day:02}T10:30" for day in (3, 5, 10, 12)]
    assert {each["sale_opens_at"] for each in made} == {"2031-01-01T01:00:00.000+00:00"}
    assert [each["sale_closes_at"][:16] for each in made] == [f"2031-03-{day:02}T09:30" for day in (3, 5, 10, 12)]
    listed = (await worker.http.get(f"/v1/performances/{sale.performance_id}/schedules?date_from=2031-01-01")).json()
    assert [item["id"] for item in listed["items"]] == [each["id"] for each in made]


async def test_a_rule_with_one_taken_date_opens_none(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    start = sale.starts_at - timedelta(days=2)
    problem(
        await create(worker, sale, starts_at=start.isoformat(), recurrence="FREQ=DAILY;COUNT=5"),
        409,
        "schedule_conflict",
    )
    listed = (await worker.http.get(f"/v1/performances/{sale.performance_id}/schedules")).json()["items"]
    assert [item["id"] for item in listed] == [sale.schedule_id]


async def test_a_rule_whose_own_dates_overlap_is_told_so(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    rule = "FREQ=DAILY;COUNT=2;BYHOUR=19;BYMINUTE=30,45"
    document = problem(
        await create(worker, sale, starts_at="2031-03-03T19:30:00+09:00", recurrence=rule), 422, "validation_failed"
    )
    (error,) = document["errors"]
    both = "2031-03-03T19:30:00+09:00 and 2031-03-03T19:45:00+09:00"
    assert (error["field"], error["message"]) == ("recurrence", f"has dates that overlap: {both}")


def test_a_rule_is_followed_by_the_clocks_of_the_venue() -> None:
    start = datetime(2031, 1, 30, 0, 30, tzinfo=SEOUL)

    def dates(rule: str) -> list[datetime]:
        return occurrences(rule, start, "Asia/Seoul")

    assert dates("RRULE:FREQ=MONTHLY;COUNT=3") == [start, start.replace(month=3), start.replace(month=4)]
    assert len(dates("FREQ=DAILY;UNTIL=20310131T153000Z")) == 3
    assert len(dates("FREQ=DAILY;UNTIL=20310201")) == 3
    assert dates("freq=weekly;byday=th;count=1") == [start]


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "FREQ=DAILY",
        "COUNT=3",
        "FREQ=DAILY;COUNT=367",
        "FREQ=DAILY;UNTIL=20990101",
        "FREQ=DAILY;UNTIL=20330130",
        "FREQ=DAILY;COUNT=3;UNTIL=20310301",
        "FREQ=SECONDLY;COUNT=3",
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
        "FREQ=DAILY;INTERVAL=0;COUNT=3",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
        "FREQ=YEARLY;COUNT=10",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
        "FREQ=DAILY;BYSETPOS=5;COUNT=3",
        "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=5;COUNT=1",
        "FREQ=DAILY;BYHOUR=24;COUNT=1",
        "FREQ=DAILY;COUNT=3\nEXDATE:20311301",
        "FREQ=DAILY;COUNT=3\nEXDATE;TZID=Europe/Berlin:20310131T193000",
        "FREQ=DAILY;COUNT=3\nEXRULE:FREQ=DAILY;COUNT=1",
        "FREQ=DAILY;COUNT=3;FREQ=DAILY",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;BYDAY=XX;COUNT=3",
        "FREQ=DAILY;BYMONTH=99;COUNT=3",
        "FREQ=DAILY;UNTIL=20319999",
        "FREQ=DAILY;COUNT=3\nDTSTART:20310101T000000",
        "FREQ=DAILY;COUNT=٣",
    ],
)
def test_rules_that_are_refused_cost_nothing(rule: str) -> None:
    with pytest.raises(Problem) as refused, counted_calls() as calls:
        occurrences(rule, datetime(2031, 1, 30, 19, 30, tzinfo=SEOUL), "Asia/Seoul")
    assert refused.value.facts["errors"][0]["field"] == "recurrence"  # type: ignore[index]  # facts are of any shape
    assert calls.total() < MOST_CALLS, calls.most_common(3)


@contextlib.contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Counts every call, also of what is not Python: the same number on a fast machine and on a busy one."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        calls[f"{event} in {frame.f_code.co_name}"] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)
