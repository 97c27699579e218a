"""What a stream of one's place tells, and when it ends: without a server, and in no time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from api.http.problems import Problem, document
from api.routes.bookings.queue import QueueStreams
from api.views.queue import QUEUE_EXAMPLE, QueuePlaceView
from persistence.seats.line import LineUnavailable
from tests.api.routes.bookings.queue_events import events_of
from tests.support.clocks import JumpingLoop


def test_a_stream_tells_every_change_says_when_it_cannot_and_ends_with_the_turn() -> None:
    place = msgspec.convert(QUEUE_EXAMPLE, QueuePlaceView)
    nearer, admitted = msgspec.structs.replace(place, ahead=3), msgspec.structs.replace(place, status="admitted")
    story = [place, place, nearer, LineUnavailable("away"), nearer, OSError("away"), admitted, AssertionError("over")]
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        frames = runner.run(told_by(QueueStreams(), story))
    told = [(name, said.get("ahead", said.get("code"))) for name, said in events_of(frames)]
    assert told == [
        ("place", place.ahead),
        ("place", 3),
        ("interrupted", "overloaded"),
        ("place", 3),
        ("interrupted", "dependency_unavailable"),
        ("admitted", place.ahead),
    ]


def test_a_stream_ends_with_the_turn_with_the_log_in_and_with_the_server() -> None:
    place = msgspec.convert(QUEUE_EXAMPLE, QueuePlaceView)
    streams = QueueStreams()
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        for error, code in ((Problem("queue_turn_over"), "queue_turn_over"), (KeyError(), "internal_error")):
            events = events_of(runner.run(told_by(streams, [place, error, place])))
            assert [(name, said.get("code")) for name, said in events] == [("place", None), ("over", code)]
        assert len(events_of(runner.run(told_by(streams, [place] * 9, looks=2)))) == 1
        halfway = partial(told_by, streams, [place] * 9, at_third=streams.stop)
        assert runner.run(halfway()).count(b":\n\n") == 2, "it went on after the server had begun to stop"
        assert events_of(runner.run(told_by(streams, [place]))) == []
    assert streams.open == 0


async def told_by(
    streams: QueueStreams,
    story: Sequence[QueuePlaceView | Exception],
    *,
    looks: int = 99,
    at_third: Callable[[], None] = lambda: None,
) -> bytes:
    """What a stream tells to whom all this happens, and who is logged in for so many looks."""
    left, allowed = iter(enumerate(story, start=1)), iter([True] * looks)

    async def look() -> QueuePlaceView:
        number, happened = next(left)
        if number == 3:
            at_third()
        if isinstance(happened, Exception):
            raise happened
        return happened

    async def may_go_on() -> bool:
        return next(allowed, False)

    written = partial(document, language="en", instance="/v1/queue/…/stream")
    return b"".join([frame async for frame in streams.stream(look, may_go_on, written)])
