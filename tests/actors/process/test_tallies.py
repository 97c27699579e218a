"""Counting in memory says at `/metrics` what counting one by one would say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from actors.process import tallies
from actors.process.tallies import Seconds, Tallies, Tally, tell_all
from tests.support.waiting import until

BOUNDS = (0.001, 0.5, 1.0)


def page(make: Callable[..., Histogram], use: Callable[[Counter, Any], None]) -> str:
    registry = CollectorRegistry()
    counter = Counter("answers_total", "", ("route",), registry=registry)
    histogram = make("seconds", "", ("route",), buckets=BOUNDS, registry=registry)
    use(counter.labels("/"), histogram.labels("/"))
    told = generate_latest(registry).decode()
    return "\n".join(line for line in told.splitlines() if "_created" not in line)


@given(st.lists(st.sampled_from([0.0, 0.001, 0.25, 0.5, 0.75, 1.0, 2.0, 64.0])))
def test_the_page_is_that_of_counting_one_by_one(times: list[float]) -> None:
    def one_by_one(counter: Counter, seconds: Histogram) -> None:
        for each in times:
            counter.inc()
            seconds.observe(each)

    def together(counter: Counter, seconds: Seconds) -> None:
        tally = Tally(counter, seconds)
        tally.times += times
        tally.tell()

    assert page(Seconds, together) == page(Histogram, one_by_one)


async def test_what_is_counted_is_told_by_itself_and_at_once_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = CollectorRegistry()
    counter = Counter("answers_total", "", registry=registry)
    tally = Tally(counter, Seconds("seconds", "", buckets=BOUNDS, registry=registry))
    mine = Tallies()
    mine.take(tally, 0.25)
    assert registry.get_sample_value("answers_total") == 0
    tell_all()
    assert registry.get_sample_value("answers_total") == 1
    monkeypatch.setattr(tallies, "TELL_SECONDS", 0.0)
    mine.take(tally, 0.25)
    mine.take(tally, 0.25)
    await until(lambda: registry.get_sample_value("answers_total") == 3)
    assert registry.get_sample_value("seconds_count") == 3
