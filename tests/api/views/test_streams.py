"""When streams go on: together with many others, and the seldomer the more of them a worker has."""

from __future__ import annotations

from typing import Any, cast

import pytest

from actors.seats.seat_views import SeatViews
from api.views.seat_forms import PACKED
from api.views.seats import EVENT_PAUSE_SECONDS, EVENTS_A_SECOND, TURNS, SeatPages, Stream


def crowd(count: int) -> list[Stream]:
    """So many streams of one worker, none of which has begun."""

    async def no_offer(schedule_id: str, plan_number: int | None) -> Any:
        raise AssertionError("nobody asks")

    pages = SeatPages(cast(SeatViews, None), no_offer)
    streams = [Stream(pages, "a", PACKED, 1, "terms", "here", 0) for _ in range(count)]
    pages.streams.update(streams)
    return streams


@pytest.mark.parametrize("count", [1, 10, 50, 100, 500])
def test_a_crowd_of_streams_is_sent_no_more_in_all_than_a_worker_can_spare(count: int) -> None:
    streams = crowd(count)
    sent = 0
    for stream in streams:
        now = 1_000.3
        while (now := now + stream.until_its_turn(now)) < 1_010.3:
            sent += 1
    assert sent <= 10 * EVENTS_A_SECOND + count
    assert sent >= 10 * min(count / EVENT_PAUSE_SECONDS, EVENTS_A_SECOND) - count


def test_streams_go_on_at_common_moments_whenever_they_stopped_and_not_all_at_once() -> None:
    moments = [
        round(now + stream.until_its_turn(now), 6)
        for number, stream in enumerate(crowd(40))
        for now in (1_000.0 + number / 1_000,)  # within a pause, each at another moment
    ]
    assert TURNS <= len(set(moments)) <= 2 * TURNS
